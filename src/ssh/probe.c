#include "ssh/probe.h"
#include "base/cleanup.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>

enum {
    BANNER_LINE_MAX_BYTES = 255, /* RFC 4253, 4.2, with CR LF */
    /* What a server may say before its version line. OpenSSH says nothing. */
    BEFORE_BANNER_MAX_BYTES = 4096,
};

static bool begins_with(struct str s, const char *lit)
{
    const size_t n = strlen(lit);
    return s.n >= n && memcmp(s.p, lit, n) == 0;
}

int probe_find_banner(struct str bytes, size_t *ret_at)
{
    for (size_t at = 0; at < bytes.n;) {
        const struct str rest = {.p = bytes.p + at, .n = bytes.n - at};
        const char *newline = memchr(rest.p, '\n', rest.n);
        const size_t n = newline ? (size_t)(newline - rest.p) + 1 : rest.n;
        if (begins_with(rest, "SSH-")) {
            if (n > BANNER_LINE_MAX_BYTES)
                return -1;
            if (!newline)
                return 0;
            *ret_at = at;
            return begins_with(rest, "SSH-2.0-") || begins_with(rest, "SSH-1.99-") ? (int)n : -1;
        }
        at += n;
    }
    return bytes.n >= BEFORE_BANNER_MAX_BYTES ? -1 : 0;
}

static void fail(struct probe *p, int sys)
{
    close(TAKE_FD(p->fd));
    p->was_taken = p->state == PROBE_SILENT;
    p->state = PROBE_FAILED;
    p->sys = sys;
}

static void connected(struct probe *p)
{
    p->state = PROBE_SILENT;
    const int one = 1;
    /* Small packets both ways; and a dead host must not be found by us alone. */
    (void)setsockopt(p->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    (void)setsockopt(p->fd, SOL_SOCKET, SO_KEEPALIVE, &one, sizeof(one));
}

void probe_start(struct probe *p, const struct sockaddr *address, socklen_t n, int64_t now_ms)
{
    *p = (struct probe){.state = PROBE_CONNECTING, .started_ms = now_ms};
    p->fd = socket(address->sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (p->fd < 0) {
        *p = (struct probe){.state = PROBE_FAILED, .fd = -1, .sys = errno};
        return;
    }
    if (connect(p->fd, address, n) == 0)
        connected(p);
    else if (errno != EINPROGRESS)
        fail(p, errno);
}

static void check_connecting(struct probe *p)
{
    int sys = 0;
    socklen_t n = sizeof(sys);
    struct sockaddr_storage peer;
    socklen_t peer_n = sizeof(peer);
    if (getsockopt(p->fd, SOL_SOCKET, SO_ERROR, &sys, &n) < 0)
        sys = errno;
    if (sys)
        fail(p, sys);
    else if (getpeername(p->fd, (struct sockaddr *)&peer, &peer_n) == 0)
        connected(p);
}

void probe_check(struct probe *p, struct buf *banner)
{
    if (p->state == PROBE_CONNECTING)
        check_connecting(p);
    if (p->state != PROBE_SILENT)
        return;
    char bytes[BEFORE_BANNER_MAX_BYTES + BANNER_LINE_MAX_BYTES];
    const ssize_t got = recv(p->fd, bytes, sizeof(bytes), MSG_PEEK | MSG_DONTWAIT);
    if (got < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (got < 0) {
        fail(p, errno);
        return;
    }
    size_t at = 0;
    const int found = got > 0 ? probe_find_banner((struct str){bytes, (size_t)got}, &at) : -1;
    if (got > 0) {
        buf_clear(banner);
        buf_add(banner, bytes + at, found > 0 ? (size_t)found : (size_t)got);
    }
    /* Closed with less than a banner shows as the same bytes again and no more to come: poll says
     * so by POLLRDHUP, recv only when nothing is left. Hence the question below. */
    struct tcp_info info;
    socklen_t info_n = sizeof(info);
    const bool is_closed =
        got == 0 || (getsockopt(p->fd, IPPROTO_TCP, TCP_INFO, &info, &info_n) == 0 &&
                        info.tcpi_state != TCP_ESTABLISHED);
    if (found > 0)
        p->state = PROBE_BANNER;
    else if (found < 0 || is_closed)
        fail(p, 0);
    else
        p->seen_bytes = (size_t)got;
}

void probe_close(struct probe *p)
{
    if (p->state != PROBE_FREE && p->fd >= 0)
        close(p->fd);
    *p = (struct probe){.state = PROBE_FREE, .fd = -1};
}
