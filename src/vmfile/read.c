#include "vmfile/internal.h"

#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/name.h"
#include "base/utf8.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

/* --- words --- */

enum { SHOWN_MAX_BYTES = 80 };

const char *vmfile_text(struct reader *r, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    cleanup_free char *text = xvasprintf(fmt, ap);
    va_end(ap);
    return arena_strndup(&r->scratch, text, strlen(text)); /* the arena has no limit */
}

const char *vmfile_shown(struct reader *r, struct str words)
{
    size_t n = words.n;
    if (n > SHOWN_MAX_BYTES) {
        n = SHOWN_MAX_BYTES;
        while (((unsigned char)words.p[n] & 0xc0) == 0x80) /* not within a character */
            n--;
    }
    cleanup_buf struct buf shown = {0};
    utf8_sanitize(&shown, words.p, n);
    for (size_t i = 0; i < shown.n; i++) {
        if (shown.p[i] == '\n' || shown.p[i] == '\t')
            shown.p[i] = ' ';
    }
    return vmfile_text(r, "%s%s", buf_cstr(&shown), n < words.n ? "..." : "");
}

const char *vmfile_given_on_line(struct reader *r, const struct kdl_node *node)
{
    unsigned line, column;
    source_locate(r->file->source, node->offset, &line, &column);
    return vmfile_text(r, "%s is given on line %u", vmfile_shown(r, node->name), line);
}

static void complain(struct reader *r, const struct finding *finding)
{
    report_add(&r->report, finding);
    arena_done(&r->scratch);
}

void vmfile_complain(
    struct reader *r, struct span at, const char *label, const char *help, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    cleanup_free char *message = xvasprintf(fmt, ap);
    va_end(ap);
    complain(r, &(struct finding){
                    .span = at, .message = message, .label = (char *)label, .help = (char *)help});
}

void vmfile_complain_of(struct reader *r, struct span at, struct vmm_error *error)
{
    complain(r, &(struct finding){
                    .span = at,
                    .sys = vmm_error_errno(error),
                    .message = (char *)vmm_error_message(error),
                    .label = (char *)vmm_error_label(error),
                    .help = (char *)vmm_error_help(error),
                });
    vmm_error_free(error);
}

void vmfile_exclude(struct reader *r,
    const struct kdl_node *a,
    const struct kdl_node *b,
    const char *help,
    const char *message)
{
    const struct kdl_node *first = a->offset < b->offset ? a : b;
    const struct kdl_node *second = first == a ? b : a;
    if (report_wants(&r->report, kdl_node_name_span(second)))
        vmfile_complain(
            r, kdl_node_name_span(second), vmfile_given_on_line(r, first), help, "%s", message);
}

/* --- what the tables know --- */

static int find_row(const struct block_rule *block, struct str name)
{
    for (unsigned i = 0; i < block->n; i++) {
        if (str_is(name, block->nodes[i].name))
            return (int)i;
    }
    return -1;
}

/* The block, `from` or one inside it, that knows the name; NULL: none. */
static const struct block_rule *find_home(const struct block_rule *from, struct str name)
{
    if (find_row(from, name) >= 0)
        return from;
    const struct block_rule *home = NULL;
    for (unsigned i = 0; !home && i < from->n; i++) {
        const struct node_rule *rule = &from->nodes[i];
        if (rule->block)
            home = find_home(rule->block, name);
        for (const struct word_rule *w = rule->words; !home && w && w->word; w++)
            home = w->block ? find_home(w->block, name) : NULL;
    }
    return home;
}

static const char *known_here(struct reader *r, const struct block_rule *block)
{
    cleanup_buf struct buf names = {0};
    for (unsigned i = 0; i < block->n; i++)
        buf_addf(&names, "%s`%s`", i ? ", " : "", block->nodes[i].name);
    if (!names.n)
        return vmfile_text(r, "%s has no nodes in it: remove this.", block->title);
    return vmfile_text(r, "%s may hold %s.", block->title, names.p);
}

/* --- what holds for every node --- */

/* Whether a node of that name may stand in the block of such a node, whichever word it takes. */
static bool has_child(const struct node_rule *rule, struct str name)
{
    bool has = rule->block && find_row(rule->block, name) >= 0;
    for (const struct word_rule *w = rule->words; !has && w && w->word; w++)
        has = w->block && find_row(w->block, name) >= 0;
    return has;
}

static void refuse_props(
    struct reader *r, const struct node_rule *rule, const struct kdl_node *node)
{
    for (uint32_t i = 0; i < node->n_props; i++) {
        const struct kdl_prop *p = &node->props[i];
        const struct span value = kdl_value_span(&p->value);
        struct span at = kdl_prop_name_span(p);
        if (!report_wants(&r->report, at))
            return;
        at.n = value.offset + value.n - at.offset;
        const char *help =
            has_child(rule, p->name)
                ? vmfile_text(r, "Write it as a line inside the block: `%s %s`.",
                      vmfile_shown(r, p->name), vmfile_shown(r, vmfile_source_words(r, value)))
                : vmfile_for_example(r, rule);
        vmfile_complain(r, at, "nodes here have no properties", help,
            "unknown property \"%s\" of %s", vmfile_shown(r, p->name), rule->name);
    }
}

static void read_node(struct reader *r, const struct node_rule *rule, const struct kdl_node *node)
{
    vmfile_refuse_type(r, node->type);
    refuse_props(r, rule, node);
    struct arg arg = {0};
    const struct word_rule *word = NULL;
    const bool has_arg = vmfile_read_arg(r, rule, node, &arg, &word);
    if (rule->take)
        rule->take(r, node, has_arg ? &arg : NULL);

    const struct block_rule *block = word ? word->block : rule->block;
    if (block) {
        vmfile_read_block(r, block, node, node->children);
    } else if (node->has_children && (word || !rule->words)) {
        /* With an unknown word nobody knows what may be in the block. */
        const struct kdl_node *at = node->children ? node->children : node;
        vmfile_complain(r, kdl_node_name_span(at), node->children ? "inside a block" : "this block",
            vmfile_text(r, "Remove the block: `%s` stands alone.", rule->example),
            "%s takes no block", rule->name);
    }
}

/* --- blocks --- */

static const char *place_in_words(
    struct reader *r, const struct block_rule *block, const struct kdl_node *owner)
{
    if (!owner)
        return "at the top of the file";
    const char *vm = r->vm->def.name;
    if (!*vm)
        return vmfile_text(r, "in %s", block->title);
    return str_is(owner->name, "vm") ? vmfile_text(r, "in vm \"%s\"", vm)
                                     : vmfile_text(r, "in %s of vm \"%s\"", block->title, vm);
}

static const struct synonym *find_synonym(const struct block_rule *block, struct str name)
{
    for (const struct synonym *s = block->synonyms; s && s->word; s++) {
        if (str_is(name, s->word))
            return s;
    }
    return NULL;
}

/* What an unknown name was probably meant to be. */
struct guess {
    const char *name;              /* a row of the block; NULL: none */
    const char *help;              /* static; NULL: still to be made */
    const struct block_rule *home; /* the other block that knows it */
};

static struct guess guess_name(const struct block_rule *block, struct str name)
{
    const struct synonym *synonym = find_synonym(block, name);
    if (synonym)
        return (struct guess){.name = synonym->meant, .help = synonym->help};
    const struct block_rule *home = find_home(&vmfile_top_block, name);
    if (home)
        return (struct guess){.home = home};
    const char *known[BLOCK_NODES_MAX + 1] = {NULL};
    for (unsigned i = 0; i < block->n; i++)
        known[i] = block->nodes[i].name;
    return (struct guess){.name = suggest(name, known)};
}

/* Returns the row that was probably meant, or -1. */
static int refuse_unknown(struct reader *r,
    const struct block_rule *block,
    const struct kdl_node *owner,
    const struct kdl_node *node)
{
    const struct guess guess = guess_name(block, node->name);
    const struct span at = kdl_node_name_span(node);
    if (report_wants(&r->report, at)) {
        const char *shown = vmfile_shown(r, node->name);
        const char *help = guess.help   ? guess.help
                           : guess.name ? vmfile_text(r, "did you mean \"%s\"?", guess.name)
                           : guess.home == &vmfile_top_block
                               ? "Blocks of vm stand beside each other at the top of the file."
                           : guess.home
                               ? vmfile_text(r, "`%s` belongs inside %s.", shown, guess.home->title)
                               : known_here(r, block);
        vmfile_complain(r, at, "not known here", help, "unknown node \"%s\" %s", shown,
            place_in_words(r, block, owner));
    }
    return guess.name ? find_row(block, str_view(guess.name)) : -1;
}

static void refuse_second(
    struct reader *r, const struct kdl_node *node, const struct kdl_node *first)
{
    const struct span at = kdl_node_name_span(node);
    if (!report_wants(&r->report, at)) /* counting lines costs time, too */
        return;
    unsigned line, column;
    source_locate(r->file->source, first->offset, &line, &column);
    vmfile_complain(r, at, vmfile_text(r, "the first is on line %u", line), "Keep one of them.",
        "%s is given twice", vmfile_shown(r, node->name));
}

void vmfile_read_block(struct reader *r,
    const struct block_rule *block,
    const struct kdl_node *owner,
    const struct kdl_node *first)
{
    const struct kdl_node *seen[BLOCK_NODES_MAX] = {NULL};
    bool is_guess[BLOCK_NODES_MAX] = {false};
    for (uint32_t i = 0; owner && i < owner->n_props; i++) {
        const int row = find_row(block, owner->props[i].name);
        if (row >= 0) { /* refused, but not missing */
            seen[row] = owner;
            is_guess[row] = true;
        }
    }
    for (const struct kdl_node *node = first; node; node = node->next) {
        arena_done(&r->scratch); /* of nodes that were not complained about */
        int row = find_row(block, node->name);
        if (row < 0) {
            row = refuse_unknown(r, block, owner, node);
            if (row >= 0 && !seen[row]) {
                seen[row] = node;
                is_guess[row] = true;
            }
            continue;
        }
        if (!seen[row] || is_guess[row]) {
            seen[row] = node;
            is_guess[row] = false;
        } else if (!block->nodes[row].may_repeat) {
            refuse_second(r, node, seen[row]);
        }
        read_node(r, &block->nodes[row], node);
    }
    if (block->check)
        block->check(r, owner, seen);
}
