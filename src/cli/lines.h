/* Cuts a byte stream from a stranger (a guest's provisioner, a console) into lines that are safe to
 * print. What comes out has no newline and no control character but the tab; see utf8_sanitize.
 *
 * - A line ends at LF or CR LF. What stands before a lone CR has been overwritten, as on a
 *   terminal, and is dropped: of a progress bar its last state remains.
 * - A line longer than LINE_PIECE_MAX comes out in pieces of at most that many bytes, so memory is
 *   bounded whatever is sent.
 * - Colours and "erase to the end of the line" are dropped, being decoration; every other escape
 *   is shown, not obeyed. */
#pragma once

#include "base/buf.h"

#include <stdbool.h>

enum { LINE_PIECE_MAX = 4096 };

/* `line` is valid during the call. */
typedef void line_sink(void *arg, struct str line);

/* Zeroed is empty and ready. */
struct lines {
    struct buf partial; /* raw bytes of the line that has begun */
    struct buf clean;   /* scratch */
};

void lines_feed(struct lines *l, const char *bytes, size_t n, line_sink *sink, void *arg);
/* The stream has ended: what is left comes out as a last line. Usable again afterwards. */
void lines_finish(struct lines *l, line_sink *sink, void *arg);
void lines_done(struct lines *l);

#define cleanup_lines __attribute__((__cleanup__(lines_done)))
