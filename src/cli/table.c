#include "cli/table.h"
#include "base/cleanup.h"
#include "base/vec.h"
#include "cli/text.h"

#include <assert.h>
#include <stdarg.h>

/* All text in one buffer, cells as places in it: a hundred rows are a handful of allocations. */
struct cell {
    size_t offset;
    size_t n;
    size_t width;
};

struct table {
    const struct table_column *columns;
    size_t n_columns;
    struct buf text;
    VEC(struct cell) cells; /* row by row */
};

enum { GAP = 2 };

struct table *table_new(const struct table_column *columns, size_t n)
{
    assert(n > 0);
    struct table *t = xcalloc(1, sizeof(*t));
    t->columns = columns;
    t->n_columns = n;
    return t;
}

void table_add(struct table *t, const char *cell)
{
    const size_t offset = t->text.n;
    text_add_line(&t->text, str_view(cell && *cell ? cell : "-"));
    const struct str s = {.p = t->text.p + offset, .n = t->text.n - offset};
    const struct cell added = {.offset = offset, .n = s.n, .width = text_width(s)};
    vec_push(&t->cells, added);
}

void table_addf(struct table *t, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    cleanup_free char *cell = xvasprintf(fmt, ap);
    va_end(ap);
    table_add(t, cell);
}

size_t table_rows(const struct table *t)
{
    return t->cells.n / t->n_columns;
}

static void add_cell(
    struct buf *out, struct str s, size_t width, size_t column_width, bool is_right)
{
    if (is_right)
        text_add_spaces(out, column_width - width);
    buf_addstr(out, s);
    if (!is_right)
        text_add_spaces(out, column_width - width);
}

static void end_row(struct buf *out)
{
    while (out->n > 0 && out->p[out->n - 1] == ' ')
        out->n--;
    buf_addc(out, '\n');
}

static void add_header(const struct table *t, const size_t *widths, struct buf *out)
{
    for (size_t i = 0; i < t->n_columns; i++) {
        text_add_spaces(out, i ? GAP : 0);
        const struct str title = str_view(t->columns[i].title);
        add_cell(out, title, text_width(title), widths[i], t->columns[i].is_right);
    }
    end_row(out);
}

void table_render(const struct table *t, bool with_header, struct buf *out)
{
    assert(t->cells.n % t->n_columns == 0);
    cleanup_free size_t *widths = xcalloc(t->n_columns, sizeof(*widths));
    for (size_t i = 0; with_header && i < t->n_columns; i++)
        widths[i] = text_width(str_view(t->columns[i].title));
    for (size_t i = 0; i < t->cells.n; i++) {
        size_t *width = &widths[i % t->n_columns];
        if (t->cells.v[i].width > *width)
            *width = t->cells.v[i].width;
    }
    if (with_header)
        add_header(t, widths, out);
    for (size_t i = 0; i < t->cells.n; i++) {
        const size_t column = i % t->n_columns;
        const struct cell *cell = &t->cells.v[i];
        text_add_spaces(out, column ? GAP : 0);
        add_cell(out, (struct str){.p = t->text.p + cell->offset, .n = cell->n}, cell->width,
            widths[column], t->columns[column].is_right);
        if (column + 1 == t->n_columns)
            end_row(out);
    }
}

void table_free(struct table *t)
{
    if (!t)
        return;
    buf_done(&t->text);
    vec_done(&t->cells);
    free(t);
}

struct facts {
    struct table *table;
};

struct facts *facts_new(void)
{
    static const struct table_column columns[] = {{.title = ""}, {.title = ""}};
    struct facts *f = xcalloc(1, sizeof(*f));
    f->table = table_new(columns, 2);
    return f;
}

void facts_add(struct facts *f, const char *key, const char *value)
{
    if (!value)
        return;
    bool is_first = true;
    for (const char *line = value; line; is_first = false) {
        const size_t n = strcspn(line, "\n");
        cleanup_free char *cell = xstrndup(line, n);
        /* A space, so that no dash stands for "empty" under a key that has a value above. */
        table_addf(f->table, is_first ? "%s:" : " %s", is_first ? key : "");
        table_add(f->table, is_first || n ? cell : " ");
        line = line[n] && line[n + 1] ? line + n + 1 : NULL;
    }
}

void facts_addf(struct facts *f, const char *key, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    cleanup_free char *value = xvasprintf(fmt, ap);
    va_end(ap);
    facts_add(f, key, value);
}

void facts_render(const struct facts *f, struct buf *out)
{
    table_render(f->table, /* with_header */ false, out);
}

void facts_free(struct facts *f)
{
    if (!f)
        return;
    table_free(f->table);
    free(f);
}
