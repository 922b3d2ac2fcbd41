/* Of cli/ only: the parsed command line. */
#pragma once

#include "base/str.h"
#include "base/vec.h"
#include "cli/options.h"

enum { CLI_DEPTH_MAX = 4 };

/* A place on the command line: bytes [from, from + n) of argv[word]. word == argc: the end. */
struct cli_word {
    int word;
    size_t from;
    size_t n;
};

/* One option as it was given. */
struct cli_giving {
    const struct cli_option *option;
    const char *value;
    int64_t number;
    struct cli_word place;
};

enum cli_outcome {
    CLI_OUTCOME_RUN,
    CLI_OUTCOME_HELP,
    CLI_OUTCOME_ENVIRONMENT,
    CLI_OUTCOME_VERSION
};

struct cli_input {
    const struct cli_tool *tool;
    int argc;
    char **argv; /* borrowed */
    const struct cli_command *path[CLI_DEPTH_MAX];
    unsigned depth;
    enum cli_outcome outcome;
    VEC(struct cli_giving) givings;
    VEC(const char *) positionals; /* NULL-terminated once parsed; n counts the NULL, too */
    VEC(int) positional_words;     /* their places in argv */
    size_t n_fixed;                /* positionals before the last argument's */
};

/* -h and --version, which every command has. */
extern const struct cli_option cli_builtin_options[];

/* 0 or a negative code. `in` must be done either way. */
int cli_parse(struct cli_input *in,
    const struct cli_tool *tool,
    int argc,
    char **argv,
    struct vmm_error **errp);
void cli_input_done(struct cli_input *in);

/* Checks a value and, for numbers, reads it. The error points at `place`. */
int cli_read_value(const struct cli_input *in,
    const struct cli_option *option,
    const char *value,
    struct cli_word place,
    int64_t *ret_number,
    struct vmm_error **errp);

/* Among the options understood here: the command's, the tool's, the builtin ones. NULL: none. */
const struct cli_option *cli_find_option(const struct cli_input *in, struct str name);
const struct cli_option *cli_find_letter(const struct cli_input *in, char letter);
const struct cli_command *cli_find_command(
    const struct cli_command *const *commands, struct str name);
/* The commands there are at the point reached: the tool's, or the command's subcommands. */
const struct cli_command *const *cli_commands_here(const struct cli_input *in);
/* The last argument when it takes any number of words, else NULL. */
const struct cli_argument *cli_rest_argument(
    const struct cli_command *command, size_t *ret_n_fixed);

/* The usage errors. Each returns a negative code. `label` and `fmt` as in cli_fail_usage. */
int cli_fail_at(struct vmm_error **errp,
    const struct cli_input *in,
    struct cli_word place,
    const char *label,
    const char *fmt,
    ...) __attribute__((format(printf, 5, 6)));
int cli_fail_unknown_option(
    struct vmm_error **errp, const struct cli_input *in, struct cli_word place, struct str name);
int cli_fail_unknown_command(
    struct vmm_error **errp, const struct cli_input *in, struct cli_word place);

static inline struct cli_word cli_whole_word(const struct cli_input *in, int word)
{
    return (struct cli_word){.word = word, .n = word < in->argc ? strlen(in->argv[word]) : 0};
}
