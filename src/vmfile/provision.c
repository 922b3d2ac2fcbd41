/* provision "shell" and provision "file". */
#include "vmfile/internal.h"

#include <string.h>

/* --- nodes --- */

static void take_inline(struct reader *r, const struct kdl_node *node, const struct arg *arg)
{
    (void)node;
    if (!arg)
        return;
    if (arg->text[strspn(arg->text, " \t\r\n")] == '\0') {
        vmfile_complain(r, arg->span, "no command in it",
            "Write the command to run: `inline \"sudo apt-get update\"`.", "inline is empty");
        return;
    }
    r->step.command = arg->text;
}

/* script, source: a file on this side. */
static void take_source(struct reader *r, const struct kdl_node *node, const struct arg *arg)
{
    if (!arg)
        return;
    r->step.source = arg->text;
    vmfile_check_path(r, node, arg, vmfile_check_file);
}

static void take_destination(struct reader *r, const struct kdl_node *node, const struct arg *arg)
{
    (void)node;
    if (!arg)
        return;
    const size_t n = strlen(arg->text);
    r->step.destination = arg->text;
    if (*arg->text != '/')
        vmfile_complain(r, arg->span, "not an absolute path",
            "Begin it with /, also for a home folder: `destination \"/home/USER/file\"`.",
            "destination \"%s\" is not an absolute path in the guest",
            vmfile_shown(r, str_view(arg->text)));
    else if (arg->text[n - 1] == '/')
        vmfile_complain(r, arg->span, "a folder", "Add the name the file is to have there.",
            "destination \"%s\" names a folder", vmfile_shown(r, str_view(arg->text)));
}

/* --- blocks --- */

static void push_step(struct reader *r)
{
    vec_push(&r->steps, r->step);
}

enum { SHELL_INLINE, SHELL_SCRIPT, SHELL_COUNT_ };

static void check_shell(
    struct reader *r, const struct kdl_node *owner, const struct kdl_node *const *seen)
{
    const struct kdl_node *inline_node = seen[SHELL_INLINE], *script = seen[SHELL_SCRIPT];
    if (inline_node && script) {
        vmfile_exclude(r, inline_node, script,
            "Keep one of them, or write two provision blocks: they run in their order.",
            "provision \"shell\" has both inline and script");
    } else if (!inline_node && !script) {
        vmfile_complain(r, kdl_node_name_span(owner), "nothing to run",
            "Add `inline \"COMMAND\"` or `script \"FILE\"` in its block.",
            "provision \"shell\" has neither inline nor script");
    }
    if (script)
        r->step.kind = VMM_PROVISION_SHELL_SCRIPT;
    push_step(r);
}

enum { FILE_SOURCE, FILE_DESTINATION, FILE_COUNT_ };

static void check_file(
    struct reader *r, const struct kdl_node *owner, const struct kdl_node *const *seen)
{
    const bool has_source = seen[FILE_SOURCE], has_destination = seen[FILE_DESTINATION];
    if (!has_source || !has_destination) {
        const char *what = has_source        ? "destination"
                           : has_destination ? "source"
                                             : "source and destination";
        vmfile_complain(r, kdl_node_name_span(owner), vmfile_text(r, "%s missing", what),
            has_source ? "Add `destination \"/PATH/IN/GUEST\"` in its block."
            : has_destination
                ? "Add `source \"FILE\"` in its block."
                : "Add `source \"FILE\"` and `destination \"/PATH/IN/GUEST\"` in its block.",
            "provision \"file\" has no %s", what);
    }
    push_step(r);
}

/* --- tables --- */

static const struct node_rule shell_nodes[] = {
    [SHELL_INLINE] = {"inline", "inline \"sudo apt-get update\"", ARG_SCRIPT, .take = take_inline},
    [SHELL_SCRIPT] = {"script", "script \"scripts/setup.sh\"", ARG_TEXT, .take = take_source},
};
static const struct synonym shell_synonyms[] = {
    {"command", "inline"},
    {"cmd", "inline"},
    {"run", "inline"},
    {"path", "script"},
    {"file", "script"},
    {0},
};
static const struct block_rule shell_block = {
    "provision \"shell\"", shell_nodes, SHELL_COUNT_, shell_synonyms, check_shell};

static const struct node_rule file_nodes[] = {
    [FILE_SOURCE] = {"source", "source \"config/app.conf\"", ARG_TEXT, .take = take_source},
    [FILE_DESTINATION] = {"destination", "destination \"/etc/app.conf\"", ARG_TEXT,
        .take = take_destination},
};
static const struct synonym file_synonyms[] = {
    {"src", "source"},
    {"from", "source"},
    {"dest", "destination"},
    {"dst", "destination"},
    {"target", "destination"},
    {"to", "destination"},
    {0},
};
static const struct block_rule file_block = {
    "provision \"file\"", file_nodes, FILE_COUNT_, file_synonyms, check_file};

const struct word_rule vmfile_provision_words[] = {
    {"shell", VMM_PROVISION_SHELL_INLINE, &shell_block},
    {"file", VMM_PROVISION_FILE, &file_block},
    {0},
};

void vmfile_take_provision(struct reader *r, const struct kdl_node *node, const struct arg *arg)
{
    (void)node;
    r->step = (struct vmm_provision_def){.kind = arg ? (enum vmm_provision_kind)arg->word : 0};
}
