/* Sessions against a server that misbehaves (test_ssh_server.c). Needs the real helper: VMM_LIBEXEC
 * names the folder of vmm-ssh. Every failure must have the right code, words that name the cause, and
 * come within a second of its deadline. A name on the command line selects. */
#include "base/alloc.h"
#include "base/buf.h"
#include "base/cleanup.h"
#include "base/error.h"
#include "base/fs.h"
#include "ssh/ssh.h"
#include "test_ssh_server.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <sys/wait.h>
/* cmocka wants the four above */
#include <cmocka.h>

static char *private_key;
static char *public_line;

struct fixture {
    struct server server;
    char *folder;
    char *known_hosts;
    struct ssh_session *session;
    struct vmm_error *error;
    int64_t began_ms;
};

static int set_up(void **state)
{
    struct fixture *f = xcalloc(1, sizeof(*f));
    f->folder = xasprintf("/tmp/vmm-test-ssh-XXXXXX");
    assert_non_null(mkdtemp(f->folder));
    f->known_hosts = path_join(f->folder, "known_hosts");
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;
    ssh_session_close(f->session);
    server_stop(&f->server);
    vmm_error_free(f->error);
    fs_remove_tree(f->folder, NULL);
    free(f->folder);
    free(f->known_hosts);
    free(f);
    return 0;
}

static void pin(struct fixture *f, const char *line)
{
    char *text;
    assert_int_equal(ssh_known_hosts_line("127.0.0.1", f->server.port, line, &text, NULL), 0);
    assert_int_equal(fs_write_durable(f->folder, "known_hosts", text, strlen(text), NULL), 0);
    free(text);
}

static struct ssh_target target_of(struct fixture *f, enum ssh_host_key_policy policy)
{
    return (struct ssh_target){
        .host = "127.0.0.1",
        .port = f->server.port,
        .user = "tester",
        .private_key = private_key,
        .known_hosts_path = f->known_hosts,
        .host_key_policy = policy,
    };
}

/* Connects with the key pinned, and keeps the session or the error. */
static int try_connect(struct fixture *f, int deadline_ms, bool grace)
{
    const struct ssh_target t = target_of(f, SSH_HOST_KEY_PINNED);
    f->began_ms = clock_ms();
    return ssh_connect_with_retry(&t,
        &(struct ssh_connect_opts){.deadline = deadline_in_ms(deadline_ms), .host_key_grace = grace},
        &f->session,
        &f->error);
}

static int64_t took_ms(const struct fixture *f)
{
    return clock_ms() - f->began_ms;
}

/* The whole story an error tells: its message and those underneath. */
static void assert_error(struct fixture *f, enum vmm_code code, const char *reason, const char *words)
{
    assert_non_null(f->error);
    cleanup_buf struct buf story = {0};
    for (const struct vmm_error *e = f->error; e; e = vmm_error_cause(e))
        buf_addf(&story, "%s\n", vmm_error_message(e));
    const char *why = vmm_error_reason(f->error);
    if (vmm_error_code(f->error) != code || (reason && (!why || strcmp(why, reason) != 0)) ||
        !strstr(buf_cstr(&story), words))
        fail_msg("wanted %s/%s \"%s\", got %s/%s:\n%s",
            vmm_error_code_name(code),
            reason ? reason : "-",
            words,
            vmm_error_code_name(vmm_error_code(f->error)),
            why ? why : "-",
            buf_cstr(&story));
    assert_null(strchr(buf_cstr(&story), '\033'));
    if (code != VMM_E_INTERRUPTED && code != VMM_E_IO)
        assert_non_null(vmm_error_help(f->error));
    vmm_error_free(f->error);
    f->error = NULL;
}

static void fails_to_connect(struct fixture *f, const struct server_opts *o, int deadline_ms, enum vmm_code code,
    const char *reason, const char *words)
{
    server_start(&f->server, o);
    pin(f, f->server.host_key);
    assert_int_equal(try_connect(f, deadline_ms, false), -(int)code);
    assert_in_range(took_ms(f), 0, deadline_ms + 1000);
    assert_error(f, code, reason, words);
}

static void gets_in(struct fixture *f, const struct server_opts *o)
{
    server_start(&f->server, o);
    pin(f, f->server.host_key);
    if (try_connect(f, 20000, false) != 0)
        fail_msg("could not connect: %s", vmm_error_message(f->error));
}

/* ---- Getting in ---------------------------------------------------------------------------- */

static void refused_port_is_named(void **state)
{
    fails_to_connect(*state, &(struct server_opts){.listen_after_ms = 60000}, 700, VMM_E_SSH, "port", "Connection refused");
}

static void silent_server_has_no_banner(void **state)
{
    fails_to_connect(*state, &(struct server_opts){.manner = SERVER_SILENT}, 1500, VMM_E_SSH, "banner",
        "no SSH server answers");
}

static void silence_until_the_deadline_has_no_banner(void **state)
{
    fails_to_connect(*state, &(struct server_opts){.manner = SERVER_SILENT}, 300, VMM_E_SSH, "banner",
        "no SSH server answers");
}

static void garbage_is_quoted_and_sanitized(void **state)
{
    fails_to_connect(*state, &(struct server_opts){.manner = SERVER_GARBAGE}, 800, VMM_E_SSH, "banner",
        "220 mail.\\x1b[31mexample ESMTP");
}

static void endless_banner_is_refused(void **state)
{
    fails_to_connect(*state, &(struct server_opts){.manner = SERVER_ENDLESS}, 800, VMM_E_SSH, "banner", "does not speak SSH");
}

static void dripping_banner_ends_at_the_deadline(void **state)
{
    fails_to_connect(*state, &(struct server_opts){.manner = SERVER_DRIP_FOREVER}, 1500, VMM_E_SSH, "banner", "");
}

static void slow_banner_is_waited_for(void **state)
{
    struct fixture *f = *state;
    gets_in(f, &(struct server_opts){.manner = SERVER_DRIP});
    assert_in_range(took_ms(f), 100, 4000);
}

static void hanging_key_exchange_is_named(void **state)
{
    fails_to_connect(*state, &(struct server_opts){.manner = SERVER_NO_KEX}, 900, VMM_E_WAIT_TIMEOUT, "kex",
        "the key exchange with 127.0.0.1");
}

static void closing_in_key_exchange_is_named(void **state)
{
    fails_to_connect(*state, &(struct server_opts){.manner = SERVER_CLOSE_IN_KEX}, 900, VMM_E_SSH, "kex", "ended early");
}

static void refused_login_is_named(void **state)
{
    fails_to_connect(*state, &(struct server_opts){.manner = SERVER_REFUSE}, 1500, VMM_E_SSH_AUTH, "login",
        "the guest refused to log in \"tester\": it does not take this key (it offers publickey, password)");
}

static void login_that_is_refused_at_first_is_retried(void **state)
{
    struct fixture *f = *state;
    gets_in(f, &(struct server_opts){.refuse_first = 3});
    assert_in_range(took_ms(f), 200, 4000);
}

static void late_listener_is_found_at_once(void **state)
{
    struct fixture *f = *state;
    gets_in(f, &(struct server_opts){.listen_after_ms = 1500});
    assert_in_range(took_ms(f), 1400, 2300);
}

/* QEMU's user network: what was taken before the guest listened is never answered. */
static void unanswered_connections_are_overtaken(void **state)
{
    struct fixture *f = *state;
    gets_in(f, &(struct server_opts){.shy = 1});
    assert_in_range(took_ms(f), 900, 2000);
}

static void changed_host_key_fails_at_once(void **state)
{
    struct fixture *f = *state;
    server_start(&f->server, &(struct server_opts){0});
    pin(f, f->server.other_key);
    assert_int_equal(try_connect(f, 10000, false), -VMM_E_SSH_HOST_KEY);
    assert_in_range(took_ms(f), 0, 2000);
    char *shown, *pinned;
    assert_int_equal(ssh_key_fingerprint(f->server.host_key, &shown, NULL), 0);
    assert_int_equal(ssh_key_fingerprint(f->server.other_key, &pinned, NULL), 0);
    cleanup_free char *words = xasprintf("is %s, but %s is pinned in \"%s\"", shown, pinned, f->known_hosts);
    assert_error(f, VMM_E_SSH_HOST_KEY, "host-key", words);
    free(shown);
    free(pinned);
}

static void early_host_key_is_forgiven_with_grace(void **state)
{
    struct fixture *f = *state;
    server_start(&f->server, &(struct server_opts){.early_key = 2});
    pin(f, f->server.host_key);
    assert_int_equal(try_connect(f, 10000, true), 0);
    assert_in_range(took_ms(f), 200, 3000);
}

static void grace_ends_at_the_deadline(void **state)
{
    struct fixture *f = *state;
    server_start(&f->server, &(struct server_opts){0});
    pin(f, f->server.other_key);
    assert_int_equal(try_connect(f, 1500, true), -VMM_E_SSH_HOST_KEY);
    assert_in_range(took_ms(f), 1400, 2500);
    assert_error(f, VMM_E_SSH_HOST_KEY, "host-key", "is pinned in");
}

static void unknown_host_is_not_trusted_when_pinned(void **state)
{
    struct fixture *f = *state;
    server_start(&f->server, &(struct server_opts){0});
    assert_int_equal(try_connect(f, 5000, true), -VMM_E_SSH_HOST_KEY);
    assert_in_range(took_ms(f), 0, 2000);
    assert_error(f, VMM_E_SSH_HOST_KEY, "not-pinned", "has no key for it");
}

struct told {
    char fingerprint[100];
    bool is_new;
    unsigned stages;
};

static void on_host_key(void *arg, const char *fingerprint, bool is_new)
{
    struct told *t = arg;
    snprintf(t->fingerprint, sizeof(t->fingerprint), "%s", fingerprint);
    t->is_new = is_new;
}

static void on_stage(void *arg, enum ssh_stage stage, unsigned attempt)
{
    struct told *t = arg;
    assert_true(attempt >= 1 || stage == SSH_STAGE_CONNECT);
    t->stages |= 1U << stage;
}

static void first_key_is_pinned_and_held_to(void **state)
{
    struct fixture *f = *state;
    server_start(&f->server, &(struct server_opts){.refuse_first = 1, .early_key = 1});
    const struct ssh_target t = target_of(f, SSH_HOST_KEY_PIN_FIRST);
    for (int i = 0; i < 2; i++) {
        struct told told = {0};
        assert_int_equal(ssh_connect_with_retry(&t,
                             &(struct ssh_connect_opts){.deadline = deadline_in_ms(10000),
                                 .on_host_key = on_host_key,
                                 .on_stage = on_stage,
                                 .arg = &told},
                             &f->session,
                             &f->error),
            0);
        /* The early key was seen first, but no login succeeded with it. */
        char *fingerprint;
        assert_int_equal(ssh_key_fingerprint(f->server.host_key, &fingerprint, NULL), 0);
        assert_string_equal(told.fingerprint, fingerprint);
        assert_string_equal(ssh_session_host_key(f->session), fingerprint);
        free(fingerprint);
        assert_int_equal(told.is_new, i == 0);
        assert_true(told.stages & 1U << SSH_STAGE_KEX && told.stages & 1U << SSH_STAGE_READY);
        ssh_session_close(TAKE_PTR(f->session));
    }
    struct stat st;
    assert_int_equal(stat(f->known_hosts, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
}

static void unusable_key_fails_at_once(void **state)
{
    struct fixture *f = *state;
    server_start(&f->server, &(struct server_opts){0});
    pin(f, f->server.host_key);
    struct ssh_target t = target_of(f, SSH_HOST_KEY_PINNED);
    t.private_key = "-----BEGIN OPENSSH PRIVATE KEY-----\nnonsense\n-----END OPENSSH PRIVATE KEY-----\n";
    f->began_ms = clock_ms();
    assert_int_equal(ssh_connect_with_retry(&t, &(struct ssh_connect_opts){.deadline = deadline_in_ms(8000)}, &f->session, &f->error),
        -VMM_E_SSH_AUTH);
    assert_in_range(took_ms(f), 0, 1500);
    assert_error(f, VMM_E_SSH_AUTH, "key", "the private key cannot be used");
}

static void connect_can_be_polled_and_cancelled(void **state)
{
    struct fixture *f = *state;
    server_start(&f->server, &(struct server_opts){.listen_after_ms = 400});
    pin(f, f->server.host_key);
    const struct ssh_target t = target_of(f, SSH_HOST_KEY_PINNED);
    for (int cancelled = 1; cancelled >= 0; cancelled--) {
        struct ssh_connect *c;
        struct told told = {0};
        assert_int_equal(ssh_connect_start(&t, &(struct ssh_connect_opts){.deadline = deadline_in_ms(8000), .on_stage = on_stage, .arg = &told}, &c, &f->error), 0);
        enum ssh_stage stage;
        int r, steps = 0;
        while ((r = ssh_connect_step(c, &stage, &f->session, &f->error)) == 1) {
            if (cancelled && steps == 3)
                break;
            steps++;
            assert_true(poll(&(struct pollfd){.fd = ssh_connect_fd(c), .events = POLLIN}, 1, 8000) > 0);
        }
        if (!cancelled)
            assert_int_equal(r, 0);
        assert_in_range(steps, 1, 200); /* it sleeps between steps */
        ssh_connect_cancel(c);
    }
    assert_true(ssh_session_is_alive(f->session));
}

static void connect_can_be_interrupted(void **state)
{
    struct fixture *f = *state;
    server_start(&f->server, &(struct server_opts){.manner = SERVER_SILENT});
    const struct ssh_target t = target_of(f, SSH_HOST_KEY_PINNED);
    cleanup_close int stop = eventfd(1, EFD_CLOEXEC);
    assert_int_equal(ssh_connect_with_retry(&t, &(struct ssh_connect_opts){.cancel_fd = stop}, &f->session, &f->error),
        -VMM_E_INTERRUPTED);
}

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
        &(struct ssh_exec_opts){.on_stdout = see_out, .on_stderr = see_err, .arg = seen, .deadline = deadline_in_ms(20000)}, r, &f->error);
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
                         &(struct ssh_exec_opts){.on_stdout = see_out, .on_stderr = see_err, .arg = &seen, .output_limit_bytes = 100001},
                         &r, &f->error), 0);
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
                         &(struct ssh_exec_opts){.on_stdout = see_out, .arg = &seen, .stdin_bytes = {in.p, in.n}, .deadline = deadline_in_ms(20000)},
                         &r, &f->error), 0);
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
    assert_int_equal(ssh_exec(f->session, "exit 0", &(struct ssh_exec_opts){.env = bad}, &r, &f->error), -VMM_E_USAGE);
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
    assert_int_equal(ssh_exec(f->session, "hang", &(struct ssh_exec_opts){.deadline = deadline_in_ms(500)}, &r, &f->error),
        -VMM_E_WAIT_TIMEOUT);
    assert_in_range(took_ms(f), 500, 1500);
    assert_error(f, VMM_E_WAIT_TIMEOUT, "ssh", "could not run a command in the guest: it did not end in time");
    /* And the session goes on. */
    assert_true(ssh_session_is_alive(f->session));
    assert_int_equal(ssh_exec(f->session, "exit 3", &(struct ssh_exec_opts){.deadline = deadline_in_ms(5000)}, &r, &f->error), 0);
    assert_int_equal(r.exit_status, 3);
}

static void endless_output_is_cut(void **state)
{
    struct fixture *f = *state;
    struct ssh_result r;
    gets_in(f, &(struct server_opts){0});
    f->began_ms = clock_ms();
    assert_int_equal(ssh_exec(f->session, "flood", &(struct ssh_exec_opts){.deadline = deadline_in_ms(500)}, &r, &f->error),
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
    /* What had come was given on; a reset may swallow some. */
    assert_in_range(seen.out.n, 0, 32768);
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
    assert_int_equal(ssh_exec(f->session, "hang", &(struct ssh_exec_opts){.cancel_fd = stop}, &r, &f->error), -VMM_E_INTERRUPTED);
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
        assert_int_equal(ssh_upload(f->session, fd, "there", &(struct ssh_transfer_opts){.mode = 0640}, &f->error), 0);
        cleanup_free char *there = path_join(f->folder, "there");
        struct stat st;
        assert_int_equal(stat(there, &st), 0);
        assert_int_equal(st.st_size, sizes[i]);
        assert_int_equal(st.st_mode & 0777, 0640);
        cleanup_free char *back_path = path_join(f->folder, "back");
        cleanup_close int back = open(back_path, O_RDWR | O_CREAT | O_CLOEXEC, 0600); /* longer, from the last round */
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
    assert_int_equal(ssh_upload(f->session, fd, "x", &(struct ssh_transfer_opts){.limit_bytes = 2999999}, &f->error), -VMM_E_SSH);
    assert_error(f, VMM_E_SSH, "too-large", "larger than 2999999 bytes");
    f->began_ms = clock_ms();
    assert_int_equal(ssh_upload(f->session, fd, "/stall", &(struct ssh_transfer_opts){.deadline = deadline_in_ms(500)}, &f->error), -VMM_E_WAIT_TIMEOUT);
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
        assert_int_equal(ssh_download(f->session, rows[i].path, fd, &(struct ssh_transfer_opts){.limit_bytes = 1000000}, &f->error), -VMM_E_SSH);
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
        "#!/bin/sh\nexit 3\n",
        "#!/bin/sh\nprintf 'GET / HTTP/1.0' >&3; sleep 5\n",
        "#!/bin/sh\nkill -9 $$\n",
        "#!/bin/sh\nprintf '\\000\\000\\000\\003r{}' >&3; sleep 5\n", /* ready before anything was judged */
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
        return "connect";
    for (int i = 0; i < 10; i++) {
        if (ssh_exec(s, "both 20000", NULL, &r, NULL) < 0 || r.exit_status != 0 || r.bytes != 40000)
            return "exec";
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

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        TEST(refused_port_is_named),
        TEST(silent_server_has_no_banner),
        TEST(silence_until_the_deadline_has_no_banner),
        TEST(garbage_is_quoted_and_sanitized),
        TEST(endless_banner_is_refused),
        TEST(dripping_banner_ends_at_the_deadline),
        TEST(slow_banner_is_waited_for),
        TEST(hanging_key_exchange_is_named),
        TEST(closing_in_key_exchange_is_named),
        TEST(refused_login_is_named),
        TEST(login_that_is_refused_at_first_is_retried),
        TEST(late_listener_is_found_at_once),
        TEST(unanswered_connections_are_overtaken),
        TEST(changed_host_key_fails_at_once),
        TEST(early_host_key_is_forgiven_with_grace),
        TEST(grace_ends_at_the_deadline),
        TEST(unknown_host_is_not_trusted_when_pinned),
        TEST(first_key_is_pinned_and_held_to),
        TEST(unusable_key_fails_at_once),
        TEST(connect_can_be_polled_and_cancelled),
        TEST(connect_can_be_interrupted),
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
    signal(SIGPIPE, SIG_IGN);
    struct vmm_error *e = NULL;
    if (ssh_generate_key("test", &private_key, &public_line, &e) < 0) {
        fprintf(stderr, "%s\n", vmm_error_message(e));
        return 1;
    }
    if (argc > 1)
        cmocka_set_test_filter(argv[1]);
    const int failed = cmocka_run_group_tests(tests, NULL, NULL);
    free(private_key);
    free(public_line);
    return failed;
}
