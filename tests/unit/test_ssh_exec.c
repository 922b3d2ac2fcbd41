/* Commands, files and helpers, against a server that misbehaves (test_ssh_server.c). As test_ssh.c.
 */
#include "test_ssh_fixture.h"

/* ---- Commands ------------------------------------------------------------------------------ */

struct seen {
    struct buf out;
    struct buf err;
};

static void see_out(void *arg, const char *p, size_t n)
{
    buf_add(&((struct seen *)arg)->out, p, n);
}

static void see_err(void *arg, const char *p, size_t n)
{
    buf_add(&((struct seen *)arg)->err, p, n);
}

static int run(struct fixture *f, const char *command, struct seen *seen, struct ssh_result *r)
{
    f->began_ms = clock_ms();
    return ssh_exec(f->session, command,
        &(struct ssh_exec_opts){.on_stdout = see_out,
            .on_stderr = see_err,
            .arg = seen,
            .deadline = deadline_in_ms(20000)},
        r, &f->error);
}

static void commands_end_with_their_status(void **state)
{
    struct fixture *f = *state;
    struct ssh_result r;
    struct seen seen = {0};
    gets_in(f, &(struct server_opts){0});
    assert_int_equal(run(f, "exit 7", &seen, &r), 0);
    assert_int_equal(r.exit_status, 7);
    assert_string_equal(r.signal, "");
    assert_int_equal(run(f, "exit 0", &seen, &r), 0);
    assert_int_equal(r.exit_status, 0);
    assert_int_equal(run(f, "signal KILL", &seen, &r), 0);
    assert_int_equal(r.exit_status, 137);
    assert_string_equal(r.signal, "KILL");
    assert_int_equal(run(f, "nothing", &seen, &r), 0);
    assert_int_equal(r.exit_status, 255);
}

static void megabytes_on_both_streams_arrive_whole(void **state)
{
    struct fixture *f = *state;
    struct ssh_result r;
    struct seen seen = {0};
    gets_in(f, &(struct server_opts){0});
    assert_int_equal(run(f, "both 3000000", &seen, &r), 0);
    assert_int_equal(r.bytes, 6000000);
    assert_false(r.is_truncated);
    assert_int_equal(seen.out.n, 3000000);
    assert_int_equal(seen.err.n, 3000000);
    for (size_t i = 0; i < seen.out.n; i++) {
        if (seen.out.p[i] != 'a' + (int)(i / 1000 % 26) || seen.err.p[i] != seen.out.p[i])
            fail_msg("byte %zu is another", i);
    }
    buf_done(&seen.out);
    buf_done(&seen.err);
}

static void output_past_the_limit_is_counted_not_kept(void **state)
{
    struct fixture *f = *state;
    struct ssh_result r;
    struct seen seen = {0};
    gets_in(f, &(struct server_opts){0});
    assert_int_equal(ssh_exec(f->session, "both 500000",
                         &(struct ssh_exec_opts){.on_stdout = see_out,
                             .on_stderr = see_err,
                             .arg = &seen,
                             .output_limit_bytes = 100001},
                         &r, &f->error),
        0);
    assert_int_equal(r.exit_status, 0);
    assert_true(r.is_truncated);
    assert_int_equal(r.bytes, 1000000);
    assert_int_equal(seen.out.n + seen.err.n, 100001);
    buf_done(&seen.out);
    buf_done(&seen.err);
}

static void input_comes_back(void **state)
{
    struct fixture *f = *state;
    struct ssh_result r;
    struct seen seen = {0};
    cleanup_buf struct buf in = {0};
    gets_in(f, &(struct server_opts){0});
    for (unsigned i = 0; i < 400000; i++)
        buf_addf(&in, "%u\n", i);
    assert_int_equal(ssh_exec(f->session, "cat",
                         &(struct ssh_exec_opts){.on_stdout = see_out,
                             .arg = &seen,
                             .stdin_bytes = {in.p, in.n},
                             .deadline = deadline_in_ms(20000)},
                         &r, &f->error),
        0);
    assert_int_equal(seen.out.n, in.n);
    assert_memory_equal(seen.out.p, in.p, in.n);
    buf_done(&seen.out);
}

static void variables_go_before_the_command(void **state)
{
    struct fixture *f = *state;
    struct ssh_result r;
    const char *const bad[] = {"A;B", "x", NULL};
    gets_in(f, &(struct server_opts){0});
    assert_int_equal(
        ssh_exec(f->session, "exit 0", &(struct ssh_exec_opts){.env = bad}, &r, &f->error),
        -VMM_E_USAGE);
    vmm_error_free(TAKE_PTR(f->error));
    cleanup_free char *huge = xcalloc(1, SSH_COMMAND_MAX_BYTES + 2);
    memset(huge, 'x', SSH_COMMAND_MAX_BYTES + 1);
    assert_int_equal(ssh_exec(f->session, huge, NULL, &r, &f->error), -VMM_E_USAGE);
    vmm_error_free(TAKE_PTR(f->error));
}

static void command_that_never_ends_is_cut(void **state)
{
    struct fixture *f = *state;
    struct ssh_result r;
    gets_in(f, &(struct server_opts){0});
    f->began_ms = clock_ms();
    assert_int_equal(ssh_exec(f->session, "hang",
                         &(struct ssh_exec_opts){.deadline = deadline_in_ms(500)}, &r, &f->error),
        -VMM_E_WAIT_TIMEOUT);
    assert_in_range(took_ms(f), 500, 1500);
    assert_error(f, VMM_E_WAIT_TIMEOUT, "ssh",
        "could not run a command in the guest: it did not end in time");
    /* And the session goes on. */
    assert_true(ssh_session_is_alive(f->session));
    assert_int_equal(ssh_exec(f->session, "exit 3",
                         &(struct ssh_exec_opts){.deadline = deadline_in_ms(5000)}, &r, &f->error),
        0);
    assert_int_equal(r.exit_status, 3);
}

static void endless_output_is_cut(void **state)
{
    struct fixture *f = *state;
    struct ssh_result r;
    gets_in(f, &(struct server_opts){0});
    f->began_ms = clock_ms();
    assert_int_equal(ssh_exec(f->session, "flood",
                         &(struct ssh_exec_opts){.deadline = deadline_in_ms(500)}, &r, &f->error),
        -VMM_E_WAIT_TIMEOUT);
    assert_in_range(took_ms(f), 500, 1500);
    vmm_error_free(TAKE_PTR(f->error));
}

static void cut_connection_is_an_error_not_an_end(void **state)
{
    struct fixture *f = *state;
    struct ssh_result r;
    struct seen seen = {0};
    gets_in(f, &(struct server_opts){0});
    assert_int_equal(run(f, "die", &seen, &r), -VMM_E_SSH);
    assert_in_range(took_ms(f), 0, 1000);
    assert_error(f, VMM_E_SSH, "connection", "could not run a command in the guest");
    assert_int_equal(seen.out.n, 32768); /* what had come was given on */
    assert_false(ssh_session_is_alive(f->session));
    assert_int_equal(run(f, "exit 0", &seen, &r), -VMM_E_SSH);
    assert_error(f, VMM_E_SSH, "connection", "is already lost");
    buf_done(&seen.out);
}

static void what_a_command_leaves_behind_is_not_waited_for(void **state)
{
    struct fixture *f = *state;
    struct ssh_result r;
    struct seen seen = {0};
    gets_in(f, &(struct server_opts){0});
    assert_int_equal(run(f, "linger", &seen, &r), 0);
    assert_int_equal(r.exit_status, 4);
    assert_true(r.is_left_open);
    assert_in_range(took_ms(f), 1500, 3500);
    buf_done(&seen.out);
}

static void command_can_be_interrupted(void **state)
{
    struct fixture *f = *state;
    struct ssh_result r;
    gets_in(f, &(struct server_opts){0});
    cleanup_close int stop = eventfd(1, EFD_CLOEXEC);
    f->began_ms = clock_ms();
    assert_int_equal(
        ssh_exec(f->session, "hang", &(struct ssh_exec_opts){.cancel_fd = stop}, &r, &f->error),
        -VMM_E_INTERRUPTED);
    assert_in_range(took_ms(f), 0, 1000);
    assert_error(f, VMM_E_INTERRUPTED, NULL, "interrupted: could not run a command");
}

/* ---- Files --------------------------------------------------------------------------------- */

static int open_with(struct fixture *f, size_t n)
{
    cleanup_buf struct buf text = {0};
    for (size_t i = 0; text.n < n; i++)
        buf_addf(&text, "%zu,", i);
    assert_int_equal(fs_write_durable(f->folder, "local", text.p, n, NULL), 0);
    cleanup_free char *path = path_join(f->folder, "local");
    return open(path, O_RDWR | O_CLOEXEC);
}

static void files_go_up_and_down_unchanged(void **state)
{
    struct fixture *f = *state;
    gets_in(f, &(struct server_opts){.folder = f->folder});
    static const size_t sizes[] = {0, 1, 32768, 32769, 3000000};
    for (size_t i = 0; i < sizeof(sizes) / sizeof(*sizes); i++) {
        cleanup_close int fd = open_with(f, sizes[i]);
        assert_int_equal(ssh_upload(f->session, fd, "there",
                             &(struct ssh_transfer_opts){.mode = 0640}, &f->error),
            0);
        cleanup_free char *there = path_join(f->folder, "there");
        struct stat st;
        assert_int_equal(stat(there, &st), 0);
        assert_int_equal(st.st_size, sizes[i]);
        assert_int_equal(st.st_mode & 0777, 0640);
        cleanup_free char *back_path = path_join(f->folder, "back");
        cleanup_close int back =
            open(back_path, O_RDWR | O_CREAT | O_CLOEXEC, 0600); /* longer, from the last round */
        assert_int_equal(ssh_download(f->session, "~/there", back, NULL, &f->error), 0);
        cleanup_buf struct buf a = {0};
        cleanup_buf struct buf b = {0};
        cleanup_free char *local = path_join(f->folder, "local");
        assert_int_equal(fs_read_file(local, 1 << 24, &a), 0);
        assert_int_equal(fs_read_file(back_path, 1 << 24, &b), 0);
        assert_int_equal(a.n, b.n);
        assert_memory_equal(buf_cstr(&a), buf_cstr(&b), a.n);
    }
}

static void upload_failures_say_why(void **state)
{
    struct fixture *f = *state;
    gets_in(f, &(struct server_opts){.folder = f->folder});
    static const struct {
        const char *path, *reason, *words;
    } rows[] = {
        {"/denied", "permission", "could not upload \"/denied\" to the guest: permission denied"},
        {"/nodir", "no-such-path", "there is no such folder"},
        {"/full", "disk-full", "the guest's disk is full"},
        {"/folder", "is-directory", "it is a directory"},
        {"/odd", "failed", "the guest says \"it is \\x1b[31mTuesday\""},
        {"a\033b/c", "no-such-path", "could not upload \"a\\x1bb/c\""},
    };
    cleanup_close int fd = open_with(f, 3000000);
    for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
        f->began_ms = clock_ms();
        assert_int_equal(ssh_upload(f->session, fd, rows[i].path, NULL, &f->error), -VMM_E_SSH);
        assert_error(f, VMM_E_SSH, rows[i].reason, rows[i].words);
        assert_in_range(took_ms(f), 0, 1500);
        assert_true(ssh_session_is_alive(f->session));
    }
    assert_int_equal(ssh_upload(f->session, fd, "x",
                         &(struct ssh_transfer_opts){.limit_bytes = 2999999}, &f->error),
        -VMM_E_SSH);
    assert_error(f, VMM_E_SSH, "too-large", "larger than 2999999 bytes");
    f->began_ms = clock_ms();
    assert_int_equal(ssh_upload(f->session, fd, "/stall",
                         &(struct ssh_transfer_opts){.deadline = deadline_in_ms(500)}, &f->error),
        -VMM_E_WAIT_TIMEOUT);
    assert_in_range(took_ms(f), 500, 1500);
    assert_error(f, VMM_E_WAIT_TIMEOUT, "ssh", "could not upload \"/stall\"");
    cleanup_close int pipe_like = eventfd(0, EFD_CLOEXEC);
    assert_int_equal(ssh_upload(f->session, pipe_like, "x", NULL, &f->error), -VMM_E_IO);
    assert_error(f, VMM_E_IO, "local", "not a regular file");
}

static void lying_downloads_are_refused(void **state)
{
    struct fixture *f = *state;
    gets_in(f, &(struct server_opts){.folder = f->folder});
    static const struct {
        const char *path, *reason, *words;
    } rows[] = {
        {"/liar", "too-large", "larger than 1000000 bytes"},
        {"/toomuch", "protocol", "sent more or less than it was asked for"},
        {"/garbage", "protocol", "impossible length"},
        {"missing", "no-such-path", "there is no such file"},
        {"/denied", "permission", "permission denied"},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
        cleanup_close int fd = open_with(f, 0);
        f->began_ms = clock_ms();
        assert_int_equal(ssh_download(f->session, rows[i].path, fd,
                             &(struct ssh_transfer_opts){.limit_bytes = 1000000}, &f->error),
            -VMM_E_SSH);
        assert_error(f, VMM_E_SSH, rows[i].reason, rows[i].words);
        assert_in_range(took_ms(f), 0, 1500);
        struct stat st;
        assert_int_equal(fstat(fd, &st), 0);
        assert_in_range(st.st_size, 0, 1000000);
    }
}

static void guest_without_sftp_is_named(void **state)
{
    struct fixture *f = *state;
    gets_in(f, &(struct server_opts){0});
    cleanup_close int fd = open_with(f, 10);
    assert_int_equal(ssh_upload(f->session, fd, "x", NULL, &f->error), -VMM_E_SSH);
    assert_error(f, VMM_E_SSH, "no-sftp", "the guest offers no SFTP");
}

/* ---- The helper ---------------------------------------------------------------------------- */

static void put_script(struct fixture *f, const char *text)
{
    cleanup_free char *path = path_join(f->folder, "vmm-ssh");
    assert_int_equal(fs_write_durable(f->folder, "vmm-ssh", text, strlen(text), NULL), 0);
    assert_int_equal(chmod(path, 0700), 0);
}

static void bad_helpers_are_named(void **state)
{
    struct fixture *f = *state;
    cleanup_free char *before = xstrdup(getenv("VMM_LIBEXEC"));
    server_start(&f->server, &(struct server_opts){0});
    pin(f, f->server.host_key);
    setenv("VMM_LIBEXEC", f->folder, 1);
    assert_int_equal(try_connect(f, 5000, false), -VMM_E_HELPER);
    assert_error(f, VMM_E_HELPER, NULL, "could not find the helper program");
    static const char *const scripts[] = {
        "#!/bin/sh\nexit 3\n", "#!/bin/sh\nprintf 'GET / HTTP/1.0' >&3; sleep 5\n",
        "#!/bin/sh\nkill -9 $$\n",
        "#!/bin/sh\nprintf '\\000\\000\\000\\003r{}' >&3; sleep 5\n", /* ready before anything was
                                                                         judged */
    };
    for (size_t i = 0; i < sizeof(scripts) / sizeof(*scripts); i++) {
        put_script(f, scripts[i]);
        assert_int_equal(try_connect(f, 4000, false), -VMM_E_HELPER);
        assert_in_range(took_ms(f), 0, 3000);
        assert_error(f, VMM_E_HELPER, "helper", "the SSH helper");
        char *private_text, *line;
        assert_int_equal(ssh_generate_key("x", &private_text, &line, &f->error), -VMM_E_SSH_KEYGEN);
        vmm_error_free(TAKE_PTR(f->error));
    }
    setenv("VMM_LIBEXEC", before, 1);
}

static void helpers_leave_with_their_session(void **state)
{
    struct fixture *f = *state;
    gets_in(f, &(struct server_opts){0});
    assert_non_null(strstr(ssh_session_confinement(f->session), "seccomp"));
    struct ssh_result r;
    /* Stopped helpers do not hang us either. */
    f->began_ms = clock_ms();
    assert_int_equal(ssh_exec(f->session, "exit 0", NULL, &r, &f->error), 0);
    ssh_session_close(TAKE_PTR(f->session));
    assert_in_range(took_ms(f), 0, 1500);
    assert_int_equal(waitpid(-1, NULL, WNOHANG), 0); /* only the server is left to wait for */
}

static void *use_in_thread(void *arg)
{
    struct fixture *f = arg;
    const struct ssh_target t = target_of(f, SSH_HOST_KEY_PINNED);
    cleanup_ssh_session struct ssh_session *s = NULL;
    struct ssh_result r = {.exit_status = -1};
    if (ssh_connect_with_retry(&t, NULL, &s, NULL) < 0)
        return (void *)"connect";
    for (int i = 0; i < 10; i++) {
        if (ssh_exec(s, "both 20000", NULL, &r, NULL) < 0 || r.exit_status != 0 || r.bytes != 40000)
            return (void *)"exec";
    }
    return NULL;
}

static void sessions_in_threads_do_not_meet(void **state)
{
    struct fixture *f = *state;
    pthread_t threads[6];
    server_start(&f->server, &(struct server_opts){0});
    pin(f, f->server.host_key);
    for (int i = 0; i < 6; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, use_in_thread, f), 0);
    for (int i = 0; i < 6; i++) {
        void *failed;
        pthread_join(threads[i], &failed);
        if (failed)
            fail_msg("thread %d: %s", i, (const char *)failed);
    }
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        TEST(commands_end_with_their_status),
        TEST(megabytes_on_both_streams_arrive_whole),
        TEST(output_past_the_limit_is_counted_not_kept),
        TEST(input_comes_back),
        TEST(variables_go_before_the_command),
        TEST(command_that_never_ends_is_cut),
        TEST(endless_output_is_cut),
        TEST(cut_connection_is_an_error_not_an_end),
        TEST(what_a_command_leaves_behind_is_not_waited_for),
        TEST(command_can_be_interrupted),
        TEST(files_go_up_and_down_unchanged),
        TEST(upload_failures_say_why),
        TEST(lying_downloads_are_refused),
        TEST(guest_without_sftp_is_named),
        TEST(bad_helpers_are_named),
        TEST(helpers_leave_with_their_session),
        TEST(sessions_in_threads_do_not_meet),
    };
    if (!prepare(argc, argv))
        return 1;
    const int failed = cmocka_run_group_tests(tests, NULL, NULL);
    free(private_key);
    free(public_line);
    return failed;
}
