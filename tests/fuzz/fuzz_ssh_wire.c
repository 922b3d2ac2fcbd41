/* Any bytes at the doors of src/ssh/: what a helper sends to the library, what a library sends to
 * the helper (wire.c, proto.c), what a guest's SFTP server answers (transfer.c), and what stands in
 * a known_hosts file or comes as a key or a banner (keys.c, probe.c). The first byte chooses.
 *
 * Beyond "no crash": a frame that was taken apart is put together again as the same bytes; a
 * message that was decoded is encoded and decoded as the same; a download never writes past its
 * limit and never claims bytes it was not given; a key that matches is in the file, and a line made
 * of it is found. */
#include "base/alloc.h"
#include "base/buf.h"
#include "base/cleanup.h"
#include "ssh/keys.h"
#include "ssh/probe.h"
#include "ssh/proto.h"
#include "ssh/ssh.h"
#include "ssh/transfer.h"
#include "ssh/wire.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

enum { LIMIT_BYTES = 100000 };

static void broken(const char *what)
{
    fprintf(stderr, "broken promise: %s\n", what);
    abort();
}

/* A wire that only collects. */
static struct wire nowhere(void)
{
    return (struct wire){.fd = -1, .out_fd = -1, .in_fd = -1};
}

static void check_same_json(const struct wire *w, json_t *before)
{
    struct wire_frame f;
    size_t used;
    if (wire_parse((struct str){w->out.p, w->out.n}, &f, &used) != 1 || used != w->out.n)
        broken("what is encoded is one frame");
    json_error_t e;
    cleanup_json json_t *after = json_parse(f.body, &e);
    const char *key;
    json_t *value;
    if (!after)
        broken("what is encoded is JSON");
    /* Strings may be cut and numbers replaced by defaults, but only where they were out of bounds;
     * what is encoded again must be a fixed point. */
    json_object_foreach(after, key, value)
    {
        json_t *old = json_object_get(before, key);
        if (json_is_string(value) && json_is_string(old) && json_string_length(old) < 64 &&
            !json_equal(value, old))
            broken("a short string comes back the same");
    }
}

static void to_library(const struct wire_frame *f)
{
    struct wire w = nowhere();
    struct msg_hello hello;
    struct msg_host_key key;
    struct msg_failed failed;
    struct msg_number number;
    struct msg_exit end;
    json_t *json = NULL;
    switch (f->type) {
    case MSG_HELLO:
        if (msg_hello_decode(f->body, &hello))
            msg_hello_put(&w, &hello), json = hello.json;
        break;
    case MSG_HOST_KEY:
        if (msg_host_key_decode(f->body, &key))
            msg_host_key_put(&w, &key), json = key.json;
        break;
    case MSG_FAILED:
    case MSG_REFUSED:
        if (msg_failed_decode(f->body, &failed))
            msg_failed_put(&w, f->type, failed.reason, failed.message), json = failed.json;
        break;
    case MSG_STDIN_TAKEN:
    case MSG_PROGRESS:
    case MSG_DONE:
        if (msg_number_decode(f->body, &number)) {
            if (number.value < 0 || number.total < 0)
                broken("numbers are not negative");
            msg_number_put(&w, f->type, (uint64_t)number.value, (uint64_t)number.total);
            json = number.json;
        }
        break;
    case MSG_EXIT:
        if (msg_exit_decode(f->body, &end)) {
            if (end.status < -1 || end.status > 255)
                broken("a status is a byte");
            msg_exit_put(&w, &end);
            json = end.json;
        }
        break;
    default:
        break;
    }
    if (json)
        check_same_json(&w, json);
    json_decref(json);
    buf_done(&w.out);
}

static void to_helper(const struct wire_frame *f)
{
    struct wire w = nowhere();
    struct msg_start start;
    struct msg_transfer transfer;
    struct msg_keygen keygen;
    json_t *json = NULL;
    int error = 0;
    switch (f->type) {
    case MSG_START:
        if (msg_start_decode(f->body, &start)) {
            if (start.kex_ms <= 0 || start.auth_ms <= 0 || start.keepalive_ms <= 0)
                broken("limits are positive");
            msg_start_put(&w, &start, -1, &error);
            json = start.json;
        }
        break;
    case MSG_UPLOAD:
    case MSG_DOWNLOAD:
        if (msg_transfer_decode(f->body, &transfer)) {
            if (transfer.mode < 0 || transfer.mode > 07777)
                broken("a mode is a mode");
            msg_transfer_put(&w, f->type, &transfer, -1, &error);
            json = transfer.json;
        }
        break;
    case MSG_KEYGEN:
        if (msg_keygen_decode(f->body, &keygen)) {
            if (keygen.count == 0 || keygen.count > 64)
                broken("keys are counted");
            json = keygen.json; /* its size is bounded by the frame, not by the sender's rules */
        }
        break;
    default:
        break;
    }
    if (json && w.out.n)
        check_same_json(&w, json);
    json_decref(json);
    buf_done(&w.out);
}

static void frames(struct str bytes, bool is_to_library)
{
    size_t at = 0;
    for (;;) {
        struct wire_frame f;
        size_t used;
        const struct str rest = {bytes.p + at, bytes.n - at};
        if (wire_parse(rest, &f, &used) != 1)
            break;
        if (used > rest.n || f.body.n > WIRE_BODY_MAX_BYTES)
            broken("a frame lies within what came");
        struct wire w = nowhere();
        wire_put(&w, f.type, f.body.p, f.body.n);
        if (w.out.n != used || memcmp(w.out.p, rest.p, used) != 0)
            broken("a frame is put together as it came");
        buf_done(&w.out);
        if (is_to_library)
            to_library(&f);
        else
            to_helper(&f);
        at += used;
    }
}

/* The second byte: the size of the pieces in which the rest comes. */
static void sftp(struct str bytes, bool is_upload)
{
    static int fd = -1;
    if (fd < 0)
        fd = memfd_create("fuzz", MFD_CLOEXEC);
    if (fd < 0 || ftruncate(fd, is_upload ? LIMIT_BYTES / 2 : 0) < 0 || bytes.n < 1)
        return;
    const size_t piece = (uint8_t)bytes.p[0] + 1U;
    struct transfer *t = transfer_new(&(struct transfer_opts){.is_upload = is_upload,
        .fd = fd,
        .path = "some/path",
        .mode = 0600,
        .limit_bytes = LIMIT_BYTES});
    for (size_t at = 1; at < bytes.n && transfer_status(t).state == TRANSFER_GOING; at += piece) {
        transfer_feed(t, bytes.p + at, bytes.n - at < piece ? bytes.n - at : piece);
        transfer_pump(t);
        if (transfer_output(t)->n > 1 << 20)
            broken("what is queued is bounded");
        buf_clear(transfer_output(t));
    }
    const struct transfer_status s = transfer_status(t);
    struct stat st;
    if (fstat(fd, &st) < 0 || st.st_size > LIMIT_BYTES)
        broken("no more is written than the limit");
    if (s.state == TRANSFER_DONE && !is_upload && s.done_bytes > (uint64_t)st.st_size)
        broken("what is done is in the file");
    if (s.state == TRANSFER_FAILED && (!s.reason || !s.message))
        broken("a failure says why");
    transfer_free(t);
}

/* A key on the first line, a known_hosts file after it. */
static void known_hosts(struct str bytes)
{
    const char *newline = bytes.n ? memchr(bytes.p, '\n', bytes.n) : NULL;
    const struct str line = {bytes.p, newline ? (size_t)(newline - bytes.p) : bytes.n};
    const struct str text = {bytes.p + line.n, bytes.n - line.n};
    struct public_key key;
    size_t at;
    const int banner = probe_find_banner(bytes, &at);
    if (banner > 0 && (at + (size_t)banner > bytes.n || memcmp(bytes.p + at, "SSH-", 4) != 0))
        broken("a banner is where it was found");
    cleanup_buf struct buf types = {0};
    known_hosts_types(text, "host", &types);
    if (!public_key_parse(line, &key))
        return;
    cleanup_buf struct buf pinned = {0};
    if (known_hosts_check(text, "host", &key, &pinned) == KNOWN_HOSTS_MATCH &&
        !memmem(text.p, text.n, key.base64.p, key.base64.n))
        broken("a key that matches is in the file");
    cleanup_free char *copy = xstrndup(line.p, line.n);
    char *made;
    if (ssh_known_hosts_line("host", 22, copy, &made, NULL) < 0)
        broken("a key makes a line");
    if (known_hosts_check(str_view(made), "host", &key, NULL) != KNOWN_HOSTS_MATCH)
        broken("a line that was made is found");
    free(made);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    if (n == 0)
        return 0;
    const struct str rest = {(const char *)data + 1, n - 1};
    switch (data[0] % 5) {
    case 0:
        frames(rest, true);
        break;
    case 1:
        frames(rest, false);
        break;
    case 2:
        sftp(rest, false);
        break;
    case 3:
        sftp(rest, true);
        break;
    case 4:
        known_hosts(rest);
        break;
    }
    return 0;
}
