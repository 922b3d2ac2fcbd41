/* cli_main as a process: streams that are full, closed or gone, exit statuses, errors as text and
 * as JSON. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/error.h"
#include "base/json.h"
#include "cli/main.h"
#include "cli/output.h"

static int run_print(const struct cli_input *in, struct vmm_error **errp)
{
    (void)errp;
    printf("%s\n", cli_argument(in, "TEXT"));
    return 0;
}

static int run_status(const struct cli_input *in, struct vmm_error **errp)
{
    (void)errp;
    return (int)cli_integer(in, "status");
}

static int run_fail(const struct cli_input *in, struct vmm_error **errp)
{
    (void)in;
    printf("before\n");
    return vmm_fail(errp, &(struct diag){.code = VMM_E_WAIT_TIMEOUT, .help = "Wait."}, "too late");
}

/* Like `log --follow`: ends only when it cannot write any more. */
static int run_endless(const struct cli_input *in, struct vmm_error **errp)
{
    (void)in;
    (void)errp;
    while (output_write(STR("line\n")) == 0)
        continue;
    return 0;
}

/* Which number does a file get that is opened now? */
static int run_open(const struct cli_input *in, struct vmm_error **errp)
{
    (void)in;
    (void)errp;
    return open("/dev/null", O_RDONLY | O_CLOEXEC);
}

static int run_json(const struct cli_input *in, struct vmm_error **errp)
{
    (void)in;
    (void)errp;
    cleanup_json json_t *j = json_pack("{s:i,s:[i,i]}", "b", 1, "a", 1, 2);
    output_json(j, /* is_indented */ true);
    return 0;
}

#define COMMAND(var, ...) static const struct cli_command var = {__VA_ARGS__}
COMMAND(cmd_print,
    .name = "print",
    .summary = "s",
    .run = run_print,
    .arguments = (const struct cli_argument[]){{"TEXT", "t", CLI_REQUIRED, NULL}, {0}});
COMMAND(cmd_status,
    .name = "status",
    .summary = "s",
    .run = run_status,
    .options = (const struct cli_option[]){
        {.name = "status", .kind = CLI_INTEGER, .fallback = "0", .help = "h"}, {0}});
COMMAND(cmd_fail,
    .name = "fail",
    .summary = "s",
    .run = run_fail,
    .options = (const struct cli_option[]){{.name = "json", .help = "h"}, {0}});
COMMAND(cmd_endless, .name = "endless", .summary = "s", .run = run_endless);
COMMAND(cmd_open, .name = "open", .summary = "s", .run = run_open);
COMMAND(cmd_json, .name = "json", .summary = "s", .run = run_json);

static const struct cli_tool tool = {
    .name = "tool",
    .version = "1.2",
    .summary = "A tool",
    .commands = (const struct cli_command *const[]){&cmd_print, &cmd_status, &cmd_fail,
        &cmd_endless, &cmd_open, &cmd_json, NULL},
};

enum where { TO_PIPE, TO_BOTH, TO_FULL, TO_NOBODY, TO_CLOSED };

struct ran {
    int status; /* exit status, or minus the signal */
    struct buf out;
    struct buf err;
};

static void ran_done(struct ran *r)
{
    buf_done(&r->out);
    buf_done(&r->err);
}
#define cleanup_ran __attribute__((__cleanup__(ran_done)))

static void child(enum where where, int out, int err, int argc, char **argv)
{
    if (where == TO_FULL)
        out = open("/dev/full", O_WRONLY | O_CLOEXEC);
    dup2(out, 1);
    dup2(where == TO_BOTH ? out : err, 2);
    if (where == TO_CLOSED)
        close(1);
    exit(cli_main(&tool, argc, argv));
}

static void read_to_end(int fd, struct buf *out)
{
    char bytes[4096];
    ssize_t n;
    while ((n = read(fd, bytes, sizeof(bytes))) > 0)
        buf_add(out, bytes, (size_t)n);
    assert_int_equal(n, 0);
    close(fd);
}

static void run(const char *line, enum where where, struct ran *ret)
{
    char words[256], *argv[16] = {0};
    int argc = 0, out[2], err[2];
    snprintf(words, sizeof(words), "%s", line);
    for (char *w = strtok(words, " "); w; w = strtok(NULL, " "))
        argv[argc++] = w;
    assert_int_equal(pipe2(out, O_CLOEXEC), 0);
    assert_int_equal(pipe2(err, O_CLOEXEC), 0);
    if (where == TO_NOBODY)
        close(out[0]);
    fflush(stdout);
    const pid_t pid = fork();
    if (pid == 0)
        child(where, out[1], err[1], argc, argv);
    close(out[1]);
    close(err[1]);
    *ret = (struct ran){0};
    if (where != TO_NOBODY)
        read_to_end(out[0], &ret->out);
    read_to_end(err[0], &ret->err);
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    ret->status = WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

static void statuses_and_streams(void **state)
{
    (void)state;
    static const struct {
        int at;
        const char *line;
        enum where where;
        int status;
        const char *out;
        const char *err;
    } rows[] = {
        {__LINE__, "tool print hi", TO_PIPE, 0, "hi\n", ""},
        {__LINE__, "tool status --status=0", TO_PIPE, 0, "", ""},
        {__LINE__, "tool status --status=17", TO_PIPE, 17, "", ""},
        {__LINE__, "tool --version", TO_PIPE, 0, "tool 1.2\n", ""},
        {__LINE__, "tool json", TO_PIPE, 0, "{\n  \"b\": 1,\n  \"a\": [\n    1,\n    2\n  ]\n}\n",
            ""},
        {__LINE__, "tool fail", TO_PIPE, 124, "before\n",
            "error[vm_manager::wait::timed_out]: too late\n  help: Wait.\n"},
        {__LINE__, "tool fail", TO_BOTH, 124,
            "before\nerror[vm_manager::wait::timed_out]: too late\n  help: Wait.\n", ""},
        {__LINE__, "tool fail --json", TO_PIPE, 124, "before\n",
            "{\"errors\":[{\"code\":\"vm_manager::wait::timed_out\",\"message\":\"too late\","
            "\"help\":\"Wait.\"}]}\n"},
        {__LINE__, "tool prnt", TO_PIPE, 2, "",
            "error[vm_manager::usage]: unknown command \"prnt\"\n"
            "  --> command line:1:6\n   |\n 1 | tool prnt\n   |      ^^^^ did you mean `tool print`?\n"
            "  help: Run `tool --help`.\n"},
        /* a full disk is told, a reader that left is not */
        {__LINE__, "tool print hi", TO_FULL, 1, "",
            "error[vm_manager::host::no_space]: could not write to standard output: No space left on "
            "device\n  help: Free some space and run the command again.\n"},
        {__LINE__, "tool --help", TO_FULL, 1, "",
            "error[vm_manager::host::no_space]: could not write to standard output: No space left on "
            "device\n  help: Free some space and run the command again.\n"},
        {__LINE__, "tool status --status=3", TO_FULL, 3, "", ""},
        {__LINE__, "tool print hi", TO_NOBODY, 0, "", ""},
        {__LINE__, "tool endless", TO_NOBODY, 0, "", ""},
        {__LINE__, "tool endless", TO_FULL, 1, "",
            "error[vm_manager::host::no_space]: could not write to standard output: No space left on "
            "device\n  help: Free some space and run the command again.\n"},
        {__LINE__, "tool print hi", TO_CLOSED, 1, "",
            "error[vm_manager::io]: could not write to standard output: Bad file descriptor\n"},
        {__LINE__, "tool status", TO_CLOSED, 0, "", ""},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        cleanup_ran struct ran ran;
        run(rows[i].line, rows[i].where, &ran);
        _assert_string_equal(buf_cstr(&ran.err), rows[i].err, __FILE__, rows[i].at);
        _assert_string_equal(buf_cstr(&ran.out), rows[i].out, __FILE__, rows[i].at);
        _assert_int_equal(ran.status, rows[i].status, __FILE__, rows[i].at);
    }
}

static void no_command_shows_the_commands_and_is_a_mistake(void **state)
{
    (void)state;
    cleanup_ran struct ran ran;
    run("tool", TO_PIPE, &ran);
    assert_int_equal(ran.status, 2);
    assert_string_equal(buf_cstr(&ran.out), "");
    assert_non_null(strstr(buf_cstr(&ran.err), "Usage: tool COMMAND"));
}

static void a_closed_stdout_is_not_given_to_the_next_file(void **state)
{
    (void)state;
    cleanup_ran struct ran ran;
    run("tool open", TO_CLOSED, &ran);
    assert_true(ran.status > 2);
}

int main(int argc, char **argv)
{
    /* What is asserted must not depend on who runs the test. */
    setenv("NO_COLOR", "1", 1);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(statuses_and_streams),
        cmocka_unit_test(no_command_shows_the_commands_and_is_a_mistake),
        cmocka_unit_test(a_closed_stdout_is_not_given_to_the_next_file),
    };
    if (argc > 1)
        cmocka_set_test_filter(argv[1]);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
