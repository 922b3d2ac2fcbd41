/* What a command line may hold, as tables, and what this one held. The same tables make the help,
 * the man page's synopsis and, later, the completion scripts, so none of them can say something
 * else. A command is a constant `struct cli_command` in a file of its own; see cli/main.h for who
 * reads it.
 *
 * GNU manners: `--opt value`, `--opt=value`, `-n 5`, `-n5`, flags in one word, options after
 * arguments, `--` ends options. No abbreviations of long names: a script that uses one breaks when
 * the next option is added. */
#pragma once

#include "vmm/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum cli_kind {
    CLI_FLAG,
    CLI_STRING,
    CLI_INTEGER,  /* whole, decimal, within [min, max] when these are not both 0 */
    CLI_DURATION, /* seconds, or a number with s, m or h: read as seconds; min and max as above */
    CLI_PATH,     /* not empty */
};

/* Tables end at an entry without a name (options, commands, notes) or placeholder (arguments). */

struct cli_option {
    const char *name; /* without dashes */
    char letter;      /* 0: none */
    enum cli_kind kind;
    bool is_required;
    bool is_repeatable; /* every value counts; otherwise the last one does */
    bool is_hidden;
    const char *placeholder; /* of the value: "PATH" */
    const char *help;        /* one line, no full stop */
    const char *fallback;    /* the value when it is not given; shown in the help */
    int64_t min;
    int64_t max;
    const char *const *choices; /* the only values allowed, NULL-terminated; or NULL */
    /* What completes a value: "file", "dir", or a word that the tool's `__complete` knows ("vm",
     * "image" ...). NULL: nothing; choices complete themselves. */
    const char *completes;
};

enum cli_presence {
    CLI_REQUIRED,
    CLI_OPTIONAL,
    CLI_MANY,    /* last: any number */
    CLI_SOME,    /* last: at least one */
    CLI_COMMAND, /* last: from its first word on (or from `--`) everything is taken untouched */
};

struct cli_argument {
    const char *placeholder; /* "NAME" */
    const char *help;
    enum cli_presence presence;
    const char *completes;
};

struct cli_example {
    const char *what; /* NULL: none */
    const char *command;
};

/* A variable, an exit code. */
struct cli_note {
    const char *name;
    const char *help;
};

struct cli_input;

/* 0 or the exit status, with *errp untouched; or negative with *errp set. */
typedef int cli_run(const struct cli_input *in, struct vmm_error **errp);

struct cli_command {
    const char *name;
    const char *alias;   /* a second name, or NULL */
    const char *group;   /* heading in the tool's help; commands of a group stand together */
    const char *summary; /* one line, no full stop */
    const char *details; /* paragraphs parted by an empty line, or NULL */
    const struct cli_option *options;     /* NULL: none */
    const struct cli_argument *arguments; /* NULL: none */
    const struct cli_example *examples;   /* ends at an entry without a command */
    cli_run *run;
    bool is_hidden;
    const struct cli_command *const *subcommands; /* NULL-terminated; then there is no `run` */
};

struct cli_tool {
    const char *name;
    const char *version;
    const char *summary;
    const struct cli_command *const *commands; /* NULL-terminated */
    const struct cli_option *options;          /* understood by every command */
    const struct cli_example *examples;
    const struct cli_note *environment;
    const struct cli_note *exit_codes;
};

/* What was given. Names are those of the tables; one that is not there is a mistake of ours and
 * aborts. Strings are borrowed and live as long as `in`. */

/* Was it on the command line? */
bool cli_given(const struct cli_input *in, const char *option);
bool cli_flag(const struct cli_input *in, const char *option);
/* How often (-vv). */
unsigned cli_count(const struct cli_input *in, const char *option);
/* The value, the fallback, or NULL. For strings and paths. */
const char *cli_string(const struct cli_input *in, const char *option);
/* Every value of a repeatable option, in order: the i-th, or NULL after the last. */
const char *cli_string_at(const struct cli_input *in, const char *option, size_t i);
/* The value, the fallback, or 0. Durations in seconds. */
int64_t cli_integer(const struct cli_input *in, const char *option);
/* By placeholder; NULL when an optional one is not there. */
const char *cli_argument(const struct cli_input *in, const char *placeholder);
/* The words of the last argument (many, some, command), NULL-terminated; never NULL itself. */
const char *const *cli_rest(const struct cli_input *in, size_t *ret_n);
/* The command (of several levels the last); never NULL inside of `run`. */
const struct cli_command *cli_command(const struct cli_input *in);
const struct cli_tool *cli_tool(const struct cli_input *in);

/* "Asked wrongly" (exit 2), pointing at a word of the command line. `what` is an option with its
 * dashes ("--file") or an argument's placeholder; one that was not given points at the end, where
 * it is missing. `label` stands under the word; NULL: none. Returns a negative code. */
int cli_fail_usage(struct vmm_error **errp,
    const struct cli_input *in,
    const char *what,
    const char *label,
    const char *fmt,
    ...) __attribute__((format(printf, 5, 6)));
