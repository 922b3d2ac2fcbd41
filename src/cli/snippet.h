/* The line of source under an error's place, made fit for a terminal. Of cli/ only. */
#pragma once

#include "base/buf.h"

struct snippet {
    struct buf text;     /* what to show of the line */
    size_t caret_column; /* where to put the first caret, from 0 */
    size_t caret_width;  /* at least 1 */
};

/* Controls are shown in words, tabs become spaces, and of a line wider than `columns` (at least 40)
 * the part around the span is taken. The span may end past the line or start at its end. */
void snippet_make(struct snippet *s, struct str line, size_t at, size_t length, size_t columns);
void snippet_done(struct snippet *s);

#define cleanup_snippet __attribute__((__cleanup__(snippet_done)))
