/* What happens once a helper has a connection: its frames, the judgement of the host key, and what
 * is written down of it. */
#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/fs.h"
#include "ssh/connect.h"
#include "ssh/keys.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

enum {
    KNOWN_HOSTS_MAX_BYTES = 1 << 20,
    EARLY_DEATHS_MAX = 3, /* of helpers that never said hello */
};

int connect_read_known_hosts(const struct ssh_connect *c, struct buf *out, struct vmm_error **errp)
{
    const int r =
        c->known_hosts_path ? fs_read_file(c->known_hosts_path, KNOWN_HOSTS_MAX_BYTES, out) : 0;
    return r < 0 && r != -ENOENT ? vmm_fail_io(errp, -r, "read", c->known_hosts_path) : 0;
}

static void note_other_key(struct ssh_connect *c, const char *pinned)
{
    const char *help =
        c->opts.host_key_grace
            ? "The guest never showed the key it was given. If its cloud-init did not run, see its console; "
              "if another machine answers on this port, stop that one."
            : "If the guest was made anew on purpose, remove its line from the known_hosts file; if not, "
              "something else answers in its place.";
    connect_note(c, SSH_STAGE_HOST_KEY,
        &(struct diag){.code = VMM_E_SSH_HOST_KEY, .reason = "host-key", .help = help},
        "the host key of %s port %u is %s, but %s is pinned in \"%s\"", c->host, c->port,
        c->fingerprint, pinned, c->known_hosts_path);
    c->is_final = !c->opts.host_key_grace;
}

/* Judges the key the helper says it was shown. True: go on. */
static bool judge_host_key(struct ssh_connect *c, struct str body)
{
    struct msg_host_key m;
    if (!msg_host_key_decode(body, &m))
        return false;
    buf_clear(&c->host_key_line);
    buf_addf(&c->host_key_line, "%s %s", m.type, m.key);
    json_decref(m.json);
    struct public_key key;
    cleanup_error struct vmm_error *e = NULL;
    cleanup_buf struct buf known = {0};
    cleanup_buf struct buf pinned = {0};
    if (!public_key_parse((struct str){c->host_key_line.p, c->host_key_line.n}, &key)) {
        connect_note(c, SSH_STAGE_KEX, &(struct diag){.code = VMM_E_SSH, .reason = "kex"},
            "the host key of %s port %u makes no sense", c->host, c->port);
        return false;
    }
    free(c->fingerprint);
    c->fingerprint = public_key_fingerprint(key.base64);
    if (connect_read_known_hosts(c, &known, &e) < 0) {
        connect_note(
            c, SSH_STAGE_HOST_KEY, &(struct diag){.code = VMM_E_IO}, "%s", vmm_error_message(e));
        c->is_final = true;
        return false;
    }
    switch (known_hosts_check((struct str){known.p, known.n}, c->known_hosts_name, &key, &pinned)) {
    case KNOWN_HOSTS_MATCH:
        return true;
    case KNOWN_HOSTS_DIFFERS:
        note_other_key(c, pinned.n ? buf_cstr(&pinned) : "that it is revoked");
        return false;
    case KNOWN_HOSTS_ABSENT:
        break;
    }
    c->must_pin = c->policy == SSH_HOST_KEY_PIN_FIRST;
    if (!c->must_pin) {
        connect_note(c, SSH_STAGE_HOST_KEY,
            &(struct diag){.code = VMM_E_SSH_HOST_KEY,
                .reason = "not-pinned",
                .help = "The guest's key should have been written there when the VM was made."},
            "the host key of %s port %u is %s, and \"%s\" has no key for it", c->host, c->port,
            c->fingerprint, c->known_hosts_path);
        c->is_final = true;
    }
    return c->must_pin;
}

/* Adds the line under a lock, unless somebody else has pinned a key meanwhile. */
int connect_pin_host_key(struct ssh_connect *c, struct vmm_error **errp)
{
    if (!c->known_hosts_path)
        return 0;
    cleanup_free char *lock_path = xasprintf("%s.lock", c->known_hosts_path);
    int lock = fs_lock(lock_path, deadline_in_ms(10000), NULL);
    if (lock < 0)
        return vmm_fail_io(errp, -lock, "lock", lock_path);
    cleanup_buf struct buf text = {0};
    struct public_key key;
    int r = connect_read_known_hosts(c, &text, errp);
    if (r == 0 && public_key_parse((struct str){c->host_key_line.p, c->host_key_line.n}, &key) &&
        known_hosts_check((struct str){text.p, text.n}, c->known_hosts_name, &key, NULL) ==
            KNOWN_HOSTS_ABSENT) {
        if (text.n > 0 && text.p[text.n - 1] != '\n')
            buf_addc(&text, '\n');
        buf_addf(&text, "%s %s\n", c->known_hosts_name, buf_cstr(&c->host_key_line));
        const char *slash = strrchr(c->known_hosts_path, '/');
        cleanup_free char *dir =
            slash ? xstrndup(c->known_hosts_path,
                        slash == c->known_hosts_path ? 1 : (size_t)(slash - c->known_hosts_path))
                  : xstrdup(".");
        r = fs_write_durable(dir, slash ? slash + 1 : c->known_hosts_path, text.p, text.n, errp);
    }
    fs_unlock_and_remove(lock, lock_path);
    return r;
}

/* ---- What the helper says ------------------------------------------------------------------ */

static void note_failed(struct ssh_connect *c, struct str body)
{
    struct msg_failed m;
    if (!msg_failed_decode(body, &m))
        return;
    cleanup_buf struct buf words = {0};
    guest_words(&words, str_view(m.message));
    const enum ssh_stage stage = c->stage;
    if (strcmp(m.reason, "key") == 0) {
        connect_note(c, SSH_STAGE_AUTH,
            &(struct diag){.code = VMM_E_SSH_AUTH,
                .reason = "key",
                .help = "Give an unencrypted private key in PEM or OpenSSH format."},
            "the private key cannot be used: it has a passphrase or is no key");
        c->is_final = true;
    } else if (strcmp(m.reason, "login") == 0) {
        connect_note(c, SSH_STAGE_AUTH,
            &(struct diag){.code = VMM_E_SSH_AUTH,
                .reason = "login",
                .help =
                    "Is this the guest's user, and is the key in its authorized_keys? While cloud-init "
                    "has not made the user, every login is refused."},
            "the guest refused to log in \"%s\"%s%s", c->user, words.n ? ": " : "",
            buf_cstr(&words));
    } else {
        connect_note(c, stage, &(struct diag){.code = VMM_E_SSH, .reason = ssh_stage_name(stage)},
            "%s %s port %u ended early: %s",
            stage == SSH_STAGE_AUTH ? "the login at" : "the key exchange with", c->host, c->port,
            words.n ? buf_cstr(&words) : "no reason was given");
    }
    json_decref(m.json);
}

/* One frame. 1: ready; 0: go on; negative: the attempt is over. */
static int handle_frame(struct ssh_connect *c, const struct wire_frame *f)
{
    switch (f->type) {
    case MSG_HELLO:
        return helper_hello(c->helper, f->body) ? 0 : -EPROTO;
    case MSG_HOST_KEY:
        if (!c->is_busy || c->stage != SSH_STAGE_KEX)
            return -EPROTO;
        c->stage = SSH_STAGE_HOST_KEY;
        if (!judge_host_key(c, f->body))
            return -EACCES;
        wire_put(&c->helper->wire, MSG_TRUST, NULL, 0);
        c->stage = SSH_STAGE_AUTH;
        return 0;
    case MSG_READY:
        /* Nothing is ready that was not judged. */
        return c->is_busy && c->stage == SSH_STAGE_AUTH && c->fingerprint ? 1 : -EPROTO;
    case MSG_FAILED:
        note_failed(c, f->body);
        return -ECONNABORTED;
    default:
        return -EPROTO;
    }
}

/* All that came. As handle_frame. */
int connect_pump_helper(struct ssh_connect *c)
{
    struct wire *w = &c->helper->wire;
    int r = wire_fill(w);
    const bool is_gone = r < 0;
    struct wire_frame f;
    int frame;
    while ((frame = wire_next(w, &f)) > 0) {
        if ((r = handle_frame(c, &f)) != 0)
            return r;
    }
    if (frame < 0 || is_gone)
        return frame < 0 ? frame : -EPIPE;
    return wire_flush(w);
}

/* The helper broke its word or died. */
void connect_helper_lost(struct ssh_connect *c, int why)
{
    const bool is_early = !c->helper->said_hello;
    const int status = helper_close(TAKE_PTR(c->helper), why == -EPIPE ? 200 : 0);
    cleanup_free char *how =
        status >= 0 && WIFSIGNALED(status)
            ? xasprintf("was killed by signal %d", WTERMSIG(status))
            : xasprintf(
                  "ended (%s)", why == -EPROTO ? "it sent what makes no sense" : strerror(-why));
    connect_note(c, c->stage,
        &(struct diag){.code = is_early ? VMM_E_HELPER : VMM_E_SSH, .reason = "helper"},
        "the SSH helper %s while it talked to %s port %u", how, c->host, c->port);
    if (is_early && ++c->early_deaths >= EARLY_DEATHS_MAX)
        c->is_final = true;
}
