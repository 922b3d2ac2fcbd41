/* SSH into a guest: log in as soon as its sshd answers, run commands, move files, make keys.
 *
 * The guest's sshd is hostile (security.md K-6), so libssh never runs in this process. Each session
 * has a helper process, `vmm-ssh`, that was given a connected TCP socket and one end of a
 * socketpair and can open, connect or execute nothing else. This side makes the TCP connection,
 * looks at the banner without consuming it, judges the host key, owns every path and every file,
 * and believes nothing the helper says without checking it. The helper ends when its socketpair
 * closes, whoever closes it.
 *
 * A session or a connect belongs to one thread at a time; several of them in several threads are
 * fine. Bytes that came from the guest (output, the text of reasons) are given on as they are by
 * the output callbacks and sanitized in errors. Errors: VMM_E_SSH with a reason word, unless said.
 */
#pragma once

#include "base/buf.h"
#include "base/clock.h"
#include "vmm/error.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct ssh_session;
struct ssh_connect;

/* ---- Where to ---------------------------------------------------------------------------- */

enum ssh_host_key_policy {
    SSH_HOST_KEY_PINNED,    /* must stand in the known_hosts file */
    SSH_HOST_KEY_PIN_FIRST, /* the first key a login succeeded with is written there, durably */
};

struct ssh_target {
    const char *host; /* an address; a name is looked up once, at the start, and blocks */
    unsigned port;    /* 0: 22 */
    const char *user;
    const char *private_key;      /* PEM or OpenSSH text without a passphrase; NULL: no key */
    const char *known_hosts_path; /* the VM's own file; NULL: nothing is read or remembered */
    /* The name its lines carry instead of host and port (ssh's HostKeyAlias), so that a new port or
     * address is no new machine. NULL: host and port. */
    const char *host_key_alias;
    enum ssh_host_key_policy host_key_policy;
};

/* ---- Getting in -------------------------------------------------------------------------- */

/* How far the way in has come. Stages go back when an attempt fails and the next one starts. */
enum ssh_stage {
    SSH_STAGE_CONNECT,  /* nobody takes the TCP connection */
    SSH_STAGE_BANNER,   /* taken, but no banner yet (QEMU's user network takes any at once) */
    SSH_STAGE_KEX,      /* key exchange */
    SSH_STAGE_HOST_KEY, /* its key is being judged */
    SSH_STAGE_AUTH,     /* logging in */
    SSH_STAGE_READY,
    SSH_STAGE_COUNT_
};

/* "port", "banner", "kex", "host-key", "login", "ready". */
const char *ssh_stage_name(enum ssh_stage stage);

struct ssh_connect_opts {
    struct deadline deadline; /* of it all; zero: in two minutes */
    unsigned slowness;        /* the guest runs this many times slower than natively; 0: 1 */
    /* A key that does not fit may be the image's own, before cloud-init has put ours there: go on
     * until the deadline instead of failing at once. */
    bool host_key_grace;
    /* Readable: stop (VMM_E_INTERRUPTED). 0 or less: none. Blocking calls only. */
    int cancel_fd;
    /* Called from ssh_connect_step whenever the stage changes. NULL: not told. */
    void (*on_stage)(void *arg, enum ssh_stage stage, unsigned attempt);
    /* Called once, at the login, with "SHA256:..."; `is_new`: pinned just now. NULL: not told. */
    void (*on_host_key)(void *arg, const char *fingerprint, bool is_new);
    void *arg;
};

/* Tries until it is in or the deadline has passed. Fast against a guest that boots: refusals are
 * retried after 50 ms growing to 250 ms, a connection that stays silent is overtaken after a second
 * by another beside it, and whichever speaks first is taken. Errors, by what stood in the way last:
 * VMM_E_SSH "port", "banner", "kex"; VMM_E_SSH_HOST_KEY (at once, without grace); VMM_E_SSH_AUTH;
 * VMM_E_WAIT_TIMEOUT when the deadline cut a step that was under way; VMM_E_HELPER;
 * VMM_E_INTERRUPTED. */
int ssh_connect_with_retry(const struct ssh_target *target,
    const struct ssh_connect_opts *opts,
    struct ssh_session **ret,
    struct vmm_error **errp);

/* The same as a machine for a loop that watches other things too. Copies what it is given; only
 * cancel_fd is not watched. */
int ssh_connect_start(const struct ssh_target *target,
    const struct ssh_connect_opts *opts,
    struct ssh_connect **ret,
    struct vmm_error **errp);
/* Readable when ssh_connect_step has something to do; timers are inside. Stays the same fd. */
int ssh_connect_fd(const struct ssh_connect *c);
/* Never blocks for longer than a helper takes to start or end (some 10 ms). 1: still on the way
 * (`ret_stage` says where); 0: *ret is the session; negative: failed, with *errp. After 0 or
 * negative only ssh_connect_cancel may follow. `ret_stage` may be NULL and is always set. */
int ssh_connect_step(struct ssh_connect *c,
    enum ssh_stage *ret_stage,
    struct ssh_session **ret,
    struct vmm_error **errp) __attribute__((warn_unused_result));
/* The guest makes progress elsewhere: give it longer. */
void ssh_connect_set_deadline(struct ssh_connect *c, struct deadline deadline);
/* Something says that the guest's sshd has just come up: try now instead of waiting for the silence
 * of an earlier connection to get too long. */
void ssh_connect_nudge(struct ssh_connect *c);
/* Ends it in any state and frees it; NULL is fine. Does not touch a session already handed out. */
void ssh_connect_cancel(struct ssh_connect *c);

/* Says goodbye and frees; NULL is fine. At most a second. */
void ssh_session_close(struct ssh_session *s);
/* "SHA256:..." of the guest's key. Borrowed. */
const char *ssh_session_host_key(const struct ssh_session *s);
/* What confines the helper, for a log: "landlock 7, seccomp" or what is missing. Borrowed. */
const char *ssh_session_confinement(const struct ssh_session *s);
/* False once the guest or the helper is gone: nothing will work any more. */
bool ssh_session_is_alive(const struct ssh_session *s);

/* ---- Commands ---------------------------------------------------------------------------- */

enum { SSH_COMMAND_MAX_BYTES = 131071 }; /* what Linux takes as one argument of `sh -c` */

struct ssh_exec_opts {
    struct str stdin_bytes; /* then end of file */
    /* Bytes as they come. NULL: thrown away. */
    void (*on_stdout)(void *arg, const char *bytes, size_t n);
    void (*on_stderr)(void *arg, const char *bytes, size_t n);
    void *arg;
    struct deadline deadline;    /* zero: in 30 minutes */
    uint64_t output_limit_bytes; /* both streams together; 0: 64 MiB */
    /* "NAME", "value", ..., NULL; exported before the command by a POSIX shell, because sshd takes
     * no variables from strangers. NULL: none. */
    const char *const *env;
    int cancel_fd; /* readable: stop (VMM_E_INTERRUPTED); 0 or less: none */
};

struct ssh_result {
    int exit_status;   /* 128 + the signal when killed, 255 when the guest did not say */
    char signal[16];   /* "KILL", "TERM" ...; empty: it ended by itself */
    uint64_t bytes;    /* of output, also what was past the limit */
    bool is_truncated; /* the callbacks stopped at the limit; the command went on */
    bool is_left_open; /* it ended, but something it started still holds its output */
};

/* Runs a command line in the user's login shell. Succeeds whenever the command ended, whatever its
 * status. At the deadline the command is killed and the session stays usable if the guest plays
 * along: VMM_E_WAIT_TIMEOUT within a second. Fails with VMM_E_SSH "connection" when the guest is
 * gone (noticed within 45 s of silence). */
int ssh_exec(struct ssh_session *s,
    const char *command,
    const struct ssh_exec_opts *opts,
    struct ssh_result *ret,
    struct vmm_error **errp);

/* The one quoting function: appends '…' with each ' as '\''. For any POSIX shell; no NUL. */
void ssh_quote(struct buf *out, struct str text);

/* ---- Files ------------------------------------------------------------------------------- */

struct ssh_transfer_opts {
    mode_t mode;          /* of the file in the guest; 0: 0600. Uploads only */
    uint64_t limit_bytes; /* longer is an error ("too-large"); 0: no limit up, 16 GiB down */
    /* Some ten times a second and once at the end; `total` is 0 while not known. May be NULL. */
    void (*on_progress)(void *arg, uint64_t done, uint64_t total);
    void *arg;
    struct deadline deadline; /* zero: none, but a minute without progress ends it */
    int cancel_fd;            /* as above */
};

/* By SFTP, all of a regular file from its beginning; the fd stays the caller's. A path without a
 * leading slash (or with "~/") is relative to the user's home. What is there is overwritten. After
 * a failure the file in the guest may be incomplete. Reasons: "no-such-path", "permission",
 * "disk-full", "is-directory", "no-sftp", "too-large", "connection", "protocol", "failed". */
int ssh_upload(struct ssh_session *s,
    int local_fd,
    const char *remote_path,
    const struct ssh_transfer_opts *opts,
    struct vmm_error **errp);
/* Into a regular file opened for writing; it then holds exactly these bytes. After a failure its
 * content means nothing. */
int ssh_download(struct ssh_session *s,
    const char *remote_path,
    int local_fd,
    const struct ssh_transfer_opts *opts,
    struct vmm_error **errp);

/* ---- Keys -------------------------------------------------------------------------------- */

struct ssh_key_pair {
    char *private_openssh; /* whole file, with newline */
    char *public_line;     /* "ssh-ed25519 AAAA... comment", no newline */
};

/* Wipes and frees what the pair holds. */
void ssh_key_pair_done(struct ssh_key_pair *pair);

enum { SSH_KEYS_AT_ONCE_MAX = 64 };

/* One Ed25519 pair per comment, all by one helper. VMM_E_SSH_KEYGEN, VMM_E_HELPER. */
int ssh_generate_keys(
    const char *const *comments, unsigned count, struct ssh_key_pair *ret, struct vmm_error **errp);
int ssh_generate_key(const char *comment,
    char **ret_private_openssh,
    char **ret_public_line,
    struct vmm_error **errp);

/* "SHA256:..." of a public line, as ssh-keygen -l prints it. VMM_E_SSH_KEYGEN: not a public key. */
int ssh_key_fingerprint(const char *public_line, char **ret, struct vmm_error **errp);

/* A line for a known_hosts file, newline included: "[host]:port type base64". `port` 0 or 22 leaves
 * the port out. VMM_E_SSH_KEYGEN: not a public key. */
int ssh_known_hosts_line(
    const char *host, unsigned port, const char *public_line, char **ret, struct vmm_error **errp);

static inline void ssh_session_close_handler(struct ssh_session **s)
{
    ssh_session_close(*s);
}
#define cleanup_ssh_session __attribute__((cleanup(ssh_session_close_handler)))
