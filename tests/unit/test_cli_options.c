/* Command lines in, what was understood (or the whole rendered error) out. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/buf.h"
#include "base/error.h"
#include "cli/diagnostics.h"
#include "cli/help.h"
#include "cli/internal.h"

static int run_nothing(const struct cli_input *in, struct vmm_error **errp)
{
    (void)in;
    (void)errp;
    return 0;
}

/* clang-format off */
static const struct cli_command cmd_up = {
    .name = "up",
    .group = "From a VMFile",
    .summary = "Bring up VMs from VMFile.kdl",
    .details = "A VM that runs is left alone; one that is stopped is started and provisioned again; one\n"
               "that does not exist is made.\n\nImages are downloaded once.",
    .options =
        (const struct cli_option[]){
            {.name = "file", .kind = CLI_PATH, .placeholder = "PATH", .completes = "file",
                .help = "The VMFile to read instead of the one found from here upward"},
            {.name = "name", .kind = CLI_STRING, .placeholder = "NAME", .is_repeatable = true,
                .completes = "vm", .help = "Only this VM"},
            {.name = "no-provision", .help = "Skip the provisioning steps"},
            {.name = "json", .help = "Print what was done as JSON"},
            {0},
        },
    .examples =
        (const struct cli_example[]){
            {"All VMs of ./VMFile.kdl", "vmctl up"},
            {"One of them", "vmctl up --name webserver"},
            {0},
        },
    .run = run_nothing,
};

static const struct cli_command cmd_log = {
    .name = "log",
    .alias = "logs",
    .group = "One VM",
    .summary = "Show VM logs",
    .options =
        (const struct cli_option[]){
            {.name = "console", .letter = 'c', .help = "Only the console log"},
            {.name = "provision", .letter = 'p', .help = "Only the provision log"},
            {.name = "tail", .letter = 'n', .kind = CLI_INTEGER, .placeholder = "N",
                .fallback = "0", .min = 0, .max = 1000000, .help = "Show the last N lines, 0 for all"},
            {.name = "color", .kind = CLI_STRING, .placeholder = "WHEN", .help = "When to use colours",
                .fallback = "auto", .choices = (const char *const[]){"auto", "always", "never", NULL}},
            {.name = "secret", .is_hidden = true, .help = "Nobody needs to know"},
            {0},
        },
    .arguments = (const struct cli_argument[]){{"NAME", "The VM", CLI_REQUIRED, "vm"}, {0}},
    .run = run_nothing,
};

static const struct cli_command cmd_ssh = {
    .name = "ssh",
    .group = "One VM",
    .summary = "Enter a VM, or run a command in it",
    .options =
        (const struct cli_option[]){
            {.name = "user", .kind = CLI_STRING, .placeholder = "USER", .help = "Log in as"},
            {0},
        },
    .arguments =
        (const struct cli_argument[]){
            {"NAME", "The VM", CLI_OPTIONAL, "vm"},
            {"COMMAND", "What to run there", CLI_COMMAND, NULL},
            {0},
        },
    .run = run_nothing,
};

static const struct cli_command cmd_stop = {
    .name = "stop",
    .group = "One VM",
    .summary = "Stop running VMs",
    .options =
        (const struct cli_option[]){
            {.name = "timeout", .kind = CLI_DURATION, .placeholder = "TIME", .fallback = "30",
                .min = 1, .max = 86400, .help = "How long to wait for the guest"},
            {0},
        },
    .arguments = (const struct cli_argument[]){{"NAME", "The VMs to stop", CLI_SOME, "vm"}, {0}},
    .run = run_nothing,
};

static const struct cli_command cmd_create = {
    .name = "create",
    .group = "One VM",
    .summary = "Make a VM",
    .options =
        (const struct cli_option[]){
            {.name = "name", .kind = CLI_STRING, .placeholder = "NAME", .is_required = true,
                .help = "What to call it"},
            {.name = "image", .kind = CLI_PATH, .placeholder = "PATH", .help = "Disk image"},
            {.name = "image-url", .kind = CLI_STRING, .placeholder = "URL", .help = "Image to download"},
            {0},
        },
    .run = run_nothing,
};

static const struct cli_command image_pull = {
    .name = "pull",
    .summary = "Download an image",
    .arguments = (const struct cli_argument[]){{"URL", "What to download", CLI_REQUIRED, NULL}, {0}},
    .run = run_nothing,
};
static const struct cli_command image_list = {
    .name = "list", .alias = "ls", .summary = "List cached images", .run = run_nothing};
static const struct cli_command cmd_image = {
    .name = "image",
    .group = "Images",
    .summary = "Manage VM disk images",
    .subcommands = (const struct cli_command *const[]){&image_pull, &image_list, NULL},
};
static const struct cli_command cmd_complete = {
    .name = "__complete", .summary = "For the shell", .is_hidden = true, .run = run_nothing};

static const struct cli_tool tool = {
    .name = "vmctl",
    .version = "0.1.0",
    .summary = "Makes, boots, provisions and enters virtual machines",
    .commands = (const struct cli_command *const[]){&cmd_up, &cmd_create, &cmd_log, &cmd_ssh,
        &cmd_stop, &cmd_image, &cmd_complete, NULL},
    .options =
        (const struct cli_option[]){
            {.name = "verbose", .letter = 'v', .help = "Say more", .is_repeatable = true},
            {0},
        },
    .examples = (const struct cli_example[]){{NULL, "vmctl up"}, {NULL, "vmctl ssh"}, {0}},
    .environment =
        (const struct cli_note[]){
            {"NO_COLOR", "No colours"}, {"XDG_DATA_HOME", "Where VMs are kept"}, {0}},
    .exit_codes = (const struct cli_note[]){{"0", "Done"}, {"2", "Asked wrongly"}, {0}},
};

/* clang-format on */

/* "up --file=x a | rest" */
static void describe(struct buf *out, const struct cli_input *in)
{
    static const char *const outcomes[] = {"", "help: ", "environment: ", "version: "};
    buf_adds(out, outcomes[in->outcome]);
    for (unsigned i = 0; i < in->depth; i++)
        buf_addf(out, "%s%s", i ? " " : "", in->path[i]->name);
    for (size_t i = 0; i < in->givings.n; i++) {
        const struct cli_giving *g = &in->givings.v[i];
        if (g->option->kind == CLI_INTEGER || g->option->kind == CLI_DURATION)
            buf_addf(out, " --%s=%lld", g->option->name, (long long)g->number);
        else
            buf_addf(
                out, " --%s%s%s", g->option->name, g->value ? "=" : "", g->value ? g->value : "");
    }
    for (size_t i = 0; i + 1 < in->positionals.n; i++)
        buf_addf(out, "%s%s", i == in->n_fixed ? " | " : " ", in->positionals.v[i]);
}

enum { WORDS_MAX = 32 };

static void understand(char **argv, struct buf *out)
{
    int argc = 0;
    while (argv[argc])
        argc++;
    struct cli_input in;
    cleanup_error struct vmm_error *e = NULL;
    const int r = cli_parse(&in, &tool, argc, argv, &e);
    if (r < 0) {
        assert_int_equal(r, -VMM_E_USAGE);
        assert_int_equal(vmm_error_exit_status(e), 2);
        diagnostics_render(out, e, &(struct diagnostics_style){0});
    } else {
        assert_null(e);
        describe(out, &in);
    }
    cli_input_done(&in);
    /* The same without anybody to tell. */
    assert_int_equal(cli_parse(&in, &tool, argc, argv, NULL), r);
    cli_input_done(&in);
}

static void understand_line(const char *line, struct buf *out)
{
    cleanup_buf struct buf words = {0};
    buf_adds(&words, line);
    char *argv[WORDS_MAX] = {0};
    int argc = 0;
    for (char *w = strtok(words.p, " "); w; w = strtok(NULL, " "))
        argv[argc++] = w;
    understand(argv, out);
}

struct row {
    int at;
    const char *line;
    const char *want;
};

static void check_rows(const struct row *rows, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        cleanup_buf struct buf got = {0};
        understand_line(rows[i].line, &got);
        _assert_string_equal(buf_cstr(&got), rows[i].want, __FILE__, rows[i].at);
    }
}

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

static void good_lines_are_understood(void **state)
{
    (void)state;
    /* clang-format off */
    static const struct row rows[] = {
        {__LINE__, "vmctl up", "up"},
        {__LINE__, "vmctl up --file x.kdl", "up --file=x.kdl"},
        {__LINE__, "vmctl up --file=x.kdl", "up --file=x.kdl"},
        {__LINE__, "vmctl up --file=a=b", "up --file=a=b"},
        {__LINE__, "vmctl up --name=", "up --name="},
        {__LINE__, "vmctl up --file=--name", "up --file=--name"},
        {__LINE__, "vmctl up --file --strange", "up --file=--strange"},
        {__LINE__, "vmctl up --name a --no-provision --name b", "up --name=a --no-provision --name=b"},
        {__LINE__, "vmctl log web -n 5", "log --tail=5 web"},
        {__LINE__, "vmctl log -n5 web", "log --tail=5 web"},
        {__LINE__, "vmctl log web --tail=1000000", "log --tail=1000000 web"},
        {__LINE__, "vmctl log -cp web", "log --console --provision web"},
        {__LINE__, "vmctl log -cn 7 web", "log --console --tail=7 web"},
        {__LINE__, "vmctl log -cn7 web", "log --console --tail=7 web"},
        {__LINE__, "vmctl logs web", "log web"},
        {__LINE__, "vmctl log -- -c", "log -c"},
        {__LINE__, "vmctl log -", "log -"},
        {__LINE__, "vmctl log web --color never", "log --color=never web"},
        {__LINE__, "vmctl -v log -vv web", "log --verbose --verbose --verbose web"},
        {__LINE__, "vmctl stop a b --timeout 90 c", "stop --timeout=90 | a b c"},
        {__LINE__, "vmctl stop a --timeout=2m", "stop --timeout=120 | a"},
        {__LINE__, "vmctl stop a --timeout=24h", "stop --timeout=86400 | a"},
        {__LINE__, "vmctl stop a -- --timeout b", "stop | a --timeout b"},
        {__LINE__, "vmctl ssh", "ssh"},
        {__LINE__, "vmctl ssh web --user root", "ssh --user=root web"},
        {__LINE__, "vmctl ssh web ls -la --user x", "ssh web | ls -la --user x"},
        {__LINE__, "vmctl ssh web -- ls -- -la", "ssh web | ls -- -la"},
        {__LINE__, "vmctl ssh -- ls --help", "ssh | ls --help"},
        {__LINE__, "vmctl ssh --user me -- -x", "ssh --user=me | -x"},
        {__LINE__, "vmctl image pull http://x/y", "image pull http://x/y"},
        {__LINE__, "vmctl image ls", "image list"},
        {__LINE__, "vmctl image", "image"},
        {__LINE__, "vmctl", ""},
        {__LINE__, "vmctl --help", "help:  --help"},
        {__LINE__, "vmctl -h", "help:  --help"},
        {__LINE__, "vmctl --version", "version:  --version"},
        {__LINE__, "vmctl log --help", "help: log --help"},
        {__LINE__, "vmctl log --help --bogus", "help: log --help"},
        {__LINE__, "vmctl log --bogus -h", "help: log"},
        {__LINE__, "vmctl help", "help: "},
        {__LINE__, "vmctl help image pull", "help: image pull"},
        {__LINE__, "vmctl help environment", "environment: "},
        {__LINE__, "vmctl __complete", "__complete"},
    };
    /* clang-format on */
    check_rows(rows, COUNT(rows));
}

#define HEAD "error[vm_manager::usage]: "
#define BAR "\n   |\n 1 | "

/* The line, whose help is recommended, the column, the message, and what is under the line. */
#define WRONG(line, command, column, message, under)                               \
    {                                                                              \
        __LINE__, line,                                                            \
            HEAD message "\n  --> command line:1:" #column BAR line "\n   |" under \
                         "\n  help: Run `" command " --help`.\n"                   \
    }

static void wrong_lines_point_at_the_word(void **state)
{
    (void)state;
    /* clang-format off */
    static const struct row rows[] = {
        WRONG("vmctl up --flie x", "vmctl up", 10,
            "unknown option \"--flie\"",
            "          ^^^^^^ did you mean --file?"),
        WRONG("vmctl up --flie=x", "vmctl up", 10,
            "unknown option \"--flie\"",
            "          ^^^^^^ did you mean --file?"),
        WRONG("vmctl up --no-prov", "vmctl up", 10,
            "unknown option \"--no-prov\"",
            "          ^^^^^^^^^ did you mean --no-provision?"),
        WRONG("vmctl up -file x", "vmctl up", 10,
            "unknown option \"-file\"",
            "          ^^^^^ did you mean --file?"),
        WRONG("vmctl up --xyzzy", "vmctl up", 10,
            "unknown option \"--xyzzy\"",
            "          ^^^^^^^"),
        WRONG("vmctl log -cz web", "vmctl log", 13,
            "unknown option \"-z\"",
            "             ^"),
        WRONG("vmctl log web --secert", "vmctl log", 15,
            "unknown option \"--secert\"",
            "               ^^^^^^^^"),
        WRONG("vmctl upp", "vmctl", 7,
            "unknown command \"upp\"",
            "       ^^^ did you mean `vmctl up`?"),
        WRONG("vmctl pull x", "vmctl", 7,
            "unknown command \"pull\"",
            "       ^^^^ did you mean `vmctl image pull`?"),
        WRONG("vmctl image pul x", "vmctl image", 13,
            "unknown command \"pul\"",
            "             ^^^ did you mean `vmctl image pull`?"),
        WRONG("vmctl help upp", "vmctl", 12,
            "unknown command \"upp\"",
            "            ^^^ did you mean `vmctl up`?"),
        WRONG("vmctl up --file", "vmctl up", 10,
            "option \"--file\" needs a value",
            "          ^^^^^^ PATH is missing"),
        WRONG("vmctl log web -n", "vmctl log", 15,
            "option \"--tail\" needs a value",
            "               ^^ N is missing"),
        WRONG("vmctl up --file --name web", "vmctl up", 10,
            "option \"--file\" needs a value",
            "          ^^^^^^ PATH is missing"),
        WRONG("vmctl up --json=yes", "vmctl up", 17,
            "option \"--json\" takes no value",
            "                 ^^^"),
        WRONG("vmctl up --xyzzy -- --help", "vmctl up", 10,
            "unknown option \"--xyzzy\"",
            "          ^^^^^^^"),
        WRONG("vmctl up --file=", "vmctl up", 17,
            "--file needs a path",
            "                 ^"),
        WRONG("vmctl log web -n five", "vmctl log", 18,
            "--tail needs a whole number, not \"five\"",
            "                  ^^^^ from 0 to 1000000"),
        WRONG("vmctl log web -n5x", "vmctl log", 17,
            "--tail needs a whole number, not \"5x\"",
            "                 ^^ from 0 to 1000000"),
        WRONG("vmctl log web --tail=-1", "vmctl log", 22,
            "--tail must be from 0 to 1000000, not -1",
            "                      ^^ from 0 to 1000000"),
        WRONG("vmctl log web --tail=99999999999999999999", "vmctl log", 22,
            "--tail needs a whole number, not \"99999999999999999999\"",
            "                      ^^^^^^^^^^^^^^^^^^^^ from 0 to 1000000"),
        WRONG("vmctl stop a --timeout 5d", "vmctl stop", 24,
            "--timeout needs a duration, not \"5d\"",
            "                        ^^ seconds, or such as 90s, 5m, 2h"),
        WRONG("vmctl stop a --timeout 25h", "vmctl stop", 24,
            "--timeout must be from 1 to 86400 seconds, not 25h",
            "                        ^^^ out of range"),
        WRONG("vmctl log web --color alwys", "vmctl log", 23,
            "--color cannot be \"alwys\"",
            "                       ^^^^^ did you mean always?"),
        WRONG("vmctl log web --color plaid", "vmctl log", 23,
            "--color cannot be \"plaid\"",
            "                       ^^^^^ one of auto, always, never"),
        WRONG("vmctl log web db", "vmctl log", 15,
            "unexpected argument \"db\"",
            "               ^^ one too many"),
        WRONG("vmctl up web", "vmctl up", 10,
            "unexpected argument \"web\"",
            "          ^^^ no argument is taken here"),
        WRONG("vmctl log", "vmctl log", 11,
            "the argument NAME is missing",
            "           ^ The VM"),
        WRONG("vmctl stop", "vmctl stop", 12,
            "the argument NAME is missing",
            "            ^ The VMs to stop"),
        WRONG("vmctl create --image x", "vmctl create", 24,
            "the option --name NAME is missing",
            "                        ^ What to call it"),
    };
    /* clang-format on */
    check_rows(rows, COUNT(rows));
}

static void words_are_quoted_as_a_shell_wants_them(void **state)
{
    (void)state;
    static const struct {
        int at;
        const char *word;
        const char *want; /* the line and what is under it */
    } rows[] = {
        {__LINE__, "two words", " 1 | vmctl up 'two words'\n   |          ^^^^^^^^^^^ no argument"},
        {__LINE__, "it's", " 1 | vmctl up 'it'\\''s'\n   |          ^^^^^^^^^ no argument"},
        {__LINE__, "", " 1 | vmctl up ''\n   |          ^^ no argument"},
        {__LINE__, "a\nb\x1b[m",
            " 1 | vmctl up $'a\\nb\\x1b[m'\n   |          ^^^^^^^^^^^^^ no argument"},
        {__LINE__, "\xff", " 1 | vmctl up \\xff\n   |          ^^^^ no argument"},
        {__LINE__, "é日", " 1 | vmctl up é日\n   |          ^^^ no argument"},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        char *word = strdup(rows[i].word);
        char *argv[] = {(char[]){"/bin/vmctl"}, (char[]){"up"}, word, NULL};
        cleanup_buf struct buf got = {0};
        understand(argv, &got);
        free(word);
        const char *from = strstr(buf_cstr(&got), " 1 | ");
        const char *end = strstr(buf_cstr(&got), " is taken here");
        assert_true(from && end);
        cleanup_buf struct buf part = {0};
        buf_add(&part, from, (size_t)(end - from));
        _assert_string_equal(buf_cstr(&part), rows[i].want, __FILE__, rows[i].at);
    }
}

/* Whatever is typed: understood or refused with a place, never a crash. */
static void any_line_gets_an_answer(void **state)
{
    (void)state;
    static const char *const words[] = {"up", "log", "ssh", "stop", "image", "pull", "help", "--",
        "-", "--file", "--file=", "--tail=3", "-n", "-cpn", "--json", "x", "", "--=", "-h", "---",
        "--timeout", "5m", "\xff\n", "create", "--name", "-\xc3\xa9", "environment", "__complete"};
    uint32_t random = 1;
    for (int line = 0; line < 20000; line++) {
        char *argv[12] = {(char[]){"vmctl"}};
        for (int i = 1; i < 2 + line % 9; i++) {
            random = random * 1664525 + 1013904223;
            argv[i] = strdup(words[(random >> 16) % COUNT(words)]);
        }
        cleanup_buf struct buf got = {0};
        understand(argv, &got);
        for (int i = 1; argv[i]; i++)
            free(argv[i]);
    }
}

static void lookups_know_fallbacks_and_repetition(void **state)
{
    (void)state;
    struct cli_input in;
    char *argv[] = {(char[]){"vmctl"}, (char[]){"up"}, (char[]){"--name"}, (char[]){"a"},
        (char[]){"-vv"}, (char[]){"--name=b"}, NULL};
    assert_int_equal(cli_parse(&in, &tool, 6, argv, NULL), 0);
    assert_string_equal(cli_string(&in, "name"), "b");
    assert_string_equal(cli_string_at(&in, "name", 0), "a");
    assert_string_equal(cli_string_at(&in, "name", 1), "b");
    assert_null(cli_string_at(&in, "name", 2));
    assert_null(cli_string(&in, "file"));
    assert_false(cli_flag(&in, "json"));
    assert_int_equal(cli_count(&in, "verbose"), 2);
    assert_ptr_equal(cli_command(&in), &cmd_up);
    cli_input_done(&in);

    char *stop[] = {(char[]){"vmctl"}, (char[]){"stop"}, (char[]){"x"}, (char[]){"y"}, NULL};
    assert_int_equal(cli_parse(&in, &tool, 4, stop, NULL), 0);
    assert_int_equal(cli_integer(&in, "timeout"), 30);
    assert_false(cli_given(&in, "timeout"));
    assert_string_equal(cli_argument(&in, "NAME"), "x");
    size_t n;
    const char *const *rest = cli_rest(&in, &n);
    assert_int_equal(n, 2);
    assert_string_equal(rest[1], "y");
    assert_null(rest[2]);
    cli_input_done(&in);

    char *logs[] = {(char[]){"vmctl"}, (char[]){"log"}, (char[]){"x"}, NULL};
    assert_int_equal(cli_parse(&in, &tool, 3, logs, NULL), 0);
    assert_string_equal(cli_string(&in, "color"), "auto");
    cli_input_done(&in);

    char *ssh[] = {(char[]){"vmctl"}, (char[]){"ssh"}, (char[]){"--"}, (char[]){"ls"}, NULL};
    assert_int_equal(cli_parse(&in, &tool, 4, ssh, NULL), 0);
    assert_null(cli_argument(&in, "NAME"));
    assert_string_equal(cli_rest(&in, &n)[0], "ls");
    assert_int_equal(n, 1);
    cli_input_done(&in);
}

static void a_command_can_point_at_its_words(void **state)
{
    (void)state;
    static const struct {
        int at;
        const char *what;
        const char *want;
    } rows[] = {
        {__LINE__, "--image",
            HEAD "choose one\n  --> command line:1:31" BAR
                 "vmctl create --name w --image x --image-url y\n"
                 "   |                               ^ here\n  help: Run `vmctl create --help`.\n"},
        {__LINE__, "NOTHING",
            HEAD "choose one\n  --> command line:1:47" BAR
                 "vmctl create --name w --image x --image-url y\n"
                 "   |                                               ^ here\n"
                 "  help: Run `vmctl create --help`.\n"},
    };
    char *argv[] = {(char[]){"vmctl"}, (char[]){"create"}, (char[]){"--name"}, (char[]){"w"},
        (char[]){"--image"}, (char[]){"x"}, (char[]){"--image-url"}, (char[]){"y"}, NULL};
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct cli_input in;
        assert_int_equal(cli_parse(&in, &tool, 8, argv, NULL), 0);
        cleanup_error struct vmm_error *e = NULL;
        assert_int_equal(
            cli_fail_usage(&e, &in, rows[i].what, "here", "choose %s", "one"), -VMM_E_USAGE);
        cleanup_buf struct buf got = {0};
        diagnostics_render(&got, e, &(struct diagnostics_style){0});
        _assert_string_equal(buf_cstr(&got), rows[i].want, __FILE__, rows[i].at);
        cli_input_done(&in);
    }
}

static void help_of_the_tool(void **state)
{
    (void)state;
    cleanup_buf struct buf got = {0};
    help_render(&got, &tool, NULL, 0, &(struct help_style){0});
    assert_string_equal(buf_cstr(&got),
        "Makes, boots, provisions and enters virtual machines\n"
        "\n"
        "Usage: vmctl COMMAND [OPTIONS] [ARGUMENTS]\n"
        "\n"
        "From a VMFile:\n"
        "  up      Bring up VMs from VMFile.kdl\n"
        "\n"
        "One VM:\n"
        "  create  Make a VM\n"
        "  log     Show VM logs\n"
        "  ssh     Enter a VM, or run a command in it\n"
        "  stop    Stop running VMs\n"
        "\n"
        "Images:\n"
        "  image   Manage VM disk images\n"
        "\n"
        "Options:\n"
        "  -v, --verbose  Say more\n"
        "  -h, --help     Show this help\n"
        "      --version  Show the version\n"
        "\n"
        "Examples:\n"
        "  vmctl up\n"
        "  vmctl ssh\n"
        "\n"
        "Run `vmctl COMMAND --help` for a command, `vmctl help environment` for variables\n"
        "and exit codes.\n");
}

static void help_of_a_command(void **state)
{
    (void)state;
    cleanup_buf struct buf got = {0};
    help_render(
        &got, &tool, (const struct cli_command *const[]){&cmd_up}, 1, &(struct help_style){0});
    assert_string_equal(buf_cstr(&got),
        "Bring up VMs from VMFile.kdl\n"
        "\n"
        "Usage: vmctl up [OPTIONS]\n"
        "\n"
        "A VM that runs is left alone; one that is stopped is started and provisioned\n"
        "again; one that does not exist is made.\n"
        "\n"
        "Images are downloaded once.\n"
        "\n"
        "Options:\n"
        "      --file PATH     The VMFile to read instead of the one found from here\n"
        "                      upward\n"
        "      --name NAME     Only this VM; may be repeated\n"
        "      --no-provision  Skip the provisioning steps\n"
        "      --json          Print what was done as JSON\n"
        "  -v, --verbose       Say more\n"
        "  -h, --help          Show this help\n"
        "\n"
        "Examples:\n"
        "  # All VMs of ./VMFile.kdl\n"
        "  vmctl up\n"
        "  # One of them\n"
        "  vmctl up --name webserver\n");
    buf_clear(&got);
    help_render(
        &got, &tool, (const struct cli_command *const[]){&cmd_log}, 1, &(struct help_style){0});
    assert_string_equal(buf_cstr(&got),
        "Show VM logs\n"
        "\n"
        "Usage: vmctl log [OPTIONS] NAME\n"
        "Also: vmctl logs\n"
        "\n"
        "Arguments:\n"
        "  NAME  The VM\n"
        "\n"
        "Options:\n"
        "  -c, --console     Only the console log\n"
        "  -p, --provision   Only the provision log\n"
        "  -n, --tail N      Show the last N lines, 0 for all (default: 0)\n"
        "      --color WHEN  When to use colours: auto, always, never (default: auto)\n"
        "  -v, --verbose     Say more\n"
        "  -h, --help        Show this help\n");
}

static void usage_lines(void **state)
{
    (void)state;
    static const struct {
        int at;
        const struct cli_command *path[2];
        unsigned depth;
        const char *want;
    } rows[] = {
        {__LINE__, {&cmd_create}, 1, "Usage: vmctl create --name NAME [OPTIONS]\n"},
        {__LINE__, {&cmd_stop}, 1, "Usage: vmctl stop [OPTIONS] NAME...\n"},
        {__LINE__, {&cmd_ssh}, 1, "Usage: vmctl ssh [OPTIONS] [NAME] [[--] COMMAND...]\n"},
        {__LINE__, {&cmd_image, &image_pull}, 2, "Usage: vmctl image pull [OPTIONS] URL\n"},
        {__LINE__, {&cmd_image}, 1, "Usage: vmctl image COMMAND [OPTIONS] [ARGUMENTS]\n"},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        cleanup_buf struct buf got = {0};
        help_render(&got, &tool, rows[i].path, rows[i].depth, &(struct help_style){0});
        const char *usage = strstr(buf_cstr(&got), "Usage:");
        assert_non_null(usage);
        cleanup_buf struct buf line = {0};
        buf_add(&line, usage, strcspn(usage, "\n") + 1);
        _assert_string_equal(buf_cstr(&line), rows[i].want, __FILE__, rows[i].at);
    }
}

static void environment_page(void **state)
{
    (void)state;
    cleanup_buf struct buf got = {0};
    help_render_environment(&got, &tool, &(struct help_style){0});
    assert_string_equal(buf_cstr(&got),
        "What vmctl reads from its environment, and what it exits with\n"
        "\n"
        "Environment:\n"
        "  NO_COLOR       No colours\n"
        "  XDG_DATA_HOME  Where VMs are kept\n"
        "\n"
        "Exit codes:\n"
        "  0  Done\n"
        "  2  Asked wrongly\n");
}

static void man_synopsis(void **state)
{
    (void)state;
    cleanup_buf struct buf got = {0};
    help_render_scdoc(&got, &tool, (const struct cli_command *const[]){&cmd_log}, 1);
    assert_string_equal(buf_cstr(&got),
        "# SYNOPSIS\n\n"
        "*vmctl log* [*-c*|*--console*] [*-p*|*--provision*] [*-n*|*--tail* _N_] [*--color* _WHEN_] "
        "_NAME_\n\n"
        "# OPTIONS\n\n"
        "*-c*, *--console*\n\tOnly the console log.\n\n"
        "*-p*, *--provision*\n\tOnly the provision log.\n\n"
        "*-n*, *--tail* _N_\n\tShow the last N lines, 0 for all. Default: 0.\n\n"
        "*--color* _WHEN_\n\tWhen to use colours. One of *auto*, *always*, *never*. Default: auto.\n\n");
    buf_clear(&got);
    help_render_scdoc(&got, &tool, (const struct cli_command *const[]){&cmd_image, &image_pull}, 2);
    assert_string_equal(buf_cstr(&got), "# SYNOPSIS\n\n*vmctl image pull* _URL_\n\n");
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(good_lines_are_understood),
        cmocka_unit_test(wrong_lines_point_at_the_word),
        cmocka_unit_test(words_are_quoted_as_a_shell_wants_them),
        cmocka_unit_test(any_line_gets_an_answer),
        cmocka_unit_test(lookups_know_fallbacks_and_repetition),
        cmocka_unit_test(a_command_can_point_at_its_words),
        cmocka_unit_test(help_of_the_tool),
        cmocka_unit_test(help_of_a_command),
        cmocka_unit_test(usage_lines),
        cmocka_unit_test(environment_page),
        cmocka_unit_test(man_synopsis),
    };
    if (argc > 1)
        cmocka_set_test_filter(argv[1]);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
