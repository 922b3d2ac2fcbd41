/* Viewers of the serial port: each gets what was printed before (as much as is kept) and all that
 * comes; what any of them types goes to the guest. A viewer that does not read is dropped. */
#pragma once

#include "base/buf.h"

#include <poll.h>
#include <stdbool.h>

enum {
    CONSOLE_VIEWERS_MAX = 32,
    CONSOLE_SCROLLBACK_BYTES = 64 << 10,
    CONSOLE_QUEUE_MAX_BYTES = 1 << 20,  /* a viewer further behind than this is dropped */
    CONSOLE_INPUT_MAX_BYTES = 64 << 10, /* typed faster than the guest reads: the rest is dropped */
};

struct keeper_viewer {
    int fd;
    struct buf queue;
};

struct keeper_console {
    int listen_fd;
    struct keeper_viewer viewers[CONSOLE_VIEWERS_MAX];
    unsigned viewer_count;
    struct buf scrollback;
    struct buf input; /* typed, not yet taken by the guest */
};

/* Takes `listen_fd`. */
void keeper_console_init(struct keeper_console *c, int listen_fd);
/* Bytes from the guest. */
void keeper_console_output(struct keeper_console *c, const char *p, size_t n);
/* Fills pollfds (1 + viewers of them) and returns how many. */
unsigned keeper_console_pollfds(const struct keeper_console *c, struct pollfd *fds);
/* Acts on them. */
void keeper_console_dispatch(struct keeper_console *c, const struct pollfd *fds, unsigned n);
