#include "ssh/wire.h"
#include "base/cleanup.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>

enum {
    /* Both queues get this much at once and seldom more: growing would leave copies of a key in
     * freed memory. */
    QUEUE_BYTES = 2 * (WIRE_HEADER_BYTES + WIRE_FRAME_MAX_BYTES),
    /* More descriptors than this with one read and the kernel closes the rest. */
    FDS_PER_READ = 4,
};

int wire_parse(struct str bytes, struct wire_frame *ret_frame, size_t *ret_used)
{
    if (bytes.n < WIRE_HEADER_BYTES)
        return 0;
    const uint8_t *p = (const uint8_t *)bytes.p;
    const size_t n = (size_t)p[0] << 24 | (size_t)p[1] << 16 | (size_t)p[2] << 8 | p[3];
    if (n == 0 || n > WIRE_FRAME_MAX_BYTES)
        return -EPROTO;
    if (bytes.n - WIRE_HEADER_BYTES < n)
        return 0;
    *ret_frame = (struct wire_frame){
        .type = p[WIRE_HEADER_BYTES],
        .body = {.p = bytes.p + WIRE_HEADER_BYTES + 1, .n = n - 1},
    };
    *ret_used = WIRE_HEADER_BYTES + n;
    return 1;
}

void wire_init(struct wire *w, int fd, bool takes_fds)
{
    *w = (struct wire){.fd = fd, .takes_fds = takes_fds, .out_fd = -1, .in_fd = -1};
    buf_reserve(&w->in, QUEUE_BYTES);
    buf_reserve(&w->out, QUEUE_BYTES);
    const int flags = fcntl(fd, F_GETFL);
    if (flags >= 0)
        (void)fcntl(fd, F_SETFL, flags | O_NONBLOCK);
}

static void wipe_and_free(struct buf *b)
{
    if (b->p)
        explicit_bzero(b->p, b->cap);
    buf_done(b);
}

void wire_done(struct wire *w)
{
    if (w->fd >= 0)
        close(TAKE_FD(w->fd));
    if (w->out_fd >= 0)
        close(TAKE_FD(w->out_fd));
    if (w->in_fd >= 0)
        close(TAKE_FD(w->in_fd));
    wipe_and_free(&w->in);
    wipe_and_free(&w->out);
}

void wire_put(struct wire *w, uint8_t type, const void *body, size_t n)
{
    assert(n <= WIRE_BODY_MAX_BYTES);
    const size_t length = n + 1;
    const char header[WIRE_HEADER_BYTES + 1] = {
        (char)(length >> 24), (char)(length >> 16), (char)(length >> 8), (char)length, (char)type};
    buf_add(&w->out, header, sizeof(header));
    buf_add(&w->out, body, n);
}

void wire_put_secret(struct wire *w, uint8_t type, const void *body, size_t n)
{
    w->is_secret = true;
    wire_put(w, type, body, n);
}

int wire_put_fd(struct wire *w, uint8_t type, const void *body, size_t n, int fd)
{
    if (w->out_fd >= 0)
        return -EBUSY;
    const int copy = fcntl(fd, F_DUPFD_CLOEXEC, 3);
    if (copy < 0)
        return -errno;
    w->out_fd = copy;
    w->out_fd_at = w->out.n;
    wire_put(w, type, body, n);
    return 0;
}

void wire_put_all(struct wire *w, uint8_t type, const void *body, size_t n)
{
    for (const char *p = body; n > 0;) {
        const size_t part = n < WIRE_BODY_MAX_BYTES ? n : WIRE_BODY_MAX_BYTES;
        wire_put(w, type, p, part);
        p += part;
        n -= part;
    }
}

size_t wire_queued(const struct wire *w)
{
    return w->out.n - w->out_at;
}

/* Sends up to where the descriptor travels, or from there on with it. Bytes sent or -errno. */
static ssize_t send_some(struct wire *w)
{
    const bool fd_is_later = w->out_fd >= 0 && w->out_at < w->out_fd_at;
    const bool fd_is_now = w->out_fd >= 0 && w->out_at == w->out_fd_at;
    struct iovec piece = {
        .iov_base = w->out.p + w->out_at,
        .iov_len = (fd_is_later ? w->out_fd_at : w->out.n) - w->out_at,
    };
    union {
        char bytes[CMSG_SPACE(sizeof(int))];
        struct cmsghdr align;
    } control = {0};
    struct msghdr message = {.msg_iov = &piece, .msg_iovlen = 1};
    if (fd_is_now) {
        message.msg_control = control.bytes;
        message.msg_controllen = sizeof(control.bytes);
        struct cmsghdr *c = CMSG_FIRSTHDR(&message);
        c->cmsg_level = SOL_SOCKET;
        c->cmsg_type = SCM_RIGHTS;
        c->cmsg_len = CMSG_LEN(sizeof(int));
        memcpy(CMSG_DATA(c), &w->out_fd, sizeof(int));
    }
    const ssize_t sent = sendmsg(w->fd, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (sent > 0 && fd_is_now)
        close(TAKE_FD(w->out_fd));
    return sent < 0 ? -errno : sent;
}

int wire_flush(struct wire *w)
{
    while (w->out_at < w->out.n) {
        const ssize_t sent = send_some(w);
        if (sent == -EINTR)
            continue;
        if (sent == -EAGAIN)
            return 0;
        if (sent < 0)
            return sent == -ECONNRESET ? -EPIPE : (int)sent;
        w->out_at += (size_t)sent;
    }
    if (w->is_secret && w->out.p)
        explicit_bzero(w->out.p, w->out.cap);
    w->is_secret = false;
    w->out_at = 0;
    buf_clear(&w->out);
    return 0;
}

/* What is not yet given out moves to the front; what it leaves behind is overwritten, since it may
 * be part of a key. */
static void compact(struct wire *w)
{
    const size_t left = w->in.n - w->in_at;
    if (w->in_at > 0 && left > 0)
        memmove(w->in.p, w->in.p + w->in_at, left);
    if (w->in_at > 0)
        explicit_bzero(w->in.p + left, w->in_at);
    w->in.n = left;
    w->in_at = 0;
}

static void keep_fds(struct wire *w, struct msghdr *message)
{
    for (struct cmsghdr *c = CMSG_FIRSTHDR(message); c; c = CMSG_NXTHDR(message, c)) {
        if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
            continue;
        const size_t count = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        for (size_t i = 0; i < count; i++) {
            int fd;
            memcpy(&fd, CMSG_DATA(c) + i * sizeof(int), sizeof(int));
            if (w->in_fd >= 0)
                close(w->in_fd);
            w->in_fd = fd;
        }
    }
}

int wire_fill(struct wire *w)
{
    compact(w);
    if (w->in.n >= QUEUE_BYTES)
        return 0; /* frames first */
    struct iovec piece = {.iov_base = w->in.p + w->in.n, .iov_len = QUEUE_BYTES - w->in.n};
    union {
        char bytes[CMSG_SPACE(sizeof(int) * FDS_PER_READ)];
        struct cmsghdr align;
    } control;
    struct msghdr message = {.msg_iov = &piece, .msg_iovlen = 1};
    if (w->takes_fds) { /* without room for them the kernel drops descriptors */
        message.msg_control = control.bytes;
        message.msg_controllen = sizeof(control.bytes);
    }
    ssize_t got;
    do
        got = recvmsg(w->fd, &message, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
    while (got < 0 && errno == EINTR);
    if (got < 0)
        return errno == EAGAIN ? 0 : errno == ECONNRESET ? -EPIPE : -errno;
    if (w->takes_fds)
        keep_fds(w, &message);
    if (got == 0)
        return -EPIPE;
    w->in.n += (size_t)got;
    w->in.p[w->in.n] = '\0';
    return 1;
}

int wire_next(struct wire *w, struct wire_frame *ret_frame)
{
    size_t used;
    const struct str rest = {.p = w->in.p + w->in_at, .n = w->in.n - w->in_at};
    const int r = wire_parse(rest, ret_frame, &used);
    if (r > 0)
        w->in_at += used;
    return r;
}

void wire_wipe(struct wire_frame *frame)
{
    if (frame->body.n)
        explicit_bzero((char *)frame->body.p, frame->body.n); /* it is our own buffer */
    frame->body.n = 0;
}

int wire_take_fd(struct wire *w)
{
    return TAKE_FD(w->in_fd);
}
