/* SYNOPSIS and OPTIONS for man pages, from the same tables as the help. */
#include "cli/help.h"
#include "cli/internal.h"

/* scdoc gives meaning to these anywhere, and to more at the start of a line; a backslash is always
 * allowed. */
static void add_escaped(struct buf *out, const char *s)
{
    bool is_start = true;
    for (; *s; s++) {
        if (strchr("\\_*+`~", *s) || (is_start && strchr("#-|[]:.'!<>", *s)))
            buf_addc(out, '\\');
        buf_addc(out, *s);
        is_start = *s == '\n';
    }
}

static void add_marked(struct buf *out, char mark, const char *s)
{
    buf_addc(out, mark);
    add_escaped(out, s);
    buf_addc(out, mark);
}

static void add_value(struct buf *out, const struct cli_option *o)
{
    if (o->kind == CLI_FLAG)
        return;
    buf_addc(out, ' ');
    add_marked(out, '_', o->placeholder ? o->placeholder : "VALUE");
}

static void add_synopsis_option(struct buf *out, const struct cli_option *o)
{
    buf_adds(out, o->is_required ? " *" : " [*");
    if (o->letter)
        buf_addf(out, "-%c*|*", o->letter);
    buf_adds(out, "--");
    add_escaped(out, o->name);
    buf_addc(out, '*');
    add_value(out, o);
    buf_adds(out, o->is_required ? "" : "]");
    buf_adds(out, o->is_repeatable ? "..." : "");
}

static void add_synopsis_argument(struct buf *out, const struct cli_argument *a)
{
    const bool is_needed = a->presence == CLI_REQUIRED || a->presence == CLI_SOME;
    buf_adds(out, is_needed ? " " : a->presence == CLI_COMMAND ? " [[*--*] " : " [");
    add_marked(out, '_', a->placeholder);
    buf_adds(out, a->presence >= CLI_MANY ? "..." : "");
    buf_adds(out, is_needed ? "" : "]");
}

static void add_option_entry(struct buf *out, const struct cli_option *o)
{
    if (o->letter)
        buf_addf(out, "*-%c*, ", o->letter);
    buf_adds(out, "*--");
    add_escaped(out, o->name);
    buf_addc(out, '*');
    add_value(out, o);
    buf_adds(out, "\n\t");
    add_escaped(out, o->help);
    buf_addc(out, '.');
    for (const char *const *choice = o->choices; choice && *choice; choice++) {
        buf_adds(out, choice == o->choices ? " One of " : ", ");
        add_marked(out, '*', *choice);
    }
    buf_adds(out, o->choices ? "." : "");
    if (o->fallback) {
        buf_adds(out, " Default: ");
        add_escaped(out, o->fallback);
        buf_addc(out, '.');
    }
    buf_adds(out, o->is_repeatable ? " May be repeated.\n\n" : "\n\n");
}

static void add_option_entries(struct buf *out, const struct cli_option *table)
{
    for (; table && table->name; table++) {
        if (!table->is_hidden)
            add_option_entry(out, table);
    }
}

void help_render_scdoc(struct buf *out,
    const struct cli_tool *tool,
    const struct cli_command *const *path,
    unsigned depth)
{
    const struct cli_command *command = depth ? path[depth - 1] : NULL;
    buf_adds(out, "# SYNOPSIS\n\n*");
    add_escaped(out, tool->name);
    for (unsigned i = 0; i < depth; i++)
        buf_addf(out, " %s", path[i]->name);
    buf_addc(out, '*');
    const struct cli_option *own = command ? command->options : NULL;
    for (const struct cli_option *o = own; o && o->name; o++) {
        if (!o->is_hidden)
            add_synopsis_option(out, o);
    }
    if (!command || command->subcommands)
        buf_adds(out, " _COMMAND_ [_OPTIONS_] [_ARGUMENTS_]");
    for (const struct cli_argument *a = command ? command->arguments : NULL; a && a->placeholder;
         a++)
        add_synopsis_argument(out, a);
    buf_adds(out, "\n\n# OPTIONS\n\n");
    add_option_entries(out, own);
    add_option_entries(out, command ? NULL : tool->options);
    add_option_entries(out, command ? NULL : cli_builtin_options);
    if (command && (!own || !own->name))
        out->n -= sizeof("# OPTIONS\n\n") - 1;
    out->p[out->n] = '\0';
}
