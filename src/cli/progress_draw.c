/* How progress looks. */
#include "base/fs.h"
#include "cli/progress_internal.h"
#include "cli/text.h"

#include <stdio.h>

enum { NAME_COLUMNS_MAX = 24, SPINNER_MS = 100 };

static int64_t row_seconds(const struct progress *p, const struct progress_row *row)
{
    const int64_t end = row->state == ROW_ACTIVE ? p->now_ms() : row->ended_ms;
    return (end - row->started_ms) / 1000;
}

/* A line that is filled from the left until its columns are used up. */
struct line {
    struct buf *out;
    size_t left;
    bool has_colour;
    bool has_utf8;
};

static const char *ellipsis(bool has_utf8)
{
    return has_utf8 ? "…" : "~";
}

static void add(struct line *line, enum paint paint, struct str s)
{
    if (s.n == 0 || line->left == 0)
        return;
    if (paint != PAINT_NONE)
        paint_begin(line->out, line->has_colour, paint);
    line->left -= text_add_cut(line->out, s, line->left, ellipsis(line->has_utf8));
    if (paint != PAINT_NONE)
        paint_end(line->out, line->has_colour);
}

static void add_padding(struct line *line, size_t n)
{
    n = n < line->left ? n : line->left;
    text_add_spaces(line->out, n);
    line->left -= n;
}

static const char *spinner(const struct progress *p)
{
    static const char *const fine[] = {"⠋", "⠙", "⠹", "⠸", "⠼", "⠴", "⠦", "⠧", "⠇", "⠏"};
    static const char *const coarse[] = {"|", "/", "-", "\\"};
    const uint64_t turn = (uint64_t)p->now_ms() / SPINNER_MS;
    return p->terminal.has_utf8 ? fine[turn % 10] : coarse[turn % 4];
}

static void add_mark(const struct progress *p, const struct progress_row *row, struct line *line)
{
    const bool is_fine = p->terminal.has_utf8;
    switch (row->state) {
    case ROW_WAITING:
        add(line, PAINT_NONE, STR(" "));
        break;
    case ROW_ACTIVE:
        add(line, PAINT_CYAN, str_view(spinner(p)));
        break;
    case ROW_OK:
        add(line, PAINT_GREEN, str_view(is_fine ? "✓" : "+"));
        break;
    case ROW_FAILED:
        add(line, PAINT_RED, str_view(is_fine ? "✗" : "x"));
        break;
    case ROW_SKIPPED:
        add(line, PAINT_DIM, STR("-"));
        break;
    }
    add_padding(line, 1);
}

static size_t shown_name_columns(const struct progress *p)
{
    return p->name_columns < NAME_COLUMNS_MAX ? p->name_columns : NAME_COLUMNS_MAX;
}

static void add_name(const struct progress *p, const struct progress_row *row, struct line *line)
{
    const size_t columns = shown_name_columns(p);
    if (columns == 0)
        return;
    cleanup_buf struct buf name = {0};
    const size_t used = text_add_cut(&name, str_view(row->name), columns, ellipsis(line->has_utf8));
    add(line, PAINT_BOLD, (struct str){.p = buf_cstr(&name), .n = name.n});
    add_padding(line, columns - used + 2);
}

/* ` 43 %  12 s` */
static void make_suffix(const struct progress *p, const struct progress_row *row, struct buf *out)
{
    if (row->state == ROW_WAITING || row->state == ROW_SKIPPED)
        return;
    if (row->state == ROW_ACTIVE && row->fraction >= 0)
        buf_addf(out, " %3d %%", (int)(row->fraction * 100));
    buf_adds(out, "  ");
    text_add_duration(out, row_seconds(p, row));
}

/* Appends the row without a newline; returns its columns. One column stays free: writing into the
 * last one would make some terminals wrap. */
static size_t add_row(const struct progress *p, const struct progress_row *row, struct buf *out)
{
    const size_t columns = p->terminal.width > 1 ? p->terminal.width - 1 : 1;
    struct line line = {
        .out = out,
        .left = columns,
        .has_colour = p->terminal.has_colour,
        .has_utf8 = p->terminal.has_utf8,
    };
    add_mark(p, row, &line);
    add_name(p, row, &line);
    cleanup_buf struct buf suffix = {0};
    make_suffix(p, row, &suffix);
    /* Where there is no room for both, the state is worth more than the time. */
    if (suffix.n + 8 > line.left)
        buf_clear(&suffix);
    line.left -= suffix.n;
    add(&line, row->state == ROW_FAILED ? PAINT_RED : PAINT_NONE,
        row->state == ROW_WAITING ? STR("waiting")
        : row->state == ROW_FAILED && !row->text.n
            ? STR("failed")
            : (struct str){.p = buf_cstr(&row->text), .n = row->text.n});
    line.left += suffix.n;
    add(&line, PAINT_DIM, (struct str){.p = buf_cstr(&suffix), .n = suffix.n});
    return columns - line.left;
}

void progress_add_plain_line(struct progress *p, const struct progress_row *row)
{
    struct buf *out = &p->above;
    if (row->name[0])
        buf_addf(out, "%s: ", row->name);
    if (row->state == ROW_FAILED)
        buf_adds(out, row->text.n ? "failed: " : "failed");
    buf_add(out, row->text.p, row->text.n);
    const int64_t seconds = row_seconds(p, row);
    if (row->state != ROW_SKIPPED && seconds > 0) {
        buf_adds(out, " (");
        text_add_duration(out, seconds);
        buf_addc(out, ')');
    }
    buf_addc(out, '\n');
}

static void end_live_line(struct progress *p, size_t columns)
{
    buf_adds(&p->frame, "\x1b[K\n");
    vec_push(&p->drawn, columns);
}

/* How many lines of the screen the rows drawn last take now. Most terminals fold long lines anew
 * when they become narrower. */
static size_t lines_to_go_up(const struct progress *p)
{
    size_t lines = 0;
    for (size_t i = 0; i < p->drawn.n; i++) {
        const size_t columns = p->drawn.v[i];
        lines += columns > p->terminal.width ? (columns - 1) / p->terminal.width + 1 : 1;
    }
    return lines < p->terminal.height ? lines : p->terminal.height - 1;
}

static size_t count_live(const struct progress *p, bool only_active)
{
    size_t count = 0;
    for (size_t i = 0; i < p->n; i++)
        count += !p->rows[i].has_scrolled && (!only_active || p->rows[i].state == ROW_ACTIVE);
    return count;
}

/* More rows than the screen has lines: those that have ended go up for good. */
static void scroll_ended_rows(struct progress *p)
{
    for (size_t i = 0; i < p->n; i++) {
        struct progress_row *row = &p->rows[i];
        if (row->has_scrolled || row->state < ROW_OK)
            continue;
        add_row(p, row, &p->above);
        buf_addc(&p->above, '\n');
        row->has_scrolled = true;
    }
}

static void draw_all(struct progress *p)
{
    for (size_t i = 0; i < p->n; i++) {
        if (!p->rows[i].has_scrolled)
            end_live_line(p, add_row(p, &p->rows[i], &p->frame));
    }
}

/* Those at work first, then those waiting, and how many more there are. */
static void draw_some(struct progress *p, size_t room)
{
    const size_t budget = room - 1;
    const size_t active = count_live(p, /* only_active */ true);
    size_t active_left = active < budget ? active : budget;
    size_t waiting_left = budget - active_left;
    size_t hidden = 0;
    for (size_t i = 0; i < p->n; i++) {
        const struct progress_row *row = &p->rows[i];
        if (row->has_scrolled)
            continue;
        size_t *left = row->state == ROW_ACTIVE ? &active_left : &waiting_left;
        if (*left == 0) {
            hidden++;
            continue;
        }
        --*left;
        end_live_line(p, add_row(p, row, &p->frame));
    }
    char text[48];
    snprintf(text, sizeof(text), "  and %zu more", hidden);
    struct line line = {.out = &p->frame, .left = p->terminal.width - 1};
    add(&line, PAINT_NONE, str_view(text));
    end_live_line(p, strlen(text));
}

static void draw_live(struct progress *p)
{
    terminal_measure(p->fd, &p->terminal);
    const size_t room = p->terminal.height > 2 ? p->terminal.height - 1 : 1;
    if (count_live(p, /* only_active */ false) > room)
        scroll_ended_rows(p);

    const size_t up = lines_to_go_up(p);
    if (up > 0)
        buf_addf(&p->frame, "\r\x1b[%zuA", up);
    if (p->above.n > 0)
        buf_adds(&p->frame, up > 0 ? "\x1b[J" : "");
    buf_add(&p->frame, p->above.p, p->above.n);
    p->drawn.n = 0;
    if (count_live(p, /* only_active */ false) > room)
        draw_some(p, room);
    else
        draw_all(p);
    buf_adds(&p->frame, "\x1b[J"); /* what is left of a taller frame */
}

void progress_draw(struct progress *p)
{
    buf_clear(&p->frame);
    if (p->terminal.is_live)
        draw_live(p);
    else
        buf_add(&p->frame, p->above.p, p->above.n);
    (void)fs_write_all(p->fd, p->frame.p, p->frame.n); /* nobody is left to tell */
    buf_clear(&p->above);
    p->drawn_ms = p->now_ms();
    p->is_dirty = false;
}
