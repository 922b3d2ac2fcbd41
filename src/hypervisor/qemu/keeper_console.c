#include "hypervisor/qemu/keeper_console.h"

#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

void keeper_console_init(struct keeper_console *c, int listen_fd)
{
    *c = (struct keeper_console){.listen_fd = listen_fd};
}

static void drop_viewer(struct keeper_console *c, unsigned i)
{
    close(c->viewers[i].fd);
    buf_done(&c->viewers[i].queue);
    c->viewers[i] = c->viewers[--c->viewer_count];
}

/* False when the viewer is gone. */
static bool flush(struct keeper_viewer *v)
{
    while (v->queue.n) {
        const ssize_t n = send(v->fd, v->queue.p, v->queue.n, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (n < 0)
            return errno == EAGAIN || errno == EINTR;
        buf_drop(&v->queue, (size_t)n);
    }
    return true;
}

void keeper_console_output(struct keeper_console *c, const char *p, size_t n)
{
    buf_add(&c->scrollback, p, n);
    /* Trimmed by halves, so that a byte is not moved for every byte that comes. */
    if (c->scrollback.n > 2 * CONSOLE_SCROLLBACK_BYTES)
        buf_drop(&c->scrollback, c->scrollback.n - CONSOLE_SCROLLBACK_BYTES);
    for (unsigned i = c->viewer_count; i-- > 0;) {
        struct keeper_viewer *v = &c->viewers[i];
        buf_add(&v->queue, p, n);
        if (!flush(v) || v->queue.n > CONSOLE_QUEUE_MAX_BYTES)
            drop_viewer(c, i);
    }
}

static void accept_viewer(struct keeper_console *c)
{
    const int fd = accept4(c->listen_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (fd < 0)
        return;
    struct ucred peer;
    socklen_t n = sizeof(peer);
    /* The folder and the mode keep others out; this holds even when those were changed (B-1). */
    if (c->viewer_count == CONSOLE_VIEWERS_MAX ||
        getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &n) < 0 ||
        (peer.uid != geteuid() && peer.uid != 0)) {
        close(fd);
        return;
    }
    struct keeper_viewer *v = &c->viewers[c->viewer_count++];
    *v = (struct keeper_viewer){.fd = fd};
    size_t from = 0;
    if (c->scrollback.n > CONSOLE_SCROLLBACK_BYTES)
        from = c->scrollback.n - CONSOLE_SCROLLBACK_BYTES;
    if (c->scrollback.n)
        buf_add(&v->queue, c->scrollback.p + from, c->scrollback.n - from);
    if (!flush(v))
        drop_viewer(c, c->viewer_count - 1);
}

/* False when the viewer is gone. */
static bool read_typed(struct keeper_console *c, struct keeper_viewer *v)
{
    char typed[4096];
    const ssize_t n = recv(v->fd, typed, sizeof(typed), MSG_DONTWAIT);
    if (n < 0)
        return errno == EAGAIN || errno == EINTR;
    if (n > 0 && c->input.n + (size_t)n <= CONSOLE_INPUT_MAX_BYTES)
        buf_add(&c->input, typed, (size_t)n);
    return n > 0;
}

unsigned keeper_console_pollfds(const struct keeper_console *c, struct pollfd *fds)
{
    fds[0] = (struct pollfd){.fd = c->listen_fd, .events = POLLIN};
    for (unsigned i = 0; i < c->viewer_count; i++)
        fds[1 + i] = (struct pollfd){.fd = c->viewers[i].fd,
            .events = (short)(POLLIN | (c->viewers[i].queue.n ? POLLOUT : 0))};
    return 1 + c->viewer_count;
}

void keeper_console_dispatch(struct keeper_console *c, const struct pollfd *fds, unsigned n)
{
    /* Backwards: dropping one moves the last into its place, which has been looked at already. */
    for (unsigned i = n - 1; i >= 1; i--) {
        struct keeper_viewer *v = &c->viewers[i - 1];
        bool is_there = true;
        if (fds[i].revents & POLLOUT)
            is_there = flush(v);
        if (is_there && fds[i].revents & (POLLIN | POLLHUP | POLLERR))
            is_there = read_typed(c, v);
        if (!is_there)
            drop_viewer(c, i - 1);
    }
    if (fds[0].revents & POLLIN)
        accept_viewer(c);
}
