/* Children, and never the wrong process. */
#include "testing.h"

#include "base/process.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>

#define TOKEN "6f0a7c52-0000-4000-8000-00000000beef"

static void a_run_keeps_output_and_status(void **state)
{
    (void)state;
    cleanup_buf struct buf out = {0};
    cleanup_buf struct buf err = {0};
    const char *const argv[] = {"sh", "-c", "echo out; echo err >&2; exit 3", NULL};
    assert_int_equal(process_run(argv, deadline_in_ms(5000), 0, &out, &err), 3);
    assert_string_equal(buf_cstr(&out), "out\n");
    assert_string_equal(buf_cstr(&err), "err\n");
    const char *const killed[] = {"sh", "-c", "kill -9 $$", NULL};
    assert_int_equal(process_run(killed, deadline_in_ms(5000), 0, NULL, NULL), 128 + SIGKILL);
    const char *const missing[] = {"no-such-program-anywhere", NULL};
    assert_int_equal(process_run(missing, deadline_in_ms(5000), 0, NULL, NULL), -ENOENT);
}

static void a_run_that_hangs_ends_at_its_deadline(void **state)
{
    (void)state;
    const char *const argv[] = {"sleep", "60", NULL};
    const int64_t before = clock_ms();
    assert_int_equal(process_run(argv, deadline_in_ms(100), 0, NULL, NULL), -ETIMEDOUT);
    assert_true(clock_ms() - before < 2000);
}

/* security.md A-8. */
static void a_child_gets_nothing_that_was_not_listed(void **state)
{
    (void)state;
    cleanup_close int leak = open("/dev/null", O_RDONLY); /* without O_CLOEXEC */
    assert_true(leak > 2);
    assert_int_equal(setenv("SECRET_TOKEN", "canary", 1), 0);
    cleanup_buf struct buf out = {0};
    const char *const argv[] = {"sh", "-c", "ls /proc/self/fd | sort -n | tr '\\n' ' '; env", NULL};
    assert_int_equal(process_run(argv, deadline_in_ms(5000), 0, &out, NULL), 0);
    assert_int_equal(strncmp(buf_cstr(&out), "0 1 2 3 ", 8), 0); /* 3 is ls's own */
    assert_int_not_equal(buf_cstr(&out)[8], '4');
    assert_null(strstr(buf_cstr(&out), "canary"));
    unsetenv("SECRET_TOKEN");
}

static pid_t sleeper(const char *token)
{
    const char *const argv[] = {"sh", "-c", "read x", token, NULL};
    int keep[2];
    assert_int_equal(pipe2(keep, O_CLOEXEC), 0);
    pid_t pid;
    assert_int_equal(process_spawn(argv,
                         &(struct process_opts){
                             .stdin_fd = keep[0], .stdout_fd = -1, .stderr_fd = -1, .extra_fd = -1},
                         &pid),
        0);
    close(keep[0]);
    return pid; /* keep[1] stays open: it waits until killed */
}

static void end(pid_t pid)
{
    assert_int_equal(kill(pid, SIGKILL), 0);
    assert_int_equal(waitpid(pid, NULL, 0), pid);
}

/* security.md C-8, 3.2. */
static void only_the_process_that_fits_everything_is_ours(void **state)
{
    (void)state;
    const pid_t pid = sleeper(TOKEN);
    struct process_identity who;
    assert_int_equal(process_identify(pid, &who), 0);
    assert_true(who.start_ticks > 0);
    int pidfd = process_open_verified(&who, TOKEN);
    assert_true(pidfd >= 0);
    close(pidfd);
    assert_int_equal(
        process_open_verified(&who, "6f0a7c52"), -ESRCH); /* a part is not an argument */
    struct process_identity other = who;
    other.start_ticks++;
    assert_int_equal(process_open_verified(&other, TOKEN), -ESRCH);
    other = who;
    other.boot_id[0] = other.boot_id[0] == 'a' ? 'b' : 'a';
    assert_int_equal(process_open_verified(&other, TOKEN), -ESRCH);
    assert_int_equal(process_scan_for("read x", TOKEN), pid);
    end(pid);
    assert_int_equal(process_open_verified(&who, TOKEN), -ESRCH);
    assert_int_equal(process_scan_for("read x", TOKEN), 0);
}

static bool next_pid_will_be(pid_t pid)
{
    cleanup_close int fd = open("/proc/sys/kernel/ns_last_pid", O_WRONLY | O_CLOEXEC);
    char text[16];
    const int n = snprintf(text, sizeof(text), "%d", (int)pid - 1);
    return fd >= 0 && write(fd, text, (size_t)n) == n;
}

/* The pid of an ended VM is given to somebody else: that one must never be signalled. */
static void a_reused_pid_is_never_signalled(void **state)
{
    (void)state;
    enum { TRIALS = 20 };
    int reused = 0;
    for (int i = 0; i < TRIALS; i++) {
        const pid_t pid = sleeper(TOKEN);
        struct process_identity who;
        assert_int_equal(process_identify(pid, &who), 0);
        end(pid);
        if (!next_pid_will_be(pid))
            skip(); /* needs root in this pid namespace */
        const pid_t innocent = sleeper("an-innocent-process");
        reused += innocent == pid;
        const int pidfd = process_open_verified(&who, TOKEN);
        assert_int_equal(pidfd, -ESRCH);
        /* And when even the command line is alike, the start time tells. */
        const struct process_identity without_start = {.pid = pid};
        assert_int_equal(process_open_verified(&without_start, TOKEN), -ESRCH);
        end(innocent);
    }
    assert_true(reused > 0); /* otherwise this has shown nothing */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_run_keeps_output_and_status),
        cmocka_unit_test(a_run_that_hangs_ends_at_its_deadline),
        cmocka_unit_test(a_child_gets_nothing_that_was_not_listed),
        cmocka_unit_test(only_the_process_that_fits_everything_is_ours),
        cmocka_unit_test(a_reused_pid_is_never_signalled),
    };
    return cmocka_run_group_tests_name("process", tests, NULL, NULL);
}
