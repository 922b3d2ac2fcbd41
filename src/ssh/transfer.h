/* One file over SFTP version 3, as a machine without input or output of its own: bytes from the
 * guest go in, bytes for the guest come out. libssh's own client waits for every write to be
 * answered; this one keeps many on their way, can be stopped at any moment, and takes its replies
 * apart with one checked cursor. Runs in the helper. The guest lies: lengths, offsets and sizes are
 * checked against what was asked. */
#pragma once

#include "base/buf.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct transfer;

enum transfer_state { TRANSFER_GOING, TRANSFER_DONE, TRANSFER_FAILED };

struct transfer_opts {
    bool is_upload;
    int fd; /* borrowed; a regular file, used with pread and pwrite from 0 */
    const char *path;
    mode_t mode;
    uint64_t limit_bytes;
    bool is_greeted; /* the channel has already carried a transfer: no INIT */
};

struct transfer_status {
    enum transfer_state state;
    uint64_t done_bytes;
    uint64_t total_bytes; /* 0: not known */
    const char *reason;   /* FAILED: a word; borrowed */
    const char *message;  /* FAILED: what happened; borrowed; may hold the guest's words */
};

/* Never NULL; a failure shows in its status. */
struct transfer *transfer_new(const struct transfer_opts *opts);
/* NULL is fine. */
void transfer_free(struct transfer *t);
/* Bytes from the guest. */
void transfer_feed(struct transfer *t, const char *bytes, size_t n);
/* Queues more requests as there is room; what is queued is in transfer_output, and the caller drops
 * what it has sent. */
void transfer_pump(struct transfer *t);
struct buf *transfer_output(struct transfer *t);
struct transfer_status transfer_status(const struct transfer *t);
