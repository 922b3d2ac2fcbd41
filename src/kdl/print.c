#include "kdl/internal.h"

#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/utf8.h"

#include <stdio.h>
#include <stdlib.h>

/* The character as it is written inside quotes when it may not stand there itself; NULL: it may. */
static const char *escape_of(uint32_t cp, size_t is_newline, char room[12])
{
    switch (cp) {
    case '"':
        return "\\\"";
    case '\\':
        return "\\\\";
    case '\b':
        return "\\b";
    case '\f':
        return "\\f";
    case '\n':
        return "\\n";
    case '\r':
        return "\\r";
    case '\t':
        return "\\t";
    default:
        if (!is_newline && !kdl_is_forbidden(cp))
            return NULL;
        snprintf(room, 12, "\\u{%x}", (unsigned)cp);
        return room;
    }
}

static void print_quoted(struct str s, struct buf *out)
{
    enum { CLOSER_LOOK = KDL_CHAR_STOP | KDL_CHAR_FORBIDDEN | KDL_CHAR_WIDE };
    buf_addc(out, '"');
    size_t plain = 0; /* where what is not yet copied begins */
    for (size_t i = 0; i < s.n;) {
        if (!kdl_char_is(s.p[i], CLOSER_LOOK) && s.p[i] != '\t') {
            i++;
            continue;
        }
        uint32_t cp = 0;
        const size_t n = utf8_decode(s.p + i, s.n - i, &cp);
        char room[12];
        const char *const escape = escape_of(cp, kdl_newline_at(s.p + i), room);
        if (escape) {
            buf_add(out, s.p + plain, i - plain);
            buf_adds(out, escape);
            plain = i + n;
        }
        i += n;
    }
    buf_add(out, s.p + plain, s.n - plain);
    buf_addc(out, '"');
}

static void print_string(struct str s, struct buf *out)
{
    if (kdl_is_bare(s))
        buf_addstr(out, s);
    else
        print_quoted(s, out);
}

/* By hand: in a document of numbers printf took a sixth of the time. */
static void print_integer(int64_t v, struct buf *out)
{
    char digits[20]; /* of 2^63, and its sign */
    char *p = digits + sizeof(digits);
    uint64_t rest = v < 0 ? 0 - (uint64_t)v : (uint64_t)v;
    do {
        *--p = (char)('0' + rest % 10);
        rest /= 10;
    } while (rest);
    if (v < 0)
        *--p = '-';
    buf_add(out, p, (size_t)(digits + sizeof(digits) - p));
}

static void print_type(const struct kdl_type *type, struct buf *out)
{
    if (!type)
        return;
    buf_addc(out, '(');
    print_string(type->name, out);
    buf_addc(out, ')');
}

static void print_value(const struct kdl_value *v, struct buf *out)
{
    print_type(v->type, out);
    switch (v->kind) {
    case KDL_KIND_STRING:
        print_string(v->as.string, out);
        break;
    case KDL_KIND_INTEGER:
        print_integer(v->as.integer, out);
        break;
    case KDL_KIND_BIG_INTEGER:
        buf_adds(out, v->as.big_integer);
        break;
    case KDL_KIND_FLOAT:
        buf_adds(out, v->as.number.text);
        break;
    case KDL_KIND_BOOL:
        buf_adds(out, v->as.boolean ? "#true" : "#false");
        break;
    case KDL_KIND_NULL:
        buf_adds(out, "#null");
        break;
    }
}

struct ref {
    const struct kdl_prop *prop;
};

/* By name; of equal names the later first, so that the first of each is the one that counts. */
static int compare_refs(const void *a, const void *b)
{
    const struct kdl_prop *const x = ((const struct ref *)a)->prop;
    const struct kdl_prop *const y = ((const struct ref *)b)->prop;
    const size_t n = x->name.n < y->name.n ? x->name.n : y->name.n;
    const int by_bytes = n ? memcmp(x->name.p, y->name.p, n) : 0;
    if (by_bytes)
        return by_bytes;
    if (x->name.n != y->name.n)
        return x->name.n < y->name.n ? -1 : 1;
    return x > y ? -1 : x < y;
}

static void print_prop(const struct kdl_prop *p, struct buf *out)
{
    buf_addc(out, ' ');
    print_string(p->name, out);
    buf_addc(out, '=');
    print_value(&p->value, out);
}

static void print_props(const struct kdl_node *node, struct buf *out)
{
    enum { FEW = 16 };
    const uint32_t n = node->n_props;
    struct ref few[FEW];
    cleanup_free struct ref *many = n > FEW ? xcalloc(n, sizeof(*many)) : NULL;
    struct ref *const refs = many ? many : few;
    for (uint32_t i = 0; i < n; i++)
        refs[i] = (struct ref){.prop = &node->props[i]};
    if (n > 1)
        qsort(refs, n, sizeof(*refs), compare_refs);
    for (uint32_t i = 0; i < n; i++) {
        if (i == 0 || !str_eq(refs[i].prop->name, refs[i - 1].prop->name))
            print_prop(refs[i].prop, out);
    }
}

static void indent(unsigned depth, struct buf *out)
{
    char *const to = buf_reserve(out, (size_t)depth * 4);
    memset(to, ' ', (size_t)depth * 4);
    out->n += (size_t)depth * 4;
    out->p[out->n] = '\0';
}

void kdl_print_node(const struct kdl_node *node, unsigned depth, struct buf *out)
{
    indent(depth, out);
    print_type(node->type, out);
    print_string(node->name, out);
    for (uint32_t i = 0; i < node->n_args; i++) {
        buf_addc(out, ' ');
        print_value(&node->args[i], out);
    }
    print_props(node, out);
    if (node->children) {
        buf_adds(out, " {\n");
        for (const struct kdl_node *n = node->children; n; n = n->next)
            kdl_print_node(n, depth + 1, out);
        indent(depth, out);
        buf_addc(out, '}');
    }
    buf_addc(out, '\n');
}

void kdl_print(const struct kdl_doc *doc, struct buf *out)
{
    for (const struct kdl_node *n = doc->nodes; n; n = n->next)
        kdl_print_node(n, 0, out);
    if (!doc->nodes)
        buf_addc(out, '\n');
}
