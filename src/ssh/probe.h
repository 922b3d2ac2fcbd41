/* One TCP connection on its way to a banner. The banner is looked at, not read (MSG_PEEK): whoever
 * speaks SSH on this socket later finds it untouched. */
#pragma once

#include "base/buf.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

enum probe_state {
    PROBE_FREE,
    PROBE_CONNECTING,
    PROBE_SILENT, /* connected; no complete banner yet */
    PROBE_BANNER, /* an SSH server has spoken */
    PROBE_FAILED,
};

struct probe {
    enum probe_state state;
    int fd;             /* owned; -1 in FREE and FAILED */
    int64_t started_ms; /* by clock_ms */
    size_t seen_bytes;  /* of what precedes a complete banner */
    int sys;            /* FAILED: errno, 0 when it was closed or spoke something else */
    bool was_taken;     /* FAILED: after the connection was made */
};

/* Begins; the state says how that went. The socket is non-blocking. */
void probe_start(struct probe *p, const struct sockaddr *address, socklen_t n, int64_t now_ms);
/* Looks again. `banner` is replaced by what was seen, when anything was. */
void probe_check(struct probe *p, struct buf *banner);
/* Back to FREE. */
void probe_close(struct probe *p);

/* The pure half: the length of the SSH version line within what a server has sent so far
 * ("SSH-2.0-" or "SSH-1.99-", with what precedes it in *ret_at); 0: not complete; -1: never will
 * be. */
int probe_find_banner(struct str bytes, size_t *ret_at);
