#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/error.h"
#include "ssh/internal.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum {
    EXEC_DEADLINE_MS = 30 * 60 * 1000, /* K-5 */
    /* From the deadline on: so long the guest has to let go before the helper is killed. */
    CANCEL_MS = 700,
    CLOSE_MS = 1000,
    STALL_MS = 60 * 1000,
    EXIT_NOT_SAID = 255,
};

static const uint64_t output_limit_bytes = 64ULL << 20; /* K-5 */
static const uint64_t download_limit_bytes = 16ULL << 30;

static const struct {
    const char *name;
    int number;
} signals[] = {
    {"ABRT", 6},
    {"ALRM", 14},
    {"FPE", 8},
    {"HUP", 1},
    {"ILL", 4},
    {"INT", 2},
    {"KILL", 9},
    {"PIPE", 13},
    {"QUIT", 3},
    {"SEGV", 11},
    {"TERM", 15},
    {"USR1", 10},
    {"USR2", 12},
};

void ssh_session_close(struct ssh_session *s)
{
    if (!s)
        return;
    helper_close(s->helper, CLOSE_MS);
    free(s->host_key);
    free(s->name);
    free(s);
}

const char *ssh_session_host_key(const struct ssh_session *s)
{
    return s->host_key;
}

const char *ssh_session_confinement(const struct ssh_session *s)
{
    return s->helper ? s->helper->confinement : "gone";
}

bool ssh_session_is_alive(const struct ssh_session *s)
{
    return s->helper != NULL;
}

static int check_alive(struct ssh_session *s, const char *doing, struct vmm_error **errp)
{
    if (s->helper)
        return 0;
    return vmm_fail(errp, &(struct diag){.code = VMM_E_SSH, .reason = "connection"},
        "could not %s: the connection to %s is already lost", doing, s->name);
}

/* What an operation waits for, and how it ended. */
struct operation {
    struct ssh_session *s;
    const char *doing; /* "run a command in the guest" */
    struct deadline deadline;
    int cancel_fd;
};

/* Asks the helper to stop and throws away what still comes. False: it did not let go in time. */
static bool cancel(struct ssh_session *s)
{
    wire_put(&s->helper->wire, MSG_CANCEL, NULL, 0);
    const struct deadline deadline = deadline_in_ms(CANCEL_MS);
    struct wire_frame f;
    while (helper_receive(s->helper, deadline, -1, &f) == 0) {
        if (f.type == MSG_EXIT || f.type == MSG_DONE || f.type == MSG_REFUSED)
            return true;
        if (f.type == MSG_FAILED)
            return false;
    }
    return false;
}

/* helper_receive said no. */
static int operation_failed(
    struct operation *op, int why, const char *waited_for, struct vmm_error **errp)
{
    struct ssh_session *s = op->s;
    if (why != -ETIMEDOUT && why != -ECANCELED)
        return session_lost(s, op->doing, why, errp);
    if (!cancel(s))
        helper_close(TAKE_PTR(s->helper), 0);
    if (why == -ECANCELED)
        return vmm_fail(errp, &(struct diag){.code = VMM_E_INTERRUPTED},
            "interrupted: could not %s", op->doing);
    return vmm_fail(errp,
        &(struct diag){.code = VMM_E_WAIT_TIMEOUT,
            .reason = "ssh",
            .sys = ETIMEDOUT,
            .help = "Give it more time, or see in the guest what it waits for."},
        "could not %s: %s in time", op->doing, waited_for);
}

/* FAILED and REFUSED: the helper's own words. */
static int operation_refused(
    struct operation *op, const struct wire_frame *f, struct vmm_error **errp)
{
    struct msg_failed m;
    if (!msg_failed_decode(f->body, &m))
        return session_lost(op->s, op->doing, -EPROTO, errp);
    cleanup_buf struct buf words = {0};
    cleanup_buf struct buf reason = {0};
    guest_words(&words, str_view(m.message));
    guest_words(&reason, str_view(m.reason));
    json_decref(m.json);
    if (f->type == MSG_FAILED)
        helper_close(TAKE_PTR(op->s->helper), CLOSE_MS);
    const char *help = "The guest's own log may say more; try again.";
    if (strcmp(buf_cstr(&reason), "no-sftp") == 0)
        help =
            "Install openssh-sftp-server in the guest, or enable the sftp subsystem of its sshd.";
    else if (strcmp(buf_cstr(&reason), "disk-full") == 0)
        help = "Free some space in the guest or give its disk more.";
    else if (strcmp(buf_cstr(&reason), "no-such-path") == 0)
        help = "Make the folder first; missing parents are not made.";
    else if (strcmp(buf_cstr(&reason), "is-directory") == 0 ||
             strcmp(buf_cstr(&reason), "too-large") == 0)
        help = "Name another file, or ask for more.";
    else if (strcmp(buf_cstr(&reason), "permission") == 0)
        help =
            "The user logged in has no right to it. Upload to a folder of its own and move it with sudo.";
    return vmm_fail(errp,
        &(struct diag){.code = VMM_E_SSH, .reason = buf_cstr(&reason), .help = help},
        "could not %s: %s", op->doing, buf_cstr(&words));
}

/* ---- Commands ------------------------------------------------------------------------------ */

struct exec {
    struct operation op;
    const struct ssh_exec_opts *opts;
    uint64_t limit_bytes;
    uint64_t stdin_sent;
    uint64_t stdin_taken; /* what the helper has passed on to the guest */
    bool stdin_ended;
    struct ssh_result result;
};

static bool is_variable_name(const char *name)
{
    if (!isalpha((unsigned char)*name) && *name != '_')
        return false;
    for (; *name; name++) {
        if (!isalnum((unsigned char)*name) && *name != '_')
            return false;
    }
    return true;
}

/* The command with its variables before it. */
static int build_command(
    const char *command, const char *const *env, struct buf *out, struct vmm_error **errp)
{
    for (; env && env[0] && env[1]; env += 2) {
        if (!is_variable_name(env[0]))
            return vmm_fail(errp, &(struct diag){.code = VMM_E_USAGE},
                "cannot set the variable \"%s\" in the guest: not a name", env[0]);
        buf_addf(out, "export %s=", env[0]);
        ssh_quote(out, str_view(env[1]));
        buf_adds(out, "; ");
    }
    buf_adds(out, command);
    if (out->n > SSH_COMMAND_MAX_BYTES)
        return vmm_fail(errp,
            &(struct diag){
                .code = VMM_E_USAGE, .help = "Put it into a script file: that has no limit."},
            "the command is %zu bytes long, more than the %d a shell takes", out->n,
            SSH_COMMAND_MAX_BYTES);
    return 0;
}

/* Keeps a window of input on its way. */
static void send_stdin(struct exec *x)
{
    struct wire *w = &x->op.s->helper->wire;
    const struct str all = x->opts->stdin_bytes;
    const uint64_t until = x->stdin_taken + PROTO_STDIN_WINDOW_BYTES;
    while (x->stdin_sent < all.n && x->stdin_sent < until) {
        size_t n = all.n - (size_t)x->stdin_sent;
        if (n > WIRE_BODY_MAX_BYTES)
            n = WIRE_BODY_MAX_BYTES;
        if (n > until - x->stdin_sent)
            n = (size_t)(until - x->stdin_sent);
        wire_put(w, MSG_STDIN, all.p + x->stdin_sent, n);
        x->stdin_sent += n;
    }
    if (x->stdin_sent == all.n && !x->stdin_ended) {
        wire_put(w, MSG_STDIN_END, NULL, 0);
        x->stdin_ended = true;
    }
}

static void take_output(struct exec *x, const struct wire_frame *f)
{
    void (*const callback)(void *, const char *, size_t) =
        f->type == MSG_STDOUT ? x->opts->on_stdout : x->opts->on_stderr;
    const uint64_t room = x->result.bytes < x->limit_bytes ? x->limit_bytes - x->result.bytes : 0;
    x->result.bytes += f->body.n;
    const size_t n = f->body.n < room ? f->body.n : (size_t)room;
    if (n < f->body.n)
        x->result.is_truncated = true;
    if (callback && n > 0)
        callback(x->opts->arg, f->body.p, n);
}

static void take_signal(struct ssh_result *r, const char *name)
{
    if (!*name)
        return;
    cleanup_buf struct buf clean = {0};
    guest_words(&clean, str_view(name));
    snprintf(r->signal, sizeof(r->signal), "%s", buf_cstr(&clean));
    for (size_t i = 0; i < sizeof(signals) / sizeof(*signals); i++) {
        if (strcmp(r->signal, signals[i].name) == 0)
            r->exit_status = 128 + signals[i].number;
    }
}

/* 1: it ended; 0: go on; negative: failed. */
static int exec_frame(struct exec *x, const struct wire_frame *f, struct vmm_error **errp)
{
    struct msg_number taken;
    struct msg_exit end;
    switch (f->type) {
    case MSG_STDOUT:
    case MSG_STDERR:
        take_output(x, f);
        return 0;
    case MSG_STDIN_TAKEN:
        if (!msg_number_decode(f->body, &taken))
            return session_lost(x->op.s, x->op.doing, -EPROTO, errp);
        json_decref(taken.json);
        if ((uint64_t)taken.value > x->stdin_sent)
            return session_lost(x->op.s, x->op.doing, -EPROTO, errp);
        x->stdin_taken = (uint64_t)taken.value;
        return 0;
    case MSG_EXIT:
        if (!msg_exit_decode(f->body, &end))
            return session_lost(x->op.s, x->op.doing, -EPROTO, errp);
        x->result.exit_status = end.status >= 0 ? (int)end.status : EXIT_NOT_SAID;
        x->result.is_left_open = end.is_left_open;
        take_signal(&x->result, end.signal);
        json_decref(end.json);
        return 1;
    case MSG_FAILED:
    case MSG_REFUSED:
        return operation_refused(&x->op, f, errp);
    default:
        return session_lost(x->op.s, x->op.doing, -EPROTO, errp);
    }
}

int ssh_exec(struct ssh_session *s,
    const char *command,
    const struct ssh_exec_opts *opts,
    struct ssh_result *ret,
    struct vmm_error **errp)
{
    static const struct ssh_exec_opts defaults = {0};
    struct exec x = {
        .op = {.s = s, .doing = "run a command in the guest"},
        .opts = opts ? opts : &defaults,
    };
    x.op.deadline = x.opts->deadline.at_ms ? x.opts->deadline : deadline_in_ms(EXEC_DEADLINE_MS);
    x.op.cancel_fd = x.opts->cancel_fd;
    x.limit_bytes = x.opts->output_limit_bytes ? x.opts->output_limit_bytes : output_limit_bytes;
    cleanup_buf struct buf line = {0};
    int r = check_alive(s, x.op.doing, errp);
    if (r < 0 || (r = build_command(command, x.opts->env, &line, errp)) < 0)
        return r;

    wire_put_all(&s->helper->wire, MSG_COMMAND, line.p, line.n);
    wire_put(&s->helper->wire, MSG_EXEC, NULL, 0);
    while (r == 0) {
        struct wire_frame f;
        send_stdin(&x);
        /* Output that never ends must not hide the deadline. */
        const int why = deadline_passed(x.op.deadline)
                            ? -ETIMEDOUT
                            : helper_receive(s->helper, x.op.deadline, x.op.cancel_fd, &f);
        r = why < 0 ? operation_failed(&x.op, why, "it did not end", errp)
                    : exec_frame(&x, &f, errp);
    }
    if (r < 0)
        return r;
    *ret = x.result;
    return 0;
}

/* ---- Files --------------------------------------------------------------------------------- */

static int check_file(int fd, const char *doing, struct vmm_error **errp)
{
    struct stat st;
    if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode))
        return 0;
    return vmm_fail(errp, &(struct diag){.code = VMM_E_IO, .sys = EINVAL, .reason = "local"},
        "could not %s: on this side it is not a regular file", doing);
}

static int check_path(const char *path, const char *doing, struct vmm_error **errp)
{
    const size_t n = strlen(path);
    if (n > 0 && n < PROTO_PATH_MAX_BYTES)
        return 0;
    return vmm_fail(errp, &(struct diag){.code = VMM_E_USAGE},
        "could not %s: the path in the guest is %s", doing, n ? "too long" : "empty");
}

/* Frames until the transfer ends. */
static int wait_transfer(struct operation *op,
    const struct ssh_transfer_opts *o,
    uint64_t *ret_bytes,
    struct vmm_error **errp)
{
    struct deadline stalled = deadline_in_ms(STALL_MS);
    uint64_t seen = 0;
    for (;;) {
        const struct deadline until =
            o->deadline.at_ms ? deadline_sooner(o->deadline, stalled) : stalled;
        struct wire_frame f;
        struct msg_number m;
        const int why = deadline_passed(until)
                            ? -ETIMEDOUT
                            : helper_receive(op->s->helper, until, o->cancel_fd, &f);
        if (why < 0)
            return operation_failed(op, why, "it did not finish", errp);
        if (f.type == MSG_FAILED || f.type == MSG_REFUSED)
            return operation_refused(op, &f, errp);
        if ((f.type != MSG_PROGRESS && f.type != MSG_DONE) || !msg_number_decode(f.body, &m))
            return session_lost(op->s, op->doing, -EPROTO, errp);
        json_decref(m.json);
        if ((uint64_t)m.value > seen)
            stalled = deadline_in_ms(STALL_MS);
        seen = (uint64_t)m.value;
        if (o->on_progress)
            o->on_progress(o->arg, seen, f.type == MSG_DONE ? seen : (uint64_t)m.total);
        if (f.type == MSG_DONE) {
            *ret_bytes = seen;
            return 0;
        }
    }
}

static int transfer(struct ssh_session *s,
    uint8_t type,
    int local_fd,
    const char *remote_path,
    const struct ssh_transfer_opts *opts,
    uint64_t limit_bytes,
    uint64_t *ret_bytes,
    struct vmm_error **errp)
{
    cleanup_buf struct buf shown = {0};
    guest_words(&shown, str_view(remote_path));
    cleanup_free char *doing =
        xasprintf("%s \"%s\" %s the guest", type == MSG_UPLOAD ? "upload" : "download",
            buf_cstr(&shown), type == MSG_UPLOAD ? "to" : "from");
    struct operation op = {.s = s, .doing = doing};
    int r = check_alive(s, doing, errp);
    if (r < 0 || (r = check_path(remote_path, doing, errp)) < 0 ||
        (r = check_file(local_fd, doing, errp)) < 0)
        return r;
    struct wire *w = &s->helper->wire;
    wire_put_all(w, MSG_PATH, remote_path, strlen(remote_path));
    msg_transfer_put(w, type,
        &(struct msg_transfer){.mode = opts->mode ? opts->mode & 07777 : 0600,
            .limit_bytes = (int64_t)(limit_bytes & INT64_MAX)},
        local_fd, &r);
    if (r < 0)
        return session_lost(s, doing, r, errp);
    return wait_transfer(&op, opts, ret_bytes, errp);
}

int ssh_upload(struct ssh_session *s,
    int local_fd,
    const char *remote_path,
    const struct ssh_transfer_opts *opts,
    struct vmm_error **errp)
{
    static const struct ssh_transfer_opts defaults = {0};
    const struct ssh_transfer_opts *o = opts ? opts : &defaults;
    uint64_t bytes;
    return transfer(s, MSG_UPLOAD, local_fd, remote_path, o,
        o->limit_bytes ? o->limit_bytes : INT64_MAX, &bytes, errp);
}

int ssh_download(struct ssh_session *s,
    const char *remote_path,
    int local_fd,
    const struct ssh_transfer_opts *opts,
    struct vmm_error **errp)
{
    static const struct ssh_transfer_opts defaults = {0};
    const struct ssh_transfer_opts *o = opts ? opts : &defaults;
    const uint64_t limit_bytes = o->limit_bytes ? o->limit_bytes : download_limit_bytes;
    uint64_t bytes;
    const int r = transfer(s, MSG_DOWNLOAD, local_fd, remote_path, o, limit_bytes, &bytes, errp);
    if (r < 0)
        return r;
    struct stat st;
    /* The helper's count is only believed as far as the file bears it out. */
    if (bytes > limit_bytes || fstat(local_fd, &st) < 0 || (uint64_t)st.st_size < bytes)
        return session_lost(s, "download a file from the guest", -EPROTO, errp);
    if (ftruncate(local_fd, (off_t)bytes) < 0)
        return vmm_fail_io(errp, errno, "end the file that receives", remote_path);
    return 0;
}
