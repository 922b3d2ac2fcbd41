/* Of progress*.c only. Everything is guarded by `lock` but a row's `lines` and `fed`, which belong
 * to the thread that feeds the row. */
#pragma once

#include "base/buf.h"
#include "base/vec.h"
#include "cli/lines.h"
#include "cli/progress.h"

#include <pthread.h>

enum row_state { ROW_WAITING, ROW_ACTIVE, ROW_OK, ROW_FAILED, ROW_SKIPPED };

struct progress_row {
    char *name; /* one safe line */
    struct buf text;
    double fraction;
    enum row_state state;
    bool has_scrolled; /* ended, and written above for good: no longer live */
    int64_t started_ms;
    int64_t ended_ms;
    char *prefix; /* of its lines of output */
    struct lines lines;
    struct buf fed;
};

struct progress {
    pthread_mutex_t lock;
    pthread_cond_t wake;
    pthread_t ticker;
    bool has_ticker;
    bool is_ending;

    int fd;
    struct terminal terminal;
    int64_t (*now_ms)(void);

    struct progress_row *rows;
    size_t n;
    size_t name_columns;

    struct buf above;  /* whole lines to be written, above the live rows if there are any */
    struct buf frame;  /* scratch */
    VEC(size_t) drawn; /* columns of each live line on the screen */
    int64_t drawn_ms;
    bool is_dirty; /* something changed since */
};

/* Writes `above` and, on a live terminal, the rows; all in one write. The lock is held. */
void progress_draw(struct progress *p);
/* `web: waiting for ssh (12 s)` into `above`. */
void progress_add_plain_line(struct progress *p, const struct progress_row *row);
