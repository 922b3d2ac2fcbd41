#include "base/cleanup.h"
#include "base/clock.h"
#include "cli/progress_internal.h"
#include "cli/text.h"

#include <assert.h>
#include <signal.h>
#include <stdarg.h>
#include <time.h>

enum {
    REDRAW_MS = 100,
    /* A guest that floods us is written out in pieces of this size, not line by line. */
    ABOVE_MAX_BYTES = 64 * 1024,
};

static struct progress_row *row_at(struct progress *p, int row)
{
    assert(row >= 0 && (size_t)row < p->n);
    return &p->rows[row];
}

/* After a change, with the lock held. A live terminal is redrawn at most every REDRAW_MS; the
 * ticker makes up for what was put off. */
static void changed(struct progress *p)
{
    p->is_dirty = true;
    if (!p->terminal.is_live || p->above.n > ABOVE_MAX_BYTES ||
        p->now_ms() - p->drawn_ms >= REDRAW_MS)
        progress_draw(p);
    if (p->has_ticker)
        pthread_cond_signal(&p->wake);
}

static bool is_moving(const struct progress *p)
{
    for (size_t i = 0; i < p->n; i++) {
        if (p->rows[i].state == ROW_ACTIVE)
            return true;
    }
    return p->is_dirty;
}

static struct timespec soon(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    t.tv_nsec += REDRAW_MS * 1000000L;
    if (t.tv_nsec >= 1000000000L) {
        t.tv_nsec -= 1000000000L;
        t.tv_sec++;
    }
    return t;
}

/* Sleeps while nothing moves; otherwise ten times a second. */
static void *tick(void *arg)
{
    struct progress *p = arg;
    pthread_mutex_lock(&p->lock);
    while (!p->is_ending) {
        if (!is_moving(p)) {
            pthread_cond_wait(&p->wake, &p->lock);
            continue;
        }
        const struct timespec until = soon();
        int r = 0;
        while (!p->is_ending && r == 0)
            r = pthread_cond_timedwait(&p->wake, &p->lock, &until);
        if (!p->is_ending && p->now_ms() - p->drawn_ms >= REDRAW_MS)
            progress_draw(p);
    }
    pthread_mutex_unlock(&p->lock);
    return NULL;
}

static void start_ticker(struct progress *p)
{
    /* Signals are for the threads that do the work. */
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    p->has_ticker = pthread_create(&p->ticker, NULL, tick, p) == 0;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
}

static void init_lock(struct progress *p)
{
    pthread_mutex_init(&p->lock, NULL);
    pthread_condattr_t attributes;
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&p->wake, &attributes);
    pthread_condattr_destroy(&attributes);
}

static void init_rows(struct progress *p, const char *const *names, size_t n)
{
    p->rows = xcalloc(n, sizeof(*p->rows));
    p->n = n;
    for (size_t i = 0; i < n; i++) {
        struct buf name = {0};
        text_add_line(&name, str_view(names[i]));
        p->rows[i].name = buf_steal(&name);
        p->rows[i].fraction = -1;
        const size_t columns = text_width(str_view(p->rows[i].name));
        p->name_columns = columns > p->name_columns ? columns : p->name_columns;
    }
    for (size_t i = 0; i < n; i++) {
        struct buf prefix = {0};
        if (n > 1) {
            const char *name = p->rows[i].name;
            paint_adds(&prefix, p->terminal.is_live && p->terminal.has_colour, PAINT_CYAN, name);
            text_add_spaces(&prefix, p->name_columns - text_width(str_view(name)));
            buf_adds(&prefix, " | ");
        }
        p->rows[i].prefix = buf_steal(&prefix);
    }
}

struct progress *progress_new(
    int fd, const char *const *names, size_t n, const struct progress_opts *opts)
{
    static const struct progress_opts none;
    if (!opts)
        opts = &none;
    struct progress *p = xcalloc(1, sizeof(*p));
    p->fd = fd;
    p->terminal = opts->terminal ? *opts->terminal : terminal_inspect(fd, NULL);
    p->now_ms = opts->now_ms ? opts->now_ms : clock_ms;
    p->drawn_ms = INT64_MIN / 2; /* the first change is shown at once */
    init_lock(p);
    init_rows(p, names, n);
    if (p->terminal.is_live && !opts->has_no_ticker)
        start_ticker(p);
    return p;
}

/* True when it says something new. */
static bool set_text(struct progress_row *row, const char *text)
{
    cleanup_buf struct buf clean = {0};
    text_add_line(&clean, str_view(text));
    const struct str old = {.p = row->text.p, .n = row->text.n};
    if (str_eq(old, (struct str){.p = clean.p, .n = clean.n}))
        return false;
    buf_clear(&row->text);
    buf_add(&row->text, clean.p, clean.n);
    return true;
}

void progress_set(struct progress *p, int row, const char *state, double fraction)
{
    if (!p)
        return;
    struct progress_row *r = row_at(p, row);
    pthread_mutex_lock(&p->lock);
    const bool is_new = set_text(r, state) || r->state != ROW_ACTIVE;
    if (r->state != ROW_ACTIVE) {
        r->state = ROW_ACTIVE;
        r->has_scrolled = false; /* at work again */
        r->started_ms = p->now_ms();
    }
    r->fraction = fraction > 1 ? 1 : fraction;
    if (is_new && !p->terminal.is_live)
        progress_add_plain_line(p, r);
    if (is_new || p->terminal.is_live)
        changed(p);
    pthread_mutex_unlock(&p->lock);
}

void progress_setf(struct progress *p, int row, double fraction, const char *fmt, ...)
{
    if (!p)
        return;
    va_list ap;
    va_start(ap, fmt);
    cleanup_free char *state = xvasprintf(fmt, ap);
    va_end(ap);
    progress_set(p, row, state, fraction);
}

struct prefixed {
    struct buf *out;
    const char *prefix;
};

static void add_prefixed(void *arg, struct str line)
{
    const struct prefixed *to = arg;
    buf_adds(to->out, to->prefix);
    buf_addstr(to->out, line);
    buf_addc(to->out, '\n');
}

/* Moves whole lines from `from` to the screen. */
static void publish(struct progress *p, struct buf *from)
{
    if (from->n == 0)
        return;
    pthread_mutex_lock(&p->lock);
    buf_add(&p->above, from->p, from->n);
    changed(p);
    pthread_mutex_unlock(&p->lock);
    buf_clear(from);
}

void progress_log(struct progress *p, int row, const char *text)
{
    if (!p)
        return;
    cleanup_buf struct buf out = {0};
    cleanup_lines struct lines lines = {0};
    struct prefixed to = {
        .out = &out,
        .prefix = row == PROGRESS_NO_ROW ? "" : row_at(p, row)->prefix,
    };
    lines_feed(&lines, text, strlen(text), add_prefixed, &to);
    lines_finish(&lines, add_prefixed, &to);
    publish(p, &out);
}

void progress_feed(struct progress *p, int row, const char *bytes, size_t n)
{
    if (!p)
        return;
    struct progress_row *r = row_at(p, row);
    struct prefixed to = {.out = &r->fed, .prefix = r->prefix};
    /* In pieces, so that `fed` stays small however much comes at once. */
    for (size_t at = 0; at < n;) {
        const size_t piece = n - at < ABOVE_MAX_BYTES ? n - at : ABOVE_MAX_BYTES;
        lines_feed(&r->lines, bytes + at, piece, add_prefixed, &to);
        publish(p, &r->fed);
        at += piece;
    }
}

void progress_feed_end(struct progress *p, int row)
{
    if (!p)
        return;
    struct progress_row *r = row_at(p, row);
    struct prefixed to = {.out = &r->fed, .prefix = r->prefix};
    lines_finish(&r->lines, add_prefixed, &to);
    publish(p, &r->fed);
}

void progress_done(struct progress *p, int row, enum progress_outcome outcome, const char *text)
{
    if (!p)
        return;
    static const enum row_state states[] = {
        [PROGRESS_OK] = ROW_OK,
        [PROGRESS_FAILED] = ROW_FAILED,
        [PROGRESS_SKIPPED] = ROW_SKIPPED,
    };
    struct progress_row *r = row_at(p, row);
    progress_feed_end(p, row); /* what it said last, before how it ended */
    pthread_mutex_lock(&p->lock);
    set_text(r, text);
    r->ended_ms = p->now_ms();
    if (r->state == ROW_WAITING)
        r->started_ms = r->ended_ms;
    r->state = states[outcome];
    if (!p->terminal.is_live)
        progress_add_plain_line(p, r);
    changed(p);
    pthread_mutex_unlock(&p->lock);
}

void progress_tick(struct progress *p)
{
    if (!p)
        return;
    pthread_mutex_lock(&p->lock);
    progress_draw(p);
    pthread_mutex_unlock(&p->lock);
}

static void stop_ticker(struct progress *p)
{
    pthread_mutex_lock(&p->lock);
    p->is_ending = true;
    pthread_cond_signal(&p->wake);
    pthread_mutex_unlock(&p->lock);
    pthread_join(p->ticker, NULL);
}

void progress_free(struct progress *p)
{
    if (!p)
        return;
    if (p->has_ticker)
        stop_ticker(p);
    for (size_t i = 0; i < p->n; i++)
        progress_feed_end(p, (int)i);
    if (p->is_dirty || p->above.n > 0)
        progress_draw(p);
    for (size_t i = 0; i < p->n; i++) {
        free(p->rows[i].name);
        free(p->rows[i].prefix);
        buf_done(&p->rows[i].text);
        buf_done(&p->rows[i].fed);
        lines_done(&p->rows[i].lines);
    }
    free(p->rows);
    buf_done(&p->above);
    buf_done(&p->frame);
    vec_done(&p->drawn);
    pthread_cond_destroy(&p->wake);
    pthread_mutex_destroy(&p->lock);
    free(p);
}
