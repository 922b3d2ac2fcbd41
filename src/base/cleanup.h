/* Scope-bound ownership. A local that owns something is declared with one of these and
 * initialised on the same line; ownership leaves it only through TAKE_PTR or TAKE_FD. Never mix
 * with goto in one function: a jump over such a variable runs its handler on garbage. */
#pragma once

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

static inline void cleanup_free_handler(void *p)
{
    free(*(void **)p);
}

/* Keeps errno: the caller is usually on its way out with an error to report. */
static inline void cleanup_close_handler(const int *fd)
{
    const int saved = errno;
    if (*fd >= 0)
        close(*fd);
    errno = saved;
}

#define cleanup_free __attribute__((cleanup(cleanup_free_handler)))
#define cleanup_close __attribute__((cleanup(cleanup_close_handler)))

#define TAKE_PTR(p)                 \
    ({                              \
        __typeof__(p) taken_ = (p); \
        (p) = NULL;                 \
        taken_;                     \
    })

#define TAKE_FD(fd)        \
    ({                     \
        int taken_ = (fd); \
        (fd) = -1;         \
        taken_;            \
    })
