#include "cli/snippet.h"
#include "base/utf8.h"
#include "base/vec.h"
#include "cli/text.h"

/* A line may have megabytes. More bytes than this on either side of the caret cannot matter: they
 * are several times the columns we show, wide and combining characters included. */
enum { REACH_BYTES = 1024, TAB_COLUMNS = 4 };

static const char ellipsis[] = "...";
enum { ELLIPSIS_COLUMNS = 3 };

/* One character of the line as it will be shown. */
struct cell {
    size_t from; /* byte in the line */
    size_t text; /* byte in the shown text */
    size_t column;
};

struct cells {
    VEC(struct cell) list; /* the last one is where the text ends */
    struct buf text;
};

static void add_cell(struct cells *cells, size_t from, size_t column)
{
    const struct cell cell = {.from = from, .text = cells->text.n, .column = column};
    vec_push(&cells->list, cell);
}

static void make_cells(struct cells *cells, struct str line, size_t begin, size_t end)
{
    size_t column = 0;
    for (size_t at = begin; at < end;) {
        size_t n;
        text_next_width(line.p + at, end - at, &n);
        add_cell(cells, at, column);
        const size_t start = cells->text.n;
        if (line.p[at] == '\t')
            text_add_spaces(&cells->text, TAB_COLUMNS - column % TAB_COLUMNS);
        else
            text_add_line(&cells->text, (struct str){.p = line.p + at, .n = n});
        column += text_width((struct str){.p = cells->text.p + start, .n = cells->text.n - start});
        at += n;
    }
    add_cell(cells, end, column);
}

/* The first cell that is not before byte `from`. */
static size_t cell_of_byte(const struct cells *cells, size_t from)
{
    size_t i = 0;
    while (i + 1 < cells->list.n && cells->list.v[i].from < from)
        i++;
    return i;
}

static size_t cell_of_column(const struct cells *cells, size_t column)
{
    size_t i = 0;
    while (i + 1 < cells->list.n && cells->list.v[i].column < column)
        i++;
    return i;
}

static size_t min(size_t a, size_t b)
{
    return a < b ? a : b;
}

/* First cell to show: none is skipped unless the caret would be out of sight. */
static size_t first_shown(const struct cells *cells, size_t caret, size_t caret_end, size_t columns)
{
    const size_t start = cells->list.v[caret].column;
    const size_t end = cells->list.v[caret_end].column;
    const size_t wanted = end > start ? end : start + 1;
    if (wanted + ELLIPSIS_COLUMNS <= columns)
        return 0;
    return cell_of_column(cells, start > columns / 3 ? start - columns / 3 : 0);
}

void snippet_make(struct snippet *s, struct str line, size_t at, size_t length, size_t columns)
{
    at = min(at, line.n);
    length = min(length, line.n - at);
    size_t begin = at > REACH_BYTES ? at - REACH_BYTES : 0;
    while (begin > 0 && begin < at && ((unsigned char)line.p[begin] & 0xc0) == 0x80)
        begin++;
    struct cells cells = {0};
    const size_t end = line.n - at > REACH_BYTES ? at + REACH_BYTES : line.n;
    make_cells(&cells, line, begin, end);

    const size_t caret = cell_of_byte(&cells, at);
    const size_t caret_end = cell_of_byte(&cells, at + length);
    const size_t first = first_shown(&cells, caret, caret_end, columns);
    const bool is_cut_before = begin > 0 || first > 0;
    const size_t base = cells.list.v[first].column;
    const size_t left_columns = is_cut_before ? ELLIPSIS_COLUMNS : 0;
    size_t last = cells.list.n - 1;
    bool is_cut_after = end < line.n;
    if (cells.list.v[last].column - base + left_columns > columns)
        is_cut_after = true;
    const size_t room = columns - left_columns - (is_cut_after ? ELLIPSIS_COLUMNS : 0);
    while (last > first && cells.list.v[last].column - base > room)
        last--;

    buf_adds(&s->text, is_cut_before ? ellipsis : "");
    const size_t shown = cells.list.v[first].text;
    buf_add(&s->text, buf_cstr(&cells.text) + shown, cells.list.v[last].text - shown);
    buf_adds(&s->text, is_cut_after ? ellipsis : "");
    s->caret_column = cells.list.v[caret].column - base + left_columns;
    const size_t stop = cells.list.v[min(caret_end, last)].column;
    const size_t start = cells.list.v[caret].column;
    s->caret_width = stop > start ? stop - start : 1;
    vec_done(&cells.list);
    buf_done(&cells.text);
}

void snippet_done(struct snippet *s)
{
    buf_done(&s->text);
}
