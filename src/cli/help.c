#include "cli/help.h"
#include "cli/internal.h"
#include "cli/text.h"

#include <stdio.h>

enum { WIDTH_DEFAULT = 80, WIDTH_MAX = 100, NAME_COLUMNS_MAX = 28, GAP = 2 };

/* What is being written, and how. */
struct page {
    struct buf *out;
    bool has_colour;
    unsigned width;
};

static void add_heading(const struct page *p, const char *text)
{
    buf_addc(p->out, '\n');
    paint_begin(p->out, p->has_colour, PAINT_BOLD);
    buf_addf(p->out, "%s:", text);
    paint_end(p->out, p->has_colour);
    buf_addc(p->out, '\n');
}

/* `  NAME   text`, the text wrapped and aligned to `column`; a long name gets a line of its own. */
static void add_entry(const struct page *p, const char *name, const char *text, size_t column)
{
    buf_adds(p->out, "  ");
    buf_adds(p->out, name);
    size_t at = 2 + text_width(str_view(name));
    if (at + GAP > column) {
        buf_addc(p->out, '\n');
        at = 0;
    }
    text_add_spaces(p->out, column - at);
    text_add_wrapped(p->out, text, column, p->width);
    buf_addc(p->out, '\n');
}

static size_t column_for(size_t widest)
{
    return 2 + (widest < NAME_COLUMNS_MAX ? widest : NAME_COLUMNS_MAX) + GAP;
}

static size_t larger(size_t a, size_t b)
{
    return a > b ? a : b;
}

/* `-n, --tail N`, or `    --file PATH` so that the names stand in one column. */
static void add_option_name(struct buf *out, const struct cli_option *o)
{
    if (o->letter)
        buf_addf(out, "-%c, --%s", o->letter, o->name);
    else
        buf_addf(out, "    --%s", o->name);
    if (o->kind != CLI_FLAG)
        buf_addf(out, " %s", o->placeholder ? o->placeholder : "VALUE");
}

static size_t widest_option(const struct cli_option *table)
{
    size_t widest = 0;
    cleanup_buf struct buf name = {0};
    for (; table && table->name; table++) {
        buf_clear(&name);
        add_option_name(&name, table);
        if (!table->is_hidden)
            widest = larger(widest, name.n);
    }
    return widest;
}

static void add_option_text(struct buf *out, const struct cli_option *o)
{
    buf_adds(out, o->help);
    if (o->choices) {
        for (const char *const *choice = o->choices; *choice; choice++)
            buf_addf(out, "%s%s", choice == o->choices ? ": " : ", ", *choice);
    }
    if (o->is_required)
        buf_adds(out, " (required)");
    if (o->fallback)
        buf_addf(out, " (default: %s)", o->fallback);
    if (o->is_repeatable && o->kind != CLI_FLAG)
        buf_adds(out, "; may be repeated");
}

static void add_option_entries(const struct page *p, const struct cli_option *table, size_t column)
{
    cleanup_buf struct buf name = {0};
    cleanup_buf struct buf text = {0};
    for (; table && table->name; table++) {
        if (table->is_hidden)
            continue;
        buf_clear(&name);
        buf_clear(&text);
        add_option_name(&name, table);
        add_option_text(&text, table);
        add_entry(p, buf_cstr(&name), buf_cstr(&text), column);
    }
}

static void add_options(
    const struct page *p, const struct cli_tool *tool, const struct cli_command *command)
{
    const struct cli_option *own = command ? command->options : NULL;
    const size_t widest = larger(widest_option(own),
        larger(widest_option(tool->options), widest_option(cli_builtin_options)));
    const size_t column = column_for(widest);
    add_heading(p, "Options");
    add_option_entries(p, own, column);
    add_option_entries(p, tool->options, column);
    /* A command has no version of its own, though it understands the question. */
    const struct cli_option only_help[] = {cli_builtin_options[0], {0}};
    add_option_entries(p, command ? only_help : cli_builtin_options, column);
}

static void add_arguments(const struct page *p, const struct cli_argument *table)
{
    if (!table || !table->placeholder)
        return;
    size_t widest = 0;
    for (const struct cli_argument *a = table; a->placeholder; a++)
        widest = larger(widest, strlen(a->placeholder));
    add_heading(p, "Arguments");
    for (const struct cli_argument *a = table; a->placeholder; a++)
        add_entry(p, a->placeholder, a->help, column_for(widest));
}

static void add_commands(
    const struct page *p, const struct cli_command *const *commands, const char *first_heading)
{
    size_t widest = 0;
    for (const struct cli_command *const *c = commands; *c; c++) {
        if (!(*c)->is_hidden)
            widest = larger(widest, strlen((*c)->name));
    }
    const char *heading = NULL;
    for (const struct cli_command *const *c = commands; *c; c++) {
        if ((*c)->is_hidden)
            continue;
        const char *group = (*c)->group ? (*c)->group : first_heading;
        if (!heading || strcmp(heading, group) != 0)
            add_heading(p, group);
        heading = group;
        add_entry(p, (*c)->name, (*c)->summary, column_for(widest));
    }
}

static void add_examples(const struct page *p, const struct cli_example *examples)
{
    if (!examples || !examples->command)
        return;
    add_heading(p, "Examples");
    for (; examples->command; examples++) {
        if (examples->what) {
            buf_adds(p->out, "  ");
            paint_begin(p->out, p->has_colour, PAINT_DIM);
            buf_addf(p->out, "# %s", examples->what);
            paint_end(p->out, p->has_colour);
            buf_addc(p->out, '\n');
        }
        buf_addf(p->out, "  %s\n", examples->command);
    }
}

static void add_paragraphs(const struct page *p, const char *text)
{
    while (text && *text) {
        const char *end = strstr(text, "\n\n");
        cleanup_buf struct buf paragraph = {0};
        buf_add(&paragraph, text, end ? (size_t)(end - text) : strlen(text));
        buf_addc(p->out, '\n');
        text_add_wrapped(p->out, buf_cstr(&paragraph), 0, p->width);
        buf_addc(p->out, '\n');
        text = end ? end + 2 : NULL;
    }
}

static void add_usage_argument(struct buf *out, const struct cli_argument *a)
{
    static const char *const formats[] = {
        [CLI_REQUIRED] = " %s",
        [CLI_OPTIONAL] = " [%s]",
        [CLI_MANY] = " [%s...]",
        [CLI_SOME] = " %s...",
        [CLI_COMMAND] = " [[--] %s...]",
    };
    const char *format = formats[a->presence];
    const char *at = strstr(format, "%s");
    buf_add(out, format, (size_t)(at - format));
    buf_adds(out, a->placeholder);
    buf_adds(out, at + 2);
}

static void add_usage(const struct page *p,
    const struct cli_tool *tool,
    const struct cli_command *const *path,
    unsigned depth)
{
    const struct cli_command *command = depth ? path[depth - 1] : NULL;
    buf_addc(p->out, '\n');
    paint_adds(p->out, p->has_colour, PAINT_BOLD, "Usage:");
    buf_addf(p->out, " %s", tool->name);
    for (unsigned i = 0; i < depth; i++)
        buf_addf(p->out, " %s", path[i]->name);
    if (!command || command->subcommands) {
        buf_adds(p->out, " COMMAND [OPTIONS] [ARGUMENTS]\n");
        return;
    }
    bool has_others = tool->options && tool->options->name;
    for (const struct cli_option *o = command->options; o && o->name; o++) {
        if (o->is_required)
            buf_addf(p->out, " --%s %s", o->name, o->placeholder ? o->placeholder : "VALUE");
        has_others |= !o->is_required && !o->is_hidden;
    }
    buf_adds(p->out, has_others ? " [OPTIONS]" : "");
    for (const struct cli_argument *a = command->arguments; a && a->placeholder; a++)
        add_usage_argument(p->out, a);
    buf_addc(p->out, '\n');
}

static struct page page_make(struct buf *out, const struct help_style *style)
{
    const unsigned width = style->width ? style->width : WIDTH_DEFAULT;
    return (struct page){
        .out = out,
        .has_colour = style->has_colour,
        .width = width < WIDTH_MAX ? width : WIDTH_MAX,
    };
}

static void add_footer(const struct page *p, const struct cli_tool *tool)
{
    cleanup_buf struct buf text = {0};
    buf_addf(&text, "Run `%s COMMAND --help` for a command", tool->name);
    if (tool->environment || tool->exit_codes)
        buf_addf(&text, ", `%s help environment` for variables and exit codes", tool->name);
    buf_addc(&text, '.');
    add_paragraphs(p, buf_cstr(&text));
}

void help_render(struct buf *out,
    const struct cli_tool *tool,
    const struct cli_command *const *path,
    unsigned depth,
    const struct help_style *style)
{
    const struct page p = page_make(out, style);
    const struct cli_command *command = depth ? path[depth - 1] : NULL;
    text_add_wrapped(out, command ? command->summary : tool->summary, 0, p.width);
    buf_addc(out, '\n');
    add_usage(&p, tool, path, depth);
    if (command && command->alias)
        buf_addf(out, "Also: %s %s\n", tool->name, command->alias);
    if (command)
        add_paragraphs(&p, command->details);
    const struct cli_command *const *commands = command ? command->subcommands : tool->commands;
    if (commands)
        add_commands(&p, commands, "Commands");
    if (command)
        add_arguments(&p, command->arguments);
    add_options(&p, tool, command);
    add_examples(&p, command ? command->examples : tool->examples);
    if (!command)
        add_footer(&p, tool);
}

static void add_notes(const struct page *p, const char *heading, const struct cli_note *notes)
{
    if (!notes || !notes->name)
        return;
    size_t widest = 0;
    for (const struct cli_note *n = notes; n->name; n++)
        widest = larger(widest, strlen(n->name));
    add_heading(p, heading);
    for (const struct cli_note *n = notes; n->name; n++)
        add_entry(p, n->name, n->help, column_for(widest));
}

void help_render_environment(
    struct buf *out, const struct cli_tool *tool, const struct help_style *style)
{
    const struct page p = page_make(out, style);
    buf_addf(out, "What %s reads from its environment, and what it exits with\n", tool->name);
    add_notes(&p, "Environment", tool->environment);
    add_notes(&p, "Exit codes", tool->exit_codes);
}
