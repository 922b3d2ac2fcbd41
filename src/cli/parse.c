#include "base/error.h"
#include "cli/internal.h"

#include <stdio.h>

/* While walking. */
struct walk {
    struct cli_input *in;
    int at;             /* the word being read */
    bool options_ended; /* after `--` */
    bool is_command;    /* the words of a CLI_COMMAND have begun */
};

static void give(struct cli_input *in,
    const struct cli_option *o,
    const char *value,
    int64_t number,
    struct cli_word place)
{
    if (o == &cli_builtin_options[0])
        in->outcome = CLI_OUTCOME_HELP;
    else if (o == &cli_builtin_options[1] && in->outcome != CLI_OUTCOME_HELP)
        in->outcome = CLI_OUTCOME_VERSION;
    const struct cli_giving giving = {
        .option = o, .value = value, .number = number, .place = place};
    vec_push(&in->givings, giving);
}

static bool is_known_option_word(const struct cli_input *in, const char *word)
{
    if (word[0] != '-' || word[1] == '\0')
        return false;
    if (word[1] == '-')
        return word[2] == '\0' || cli_find_option(in, str_view(word + 2)) != NULL;
    return word[2] == '\0' && cli_find_letter(in, word[1]) != NULL;
}

/* The value that is the next word. One that is itself an option's name has been forgotten:
 * `--file --name web`. Who means it writes `--file=--name`. */
static int value_from_next_word(
    struct walk *w, const struct cli_option *o, struct cli_word place, struct vmm_error **errp)
{
    struct cli_input *in = w->in;
    if (w->at + 1 >= in->argc || is_known_option_word(in, in->argv[w->at + 1])) {
        char label[64];
        snprintf(
            label, sizeof(label), "%s is missing", o->placeholder ? o->placeholder : "the value");
        return cli_fail_at(errp, in, place, label, "option \"--%s\" needs a value", o->name);
    }
    const struct cli_word value = cli_whole_word(in, ++w->at);
    int64_t number = 0;
    const int r = cli_read_value(in, o, in->argv[w->at], value, &number, errp);
    if (r == 0)
        give(in, o, in->argv[w->at], number, value);
    return r;
}

static int value_in_word(struct cli_input *in,
    const struct cli_option *o,
    struct cli_word place,
    struct vmm_error **errp)
{
    const char *value = in->argv[place.word] + place.from;
    int64_t number = 0;
    const int r = cli_read_value(in, o, value, place, &number, errp);
    if (r == 0)
        give(in, o, value, number, place);
    return r;
}

static int read_long(struct walk *w, struct vmm_error **errp)
{
    struct cli_input *in = w->in;
    const char *word = in->argv[w->at];
    const struct str name = {.p = word + 2, .n = strcspn(word + 2, "=")};
    const struct cli_word named = {.word = w->at, .n = name.n + 2};
    const struct cli_option *o = cli_find_option(in, name);
    if (!o)
        return cli_fail_unknown_option(errp, in, named, name);
    if (name.p[name.n] == '\0') {
        if (o->kind != CLI_FLAG)
            return value_from_next_word(w, o, named, errp);
        give(in, o, NULL, 0, named);
        return 0;
    }
    const size_t from = name.n + 3;
    const struct cli_word value = {.word = w->at, .from = from, .n = strlen(word + from)};
    if (o->kind == CLI_FLAG)
        return cli_fail_at(errp, in, value, NULL, "option \"--%s\" takes no value", o->name);
    return value_in_word(in, o, value, errp);
}

static int read_letters(struct walk *w, struct vmm_error **errp)
{
    struct cli_input *in = w->in;
    const char *word = in->argv[w->at];
    const int index = w->at;
    for (size_t i = 1; word[i]; i++) {
        const struct cli_option *o = cli_find_letter(in, word[i]);
        struct cli_word place = {.word = index, .from = i, .n = 1};
        if (!o && i == 1) {
            /* Perhaps a long name with one dash: then the whole word is wrong. */
            place = cli_whole_word(in, index);
            return cli_fail_unknown_option(errp, in, place, str_view(word + 1));
        }
        if (!o)
            return cli_fail_unknown_option(errp, in, place, (struct str){0});
        if (o->kind == CLI_FLAG) {
            give(in, o, NULL, 0, place);
            continue;
        }
        if (word[i + 1] == '\0')
            return value_from_next_word(w, o, cli_whole_word(in, index), errp);
        place = (struct cli_word){.word = index, .from = i + 1, .n = strlen(word + i + 1)};
        return value_in_word(in, o, place, errp);
    }
    return 0;
}

static void add_positional(struct cli_input *in, int word)
{
    vec_push(&in->positionals, in->argv[word]);
    vec_push(&in->positional_words, word);
}

static int read_plain(struct walk *w, struct vmm_error **errp)
{
    struct cli_input *in = w->in;
    const struct cli_command *const *commands = cli_commands_here(in);
    if (commands) {
        const struct cli_command *c = cli_find_command(commands, str_view(in->argv[w->at]));
        if (!c || in->depth == CLI_DEPTH_MAX)
            return cli_fail_unknown_command(errp, in, cli_whole_word(in, w->at));
        in->path[in->depth++] = c;
        return 0;
    }
    size_t n_fixed;
    const struct cli_argument *rest = cli_rest_argument(cli_command(in), &n_fixed);
    if (!rest && in->positional_words.n >= n_fixed)
        return cli_fail_at(errp, in, cli_whole_word(in, w->at),
            n_fixed ? "one too many" : "no argument is taken here",
            "unexpected argument \"%.100s\"", in->argv[w->at]);
    if (rest && rest->presence == CLI_COMMAND && in->positional_words.n >= n_fixed)
        w->is_command = true;
    add_positional(in, w->at);
    return 0;
}

/* `--` before a command to pass on: even when an optional argument before it was left out. */
static void end_options(struct walk *w)
{
    w->options_ended = true;
    if (w->in->depth == 0)
        return;
    size_t n_fixed;
    const struct cli_argument *rest = cli_rest_argument(cli_command(w->in), &n_fixed);
    if (rest && rest->presence == CLI_COMMAND) {
        w->is_command = true;
        w->in->n_fixed = w->in->positional_words.n;
    }
}

static int read_word(struct walk *w, struct vmm_error **errp)
{
    const char *word = w->in->argv[w->at];
    if (w->is_command) {
        add_positional(w->in, w->at);
        return 0;
    }
    if (w->options_ended || word[0] != '-' || word[1] == '\0')
        return read_plain(w, errp);
    if (word[1] != '-')
        return read_letters(w, errp);
    if (word[2] != '\0')
        return read_long(w, errp);
    end_options(w);
    return 0;
}

static int check_arguments(struct cli_input *in, struct vmm_error **errp)
{
    const struct cli_argument *a = cli_command(in)->arguments;
    for (size_t i = 0; a && a[i].placeholder; i++) {
        const bool is_needed = a[i].presence == CLI_REQUIRED || a[i].presence == CLI_SOME;
        const bool is_rest = a[i].presence >= CLI_MANY;
        const size_t have = is_rest           ? in->positional_words.n - in->n_fixed
                            : i < in->n_fixed ? 1
                                              : 0;
        if (is_needed && have == 0)
            return cli_fail_at(errp, in, cli_whole_word(in, in->argc), a[i].help,
                "the argument %s is missing", a[i].placeholder);
    }
    return 0;
}

static int check_required_options(const struct cli_input *in, struct vmm_error **errp)
{
    for (const struct cli_option *o = cli_command(in)->options; o && o->name; o++) {
        if (o->is_required && !cli_given(in, o->name))
            return cli_fail_at(errp, in, cli_whole_word(in, in->argc), o->help,
                "the option --%s %s is missing", o->name,
                o->placeholder ? o->placeholder : "VALUE");
    }
    return 0;
}

/* `help`, `help COMMAND...` and `help environment`. The tool has no command of that name. */
static int read_help_command(struct cli_input *in, int at, struct vmm_error **errp)
{
    in->outcome = CLI_OUTCOME_HELP;
    if (at + 1 < in->argc && strcmp(in->argv[at + 1], "environment") == 0 &&
        !cli_find_command(in->tool->commands, STR("environment"))) {
        in->outcome = CLI_OUTCOME_ENVIRONMENT;
        return 0;
    }
    for (int i = at + 1; i < in->argc; i++) {
        const struct cli_command *const *here = cli_commands_here(in);
        const struct cli_command *c = cli_find_command(here, str_view(in->argv[i]));
        if (!here)
            return 0;
        if (!c || in->depth == CLI_DEPTH_MAX)
            return cli_fail_unknown_command(errp, in, cli_whole_word(in, i));
        in->path[in->depth++] = c;
    }
    return 0;
}

/* Whoever adds --help to a line that is wrong wants the help, not the error. */
static bool asks_for_help(const struct cli_input *in, int from)
{
    for (int i = from; i < in->argc && strcmp(in->argv[i], "--") != 0; i++) {
        if (strcmp(in->argv[i], "--help") == 0 || strcmp(in->argv[i], "-h") == 0)
            return true;
    }
    return false;
}

static int walk_words(struct cli_input *in, struct vmm_error **errp)
{
    struct walk w = {.in = in};
    for (w.at = 1; w.at < in->argc; w.at++) {
        if (in->depth == 0 && !w.options_ended && strcmp(in->argv[w.at], "help") == 0 &&
            !cli_find_command(in->tool->commands, STR("help")))
            return read_help_command(in, w.at, errp);
        struct vmm_error *e = NULL;
        const int word = w.at;
        const int r = read_word(&w, &e);
        if (r < 0 && (in->outcome == CLI_OUTCOME_HELP || asks_for_help(in, word + 1))) {
            vmm_error_free(e);
            in->outcome = CLI_OUTCOME_HELP;
            return 0;
        }
        if (r < 0) {
            if (errp)
                *errp = e;
            else
                vmm_error_free(e);
            return r;
        }
    }
    return 0;
}

int cli_parse(struct cli_input *in,
    const struct cli_tool *tool,
    int argc,
    char **argv,
    struct vmm_error **errp)
{
    *in = (struct cli_input){.tool = tool, .argc = argc, .argv = argv, .n_fixed = SIZE_MAX};
    int r = walk_words(in, errp);
    vec_push(&in->positionals, NULL);
    const bool is_leaf = in->depth > 0 && !cli_commands_here(in);
    size_t n_fixed = 0;
    if (is_leaf)
        cli_rest_argument(cli_command(in), &n_fixed);
    if (in->n_fixed > n_fixed)
        in->n_fixed = n_fixed;
    if (in->n_fixed > in->positional_words.n)
        in->n_fixed = in->positional_words.n;
    if (r < 0 || in->outcome != CLI_OUTCOME_RUN || !is_leaf)
        return r;
    r = check_arguments(in, errp);
    return r < 0 ? r : check_required_options(in, errp);
}
