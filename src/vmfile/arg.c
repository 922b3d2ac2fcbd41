/* A node's argument: what was written against what its row wants. */
#include "vmfile/internal.h"

#include "base/cleanup.h"
#include "base/name.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

struct str vmfile_source_words(const struct reader *r, struct span at)
{
    return (struct str){.p = source_text(r->file->source).p + at.offset, .n = at.n};
}

const char *vmfile_for_example(struct reader *r, const struct node_rule *rule)
{
    return vmfile_text(r, "Write for example `%s`.", rule->example);
}

void vmfile_refuse_type(struct reader *r, const struct kdl_type *type)
{
    if (!type || !report_wants(&r->report, type->span))
        return;
    vmfile_complain(r, type->span, "remove this",
        "Values here need no type annotation: each node takes one kind of value.",
        "type annotation \"%s\" has no meaning here", vmfile_shown(r, type->name));
}

static const char *known_words(struct reader *r, const struct word_rule *words)
{
    cleanup_buf struct buf list = {0};
    for (const struct word_rule *w = words; w->word; w++)
        buf_addf(&list, "%s\"%s\"", w == words ? "" : w[1].word ? ", " : " or ", w->word);
    return vmfile_text(r, "Write %s.", list.p);
}

static const char *kind_in_words(const struct kdl_value *value)
{
    switch (value->kind) {
    case KDL_KIND_STRING:
        return "a string";
    case KDL_KIND_INTEGER:
    case KDL_KIND_BIG_INTEGER:
        return "a number";
    case KDL_KIND_FLOAT:
        return "a fraction";
    case KDL_KIND_BOOL:
        return value->as.boolean ? "#true" : "#false";
    case KDL_KIND_NULL:
        return "#null";
    }
    return "";
}

/* "2048", or with a unit as people write them elsewhere: "2G", "2 GiB", "2048mb". The number in the
 * row's unit; 0: none that is whole and allowed. */
static int64_t number_meant(const struct node_rule *rule, struct str s)
{
    static const char units[] = "bkmgt";
    int64_t n = 0;
    size_t i = 0;
    for (; i < s.n && s.p[i] >= '0' && s.p[i] <= '9' && n < INT_MAX; i++)
        n = n * 10 + (s.p[i] - '0');
    if (i == 0 || n >= INT_MAX)
        return 0;
    while (i < s.n && s.p[i] == ' ')
        i++;
    if (i < s.n) {
        const char *unit = s.p[i] == '\0' ? NULL : strchr(units, s.p[i] | 0x20);
        const struct str rest = {.p = s.p + i + 1, .n = s.n - i - 1};
        if (!unit || !rule->unit_shift ||
            (rest.n && !str_is(rest, "b") && !str_is(rest, "B") && !str_is(rest, "iB") &&
                !str_is(rest, "ib")))
            return 0;
        const int shift = (int)(unit - units) * 10 - (int)rule->unit_shift;
        if (shift >= 0)
            n <<= shift; /* at most 31 + 20 bits */
        else if (n & ((INT64_C(1) << -shift) - 1))
            return 0;
        else
            n >>= -shift;
    }
    return n >= rule->min && n <= rule->max ? n : 0;
}

static bool read_integer(
    struct reader *r, const struct node_rule *rule, const struct kdl_value *value, struct arg *ret)
{
    if (value->kind == KDL_KIND_INTEGER && value->as.integer >= rule->min &&
        value->as.integer <= rule->max) {
        ret->integer = value->as.integer;
        return true;
    }
    const struct span at = kdl_value_span(value);
    const char *given = vmfile_shown(r, vmfile_source_words(r, at));
    if (value->kind == KDL_KIND_INTEGER || value->kind == KDL_KIND_BIG_INTEGER) {
        const bool is_small = value->kind == KDL_KIND_INTEGER ? value->as.integer < rule->min
                                                              : *value->as.big_integer == '-';
        vmfile_complain(r, at, is_small ? "too small" : "too large", rule->hint,
            "%s must be a number from %lld to %lld, not %s", rule->name, (long long)rule->min,
            (long long)rule->max, given);
        return false;
    }
    const int64_t meant = value->kind == KDL_KIND_STRING ? number_meant(rule, value->as.string) : 0;
    const char *help =
        meant ? vmfile_text(r, "Write `%s %lld`.", rule->name, (long long)meant) : rule->hint;
    if (value->kind == KDL_KIND_FLOAT)
        vmfile_complain(r, at, "not a whole number", help, "%s takes a whole number, not %s",
            rule->name, given);
    else
        vmfile_complain(r, at, kind_in_words(value), help, "%s takes a whole number, not %s",
            rule->name, kind_in_words(value));
    return false;
}

/* Text becomes C strings, paths and lines of other files: no NUL anywhere, and no control character
 * but in scripts. */
static bool refuse_controls(
    struct reader *r, const struct node_rule *rule, const struct kdl_value *value)
{
    const struct str s = value->as.string;
    for (size_t i = 0; i < s.n; i++) {
        const unsigned char c = (unsigned char)s.p[i];
        if (c == '\0' || (rule->arg != ARG_SCRIPT && (c < 0x20 || c == 0x7f))) {
            const char *label = c == '\0' ? "holds a NUL character"
                                : c == '\n'
                                    ? "holds a line break"
                                    : vmfile_text(r, "holds the control character U+%04X", c);
            vmfile_complain(r, kdl_value_span(value), label, "Remove it.",
                "%s holds a character that is not allowed in it", rule->name);
            return false;
        }
    }
    return true;
}

static bool read_string(
    struct reader *r, const struct node_rule *rule, const struct kdl_value *value)
{
    if (value->kind == KDL_KIND_STRING)
        return refuse_controls(r, rule, value);
    const struct span at = kdl_value_span(value);
    const bool is_number = value->kind != KDL_KIND_BOOL && value->kind != KDL_KIND_NULL;
    const char *help = is_number && rule->arg == ARG_TEXT
                           ? vmfile_text(r, "Write `%s \"%s\"`.", rule->name,
                                 vmfile_shown(r, vmfile_source_words(r, at)))
                           : vmfile_for_example(r, rule);
    vmfile_complain(r, at, kind_in_words(value), help, "%s takes a string, not %s", rule->name,
        kind_in_words(value));
    return false;
}

static bool read_word(struct reader *r,
    const struct node_rule *rule,
    const struct kdl_value *value,
    const struct word_rule **ret)
{
    const char *known[8] = {NULL};
    for (unsigned i = 0; rule->words[i].word && i + 1 < sizeof(known) / sizeof(*known); i++) {
        known[i] = rule->words[i].word;
        if (str_is(value->as.string, known[i])) {
            *ret = &rule->words[i];
            return true;
        }
    }
    const char *guess = suggest(value->as.string, known);
    const char *help =
        guess ? vmfile_text(r, "did you mean \"%s\"?", guess) : known_words(r, rule->words);
    vmfile_complain(r, kdl_value_span(value), vmfile_text(r, "not a kind of %s", rule->name), help,
        "unknown %s \"%s\"", rule->name, vmfile_shown(r, value->as.string));
    return false;
}

/* Whether there is exactly one argument as the row wants it. */
bool vmfile_read_arg(struct reader *r,
    const struct node_rule *rule,
    const struct kdl_node *node,
    struct arg *ret,
    const struct word_rule **ret_word)
{
    for (uint32_t i = 0; i < node->n_args; i++)
        vmfile_refuse_type(r, node->args[i].type);
    const uint32_t wanted = rule->arg != ARG_NONE;
    if (node->n_args > wanted)
        vmfile_complain(r, kdl_value_span(&node->args[wanted]),
            wanted ? "one too many" : "not expected", vmfile_for_example(r, rule),
            wanted ? "%s takes one argument" : "%s takes no argument", rule->name);
    if (!wanted)
        return false;
    if (node->n_args == 0) {
        const bool is_number = rule->arg == ARG_INTEGER;
        vmfile_complain(r, kdl_node_name_span(node),
            is_number ? "a number is missing" : "a string is missing", vmfile_for_example(r, rule),
            "%s needs %s after it", rule->name, is_number ? "a number" : "a string");
        return false;
    }
    const struct kdl_value *value = &node->args[0];
    ret->span = kdl_value_span(value);
    if (rule->arg == ARG_INTEGER)
        return read_integer(r, rule, value, ret);
    if (!read_string(r, rule, value))
        return false;
    if (rule->arg == ARG_WORD) {
        if (!read_word(r, rule, value, ret_word))
            return false;
        ret->word = (*ret_word)->value;
        return true;
    }
    ret->text = arena_strndup(&r->file->arena, value->as.string.p, value->as.string.n);
    return true;
}

void vmfile_check_path(struct reader *r,
    const struct kdl_node *node,
    const struct arg *arg,
    int (*check)(const char *what, const char *path, struct vmm_error **errp))
{
    const char *name = vmfile_shown(r, node->name);
    if (!*arg->text) {
        vmfile_complain(r, arg->span, "empty", "Write the path of a file.", "%s is empty", name);
        return;
    }
    const char *fault = vmfile_path_fault(arg->text);
    if (fault) {
        vmfile_complain(r, arg->span, fault,
            "Write the path in full, from the folder of the VMFile, or from your own home with `~/`.",
            "%s \"%s\" cannot be understood", name, vmfile_shown(r, str_view(arg->text)));
        return;
    }
    if (!r->checks_files || !report_wants(&r->report, arg->span))
        return;
    cleanup_free char *path = vmm_resolve_path(arg->text, r->file->base_dir);
    struct vmm_error *error = NULL;
    if (check(name, path, &error) < 0)
        vmfile_complain_of(r, arg->span, error);
}
