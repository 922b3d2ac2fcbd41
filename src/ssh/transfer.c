#include "ssh/transfer.h"
#include "base/alloc.h"
#include "base/cleanup.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum {
    VERSION = 3,
    CHUNK_BYTES = 32768, /* what every server must take */
    REQUESTS_MAX = 64,   /* on their way at once, as OpenSSH's client */
    OUTPUT_HIGH_BYTES = 8 * CHUNK_BYTES,
    PACKET_MAX_BYTES = 256 * 1024 + 1024,
    HANDLE_MAX_BYTES = 256,
    DISK_IS_FULL_BYTES = 1 << 20, /* left: less than this explains a failed write */
};

enum packet {
    FXP_INIT = 1,
    FXP_VERSION = 2,
    FXP_OPEN = 3,
    FXP_CLOSE = 4,
    FXP_READ = 5,
    FXP_WRITE = 6,
    FXP_FSTAT = 8,
    FXP_FSETSTAT = 10,
    FXP_STAT = 17,
    FXP_STATUS = 101,
    FXP_HANDLE = 102,
    FXP_DATA = 103,
    FXP_ATTRS = 105,
    FXP_EXTENDED = 200,
    FXP_EXTENDED_REPLY = 201,
};

enum status {
    FX_OK = 0,
    FX_EOF = 1,
    FX_NO_SUCH_FILE = 2,
    FX_PERMISSION_DENIED = 3,
    FX_FAILURE = 4,
    FX_NONE = 255, /* not a status at all */
};

enum { OPEN_READ = 0x01, OPEN_WRITE = 0x02, OPEN_CREATE = 0x08, OPEN_TRUNCATE = 0x10 };
enum { ATTR_SIZE = 0x01, ATTR_UIDGID = 0x02, ATTR_PERMISSIONS = 0x04 };

/* state       waits for                          then
 * GREETING    VERSION                            OPENING
 * OPENING     HANDLE                             MOVING, or SIZING first for a download
 * SIZING      ATTRS                              MOVING
 * MOVING      STATUS or DATA of many requests    SETTING (up) or CLOSING (down)
 * SETTING     STATUS                             CLOSING
 * CLOSING     STATUS                             ENDED
 * LOOKING     ATTRS: is it a directory?          MEASURING or ENDED, failed
 * MEASURING   free space                         ENDED, failed */
enum phase { GREETING, OPENING, SIZING, MOVING, SETTING, CLOSING, LOOKING, MEASURING, ENDED };

struct request {
    bool is_used;
    uint32_t id;
    uint64_t offset;
    uint32_t length;
};

struct transfer {
    struct transfer_opts opts;
    char *path;
    enum phase phase;
    enum transfer_state state;
    struct buf in;
    struct buf out;
    char handle[HANDLE_MAX_BYTES];
    size_t handle_n;
    struct request requests[REQUESTS_MAX];
    unsigned outstanding;
    uint32_t next_id;
    uint32_t waited_id; /* outside MOVING: the one answer we wait for */
    uint64_t next_offset;
    uint64_t end_offset; /* where the file ends, once known */
    bool is_ended;       /* no more to ask for or to send */
    uint64_t done_bytes;
    uint64_t total_bytes;
    const char *reason;
    char *message;
};

/* ---- Reading and writing packets ----------------------------------------------------------- */

struct rd {
    const uint8_t *p;
    size_t n;
    bool is_bad; /* sticky: something was read past the end */
};

static uint64_t rd_be(struct rd *r, unsigned bytes)
{
    uint64_t value = 0;
    if (r->n < bytes) {
        r->is_bad = true;
        r->n = 0;
        return 0;
    }
    for (unsigned i = 0; i < bytes; i++)
        value = value << 8 | r->p[i];
    r->p += bytes;
    r->n -= bytes;
    return value;
}

static uint32_t rd_u32(struct rd *r)
{
    return (uint32_t)rd_be(r, 4);
}

static struct str rd_string(struct rd *r)
{
    const uint32_t n = rd_u32(r);
    if (r->n < n) {
        r->is_bad = true;
        r->n = 0;
        return (struct str){0};
    }
    const struct str s = {.p = (const char *)r->p, .n = n};
    r->p += n;
    r->n -= n;
    return s;
}

static void put_be(struct buf *b, uint64_t value, unsigned bytes)
{
    for (unsigned i = bytes; i-- > 0;)
        buf_addc(b, (char)(value >> (8 * i)));
}

static void put_string(struct buf *b, const char *p, size_t n)
{
    put_be(b, n, 4);
    buf_add(b, p, n);
}

/* Begins a request; packet_end fills the length in. */
static size_t packet_begin(struct transfer *t, enum packet type)
{
    const size_t at = t->out.n;
    put_be(&t->out, 0, 4);
    put_be(&t->out, type, 1);
    if (type != FXP_INIT)
        put_be(&t->out, t->waited_id = t->next_id++, 4);
    return at;
}

static void packet_end(struct transfer *t, size_t at)
{
    const size_t n = t->out.n - at - 4;
    for (unsigned i = 0; i < 4; i++)
        t->out.p[at + i] = (char)(n >> (8 * (3 - i)));
}

/* ---- Ending -------------------------------------------------------------------------------- */

static void fail(struct transfer *t, const char *reason, char *message)
{
    if (t->state == TRANSFER_GOING) {
        t->state = TRANSFER_FAILED;
        t->reason = reason;
        free(t->message);
        t->message = message;
    } else {
        free(message);
    }
    t->phase = ENDED;
}

static void fail_protocol(struct transfer *t, const char *what)
{
    fail(t, "protocol", xasprintf("the guest's SFTP server %s", what));
}

static void fail_too_large(struct transfer *t)
{
    fail(t, "too-large",
        xasprintf("it is larger than %llu bytes", (unsigned long long)t->opts.limit_bytes));
}

/* "FAILURE" says nothing; so ask what the path is, and how full the disk is. The words the guest
 * gave are kept for when that tells nothing either. */
static void look_into_it(struct transfer *t, struct str words)
{
    t->message = words.n ? xasprintf("the guest says \"%.*s\"",
                               (int)(words.n < 300 ? words.n : 300), words.p)
                         : xstrdup("the guest gives no reason");
    t->phase = LOOKING;
    const size_t at = packet_begin(t, FXP_STAT);
    put_string(&t->out, t->path, strlen(t->path));
    packet_end(t, at);
}

static void measure_disk(struct transfer *t)
{
    static const char extension[] = "statvfs@openssh.com";
    const char *slash = strrchr(t->path, '/');
    t->phase = MEASURING;
    const size_t at = packet_begin(t, FXP_EXTENDED);
    put_string(&t->out, extension, sizeof(extension) - 1);
    if (!slash)
        put_string(&t->out, ".", 1);
    else
        put_string(&t->out, t->path, slash == t->path ? 1 : (size_t)(slash - t->path));
    packet_end(t, at);
}

static void fail_as_it_said(struct transfer *t)
{
    fail(t, "failed", TAKE_PTR(t->message));
}

/* A request was answered with a status other than the one hoped for. */
static void refused(struct transfer *t, uint32_t code, struct str words)
{
    switch (code) {
    case FX_NO_SUCH_FILE:
        fail(t, "no-such-path",
            xstrdup(t->opts.is_upload ? "there is no such folder in the guest"
                                      : "there is no such file in the guest"));
        break;
    case FX_PERMISSION_DENIED:
        fail(t, "permission", xstrdup("permission denied in the guest"));
        break;
    default:
        look_into_it(t, words);
    }
}

/* ---- Asking -------------------------------------------------------------------------------- */

static void ask_open(struct transfer *t)
{
    t->phase = OPENING;
    const size_t at = packet_begin(t, FXP_OPEN);
    put_string(&t->out, t->path, strlen(t->path));
    put_be(&t->out, t->opts.is_upload ? OPEN_WRITE | OPEN_CREATE | OPEN_TRUNCATE : OPEN_READ, 4);
    put_be(&t->out, t->opts.is_upload ? ATTR_PERMISSIONS : 0, 4);
    if (t->opts.is_upload)
        put_be(&t->out, t->opts.mode & 07777, 4);
    packet_end(t, at);
}

static void ask_with_handle(struct transfer *t, enum packet type, enum phase phase)
{
    t->phase = phase;
    const size_t at = packet_begin(t, type);
    put_string(&t->out, t->handle, t->handle_n);
    if (type == FXP_FSETSTAT) {
        put_be(&t->out, ATTR_PERMISSIONS, 4);
        put_be(&t->out, t->opts.mode & 07777, 4);
    }
    packet_end(t, at);
}

static struct request *free_request(struct transfer *t)
{
    for (unsigned i = 0; i < REQUESTS_MAX; i++) {
        if (!t->requests[i].is_used)
            return &t->requests[i];
    }
    return NULL;
}

static void ask_read(struct transfer *t, struct request *r, uint64_t offset, uint32_t length)
{
    const size_t at = packet_begin(t, FXP_READ);
    *r = (struct request){.is_used = true, .id = t->waited_id, .offset = offset, .length = length};
    put_string(&t->out, t->handle, t->handle_n);
    put_be(&t->out, offset, 8);
    put_be(&t->out, length, 4);
    packet_end(t, at);
}

/* The next part of the local file; notices its end. */
static void ask_write(struct transfer *t, struct request *r)
{
    char chunk[CHUNK_BYTES];
    ssize_t got;
    do
        got = pread(t->opts.fd, chunk, sizeof(chunk), (off_t)t->next_offset);
    while (got < 0 && errno == EINTR);
    if (got < 0) {
        fail(t, "local", xasprintf("could not read the file on this side: %s", strerror(errno)));
        return;
    }
    if (got == 0) {
        t->is_ended = true;
        return;
    }
    if (t->next_offset + (uint64_t)got > t->opts.limit_bytes) {
        fail_too_large(t);
        return;
    }
    const size_t at = packet_begin(t, FXP_WRITE);
    *r = (struct request){
        .is_used = true, .id = t->waited_id, .offset = t->next_offset, .length = (uint32_t)got};
    put_string(&t->out, t->handle, t->handle_n);
    put_be(&t->out, t->next_offset, 8);
    put_string(&t->out, chunk, (size_t)got);
    packet_end(t, at);
    t->next_offset += (uint64_t)got;
    t->outstanding++;
}

/* Past the size the guest told, one request at a time looks for the end: a small file is not asked
 * for 64 times, and one that grew or that tells no size (as in /proc) still comes whole. */
static bool may_read_on(const struct transfer *t)
{
    return t->next_offset <= t->opts.limit_bytes &&
           (t->next_offset < t->total_bytes || t->outstanding == 0);
}

static void read_on(struct transfer *t, struct request *r)
{
    uint32_t length = CHUNK_BYTES;
    /* One byte past the limit is asked for: to see that there is more. */
    if (t->opts.limit_bytes - t->next_offset < CHUNK_BYTES)
        length = (uint32_t)(t->opts.limit_bytes - t->next_offset) + 1;
    ask_read(t, r, t->next_offset, length);
    t->next_offset += length;
    t->outstanding++;
}

void transfer_pump(struct transfer *t)
{
    while (t->phase == MOVING && !t->is_ended && t->out.n < OUTPUT_HIGH_BYTES) {
        struct request *r = free_request(t);
        if (!r || (!t->opts.is_upload && !may_read_on(t)))
            break;
        if (t->opts.is_upload)
            ask_write(t, r);
        else
            read_on(t, r);
    }
    if (t->phase != MOVING || !t->is_ended || t->outstanding > 0)
        return;
    /* The server opened it with our mode less its umask, or it was there before. */
    if (t->opts.is_upload)
        ask_with_handle(t, FXP_FSETSTAT, SETTING);
    else
        ask_with_handle(t, FXP_CLOSE, CLOSING);
}

/* ---- Answers ------------------------------------------------------------------------------- */

static void take_handle(struct transfer *t, struct rd *r)
{
    const struct str handle = rd_string(r);
    if (r->is_bad || handle.n > HANDLE_MAX_BYTES) {
        fail_protocol(t, "answered with a handle that is none");
        return;
    }
    if (handle.n)
        memcpy(t->handle, handle.p, handle.n);
    t->handle_n = handle.n;
    if (t->opts.is_upload)
        t->phase = MOVING;
    else
        ask_with_handle(t, FXP_FSTAT, SIZING);
}

static void take_size(struct transfer *t, struct rd *r)
{
    const uint32_t flags = rd_u32(r);
    const uint64_t size = flags & ATTR_SIZE ? rd_be(r, 8) : 0;
    if (r->is_bad) {
        fail_protocol(t, "told the file's size in no known form");
        return;
    }
    if (size > t->opts.limit_bytes) {
        fail_too_large(t);
        return;
    }
    t->total_bytes = size;
    t->phase = MOVING;
}

static struct request *find_request(struct transfer *t, uint32_t id)
{
    for (unsigned i = 0; i < REQUESTS_MAX; i++) {
        if (t->requests[i].is_used && t->requests[i].id == id)
            return &t->requests[i];
    }
    return NULL;
}

static void free_answered(struct transfer *t, struct request *q)
{
    q->is_used = false;
    t->outstanding--;
}

static void take_data(struct transfer *t, struct request *q, struct rd *r)
{
    const struct str data = rd_string(r);
    if (r->is_bad || data.n == 0 || data.n > q->length) {
        fail_protocol(t, "sent more or less than it was asked for");
        return;
    }
    if (q->offset + data.n > t->opts.limit_bytes) {
        fail_too_large(t);
        return;
    }
    for (size_t at = 0; at < data.n;) {
        const ssize_t put = pwrite(t->opts.fd, data.p + at, data.n - at, (off_t)(q->offset + at));
        if (put < 0 && errno == EINTR)
            continue;
        if (put <= 0) {
            fail(t, "local",
                xasprintf("could not write the file on this side: %s", strerror(errno)));
            return;
        }
        at += (size_t)put;
    }
    t->done_bytes += data.n;
    if (data.n == q->length)
        free_answered(t, q);
    else /* less than asked for is allowed anywhere: ask for the rest */
        ask_read(t, q, q->offset + data.n, q->length - (uint32_t)data.n);
}

static void take_end(struct transfer *t, struct request *q)
{
    if (!t->is_ended || q->offset < t->end_offset)
        t->end_offset = q->offset;
    t->is_ended = true;
    free_answered(t, q);
}

static void take_moved(struct transfer *t, uint8_t type, uint32_t id, struct rd *r)
{
    struct request *q = find_request(t, id);
    if (!q) {
        fail_protocol(t, "answered what was not asked");
    } else if (type == FXP_DATA && !t->opts.is_upload) {
        take_data(t, q, r);
    } else if (type == FXP_STATUS) {
        const uint32_t code = rd_u32(r);
        const struct str words = rd_string(r);
        if (t->opts.is_upload && code == FX_OK) {
            t->done_bytes += q->length;
            free_answered(t, q);
        } else if (!t->opts.is_upload && code == FX_EOF) {
            take_end(t, q);
        } else {
            refused(t, code, words);
        }
    } else {
        fail_protocol(t, "answered with something else");
    }
}

static void take_looked(struct transfer *t, uint8_t type, struct rd *r)
{
    if (type == FXP_ATTRS) {
        const uint32_t flags = rd_u32(r);
        if (flags & ATTR_SIZE)
            rd_be(r, 8);
        if (flags & ATTR_UIDGID)
            rd_be(r, 8);
        const uint32_t permissions = flags & ATTR_PERMISSIONS ? rd_u32(r) : 0;
        if (!r->is_bad && S_ISDIR(permissions)) {
            fail(t, "is-directory", xstrdup("it is a directory in the guest; name the file"));
            return;
        }
    }
    if (t->opts.is_upload)
        measure_disk(t);
    else
        fail_as_it_said(t);
}

static void take_measured(struct transfer *t, uint8_t type, struct rd *r)
{
    if (type == FXP_EXTENDED_REPLY) {
        rd_be(r, 8); /* f_bsize */
        const uint64_t fragment = rd_be(r, 8);
        rd_be(r, 8); /* f_blocks */
        rd_be(r, 8); /* f_bfree */
        const uint64_t available = rd_be(r, 8);
        rd_be(r, 8); /* f_files */
        rd_be(r, 8); /* f_ffree */
        const uint64_t inodes = rd_be(r, 8);
        uint64_t left;
        const bool is_small =
            !__builtin_mul_overflow(fragment, available, &left) && left < DISK_IS_FULL_BYTES;
        if (!r->is_bad && (is_small || inodes == 0)) {
            fail(t, "disk-full", xstrdup("the guest's disk is full"));
            return;
        }
    }
    fail_as_it_said(t);
}

/* The one answer that the phase waits for. */
static void take_answer(struct transfer *t, uint8_t type, struct rd *r)
{
    const bool is_status = type == FXP_STATUS;
    struct rd copy = *r;
    const uint32_t code = is_status ? rd_u32(&copy) : FX_NONE;
    const struct str words = is_status ? rd_string(&copy) : (struct str){0};
    switch (t->phase) {
    case OPENING:
        if (type == FXP_HANDLE)
            take_handle(t, r);
        else if (is_status && code != FX_OK)
            refused(t, code, words);
        else
            fail_protocol(t, "answered with something else");
        break;
    case SIZING:
        if (type == FXP_ATTRS)
            take_size(t, r);
        else
            t->phase = MOVING; /* it can be read without */
        break;
    case SETTING:
        if (code == FX_OK)
            ask_with_handle(t, FXP_CLOSE, CLOSING);
        else
            fail(t, "permission", xstrdup("the mode of the file cannot be set in the guest"));
        break;
    case CLOSING:
        /* A full disk or a network file system may show only now. */
        if (code != FX_OK && t->opts.is_upload) {
            refused(t, is_status ? code : FX_FAILURE, words);
            break;
        }
        t->state = TRANSFER_DONE;
        t->phase = ENDED;
        break;
    case LOOKING:
        take_looked(t, type, r);
        break;
    case MEASURING:
        take_measured(t, type, r);
        break;
    case GREETING:
    case MOVING:
    case ENDED:
        break;
    }
}

static void take_packet(struct transfer *t, const uint8_t *p, size_t n)
{
    struct rd r = {.p = p, .n = n};
    const uint8_t type = (uint8_t)rd_be(&r, 1);
    const uint32_t id = rd_u32(&r); /* of VERSION: the version */
    if (r.is_bad) {
        fail_protocol(t, "sent a packet cut short");
    } else if (t->phase == GREETING) {
        if (type == FXP_VERSION && id >= VERSION)
            ask_open(t);
        else
            fail(t, "no-sftp", xstrdup("the guest's SFTP server greets as none of version 3 does"));
    } else if (t->phase == MOVING) {
        take_moved(t, type, id, &r);
    } else if (id == t->waited_id) {
        take_answer(t, type, &r);
    } else if (t->phase != LOOKING && t->phase != MEASURING) {
        /* After a failure the answers to what was on its way still come; else there are none. */
        fail_protocol(t, "answered what was not asked");
    }
}

void transfer_feed(struct transfer *t, const char *bytes, size_t n)
{
    buf_add(&t->in, bytes, n);
    size_t at = 0;
    while (t->phase != ENDED && t->in.n - at >= 4) {
        const uint8_t *p = (const uint8_t *)t->in.p + at;
        const size_t length = (size_t)p[0] << 24 | (size_t)p[1] << 16 | (size_t)p[2] << 8 | p[3];
        if (length == 0 || length > PACKET_MAX_BYTES) {
            fail_protocol(t, "sent a packet of an impossible length");
            break;
        }
        if (t->in.n - at - 4 < length)
            break;
        take_packet(t, p + 4, length);
        at += 4 + length;
    }
    buf_drop(&t->in, at);
}

/* ---- Face ---------------------------------------------------------------------------------- */

/* SFTP knows no "~"; relative paths begin in the home of whoever logged in. */
static const char *without_tilde(const char *path)
{
    if (strncmp(path, "~/", 2) != 0)
        return path;
    for (path += 2; *path == '/'; path++)
        continue;
    return *path ? path : ".";
}

struct transfer *transfer_new(const struct transfer_opts *opts)
{
    struct transfer *t = xcalloc(1, sizeof(*t));
    t->opts = *opts;
    t->path = xstrdup(without_tilde(opts->path));
    struct stat st;
    if (opts->is_upload && fstat(opts->fd, &st) == 0)
        t->total_bytes = (uint64_t)st.st_size;
    if (opts->is_upload && t->total_bytes > opts->limit_bytes) {
        fail_too_large(t);
    } else if (opts->is_greeted) {
        ask_open(t);
    } else {
        t->phase = GREETING;
        const size_t at = packet_begin(t, FXP_INIT);
        put_be(&t->out, VERSION, 4);
        packet_end(t, at);
    }
    return t;
}

void transfer_free(struct transfer *t)
{
    if (!t)
        return;
    buf_done(&t->in);
    buf_done(&t->out);
    free(t->path);
    free(t->message);
    free(t);
}

struct buf *transfer_output(struct transfer *t)
{
    return &t->out;
}

struct transfer_status transfer_status(const struct transfer *t)
{
    return (struct transfer_status){
        .state = t->state,
        .done_bytes =
            t->state == TRANSFER_DONE && !t->opts.is_upload ? t->end_offset : t->done_bytes,
        .total_bytes = t->total_bytes,
        .reason = t->reason,
        .message = t->message,
    };
}
