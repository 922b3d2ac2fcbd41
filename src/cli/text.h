/* Text as a terminal shows it: how many columns it takes, cutting and padding by columns, colours,
 * and the one-line form of text from strangers. Widths come from our own tables, not from wcwidth:
 * that depends on a locale being installed and set. */
#pragma once

#include "base/buf.h"

#include <stdbool.h>
#include <stdint.h>

/* Columns of one character: 0 (combining), 1 or 2. */
unsigned text_char_width(uint32_t code);
/* Columns of the character at p, and its bytes (1 when they are not UTF-8); n is not 0. */
unsigned text_next_width(const char *p, size_t n, size_t *ret_n);
/* Columns of text that has no control characters. */
size_t text_width(struct str s);
/* Appends as much of `s` as fits into `columns`; what is cut ends in `ellipsis` (one column).
 * Returns the columns used. */
size_t text_add_cut(struct buf *out, struct str s, size_t columns, const char *ellipsis);
void text_add_spaces(struct buf *out, size_t n);

/* Sanitized, and newlines and tabs become spaces: one line whatever `s` holds. */
void text_add_line(struct buf *out, struct str s);

/* Appends `s` (one paragraph) broken at spaces into lines of at most `width` columns. The first
 * line continues where the caller stands, at column `indent`; the others are indented to it. No
 * newline at the end. */
void text_add_wrapped(struct buf *out, const char *s, size_t indent, size_t width);

/* "12 s", "2 min 05 s", "1 h 02 min". */
void text_add_duration(struct buf *out, int64_t seconds);

enum paint {
    PAINT_NONE,
    PAINT_BOLD,
    PAINT_DIM,
    PAINT_RED,
    PAINT_GREEN,
    PAINT_YELLOW,
    PAINT_BLUE,
    PAINT_CYAN
};

/* Between begin and end nothing may be cut. Both do nothing without colour. */
void paint_begin(struct buf *out, bool has_colour, enum paint paint);
void paint_end(struct buf *out, bool has_colour);
void paint_adds(struct buf *out, bool has_colour, enum paint paint, const char *s);
