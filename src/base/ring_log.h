/* A log that a guest cannot fill a disk with: NAME and NAME.1, together at most twice the limit
 * (security.md D-2). */
#pragma once

#include <stddef.h>

struct ring_log {
    int dirfd; /* borrowed */
    const char *name;
    int fd;
    size_t size_bytes;
    size_t limit_bytes; /* of each of the two files */
    unsigned long long
        dropped_bytes; /* could not be written (disk full); told when it works again */
};

enum ring_log_start { RING_LOG_APPEND, RING_LOG_FRESH /* what is there becomes NAME.1 */ };

/* Failing to open is no failure of whoever logs: bytes are then counted as dropped. `name` must
 * outlive the log. */
void ring_log_open(struct ring_log *log,
    int dirfd,
    const char *name,
    size_t limit_bytes,
    enum ring_log_start start);
void ring_log_write(struct ring_log *log, const void *p, size_t n);
void ring_log_close(struct ring_log *log);
