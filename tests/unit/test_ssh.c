/* The way into a server that misbehaves (test_ssh_server.c). Every failure must have the right
 * code, words that name the cause, and come within a second of its deadline. */
#include "test_ssh_fixture.h"

static void fails_to_connect(struct fixture *f,
    const struct server_opts *o,
    int deadline_ms,
    enum vmm_code code,
    const char *reason,
    const char *words)
{
    server_start(&f->server, o);
    pin(f, f->server.host_key);
    assert_int_equal(try_connect(f, deadline_ms, false), -(int)code);
    assert_in_range(took_ms(f), 0, deadline_ms + 1000);
    assert_error(f, code, reason, words);
}

/* ---- Getting in ---------------------------------------------------------------------------- */

static void refused_port_is_named(void **state)
{
    fails_to_connect(*state, &(struct server_opts){.listen_after_ms = 60000}, 700, VMM_E_SSH,
        "port", "Connection refused");
}

static void silent_server_has_no_banner(void **state)
{
    fails_to_connect(*state, &(struct server_opts){.manner = SERVER_SILENT}, 1500, VMM_E_SSH,
        "banner", "no SSH server answers");
}

static void silence_until_the_deadline_has_no_banner(void **state)
{
    fails_to_connect(*state, &(struct server_opts){.manner = SERVER_SILENT}, 300, VMM_E_SSH,
        "banner", "no SSH server answers");
}

static void garbage_is_quoted_and_sanitized(void **state)
{
    fails_to_connect(*state, &(struct server_opts){.manner = SERVER_GARBAGE}, 800, VMM_E_SSH,
        "banner", "220 mail.\\x1b[31mexample ESMTP");
}

static void endless_banner_is_refused(void **state)
{
    fails_to_connect(*state, &(struct server_opts){.manner = SERVER_ENDLESS}, 800, VMM_E_SSH,
        "banner", "does not speak SSH");
}

static void dripping_banner_ends_at_the_deadline(void **state)
{
    fails_to_connect(*state, &(struct server_opts){.manner = SERVER_DRIP_FOREVER}, 1500, VMM_E_SSH,
        "banner", "");
}

static void slow_banner_is_waited_for(void **state)
{
    struct fixture *f = *state;
    gets_in(f, &(struct server_opts){.manner = SERVER_DRIP});
    assert_in_range(took_ms(f), 100, 4000);
}

static void hanging_key_exchange_is_named(void **state)
{
    fails_to_connect(*state, &(struct server_opts){.manner = SERVER_NO_KEX}, 900,
        VMM_E_WAIT_TIMEOUT, "kex", "the key exchange with 127.0.0.1");
}

static void closing_in_key_exchange_is_named(void **state)
{
    fails_to_connect(*state, &(struct server_opts){.manner = SERVER_CLOSE_IN_KEX}, 900, VMM_E_SSH,
        "kex", "ended early");
}

static void refused_login_is_named(void **state)
{
    fails_to_connect(*state, &(struct server_opts){.manner = SERVER_REFUSE}, 1500, VMM_E_SSH_AUTH,
        "login",
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
    cleanup_free char *words =
        xasprintf("is %s, but %s is pinned in \"%s\"", shown, pinned, f->known_hosts);
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
                             &f->session, &f->error),
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
    t.private_key =
        "-----BEGIN OPENSSH PRIVATE KEY-----\nnonsense\n-----END OPENSSH PRIVATE KEY-----\n";
    f->began_ms = clock_ms();
    assert_int_equal(
        ssh_connect_with_retry(&t, &(struct ssh_connect_opts){.deadline = deadline_in_ms(8000)},
            &f->session, &f->error),
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
        assert_int_equal(
            ssh_connect_start(&t,
                &(struct ssh_connect_opts){
                    .deadline = deadline_in_ms(8000), .on_stage = on_stage, .arg = &told},
                &c, &f->error),
            0);
        enum ssh_stage stage;
        int r, steps = 0;
        while ((r = ssh_connect_step(c, &stage, &f->session, &f->error)) == 1) {
            if (cancelled && steps == 3)
                break;
            steps++;
            assert_true(
                poll(&(struct pollfd){.fd = ssh_connect_fd(c), .events = POLLIN}, 1, 8000) > 0);
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
    assert_int_equal(ssh_connect_with_retry(
                         &t, &(struct ssh_connect_opts){.cancel_fd = stop}, &f->session, &f->error),
        -VMM_E_INTERRUPTED);
}

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
    };
    if (!prepare(argc, argv))
        return 1;
    const int failed = cmocka_run_group_tests(tests, NULL, NULL);
    free(private_key);
    free(public_line);
    return failed;
}
