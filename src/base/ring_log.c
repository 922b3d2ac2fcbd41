#include "base/ring_log.h"

#include "base/fs.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static void open_file(struct ring_log *log)
{
    struct stat st;
    log->fd = openat(log->dirfd, log->name,
        O_WRONLY | O_APPEND | O_CREAT | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK, 0600);
    log->size_bytes = log->fd >= 0 && fstat(log->fd, &st) == 0 ? (size_t)st.st_size : 0;
}

static void rotate(struct ring_log *log)
{
    char older[64];
    snprintf(older, sizeof(older), "%s.1", log->name);
    if (log->fd >= 0)
        close(log->fd);
    renameat(log->dirfd, log->name, log->dirfd, older);
    open_file(log);
}

void ring_log_open(struct ring_log *log,
    int dirfd,
    const char *name,
    size_t limit_bytes,
    enum ring_log_start start)
{
    *log = (struct ring_log){.dirfd = dirfd, .name = name, .limit_bytes = limit_bytes};
    open_file(log);
    if (start == RING_LOG_FRESH && log->size_bytes > 0)
        rotate(log);
}

static void put(struct ring_log *log, const void *p, size_t n)
{
    if (log->fd >= 0 && fs_write_all(log->fd, p, n) == 0)
        log->size_bytes += n;
    else
        log->dropped_bytes += n;
}

void ring_log_write(struct ring_log *log, const void *p, size_t n)
{
    if (log->size_bytes + n > log->limit_bytes)
        rotate(log);
    if (log->dropped_bytes) {
        char mark[80];
        const int len =
            snprintf(mark, sizeof(mark), "\n[%llu bytes dropped]\n", log->dropped_bytes);
        if (log->fd < 0)
            open_file(log);
        if (log->fd >= 0 && fs_write_all(log->fd, mark, (size_t)len) == 0)
            log->dropped_bytes = 0;
    }
    put(log, p, n);
}

void ring_log_close(struct ring_log *log)
{
    if (log->fd >= 0)
        close(log->fd);
    log->fd = -1;
}
