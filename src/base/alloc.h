/* Program-sized allocations abort when memory is gone: no caller does better. Anything whose size
 * a stranger chose is checked against a named limit first. */
#pragma once

#include <stdarg.h>
#include <stddef.h>

void *xmalloc(size_t n) __attribute__((malloc, returns_nonnull, warn_unused_result));
/* Zeroed; the multiplication is checked. */
void *xcalloc(size_t count, size_t size)
    __attribute__((malloc, returns_nonnull, warn_unused_result));
void *xrealloc(void *p, size_t count, size_t size)
    __attribute__((returns_nonnull, warn_unused_result));
char *xstrdup(const char *s) __attribute__((malloc, returns_nonnull, warn_unused_result));
/* NULL in, NULL out. */
char *xstrdup_or_null(const char *s) __attribute__((malloc, warn_unused_result));
char *xstrndup(const char *s, size_t n)
    __attribute__((malloc, returns_nonnull, warn_unused_result));
char *xasprintf(const char *fmt, ...)
    __attribute__((format(printf, 1, 2), malloc, returns_nonnull, warn_unused_result));
char *xvasprintf(const char *fmt, va_list ap)
    __attribute__((format(printf, 1, 0), malloc, returns_nonnull, warn_unused_result));
