#include "base/cleanup.h"
#include "ssh/worker.h"

#include <string.h>

/* What we sign and check with, best first; the pinned types go before them. No ssh-rsa (SHA-1), no
 * DSA. */
static const char host_key_types[] =
    "ssh-ed25519,ecdsa-sha2-nistp256,ecdsa-sha2-nistp384,ecdsa-sha2-nistp521,rsa-sha2-512,rsa-sha2-256";

/* libssh looks for nothing by itself: no configuration, no keys, no agent, no known_hosts, which
 * are all the library's business and cannot be opened from here anyway. */
static bool set_options(ssh_session s, const struct msg_start *m, int fd)
{
    const bool no = false;
    const int on = 1;
    cleanup_buf struct buf types = {0};
    buf_addf(&types, "%s%s%s", m->host_key_types, *m->host_key_types ? "," : "", host_key_types);
    return ssh_options_set(s, SSH_OPTIONS_PROCESS_CONFIG, &no) == SSH_OK &&
           ssh_options_set(s, SSH_OPTIONS_SSH_DIR, "/nonexistent") == SSH_OK &&
           ssh_options_set(s, SSH_OPTIONS_HOST, "guest") == SSH_OK &&
           ssh_options_set(s, SSH_OPTIONS_USER, m->user) == SSH_OK &&
           ssh_options_set(s, SSH_OPTIONS_KNOWNHOSTS, "/nonexistent/known_hosts") == SSH_OK &&
           ssh_options_set(s, SSH_OPTIONS_GLOBAL_KNOWNHOSTS, "/nonexistent/known_hosts") ==
               SSH_OK &&
           ssh_options_set(s, SSH_OPTIONS_COMPRESSION, "no") == SSH_OK &&
           ssh_options_set(s, SSH_OPTIONS_HOSTKEYS, buf_cstr(&types)) == SSH_OK &&
           ssh_options_set(s, SSH_OPTIONS_NODELAY, &on) == SSH_OK &&
           ssh_options_set(s, SSH_OPTIONS_FD, &fd) == SSH_OK;
}

void login_begin(struct worker *w, struct str body)
{
    int fd = wire_take_fd(&w->wire);
    if (fd < 0 || !msg_start_decode(body, &w->start)) {
        w->state = WORKER_OVER;
        return;
    }
    w->session = ssh_new();
    if (!w->session || !set_options(w->session, &w->start, fd)) {
        worker_fail(w, "kex", w->session ? ssh_get_error(w->session) : "out of memory");
        return;
    }
    ssh_set_blocking(w->session, 0);
    ssh_set_counters(w->session, &w->traffic, NULL);
    w->stage_deadline = deadline_in_ms(w->start.kex_ms);
    w->state = WORKER_KEX;
}

static void show_host_key(struct worker *w)
{
    ssh_key key = NULL;
    char *base64 = NULL;
    if (ssh_get_server_publickey(w->session, &key) != SSH_OK ||
        ssh_pki_export_pubkey_base64(key, &base64) != SSH_OK) {
        worker_fail(w, "kex", "the guest showed no host key");
    } else {
        const char *type = ssh_key_type(key) == SSH_KEYTYPE_ECDSA
                               ? ssh_pki_key_ecdsa_name(key)
                               : ssh_key_type_to_char(ssh_key_type(key));
        msg_host_key_put(
            &w->wire, &(struct msg_host_key){.type = type ? type : "?", .key = base64});
        w->state = WORKER_JUDGED;
        w->stage_deadline = deadline_in_ms(w->start.auth_ms);
    }
    ssh_string_free_char(base64);
    ssh_key_free(key);
}

/* What the guest would have taken instead. */
static void fail_login(struct worker *w)
{
    const int methods = ssh_userauth_list(w->session, NULL);
    cleanup_buf struct buf words = {0};
    buf_adds(&words, w->key ? "it does not take this key" : "it asks for more than a name");
    const struct {
        int bit;
        const char *name;
    } names[] = {
        {SSH_AUTH_METHOD_PUBLICKEY, "publickey"},
        {SSH_AUTH_METHOD_PASSWORD, "password"},
        {SSH_AUTH_METHOD_INTERACTIVE, "keyboard-interactive"},
        {SSH_AUTH_METHOD_HOSTBASED, "hostbased"},
        {SSH_AUTH_METHOD_GSSAPI_MIC, "gssapi"},
    };
    unsigned count = 0;
    for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++) {
        if (methods & names[i].bit)
            buf_addf(&words, "%s%s", count++ ? ", " : " (it offers ", names[i].name);
    }
    if (count)
        buf_addc(&words, ')');
    worker_fail(w, "login", buf_cstr(&words));
}

static void log_in(struct worker *w)
{
    const int r = w->key ? ssh_userauth_publickey(w->session, NULL, w->key)
                         : ssh_userauth_none(w->session, NULL);
    switch (r) {
    case SSH_AUTH_AGAIN:
        break;
    case SSH_AUTH_SUCCESS:
        w->state = WORKER_READY;
        w->heard_ms = w->keepalive_ms = clock_ms();
        msg_number_put(&w->wire, MSG_READY, 0, 0);
        ssh_key_free(w->key); /* from here on it is of no use but to thieves */
        w->key = NULL;
        break;
    case SSH_AUTH_DENIED:
    case SSH_AUTH_PARTIAL:
        fail_login(w);
        break;
    default:
        worker_fail_ssh(w, "connection");
    }
}

void login_step(struct worker *w)
{
    if (w->state == WORKER_AUTH) {
        log_in(w);
        return;
    }
    const int r = ssh_connect(w->session);
    if (r == SSH_ERROR)
        worker_fail_ssh(w, "kex");
    else if (r == SSH_OK)
        show_host_key(w);
}
