/* What happens to several VMs at once, told on stderr. Any thread may call, but progress_feed,
 * progress_feed_end and progress_done of one row only one at a time: the one that works on that VM.
 * Nothing else may write to the terminal until progress_free; results are printed after it.
 *
 * On a terminal that can be redrawn (see terminal.h) each row is one live line: a spinner, the
 * state, how long it has taken. Lines of output scroll by above. Elsewhere a line is written
 * whenever a state changes: `web: waiting for ssh (12 s)`.
 *
 * Nothing has to be restored, whatever ends the process: the cursor is never hidden, no mode of the
 * terminal is changed, and between two writes the cursor stands at the start of the line below the
 * rows. Each redraw is one write.
 *
 * A NULL progress is quiet: every function takes it and does nothing. */
#pragma once

#include "cli/terminal.h"

#include <stddef.h>
#include <stdint.h>

struct progress;

enum progress_outcome { PROGRESS_OK, PROGRESS_FAILED, PROGRESS_SKIPPED };

/* In place of a row: a line that is no row's. */
enum { PROGRESS_NO_ROW = -1 };

/* For tests; zeroed or NULL is the real thing. */
struct progress_opts {
    const struct terminal *terminal; /* instead of what `fd` is; copied. Its size is still asked */
    int64_t (*now_ms)(void);         /* instead of clock_ms */
    bool has_no_ticker;              /* redrawn by calls and progress_tick only */
};

/* Names are copied. An empty name is not shown (a download of its own). */
struct progress *progress_new(
    int fd, const char *const *names, size_t n, const struct progress_opts *opts);
/* The row is at work on `state` ("waiting for ssh"). `fraction` from 0 to 1, or -1. */
void progress_set(struct progress *p, int row, const char *state, double fraction);
void progress_setf(struct progress *p, int row, double fraction, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));
/* The row has ended (and with it its stream). `text`: what it is now, or what went wrong. */
void progress_done(struct progress *p, int row, enum progress_outcome outcome, const char *text);
/* One line (or several), with the row's name in front when there are several rows. */
void progress_log(struct progress *p, int row, const char *text);
/* A piece of a byte stream from a guest; cut into lines by cli/lines.h. */
void progress_feed(struct progress *p, int row, const char *bytes, size_t n);
/* The stream has ended: its last line may lack a newline. */
void progress_feed_end(struct progress *p, int row);
/* Redraws now. */
void progress_tick(struct progress *p);
/* Leaves the last state of all rows on the screen. */
void progress_free(struct progress *p);

static inline void progress_free_handler(struct progress **p)
{
    progress_free(*p);
}
#define cleanup_progress __attribute__((__cleanup__(progress_free_handler)))
