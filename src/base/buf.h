/* A growable byte string. Invariants: `p` is NULL or NUL-terminated at `p[n]`; a zeroed struct is a
 * valid empty buffer; `buf_done` may be called on it at any time. */
#pragma once

#include "base/str.h"

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

struct buf {
    char *p;
    size_t n;
    size_t cap;
};

void buf_done(struct buf *b);
/* Empty it, keep its memory. */
void buf_clear(struct buf *b);
/* Room for `extra` more bytes at p + n; the caller then adds to n and keeps the terminator. */
char *buf_reserve(struct buf *b, size_t extra);
void buf_add(struct buf *b, const void *bytes, size_t n);
void buf_addc(struct buf *b, char c);
void buf_adds(struct buf *b, const char *s);
void buf_addstr(struct buf *b, struct str s);
void buf_addf(struct buf *b, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void buf_vaddf(struct buf *b, const char *fmt, va_list ap) __attribute__((format(printf, 2, 0)));
/* Drop the first n bytes. */
void buf_drop(struct buf *b, size_t n);
/* The caller owns the returned C string (never NULL); the buffer is empty afterwards. */
char *buf_steal(struct buf *b);
/* Never NULL. */
const char *buf_cstr(const struct buf *b);

#define cleanup_buf __attribute__((cleanup(buf_done)))
