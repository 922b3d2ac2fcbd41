/* KDL 2 (https://kdl.dev): text -> tree with places -> text. No node means anything here.
 *
 * A document owns one arena with all of its tree and holds its source: every string of the tree is
 * a view into one of the two and lives until `kdl_doc_free`. Strings are valid UTF-8, not
 * NUL-terminated, and may hold a NUL that was written as an escape. A tree never changes after the
 * parse and may be read from any thread.
 *
 * The tree is compact on purpose (a large document costs a few times its text): places are kept in
 * 32 bits and given back by the *_span functions below. */
#pragma once

#include "base/arena.h"
#include "base/buf.h"
#include "base/source.h"
#include "base/str.h"

#include <stdbool.h>
#include <stdint.h>

struct vmm_error;

/* What a document may cost. Past any of these it is refused, naming the limit. */
enum {
    KDL_TEXT_MAX_BYTES = 4 << 20,
    KDL_DEPTH_MAX = 128,     /* blocks inside blocks; the parser and the printer recurse */
    KDL_ITEMS_MAX = 1000000, /* nodes, arguments and properties together */
    KDL_STRING_MAX_BYTES = 1 << 20,
    KDL_IDENTIFIER_MAX_BYTES = 4 << 10,
    KDL_NUMBER_MAX_BYTES = 4 << 10,
    KDL_RADIX_MAX_BYTES = 1 << 10, /* 0x, 0o, 0b: turning n digits to decimal takes n * n steps */
};

enum kdl_kind {
    KDL_KIND_STRING,
    KDL_KIND_INTEGER,     /* fits int64_t */
    KDL_KIND_BIG_INTEGER, /* does not: only text */
    KDL_KIND_FLOAT,       /* had a point or an exponent, or is #inf, #-inf, #nan */
    KDL_KIND_BOOL,
    KDL_KIND_NULL,
};

/* (name) before a value or a node name. */
struct kdl_type {
    struct str name;
    struct span span; /* with the parentheses */
};

struct kdl_value {
    const struct kdl_type *type; /* NULL: none was written */
    uint32_t offset;
    uint32_t length : 24;
    enum kdl_kind kind : 8;
    union {
        struct str string;
        int64_t integer;
        const char *big_integer; /* decimal digits, perhaps a '-' before them */
        struct {
            const char *text; /* canonical and exact: "1.50E-10", "#inf" */
            double value;     /* the nearest */
        } number;             /* KDL_KIND_FLOAT */
        bool boolean;
    } as;
};

struct kdl_prop {
    struct str name;
    uint32_t name_offset;
    uint32_t name_length;
    struct kdl_value value;
};

struct kdl_node {
    struct str name;
    const struct kdl_type *type; /* NULL: none was written */
    const struct kdl_value *args;
    const struct kdl_prop *props;    /* all, as written: see kdl_node_prop */
    const struct kdl_node *children; /* the first; NULL: none */
    const struct kdl_node *next;     /* the next on the same level */
    uint32_t n_args;
    uint32_t n_props : 31;
    uint32_t has_children : 1; /* a block was written, if only an empty one */
    uint32_t name_offset;
    uint32_t name_length;
    uint32_t offset;
    uint32_t length;
};

struct kdl_doc {
    struct source *source;
    const struct kdl_node *nodes; /* the first; NULL: none */
    struct arena arena;
};

/* Reads a whole document; takes a reference on src. All mistakes are found in one pass and come as
 * one chain (vmm_error_next), at most FINDINGS_MAX, each VMM_E_KDL with place, label and mostly
 * help. A document of KDL 1 is refused with what to write instead. */
int kdl_parse(struct source *src, struct kdl_doc **ret_doc, struct vmm_error **errp);
/* NULL is fine. */
void kdl_doc_free(struct kdl_doc *doc);

/* The property of that name, the rightmost if there are several; NULL: none. */
const struct kdl_prop *kdl_node_prop(const struct kdl_node *node, const char *name);

/* Appends the canonical form of the official test suite: comments gone, four spaces a level,
 * properties sorted and the last of each name kept, numbers in decimal with nothing lost. */
void kdl_print(const struct kdl_doc *doc, struct buf *out);
/* One node with its children, as it stands `depth` levels deep. */
void kdl_print_node(const struct kdl_node *node, unsigned depth, struct buf *out);

/* From the type or name to the end of the last entry or block. */
static inline struct span kdl_node_span(const struct kdl_node *n)
{
    return (struct span){.offset = n->offset, .n = n->length};
}

static inline struct span kdl_node_name_span(const struct kdl_node *n)
{
    return (struct span){.offset = n->name_offset, .n = n->name_length};
}

static inline struct span kdl_prop_name_span(const struct kdl_prop *p)
{
    return (struct span){.offset = p->name_offset, .n = p->name_length};
}

/* Without the type. */
static inline struct span kdl_value_span(const struct kdl_value *v)
{
    return (struct span){.offset = v->offset, .n = v->length};
}

static inline void kdl_doc_free_handler(struct kdl_doc **doc)
{
    kdl_doc_free(*doc);
}
#define cleanup_kdl_doc __attribute__((__cleanup__(kdl_doc_free_handler)))
