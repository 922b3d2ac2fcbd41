#include "kdl/internal.h"

#include "base/alloc.h"
#include "base/cleanup.h"

#include <stdlib.h>

/* A list of nodes under construction. */
struct list {
    const struct kdl_node **tail;
};

static void parse_nodes(struct kdl_parser *k, struct list *list);

/* --- small steps --- */

/* Counts a node, argument or property against the limit, which bounds the memory. */
static void count_item(struct kdl_parser *k)
{
    if (++k->items <= KDL_ITEMS_MAX)
        return;
    kdl_report(k, k->p, k->p, "reached here", "Split the document.",
        "document has more than %d nodes, arguments and properties", KDL_ITEMS_MAX);
    k->is_over = true;
}

static void *allocate(struct kdl_parser *k, size_t n)
{
    /* The arena has no limit of its own and so never refuses: KDL_ITEMS_MAX and the size of the
     * text bound it. */
    void *const p = arena_alloc(&k->doc->arena, n);
    if (!p)
        abort();
    return p;
}

/* Bytes of the character at p, for a caret of its width. */
static size_t char_length(const char *p)
{
    size_t n = *p != '\0';
    while (n && ((unsigned char)p[n] & 0xc0) == 0x80)
        n++;
    return n;
}

/* A mistake at the cursor's character. */
static bool fail_here(
    struct kdl_parser *k, const char *label, const char *help, const char *message)
{
    kdl_report(k, k->p, k->p + char_length(k->p), label, help, "%s", message);
    return false;
}

/* slashdash := '/-' line-space* */
static void skip_slashdash(struct kdl_parser *k)
{
    k->p += 2;
    kdl_skip_line_space(k);
}

/* What may follow a node without being part of it. */
static bool at_node_end(const struct kdl_parser *k)
{
    return *k->p == '\0' || *k->p == ';' || *k->p == '}' || (k->p[0] == '/' && k->p[1] == '/') ||
           kdl_newline_at(k->p);
}

static bool at_raw(const struct kdl_parser *k)
{
    return *k->p == '#' && k->p[kdl_count_hashes(k->p)] == '"';
}

static bool at_string(const struct kdl_parser *k)
{
    return *k->p == '"' || at_raw(k) ||
           (kdl_char_is(*k->p, KDL_CHAR_WORD) && !kdl_at_number(k->p) && !kdl_space_at(k->p) &&
               !kdl_newline_at(k->p));
}

static bool parse_string(struct kdl_parser *k, struct str *ret)
{
    if (*k->p == '"')
        return kdl_read_quoted(k, ret);
    if (*k->p == '#')
        return kdl_read_raw(k, ret);
    return kdl_read_identifier(k, ret);
}

/* --- after a mistake --- */

static void parse_children(struct kdl_parser *k, struct kdl_node *node);

static void skip_string(struct kdl_parser *k)
{
    struct str ignored;
    k->is_quiet = true;
    parse_string(k, &ignored);
    k->is_quiet = false;
}

/* Skips to the end of the node. Blocks on the way are parsed, so that the mistakes in them are
 * found too and the braces stay in balance. */
static void recover(struct kdl_parser *k)
{
    while (!k->is_over) {
        const size_t newline = kdl_newline_at(k->p);
        if (newline || *k->p == ';') {
            k->p += newline ? newline : 1;
            return;
        }
        if (*k->p == '\0' || *k->p == '}')
            return;
        if (*k->p == '{')
            parse_children(k, &(struct kdl_node){0});
        else if (*k->p == '"' || at_raw(k))
            skip_string(k);
        else if (k->p[0] == '/' && k->p[1] == '/')
            kdl_skip_line_comment(k);
        else if (k->p[0] == '/' && k->p[1] == '*')
            kdl_skip_block_comment(k);
        else if (*k->p == '\\' && kdl_space_escape_end(k->p))
            kdl_skip_node_space(k);
        else if (*k->p == '#')
            k->p += kdl_count_hashes(k->p);
        else
            k->p++;
    }
}

/* --- types --- */

/* type := '(' node-space* string node-space* ')', and the space after it. */
static bool parse_type(struct kdl_parser *k, const struct kdl_type **ret)
{
    static const char *const help = "A type is one name in parentheses: (u8)255.";
    const char *const open = k->p++;
    kdl_skip_node_space(k);
    if (*k->p == ')') {
        k->p++;
        kdl_report(k, open, k->p, "a name belongs between these", help, "type annotation is empty");
    } else if (kdl_at_slashdash(k)) {
        return fail_here(k, "not inside a type annotation",
            "Put /- before the whole node, argument or property.",
            "\"/-\" cannot comment out a type annotation");
    } else if (!at_string(k)) {
        return fail_here(k, "a name belongs here", help, "type annotation needs a name");
    } else {
        struct kdl_type *const type = allocate(k, sizeof(*type));
        if (!parse_string(k, &type->name))
            return false;
        kdl_skip_node_space(k);
        if (*k->p != ')')
            return fail_here(k, "expected \")\"", help, "type annotation is not closed");
        k->p++;
        type->span = (struct span){.offset = (size_t)(open - k->text), .n = (size_t)(k->p - open)};
        *ret = type;
    }
    kdl_skip_node_space(k);
    if (!kdl_at_slashdash(k))
        return true;
    return fail_here(
        k, "must stand before the type", "Write /-(type)thing.", "\"/-\" after a type annotation");
}

/* --- values --- */

/* At '#', which no string follows. */
static void parse_keyword(struct kdl_parser *k, struct kdl_value *ret)
{
    static const struct {
        const char *word;
        struct kdl_value value;
    } keywords[] = {
        {"true", {.kind = KDL_KIND_BOOL, .as.boolean = true}},
        {"false", {.kind = KDL_KIND_BOOL, .as.boolean = false}},
        {"null", {.kind = KDL_KIND_NULL}},
        {"inf", {.kind = KDL_KIND_FLOAT, .as.number = {"#inf", __builtin_inf()}}},
        {"-inf", {.kind = KDL_KIND_FLOAT, .as.number = {"#-inf", -__builtin_inf()}}},
        {"nan", {.kind = KDL_KIND_FLOAT, .as.number = {"#nan", __builtin_nan("")}}},
    };
    const char *const from = k->p;
    k->p = kdl_word_end(from + kdl_count_hashes(from));
    const struct str word = {.p = from + 1, .n = (size_t)(k->p - from - 1)};
    for (size_t i = 0; i < sizeof(keywords) / sizeof(*keywords); i++) {
        if (str_is(word, keywords[i].word)) {
            ret->kind = keywords[i].value.kind;
            ret->as = keywords[i].value.as;
            return;
        }
    }
    kdl_report(k, from, k->p, "not a keyword",
        "After # comes true, false, null, inf, -inf, nan or a raw string: #\"...\"#. Quote text that "
        "holds a #.",
        "unknown keyword");
}

/* What to do about c where a value should be. */
static const char *help_for_value(char c)
{
    switch (c) {
    case '[':
    case ']':
        return "KDL has no lists: write the values one after the other, or a block of nodes.";
    case '=':
        return "A node takes values after spaces, without =: memory 512. A property is name=value.";
    case '\0':
    case '\n':
    case ';':
    case '{':
    case '}':
        return NULL;
    default:
        return "Quote text that holds this character.";
    }
}

/* string | number | keyword */
static bool parse_plain_value(struct kdl_parser *k, struct kdl_value *ret)
{
    const char *const from = k->p;
    bool is_whole = true;
    if (kdl_at_number(from)) {
        kdl_read_number(k, ret);
    } else if (at_string(k)) {
        ret->kind = KDL_KIND_STRING;
        is_whole = parse_string(k, &ret->as.string);
    } else if (*from == '#') {
        parse_keyword(k, ret);
    } else {
        return fail_here(k, *from ? "not the beginning of a value" : "the text ends here",
            help_for_value(*from), "expected a value");
    }
    ret->offset = (uint32_t)(from - k->text);
    ret->length = (uint32_t)(k->p - from) & 0xffffff; /* more than KDL_TEXT_MAX_BYTES */
    return is_whole;
}

/* value := type? node-space* (string | number | keyword) */
static bool parse_value(struct kdl_parser *k, struct kdl_value *ret)
{
    return (*k->p != '(' || parse_type(k, &ret->type)) && parse_plain_value(k, ret);
}

/* The node reaches at least to the end of this value. */
static void extend(struct kdl_node *node, const struct kdl_value *last)
{
    node->length = last->offset + last->length - node->offset;
}

/* At '='; `name` is what came before it. */
static bool parse_prop(
    struct kdl_parser *k, struct kdl_node *node, const struct kdl_value *name, bool is_dropped)
{
    const char *const from = k->text + name->offset;
    if (name->kind != KDL_KIND_STRING)
        kdl_report(k, from, from + name->length, "not a name",
            "Quote it: \"10\"=value. A name is text.", "name of a property must be a string");
    if (name->type)
        kdl_report(k, k->text + name->type->span.offset,
            k->text + name->type->span.offset + name->type->span.n, "belongs to the value",
            "Write name=(type)value.", "type annotation before the name of a property");
    k->p++;
    kdl_skip_node_space(k);
    if (kdl_at_slashdash(k))
        return fail_here(k, "must stand before the name", "Write /-name=value.",
            "\"/-\" cannot comment out only the value of a property");
    struct kdl_prop prop = {
        .name = name->as.string,
        .name_offset = name->offset,
        .name_length = name->length,
    };
    if (!parse_value(k, &prop.value))
        return false;
    if (!is_dropped) {
        vec_push(&k->props, prop);
        extend(node, &prop.value);
    }
    return true;
}

/* node-prop-or-arg. The space after a string has to be read to know which of the two it is:
 * *ret_spaced tells whether there was some. */
static bool parse_entry(
    struct kdl_parser *k, struct kdl_node *node, bool is_dropped, bool *ret_spaced)
{
    struct kdl_value value = {0};
    count_item(k);
    if (!parse_value(k, &value))
        return false;
    *ret_spaced = kdl_skip_node_space(k);
    if (*k->p == '=') {
        *ret_spaced = false;
        return parse_prop(k, node, &value, is_dropped);
    }
    if (!is_dropped) {
        vec_push(&k->args, value);
        extend(node, &value);
    }
    return true;
}

/* --- nodes --- */

/* node-children := '{' nodes final-node? '}' */
static void parse_children(struct kdl_parser *k, struct kdl_node *node)
{
    const char *const open = k->p++;
    if (++k->depth > KDL_DEPTH_MAX) {
        kdl_report(k, open, open + 1, "one block too deep", NULL,
            "blocks are nested deeper than %d", KDL_DEPTH_MAX);
        k->is_over = true;
    }
    parse_nodes(k, &(struct list){.tail = &node->children});
    k->depth--;
    if (*k->p == '}') {
        k->p++;
    } else if (!k->is_cut) {
        /* Told for the innermost block only: one brace may be all that is missing. */
        k->is_cut = true;
        kdl_report(k, open, open + 1, "this block is never closed",
            "Add \"}\" where the block should end.", "missing \"}\"");
    }
}

/* The blocks at a node's end, of which one may be real. At the first '{'. */
static bool parse_blocks(struct kdl_parser *k, struct kdl_node *node, bool is_dropped)
{
    for (;;) {
        if (!is_dropped && node->has_children)
            fail_here(k, "a second block", "Put all children into one block.",
                "node has two children blocks");
        const bool is_real = !is_dropped && !node->has_children;
        if (is_real)
            node->has_children = true;
        parse_children(k, is_real ? node : &(struct kdl_node){0});
        const char *const end = k->p;
        kdl_skip_node_space(k);
        is_dropped = kdl_at_slashdash(k);
        if (is_dropped)
            skip_slashdash(k);
        if (*k->p == '{')
            continue;
        if (at_node_end(k) && !is_dropped) {
            node->length = (uint32_t)(end - k->text) - node->offset;
            return true;
        }
        return fail_here(k, "after a children block",
            "Arguments and properties go before the block; another node begins on a new line or "
            "after \";\".",
            "only a newline or \";\" may follow a block");
    }
}

static bool fail_unspaced(struct kdl_parser *k)
{
    static const struct {
        char c;
        const char *message, *help;
    } known[] = {
        {'[', "\"[\" may not stand outside a string",
            "KDL has no lists: write the values one after the other."},
        {']', "\"]\" may not stand outside a string",
            "KDL has no lists: write the values one after the other."},
        {'(', "space is missing before a type annotation", "Write: name (type)value."},
        {')', "\")\" without \"(\"", "Quote text that holds parentheses."},
        {'#', "\"#\" may not stand inside a word", "Quote the text."},
        {'/', "\"/\" may not stand inside a word", "Quote the text: \"a/b\"."},
        {'=', "\"=\" may only stand between a property's name and value",
            "A node takes values after spaces, without =: memory 512."},
    };
    for (size_t i = 0; i < sizeof(known) / sizeof(*known); i++) {
        if (*k->p == known[i].c)
            return fail_here(k, "not here", known[i].help, known[i].message);
    }
    return fail_here(k, "space is missing before this", NULL, "values must be separated by space");
}

/* Hands the node what was gathered for it. */
static void keep_entries(struct kdl_parser *k, struct kdl_node *node)
{
    /* One piece for both: the arena rounds every piece up. */
    const size_t args = k->args.n * sizeof(*k->args.v);
    const size_t props = k->props.n * sizeof(*k->props.v);
    if (!args && !props)
        return;
    char *const room = allocate(k, args + props);
    node->args = (void *)room;
    node->props = (void *)(room + args);
    if (args)
        memcpy(room, k->args.v, args);
    if (props)
        memcpy(room + args, k->props.v, props);
    node->n_args = (uint32_t)k->args.n;
    node->n_props = (uint32_t)k->props.n & 0x7fffffff;
}

/* Everything after the name, up to the node's end and not over it. */
static bool parse_entries(struct kdl_parser *k, struct kdl_node *node)
{
    bool is_spaced = false;
    k->args.n = k->props.n = 0;
    while (!k->is_over) {
        is_spaced |= kdl_skip_node_space(k);
        const bool is_dropped = kdl_at_slashdash(k);
        if (is_dropped)
            skip_slashdash(k);
        if (*k->p == '{') {
            keep_entries(k, node);
            return parse_blocks(k, node, is_dropped);
        }
        if (at_node_end(k) && is_dropped)
            return fail_here(k, "nothing to comment out", NULL, "nothing follows \"/-\"");
        if (at_node_end(k)) {
            keep_entries(k, node);
            return true;
        }
        if (is_dropped && kdl_at_slashdash(k))
            return fail_here(k, "already commented out", NULL, "\"/-\" after \"/-\"");
        if (!is_spaced && !is_dropped)
            return fail_unspaced(k);
        if (!parse_entry(k, node, is_dropped, &is_spaced))
            return false;
    }
    return true;
}

/* What to do about c where a node's name should be. */
static const char *help_for_name(char c)
{
    switch (c) {
    case '{':
        return "Every block belongs to a node: name { ... }.";
    case ';':
        return "Take the extra \";\" away.";
    case '#':
        return "Keywords are values; a comment begins with //.";
    default:
        return NULL;
    }
}

/* The name, with the type before it. */
static bool parse_name(struct kdl_parser *k, struct kdl_node *node)
{
    if (*k->p == '(' && !parse_type(k, &node->type))
        return false;
    if (kdl_at_number(k->p))
        return fail_here(k, "a name cannot begin like a number",
            "Quote it, or put a name before it: node 10.", "expected the name of a node");
    if (!at_string(k)) {
        return fail_here(k, *k->p ? "not a name" : "the text ends here", help_for_name(*k->p),
            "expected the name of a node");
    }
    const char *const from = k->p;
    const bool is_whole = parse_string(k, &node->name);
    node->name_offset = (uint32_t)(from - k->text);
    node->name_length = (uint32_t)(k->p - from);
    node->length = (uint32_t)(k->p - k->text) - node->offset;
    return is_whole;
}

/* NULL when it is commented out. A mistaken node is kept, as far as it was understood: the
 * document is not handed out anyway. */
static struct kdl_node *parse_node(struct kdl_parser *k)
{
    const bool is_dropped = kdl_at_slashdash(k);
    if (is_dropped)
        skip_slashdash(k);
    struct kdl_node *const node = allocate(k, sizeof(*node));
    node->offset = (uint32_t)(k->p - k->text);
    count_item(k);
    const bool is_fine = parse_name(k, node) && parse_entries(k, node);
    if (!is_fine)
        recover(k);
    else if (*k->p == ';')
        k->p++;
    return is_dropped ? NULL : node;
}

/* nodes, up to a '}' or the end */
static void parse_nodes(struct kdl_parser *k, struct list *list)
{
    while (!k->is_over) {
        kdl_skip_line_space(k);
        if (*k->p == '\0' || *k->p == '}')
            return;
        const struct kdl_node *const node = parse_node(k);
        if (!node)
            continue;
        *list->tail = node;
        list->tail = (const struct kdl_node **)&node->next;
    }
}

static void parse_document(struct kdl_parser *k)
{
    if (strncmp(k->p, "\xef\xbb\xbf", 3) == 0) /* byte order mark */
        k->p += 3;
    struct list list = {.tail = &k->doc->nodes};
    parse_nodes(k, &list);
    while (*k->p == '}' && !k->is_over) {
        fail_here(k, "closes nothing", NULL, "\"}\" without \"{\"");
        k->p++;
        parse_nodes(k, &list);
    }
}

int kdl_parse(struct source *src, struct kdl_doc **ret_doc, struct vmm_error **errp)
{
    const struct str text = source_text(src);
    cleanup_kdl_doc struct kdl_doc *doc = xcalloc(1, sizeof(*doc));
    doc->source = source_ref(src);
    struct kdl_parser k = {
        .source = src,
        .text = text.p,
        .p = text.p,
        .end = text.p + text.n,
        .doc = doc,
    };
    if (kdl_check_text(&k))
        parse_document(&k);
    kdl_report_rest(&k);
    buf_done(&k.scratch);
    buf_done(&k.prefix);
    vec_done(&k.args);
    vec_done(&k.props);
    const int r = findings_finish(&k.found, errp);
    if (r == 0)
        *ret_doc = TAKE_PTR(doc);
    return r;
}

void kdl_doc_free(struct kdl_doc *doc)
{
    if (!doc)
        return;
    arena_done(&doc->arena);
    source_unref(doc->source);
    free(doc);
}

const struct kdl_prop *kdl_node_prop(const struct kdl_node *node, const char *name)
{
    for (uint32_t i = node->n_props; i-- > 0;) {
        if (str_is(node->props[i].name, name))
            return &node->props[i];
    }
    return NULL;
}
