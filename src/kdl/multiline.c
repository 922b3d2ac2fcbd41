/* Multi-line strings: """ and """, with or without escapes.
 *
 * The order is the specification's: whitespace escapes first (they may join lines), then the
 * closing line's whitespace is taken off every line, then the other escapes. No joined copy is
 * made; a "line" below runs from one newline that no escape ate to the next, so a place in it is a
 * place in the source. */
#include "kdl/internal.h"

struct body {
    const char *from; /* after the newline that follows the opening quotes */
    const char *last; /* where the line with the closing quotes begins */
    const char *to;   /* the closing quotes */
    bool is_raw;
};

/* Finds the closing quotes, and what line they are on. NULL in `to` when there are none. */
static struct body find_body(const char *from, size_t hashes)
{
    struct body body = {.from = from, .last = from, .is_raw = hashes > 0};
    const char *p = from;
    while (*p) {
        while (!kdl_char_is(*p, KDL_CHAR_STOP))
            p++;
        const size_t newline = kdl_newline_at(p);
        if (newline) {
            p += newline;
            body.last = p;
        } else if (*p == '\\' && !body.is_raw) {
            const char *const end = kdl_space_escape_end(p);
            p = end ? end : p[1] ? p + 2 : p + 1;
        } else if (p[0] == '"' && p[1] == '"' && p[2] == '"') {
            const size_t found = kdl_count_hashes(p + 3);
            if (found >= hashes) {
                body.to = p;
                return body;
            }
            /* Of four quotes the last three may still be the closing ones. */
            p += found ? 3 + found : 1;
        } else if (*p) {
            p++;
        }
    }
    return body;
}

/* After the whitespace escape at p; NULL when there is none. */
static const char *escape_end(const struct body *body, const char *p)
{
    return *p == '\\' && !body->is_raw ? kdl_space_escape_end(p) : NULL;
}

/* After any space and whitespace escapes. */
static const char *blank_end(const struct body *body, const char *p)
{
    for (;;) {
        const size_t n = kdl_space_at(p);
        const char *const end = n ? p + n : escape_end(body, p);
        if (!end)
            return p;
        p = end;
    }
}

/* What the closing line holds before the quotes. False when that is not only space. */
static bool read_prefix(struct kdl_parser *k, const struct body *body)
{
    buf_clear(&k->prefix);
    const char *p = body->last;
    while (p < body->to) {
        const size_t n = kdl_space_at(p);
        if (n)
            buf_add(&k->prefix, p, n);
        const char *const end = n ? p + n : escape_end(body, p);
        if (!end)
            return false;
        p = end;
    }
    return true;
}

/* Where the line's own text begins after the prefix; NULL when the line does not begin with it. */
static const char *strip_prefix(const struct kdl_parser *k, const struct body *body, const char *p)
{
    const char *want = buf_cstr(&k->prefix);
    const char *const want_end = want + k->prefix.n;
    while (want < want_end) {
        const size_t n = kdl_space_at(p);
        if (n) {
            if (memcmp(p, want, n) != 0) /* both are whole characters: cannot run past either */
                return NULL;
            p += n;
            want += n;
            continue;
        }
        p = escape_end(body, p);
        if (!p)
            return NULL;
    }
    return p;
}

/* Appends a line's text; returns its newline. */
static const char *copy_line(struct kdl_parser *k, const struct body *body, const char *p)
{
    const char *run = p;
    for (;;) {
        while (!kdl_char_is(*p, KDL_CHAR_STOP))
            p++;
        if (kdl_newline_at(p))
            break;
        if (*p == '\\' && !body->is_raw) {
            buf_add(&k->scratch, run, (size_t)(p - run));
            run = p = kdl_read_escape(k, p);
        } else {
            p++;
        }
    }
    buf_add(&k->scratch, run, (size_t)(p - run));
    return p;
}

static void dedent(struct kdl_parser *k, const struct body *body)
{
    bool is_told = false;
    buf_clear(&k->scratch);
    for (const char *p = body->from; p < body->last;) {
        const char *const text = blank_end(body, p);
        if (kdl_newline_at(text)) {
            p = text;
        } else {
            const char *own = strip_prefix(k, body, p);
            if (!own && !is_told) {
                is_told = true;
                kdl_report(k, p, text > p ? text : p + 1,
                    "does not begin with the space that is before the closing quotes",
                    "Every line must begin with exactly the characters (tabs, spaces) that stand "
                    "before the closing \"\"\".",
                    "line of a multi-line string is not indented like its last");
            }
            p = copy_line(k, body, own ? own : text);
        }
        p += kdl_newline_at(p);
        buf_addc(&k->scratch, '\n');
    }
    if (k->scratch.n) /* the newline before the closing line is not part of it */
        k->scratch.n--;
}

bool kdl_read_multiline(struct kdl_parser *k, const char *open, size_t hashes, struct str *ret)
{
    const char *const after = k->p + 3;
    const size_t newline = kdl_newline_at(after);
    const struct body body = find_body(after + newline, hashes);
    if (!body.to && newline) {
        k->p = k->end;
        k->is_cut = true;
        kdl_report(k, open, after, "this string is never closed",
            hashes ? "Close it with \"\"\" and as many # as it began with, on a line of its own."
                   : "Close it with \"\"\" on a line of its own.",
            "missing closing quotes");
        return false;
    }
    if (!newline) {
        k->p = body.to ? body.to + 3 + hashes : kdl_line_end(after);
        kdl_report(k, open, after, "a newline must follow",
            hashes
                ? "Text between #\"\"\" and \"\"\"# begins on the next line; on one line use #\"...\"#."
                : "Text between \"\"\" and \"\"\" begins on the next line; on one line use \"...\".",
            "multi-line string begins on the line of its quotes");
        return body.to != NULL;
    }
    k->p = body.to + 3 + hashes;
    if (!read_prefix(k, &body)) {
        kdl_report(k, body.to, k->p, "only space may stand before these",
            "Put the closing quotes on a line of their own.",
            "closing quotes of a multi-line string do not begin their line");
        return true;
    }
    dedent(k, &body);
    if (kdl_check_string_size(k, open, k->scratch.n))
        *ret = kdl_keep(k, buf_cstr(&k->scratch), k->scratch.n);
    return true;
}
