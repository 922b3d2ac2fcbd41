#include "kdl/internal.h"

void kdl_skip_line_comment(struct kdl_parser *k)
{
    k->p = kdl_line_end(k->p);
}

void kdl_skip_block_comment(struct kdl_parser *k)
{
    const char *const open = k->p;
    const char *p = open + 2;
    for (unsigned depth = 1; depth;) {
        if (p[0] == '*' && p[1] == '/') {
            depth--;
            p += 2;
        } else if (p[0] == '/' && p[1] == '*') {
            depth++;
            p += 2;
        } else if (*p) {
            p++;
        } else {
            kdl_report(k, open, open + 2, "this comment is never closed",
                "Comments nest: every /* needs its own */.", "missing \"*/\"");
            k->is_cut = true;
            break;
        }
    }
    k->p = p;
}

/* ws* */
static bool skip_ws(struct kdl_parser *k)
{
    const char *const from = k->p;
    for (;;) {
        const size_t n = kdl_space_at(k->p);
        if (n)
            k->p += n;
        else if (k->p[0] == '/' && k->p[1] == '*')
            kdl_skip_block_comment(k);
        else
            return k->p != from;
    }
}

/* escline, at the backslash. One that does not end its line is reported and passes for space. */
static void skip_escline(struct kdl_parser *k)
{
    const char *const at = k->p++;
    skip_ws(k);
    if (k->p[0] == '/' && k->p[1] == '/')
        kdl_skip_line_comment(k);
    if (*k->p == '\0')
        return;
    const size_t n = kdl_newline_at(k->p);
    if (n)
        k->p += n;
    else
        kdl_report(k, at, at + 1, "the line goes on after this",
            "Outside strings a \\ joins a line with the next and stands at its end. Quote text that "
            "holds one: #\"C:\\dir\"#.",
            "\"\\\" must be the last thing on its line");
}

bool kdl_skip_node_space(struct kdl_parser *k)
{
    bool is_any = skip_ws(k);
    while (*k->p == '\\') {
        skip_escline(k);
        skip_ws(k);
        is_any = true;
    }
    return is_any;
}

void kdl_skip_line_space(struct kdl_parser *k)
{
    for (;;) {
        kdl_skip_node_space(k);
        const size_t n = kdl_newline_at(k->p);
        if (n)
            k->p += n;
        else if (k->p[0] == '/' && k->p[1] == '/')
            kdl_skip_line_comment(k);
        else
            return;
    }
}
