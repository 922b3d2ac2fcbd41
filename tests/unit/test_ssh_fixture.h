/* What test_ssh.c and test_ssh_exec.c share: a server, a folder, a session, and the error that was
 * met. Needs the real helper: VMM_LIBEXEC names the folder of vmm-ssh. */
#pragma once

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

static inline int set_up(void **state)
{
    struct fixture *f = xcalloc(1, sizeof(*f));
    f->folder = xasprintf("/tmp/vmm-test-ssh-XXXXXX");
    assert_non_null(mkdtemp(f->folder));
    f->known_hosts = path_join(f->folder, "known_hosts");
    *state = f;
    return 0;
}

static inline int tear_down(void **state)
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

static inline void pin(struct fixture *f, const char *line)
{
    char *text;
    assert_int_equal(ssh_known_hosts_line("127.0.0.1", f->server.port, line, &text, NULL), 0);
    assert_int_equal(fs_write_durable(f->folder, "known_hosts", text, strlen(text), NULL), 0);
    free(text);
}

static inline struct ssh_target target_of(struct fixture *f, enum ssh_host_key_policy policy)
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
static inline int try_connect(struct fixture *f, int deadline_ms, bool grace)
{
    const struct ssh_target t = target_of(f, SSH_HOST_KEY_PINNED);
    f->began_ms = clock_ms();
    return ssh_connect_with_retry(&t,
        &(struct ssh_connect_opts){
            .deadline = deadline_in_ms(deadline_ms), .host_key_grace = grace},
        &f->session, &f->error);
}

static inline int64_t took_ms(const struct fixture *f)
{
    return clock_ms() - f->began_ms;
}

/* The whole story an error tells: its message and those underneath. */
static inline void assert_error(
    struct fixture *f, enum vmm_code code, const char *reason, const char *words)
{
    assert_non_null(f->error);
    cleanup_buf struct buf story = {0};
    for (const struct vmm_error *e = f->error; e; e = vmm_error_cause(e))
        buf_addf(&story, "%s\n", vmm_error_message(e));
    const char *why = vmm_error_reason(f->error);
    if (vmm_error_code(f->error) != code || (reason && (!why || strcmp(why, reason) != 0)) ||
        !strstr(buf_cstr(&story), words))
        fail_msg("wanted %s/%s \"%s\", got %s/%s:\n%s", vmm_error_code_name(code),
            reason ? reason : "-", words, vmm_error_code_name(vmm_error_code(f->error)),
            why ? why : "-", buf_cstr(&story));
    assert_null(strchr(buf_cstr(&story), '\033'));
    if (code != VMM_E_INTERRUPTED && code != VMM_E_IO)
        assert_non_null(vmm_error_help(f->error));
    vmm_error_free(f->error);
    f->error = NULL;
}

static inline void gets_in(struct fixture *f, const struct server_opts *o)
{
    server_start(&f->server, o);
    pin(f, f->server.host_key);
    if (try_connect(f, 20000, false) != 0)
        fail_msg("could not connect: %s", vmm_error_message(f->error));
}

/* Makes the user's key; a name on the command line selects. */
static inline bool prepare(int argc, char **argv)
{
    struct vmm_error *e = NULL;
    signal(SIGPIPE, SIG_IGN);
    if (argc > 1)
        cmocka_set_test_filter(argv[1]);
    if (ssh_generate_key("test", &private_key, &public_line, &e) == 0)
        return true;
    fprintf(stderr, "%s\n", vmm_error_message(e));
    vmm_error_free(e);
    return false;
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
