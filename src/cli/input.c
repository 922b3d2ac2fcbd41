/* Looking up what a parsed command line holds. */
#include "cli/internal.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

const struct cli_option cli_builtin_options[] = {
    {.name = "help", .letter = 'h', .help = "Show this help"},
    {.name = "version", .help = "Show the version"},
    {0},
};

static const struct cli_option *find_in(const struct cli_option *table, struct str name)
{
    for (; table && table->name; table++) {
        if (str_is(name, table->name))
            return table;
    }
    return NULL;
}

static const struct cli_option *find_letter_in(const struct cli_option *table, char letter)
{
    for (; table && table->name; table++) {
        if (table->letter == letter)
            return table;
    }
    return NULL;
}

const struct cli_command *cli_command(const struct cli_input *in)
{
    return in->depth ? in->path[in->depth - 1] : NULL;
}

const struct cli_tool *cli_tool(const struct cli_input *in)
{
    return in->tool;
}

const struct cli_option *cli_find_option(const struct cli_input *in, struct str name)
{
    const struct cli_option *o = in->depth ? find_in(cli_command(in)->options, name) : NULL;
    if (!o)
        o = find_in(in->tool->options, name);
    return o ? o : find_in(cli_builtin_options, name);
}

const struct cli_option *cli_find_letter(const struct cli_input *in, char letter)
{
    const struct cli_option *o =
        in->depth ? find_letter_in(cli_command(in)->options, letter) : NULL;
    if (!o)
        o = find_letter_in(in->tool->options, letter);
    return o ? o : find_letter_in(cli_builtin_options, letter);
}

const struct cli_command *cli_find_command(
    const struct cli_command *const *commands, struct str name)
{
    for (; commands && *commands; commands++) {
        if (str_is(name, (*commands)->name) ||
            ((*commands)->alias && str_is(name, (*commands)->alias)))
            return *commands;
    }
    return NULL;
}

const struct cli_command *const *cli_commands_here(const struct cli_input *in)
{
    return in->depth ? cli_command(in)->subcommands : in->tool->commands;
}

const struct cli_argument *cli_rest_argument(const struct cli_command *command, size_t *ret_n_fixed)
{
    size_t n = 0;
    const struct cli_argument *a = command->arguments;
    for (; a && a->placeholder; a++, n++) {
        if (a->presence >= CLI_MANY)
            break;
    }
    *ret_n_fixed = n;
    return a && a->placeholder ? a : NULL;
}

/* A name that is in no table would quietly mean "not given"; the first test run finds it instead.
 */
static const struct cli_option *known_option(const struct cli_input *in, const char *name)
{
    const struct cli_option *o = cli_find_option(in, str_view(name));
    if (!o) {
        fprintf(stderr, "the command has no option \"%s\" in its table\n", name);
        abort();
    }
    return o;
}

static const struct cli_giving *last_giving(
    const struct cli_input *in, const struct cli_option *option)
{
    for (size_t i = in->givings.n; i > 0; i--) {
        if (in->givings.v[i - 1].option == option)
            return &in->givings.v[i - 1];
    }
    return NULL;
}

bool cli_given(const struct cli_input *in, const char *option)
{
    return last_giving(in, known_option(in, option)) != NULL;
}

bool cli_flag(const struct cli_input *in, const char *option)
{
    return cli_given(in, option);
}

unsigned cli_count(const struct cli_input *in, const char *option)
{
    const struct cli_option *o = known_option(in, option);
    unsigned count = 0;
    for (size_t i = 0; i < in->givings.n; i++)
        count += in->givings.v[i].option == o;
    return count;
}

const char *cli_string(const struct cli_input *in, const char *option)
{
    const struct cli_option *o = known_option(in, option);
    const struct cli_giving *g = last_giving(in, o);
    return g ? g->value : o->fallback;
}

const char *cli_string_at(const struct cli_input *in, const char *option, size_t i)
{
    const struct cli_option *o = known_option(in, option);
    for (size_t k = 0; k < in->givings.n; k++) {
        if (in->givings.v[k].option == o && i-- == 0)
            return in->givings.v[k].value;
    }
    return NULL;
}

int64_t cli_integer(const struct cli_input *in, const char *option)
{
    const struct cli_option *o = known_option(in, option);
    const struct cli_giving *g = last_giving(in, o);
    if (g)
        return g->number;
    int64_t number = 0;
    if (o->fallback && cli_read_value(in, o, o->fallback, (struct cli_word){0}, &number, NULL) < 0)
        abort(); /* the table contradicts itself */
    return number;
}

const char *cli_argument(const struct cli_input *in, const char *placeholder)
{
    assert(in->depth > 0);
    const struct cli_argument *a = cli_command(in)->arguments;
    for (size_t i = 0; a && a[i].placeholder; i++) {
        if (strcmp(a[i].placeholder, placeholder) != 0)
            continue;
        if (a[i].presence >= CLI_MANY)
            return in->positionals.v[in->n_fixed]; /* the first of them, or the NULL at the end */
        return i < in->n_fixed ? in->positionals.v[i] : NULL;
    }
    fprintf(stderr, "the command has no argument \"%s\" in its table\n", placeholder);
    abort();
}

const char *const *cli_rest(const struct cli_input *in, size_t *ret_n)
{
    if (ret_n)
        *ret_n = in->positionals.n - 1 - in->n_fixed;
    return in->positionals.v + in->n_fixed;
}

void cli_input_done(struct cli_input *in)
{
    vec_done(&in->givings);
    vec_done(&in->positionals);
    vec_done(&in->positional_words);
}
