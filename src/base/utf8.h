/* UTF-8 one code point at a time, checked: overlong forms, surrogates and values past U+10FFFF are
 * not UTF-8. And the one door through which text from a guest, a registry or a file reaches a
 * terminal. */
#pragma once

#include "base/buf.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Bytes (1 to 4) of the code point at p, of which n bytes may be read; 0 when they are not UTF-8,
 * and then *ret_cp is untouched. */
size_t utf8_decode(const char *p, size_t n, uint32_t *ret_cp);
/* Bytes written, at most 4; 0 when cp is no Unicode scalar value. */
size_t utf8_encode(uint32_t cp, char out[4]);
/* Marks that change the direction of text and so can make a line read as what it is not. */
bool utf8_is_bidi_control(uint32_t cp);
/* Appends what is safe to show: newline, tab and printable characters as they are; other control
 * characters and bytes that are not UTF-8 as \xNN, byte by byte; direction marks, line and
 * paragraph separators and the byte order mark as <U+202E>. */
void utf8_sanitize(struct buf *out, const char *p, size_t n);
