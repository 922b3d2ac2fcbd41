#include "cli/text.h"
#include "base/utf8.h"

void text_add_spaces(struct buf *out, size_t n)
{
    char *to = buf_reserve(out, n);
    memset(to, ' ', n);
    out->n += n;
    out->p[out->n] = '\0';
}

/* Bytes of the longest start of `s` that fits into `columns`; combining marks stay with the
 * character before them. */
static size_t prefix_that_fits(struct str s, size_t columns, size_t *ret_used)
{
    size_t used = 0, at = 0;
    while (at < s.n) {
        size_t n;
        const size_t width = text_next_width(s.p + at, s.n - at, &n);
        if (used + width > columns)
            break;
        used += width;
        at += n;
    }
    *ret_used = used;
    return at;
}

size_t text_add_cut(struct buf *out, struct str s, size_t columns, const char *ellipsis)
{
    size_t used;
    const size_t whole = prefix_that_fits(s, columns, &used);
    if (whole == s.n) {
        buf_addstr(out, s);
        return used;
    }
    if (columns == 0)
        return 0;
    buf_add(out, s.p, prefix_that_fits(s, columns - 1, &used));
    buf_adds(out, ellipsis);
    return used + 1;
}

void text_add_line(struct buf *out, struct str s)
{
    const size_t start = out->n;
    utf8_sanitize(out, s.p, s.n);
    for (size_t i = start; i < out->n; i++) {
        if (out->p[i] == '\n' || out->p[i] == '\t')
            out->p[i] = ' ';
    }
}

void text_add_wrapped(struct buf *out, const char *s, size_t indent, size_t width)
{
    /* A terminal too narrow for a column of text beside the indent gets long lines instead. */
    const size_t limit = width > indent + 20 ? width : indent + 20;
    size_t column = indent;
    bool is_first = true;
    for (s += strspn(s, " \n"); *s; s += strspn(s, " \n")) {
        const struct str word = {.p = s, .n = strcspn(s, " \n")};
        const size_t columns = text_width(word);
        if (!is_first && column + 1 + columns > limit) {
            buf_addc(out, '\n');
            text_add_spaces(out, indent);
            column = indent;
        } else if (!is_first) {
            buf_addc(out, ' ');
            column++;
        }
        buf_addstr(out, word);
        column += columns;
        s += word.n;
        is_first = false;
    }
}

void text_add_duration(struct buf *out, int64_t seconds)
{
    if (seconds < 0)
        seconds = 0;
    const long long s = seconds;
    if (s < 60)
        buf_addf(out, "%lld s", s);
    else if (s < 3600)
        buf_addf(out, "%lld min %02lld s", s / 60, s % 60);
    else
        buf_addf(out, "%lld h %02lld min", s / 3600, s / 60 % 60);
}

void paint_begin(struct buf *out, bool has_colour, enum paint paint)
{
    static const char *const codes[] = {
        [PAINT_NONE] = "0",
        [PAINT_BOLD] = "1",
        [PAINT_DIM] = "2",
        [PAINT_RED] = "1;31",
        [PAINT_GREEN] = "32",
        [PAINT_YELLOW] = "33",
        [PAINT_BLUE] = "34",
        [PAINT_CYAN] = "36",
    };
    if (has_colour)
        buf_addf(out, "\x1b[%sm", codes[paint]);
}

void paint_end(struct buf *out, bool has_colour)
{
    if (has_colour)
        buf_adds(out, "\x1b[0m");
}

void paint_adds(struct buf *out, bool has_colour, enum paint paint, const char *s)
{
    paint_begin(out, has_colour, paint);
    buf_adds(out, s);
    paint_end(out, has_colour);
}
