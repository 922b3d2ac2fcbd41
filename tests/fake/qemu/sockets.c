/* Listening Unix sockets with one client each. While there is a client nobody is accepted: the next
 * one waits in the kernel's queue, connected but not greeted, exactly as with QEMU. */
#include "fake.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

void bytes_add(struct bytes *b, const void *p, size_t n)
{
    if (b->n + n > b->cap) {
        b->cap = (b->n + n) * 2;
        b->p = realloc(b->p, b->cap);
        if (!b->p)
            abort();
    }
    if (n)
        memcpy(b->p + b->n, p, n);
    b->n += n;
}

void bytes_drop(struct bytes *b, size_t n)
{
    b->n -= n;
    if (b->n)
        memmove(b->p, b->p + n, b->n);
}

struct chardev *chardev_find(const char *id)
{
    for (size_t i = 0; i < fake.chardev_count; i++) {
        if (strcmp(fake.chardevs[i].id, id) == 0)
            return &fake.chardevs[i];
    }
    return NULL;
}

struct chardev *chardev_new(const char *id, const char *path, int fd, const char *origin)
{
    if (fake.chardev_count == CHARDEVS_MAX)
        die("fake: too many character devices");
    struct chardev *c = &fake.chardevs[fake.chardev_count++];
    *c = (struct chardev){
        .id = strdup(id),
        .path = path ? strdup(path) : NULL,
        .origin = strdup(origin),
        .listen_fd = fd,
        .client_fd = -1,
    };
    return c;
}

void chardev_listen(struct chardev *c)
{
    if (!c->path)
        return;
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    if (strlen(c->path) >= sizeof(address.sun_path))
        die("%s: UNIX socket path '%s' is too long", c->origin, c->path);
    memcpy(address.sun_path, c->path, strlen(c->path));
    unlink(c->path); /* QEMU takes the place of whatever is there */
    c->listen_fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (c->listen_fd < 0 ||
        bind(c->listen_fd, (const struct sockaddr *)&address, sizeof(address)) < 0)
        die("%s: Failed to bind socket to %s: %s", c->origin, c->path, strerror(errno));
    if (listen(c->listen_fd, 1) < 0)
        die("%s: Failed to listen on socket: %s", c->origin, strerror(errno));
}

static void hang_up(struct chardev *c)
{
    close(c->client_fd);
    timers_forget(c);
    c->client_fd = -1;
    c->in.n = 0;
    c->out.n = 0;
    c->huge_left = 0;
    c->is_negotiated = false;
    c->is_busy = false;
    c->is_flooding = false;
}

void chardev_say(struct chardev *c, const void *p, size_t n)
{
    if (c->client_fd >= 0)
        bytes_add(&c->out, p, n);
}

void chardev_accept(struct chardev *c)
{
    c->client_fd = accept4(c->listen_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (c->client_fd >= 0 && c->role == ROLE_MONITOR)
        monitor_greet(c);
}

void chardevs_accept_waiting(void)
{
    for (size_t i = 0; i < fake.chardev_count; i++) {
        struct chardev *c = &fake.chardevs[i];
        struct pollfd pfd = {.fd = c->listen_fd, .events = POLLIN};
        const bool is_guests = c->role == ROLE_SERIAL || c->role == ROLE_FIRMWARE;
        if (is_guests && c->client_fd < 0 && c->listen_fd >= 0 && poll(&pfd, 1, 0) == 1)
            chardev_accept(c);
    }
}

void chardev_hear(struct chardev *c)
{
    char chunk[16384];
    const ssize_t n = recv(c->client_fd, chunk, sizeof(chunk), 0);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n <= 0) {
        hang_up(c);
    } else if (c->role == ROLE_MONITOR) {
        bytes_add(&c->in, chunk, (size_t)n);
        monitor_hear(c);
    } else if (c->role == ROLE_SERIAL && fake.was_started) {
        chardev_say(c, chunk, (size_t)n); /* a terminal in the guest echoes what is typed */
    }
}

/* What comes after `out` has gone: more of a huge line, or of a flood. */
static void refill(struct chardev *c)
{
    if (c->huge_left) {
        static char xs[256 * 1024];
        memset(xs, 'x', sizeof(xs));
        const size_t n = c->huge_left < sizeof(xs) ? c->huge_left : sizeof(xs);
        c->huge_left -= n;
        bytes_add(&c->out, xs, n);
        if (!c->huge_left)
            bytes_add(&c->out, c->huge_tail, strlen(c->huge_tail));
    } else if (c->is_flooding) {
        for (int i = 0; i < 100; i++)
            say_event(c, "RTC_CHANGE", json_pack("{s:i}", "offset", i));
    }
}

void chardev_flush(struct chardev *c)
{
    if (!c->out.n)
        refill(c);
    if (!c->out.n)
        return;
    const ssize_t n = send(c->client_fd, c->out.p, c->out.n, MSG_NOSIGNAL);
    if (n >= 0)
        bytes_drop(&c->out, (size_t)n);
    else if (errno != EAGAIN && errno != EINTR)
        hang_up(c);
}
