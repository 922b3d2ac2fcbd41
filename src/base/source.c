#include "base/source.h"
#include "base/alloc.h"

#include <stdatomic.h>
#include <stdlib.h>

struct source {
    atomic_uint refs;
    char *path;
    char *text;
    size_t n;
};

struct source *source_new(const char *path, const char *text, size_t n)
{
    struct source *s = xcalloc(1, sizeof(*s));
    atomic_init(&s->refs, 1);
    s->path = xstrdup(path);
    s->text = xmalloc(n + 1);
    if (n)
        memcpy(s->text, text, n);
    s->text[n] = '\0';
    s->n = n;
    return s;
}

struct source *source_ref(struct source *s)
{
    atomic_fetch_add(&s->refs, 1);
    return s;
}

void source_unref(struct source *s)
{
    if (!s || atomic_fetch_sub(&s->refs, 1) != 1)
        return;
    free(s->path);
    free(s->text);
    free(s);
}

const char *source_path(const struct source *s)
{
    return s->path;
}

struct str source_text(const struct source *s)
{
    return (struct str){.p = s->text, .n = s->n};
}

/* Length in bytes of the newline at `at`, 0 when there is none. */
static size_t newline_at(const struct source *s, size_t at)
{
    const unsigned char *p = (const unsigned char *)s->text + at;
    const size_t left = s->n - at;
    if (left == 0)
        return 0;
    if (p[0] == '\r')
        return left > 1 && p[1] == '\n' ? 2 : 1;
    if (p[0] == '\n' || p[0] == '\v' || p[0] == '\f')
        return 1;
    if (left > 1 && p[0] == 0xc2 && p[1] == 0x85)
        return 2;
    if (left > 2 && p[0] == 0xe2 && p[1] == 0x80 && (p[2] == 0xa8 || p[2] == 0xa9))
        return 3;
    return 0;
}

/* Start of the line that holds `offset`, and that line's number. */
static size_t line_start(const struct source *s, size_t offset, unsigned *ret_line)
{
    size_t start = 0;
    unsigned line = 1;
    for (size_t at = 0; at < offset && at < s->n;) {
        const size_t nl = newline_at(s, at);
        at += nl ? nl : 1;
        if (nl && at <= offset) {
            start = at;
            line++;
        }
    }
    *ret_line = line;
    return start;
}

void source_locate(const struct source *s, size_t offset, unsigned *ret_line, unsigned *ret_column)
{
    if (offset > s->n)
        offset = s->n;
    const size_t start = line_start(s, offset, ret_line);
    unsigned column = 1;
    for (size_t at = start; at < offset; at++) {
        if (((unsigned char)s->text[at] & 0xc0) != 0x80)
            column++;
    }
    *ret_column = column;
}

struct str source_line(const struct source *s, size_t offset)
{
    if (offset > s->n)
        offset = s->n;
    unsigned line;
    const size_t start = line_start(s, offset, &line);
    size_t end = start;
    while (end < s->n && !newline_at(s, end))
        end++;
    return (struct str){.p = s->text + start, .n = end - start};
}
