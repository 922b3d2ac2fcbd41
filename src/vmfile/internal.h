/* The room's own. A KDL tree is read against tables (vm.c, provision.c): one row for each node a
 * block may hold, with what argument it takes and who keeps it. What holds for every row alike -
 * unknown names and guesses at what was meant, duplicates, missing, surplus and mistyped arguments,
 * ranges, properties, types, blocks where none belong - is done by read.c once. What is particular
 * to a node stands in its `take`, what is particular to several nodes of a block in its `check`.
 *
 * A mistake never stops the reading. Fields of definitions made from a file with mistakes may hold
 * anything; nobody sees them, as the file is then refused. */
#pragma once

#include "base/arena.h"
#include "base/error.h"
#include "base/source.h"
#include "base/str.h"
#include "base/vec.h"
#include "kdl/kdl.h"
#include "vmm/vmfile.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    VMFILE_VMS_MAX = 1024,  /* names are compared each with each */
    VMFILE_VCPUS_MAX = 288, /* of QEMU's q35 */
    VMFILE_MEMORY_MAX_MIB = 16 << 20,
    VMFILE_DISK_MAX_GIB = 2048,      /* as IMAGE_VIRTUAL_MAX_BYTES */
    VMFILE_LINK_NAME_MAX_BYTES = 15, /* Linux: IFNAMSIZ with its NUL */
    VMFILE_KEY_MAX_BYTES = 64 << 10,
    VMFILE_USER_DATA_MAX_BYTES = 1 << 20,
};

/* --- report.c: findings, in the order of the text --- */

struct finding {
    struct span span;
    int sys;
    char *message;
    char *label;
    char *help;
};

/* Zeroed is empty. Keeps the FINDINGS_MAX that come first in the text, whatever the order in which
 * they are found. */
struct report {
    struct finding kept[FINDINGS_MAX];
    unsigned n;
};

/* False when a finding there would not be kept: spares making its words. */
bool report_wants(const struct report *report, struct span span);
/* The strings are copied; label and help may be NULL. */
void report_add(struct report *report, const struct finding *finding);
/* 0 when there was nothing; otherwise hands all of it to *errp. The report is empty afterwards. */
int report_finish(struct report *report, struct source *source, struct vmm_error **errp);

/* --- what is being made --- */

struct vm_entry {
    struct vmm_vmdef def; /* first: a pointer to it is one to the whole */
    /* Values that vmm_vmfile_resolve may still have to point at. */
    struct span name_at;
    struct span image_at;
    struct span ssh_key_at;
    struct span user_data_at;
};

struct vmm_vmfile {
    struct source *source;
    char *path;
    char *base_dir;
    struct arena arena; /* all that the definitions hold */
    VEC(struct vm_entry *) vms;
};

struct reader {
    struct vmm_vmfile *file;
    struct report report;
    struct arena scratch;          /* words of the next complaint; emptied by it */
    bool checks_files;             /* whether files that are named are there and fit */
    struct vm_entry *vm;           /* whose block is being read */
    struct vmm_provision_def step; /* whose block is being read */
    VEC(struct vmm_provision_def) steps;
};

/* --- the tables --- */

enum arg_kind {
    ARG_NONE,
    ARG_TEXT,   /* one line */
    ARG_SCRIPT, /* text of any number of lines */
    ARG_WORD,   /* one of a few */
    ARG_INTEGER,
};

/* A node's argument, checked. */
struct arg {
    struct span span;
    const char *text; /* TEXT, SCRIPT: lives as long as the file */
    int64_t integer;
    int word; /* value of the row */
};

struct block_rule;

struct word_rule {
    const char *word; /* NULL ends a list */
    int value;
    const struct block_rule *block; /* of a node with this word; NULL: it takes none */
};

struct node_rule {
    const char *name;
    const char *example; /* the node as one would write it */
    enum arg_kind arg;
    bool may_repeat;
    int64_t min, max;               /* INTEGER */
    unsigned unit_shift;            /* INTEGER: log2 of the bytes counted; 0: none */
    const char *hint;               /* INTEGER: a sentence about the number */
    const struct word_rule *words;  /* WORD */
    const struct block_rule *block; /* NULL: it takes none, or `words` say which */
    /* Runs before the node's block is read. `arg` is NULL for ARG_NONE, and when what was written
     * has been refused. May be NULL. */
    void (*take)(struct reader *r, const struct kdl_node *node, const struct arg *arg);
};

/* What people write who have another tool's words in their fingers. */
struct synonym {
    const char *word;  /* NULL ends a list */
    const char *meant; /* a row of the same block; NULL: none, then `help` says what to do */
    const char *help;
};

enum { BLOCK_NODES_MAX = 16 };

struct block_rule {
    const char *title; /* `cloud-init`, `network "tap"`: for messages */
    const struct node_rule *nodes;
    unsigned n;                     /* at most BLOCK_NODES_MAX */
    const struct synonym *synonyms; /* may be NULL */
    /* Runs when the block has been read, also when none was written. `seen` has the first node of
     * each row, NULL where there was none; a node whose name was mistyped counts as what was
     * probably meant, so that it is not called missing too. May be NULL. */
    void (*check)(
        struct reader *r, const struct kdl_node *owner, const struct kdl_node *const *seen);
};

/* The whole file. Every other block is reached from it: this is the list of all known names, also
 * for documents and completion. */
extern const struct block_rule vmfile_top_block;

/* --- provision.c --- */

extern const struct word_rule vmfile_provision_words[];
void vmfile_take_provision(struct reader *r, const struct kdl_node *node, const struct arg *arg);

/* --- read.c --- */

/* The nodes from `first` on; `owner` is NULL for the whole file. */
void vmfile_read_block(struct reader *r,
    const struct block_rule *block,
    const struct kdl_node *owner,
    const struct kdl_node *first);

/* A mistake. Every string made with vmfile_text and vmfile_shown ends here. */
void vmfile_complain(
    struct reader *r, struct span at, const char *label, const char *help, const char *fmt, ...)
    __attribute__((format(printf, 5, 6)));
/* The same, in the words of an error that has no place. Takes it. */
void vmfile_complain_of(struct reader *r, struct span at, struct vmm_error *error);
const char *vmfile_text(struct reader *r, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));
/* Words of the file fit for a message: one line, sanitized, not too long. */
const char *vmfile_shown(struct reader *r, struct str words);
/* "image is given on line 4" */
const char *vmfile_given_on_line(struct reader *r, const struct kdl_node *node);

/* Complains at the second of two nodes that exclude each other. */
void vmfile_exclude(struct reader *r,
    const struct kdl_node *a,
    const struct kdl_node *b,
    const char *help,
    const char *message);

/* --- arg.c --- */

/* Whether there is exactly one argument, and as the row wants it; complains. `ret_word` is set for
 * ARG_WORD. */
bool vmfile_read_arg(struct reader *r,
    const struct node_rule *rule,
    const struct kdl_node *node,
    struct arg *ret,
    const struct word_rule **ret_word);
/* Complains about the path of a file: about how it is written and, if files are to be checked,
 * about what `check` finds wrong with the file. */
void vmfile_check_path(struct reader *r,
    const struct kdl_node *node,
    const struct arg *arg,
    int (*check)(const char *what, const char *path, struct vmm_error **errp));
/* NULL is fine. */
void vmfile_refuse_type(struct reader *r, const struct kdl_type *type);
struct str vmfile_source_words(const struct reader *r, struct span at);
/* "Write for example `vcpus 2`." */
const char *vmfile_for_example(struct reader *r, const struct node_rule *rule);

/* --- paths.c, url.c, files.c: no KDL here --- */

/* What is wrong with a path as written, apart from there being nothing: a label, or NULL. */
const char *vmfile_path_fault(const char *path);

/* What is wrong with an image's URL: a label with *ret_help (static), or NULL. */
const char *vmfile_url_fault(const char *url, const char **ret_help);
/* It has a scheme that images may have. */
bool vmfile_is_url(const char *text);

/* Each of these is about a file with an absolute path and calls it `what`; errors are
 * VMM_E_VMFILE_INVALID with label and help, without a place. */
int vmfile_check_file(const char *what, const char *path, struct vmm_error **errp);
/* A line of OpenSSH's format without its newline. The caller owns it. */
int vmfile_read_public_key(
    const char *what, const char *path, char **ret_line, struct vmm_error **errp);
int vmfile_check_private_key(const char *what, const char *path, struct vmm_error **errp);
int vmfile_read_user_data(
    const char *what, const char *path, struct buf *out, struct vmm_error **errp);

/* --- discover.c --- */

/* An fd, or a negative code. */
int vmfile_open(const char *path, struct vmm_error **errp);

/* --- vmfile.c --- */

/* From text in memory; relative paths start at `base_dir`. The caller owns the result. */
int vmfile_parse_source(struct source *source,
    const char *base_dir,
    bool checks_files,
    struct vmm_vmfile **ret_file,
    struct vmm_error **errp);
