#include "ssh/worker.h"
#include "base/cleanup.h"

#include <errno.h>
#include <poll.h>
#include <string.h>

enum {
    /* Of output for the library: above, the guest waits. */
    QUEUE_HIGH_BYTES = 8 * WIRE_FRAME_MAX_BYTES,
    KEEPALIVES_MISSED_MAX = 3,
    WRITE_BYTES = 32768,
    READS_PER_STEP = 16,
};

bool worker_is_full(const struct worker *w)
{
    return wire_queued(&w->wire) >= QUEUE_HIGH_BYTES;
}

static bool can_send(const struct worker *w, ssh_channel channel)
{
    return !(ssh_get_poll_flags(w->session) & SSH_WRITE_PENDING) &&
           ssh_channel_window_size(channel) > 0;
}

bool worker_send(struct worker *w, ssh_channel channel, struct buf *bytes)
{
    size_t at = 0;
    w->is_write_refused = false;
    while (at < bytes->n && can_send(w, channel)) {
        const size_t n = bytes->n - at < WRITE_BYTES ? bytes->n - at : WRITE_BYTES;
        const int put = ssh_channel_write(channel, bytes->p + at, (uint32_t)n);
        if (put <= 0) {
            w->is_write_refused = true;
            break;
        }
        at += (size_t)put;
    }
    buf_drop(bytes, at);
    return at > 0;
}

bool worker_could_send(const struct worker *w, ssh_channel channel, const struct buf *bytes)
{
    return bytes->n > 0 && !w->is_write_refused && can_send(w, channel);
}

bool worker_is_lost(const struct worker *w)
{
    return !ssh_is_connected(w->session) ||
           (ssh_get_status(w->session) & (SSH_CLOSED | SSH_CLOSED_ERROR)) != 0;
}

void worker_fail(struct worker *w, const char *reason, const char *message)
{
    if (w->state == WORKER_OVER)
        return;
    msg_failed_put(&w->wire, MSG_FAILED, reason, message);
    w->state = WORKER_OVER;
}

void worker_fail_ssh(struct worker *w, const char *reason)
{
    const char *words = ssh_get_error(w->session);
    worker_fail(w, reason, words && *words ? words : "the connection was closed");
}

void worker_refuse(struct worker *w, const char *reason, const char *message)
{
    msg_failed_put(&w->wire, MSG_REFUSED, reason, message);
    w->state = WORKER_READY;
}

static void append_bounded(struct worker *w, struct buf *to, struct str bytes, size_t max)
{
    if (to->n + bytes.n > max)
        w->state = WORKER_OVER; /* the library never sends that much */
    else
        buf_addstr(to, bytes);
}

static void take_key(struct worker *w, struct wire_frame *f)
{
    char text[PROTO_KEY_MAX_BYTES];
    const size_t n = f->body.n < sizeof(text) ? f->body.n : sizeof(text) - 1;
    memcpy(text, f->body.p, n);
    text[n] = '\0';
    wire_wipe(f);
    ssh_key_free(w->key);
    w->key = NULL;
    if (ssh_pki_import_privkey_base64(text, NULL, NULL, NULL, &w->key) != SSH_OK)
        worker_fail(w, "key", "the private key cannot be read");
    explicit_bzero(text, sizeof(text));
}

static void take_transfer(struct worker *w, const struct wire_frame *f)
{
    struct msg_transfer m;
    if (!msg_transfer_decode(f->body, &m)) {
        w->state = WORKER_OVER;
        return;
    }
    move_begin(w, f->type == MSG_UPLOAD, &m);
    json_decref(m.json);
}

static void take_cancel(struct worker *w)
{
    if (w->state == WORKER_EXEC)
        exec_cancel(w);
    else if (w->state == WORKER_TRANSFER)
        move_cancel(w);
    /* else it ended by itself while the CANCEL was on its way */
}

/* A frame that the state does not foresee ends the helper: the library makes no mistakes, and what
 * does is not the library. */
static void take_frame(struct worker *w, struct wire_frame *f)
{
    if (w->state == WORKER_FRESH && f->type == MSG_KEY)
        take_key(w, f);
    else if (w->state == WORKER_FRESH && f->type == MSG_START)
        login_begin(w, f->body);
    else if (w->state == WORKER_FRESH && f->type == MSG_KEYGEN)
        keygen_run(w, f->body);
    else if (w->state == WORKER_JUDGED && f->type == MSG_TRUST)
        w->state = WORKER_AUTH;
    else if (w->state == WORKER_READY && f->type == MSG_COMMAND)
        append_bounded(w, &w->exec.command, f->body, 131072);
    else if (w->state == WORKER_READY && f->type == MSG_EXEC)
        exec_begin(w);
    else if (f->type == MSG_STDIN && w->state == WORKER_EXEC)
        append_bounded(w, &w->exec.stdin_bytes, f->body, PROTO_STDIN_WINDOW_BYTES);
    else if (f->type == MSG_STDIN_END && w->state == WORKER_EXEC)
        w->exec.stdin_ended = true;
    else if (w->state == WORKER_READY && f->type == MSG_PATH)
        append_bounded(w, &w->move.path, f->body, PROTO_PATH_MAX_BYTES);
    else if (w->state == WORKER_READY && (f->type == MSG_UPLOAD || f->type == MSG_DOWNLOAD))
        take_transfer(w, f);
    else if (f->type == MSG_CANCEL)
        take_cancel(w);
    else if (w->state == WORKER_READY && (f->type == MSG_STDIN || f->type == MSG_STDIN_END))
        return; /* for a command that ended early */
    else
        w->state = WORKER_OVER;
}

static void take_frames(struct worker *w)
{
    const int r = wire_fill(&w->wire);
    struct wire_frame f;
    int frame = 0;
    while (w->state != WORKER_OVER && (frame = wire_next(&w->wire, &f)) > 0)
        take_frame(w, &f);
    if (r < 0 || frame < 0)
        w->state = WORKER_OVER;
}

/* ---- The connection ------------------------------------------------------------------------ */

static bool is_connected_state(const struct worker *w)
{
    return w->state == WORKER_READY || w->state == WORKER_EXEC || w->state == WORKER_TRANSFER;
}

/* Reads what came, whatever we are doing: windows, answers, the guest's goodbye. */
static void drive_session(struct worker *w)
{
    if (!w->event) {
        w->event = ssh_event_new();
        if (!w->event || ssh_event_add_session(w->event, w->session) != SSH_OK) {
            worker_fail(w, "connection", "out of memory");
            return;
        }
    }
    /* libssh reads 4 KiB at a time. */
    for (unsigned i = 0; i < READS_PER_STEP && !worker_is_full(w); i++) {
        const uint64_t before = w->traffic.in_bytes;
        if (ssh_event_dopoll(w->event, 0) == SSH_ERROR || w->traffic.in_bytes == before)
            break;
    }
}

/* A silent guest is asked for a sign of life; one that gives none is gone. TCP would not tell:
 * QEMU's user network answers for a dead guest. */
static void keep_alive(struct worker *w)
{
    const int64_t now = clock_ms();
    if (w->traffic.in_bytes != w->heard_bytes) {
        w->heard_bytes = w->traffic.in_bytes;
        w->heard_ms = now;
    }
    const int64_t silent_ms = now - w->heard_ms;
    if (silent_ms >= KEEPALIVES_MISSED_MAX * w->start.keepalive_ms) {
        worker_fail(w, "connection", "the guest does not answer any more");
    } else if (silent_ms >= w->start.keepalive_ms &&
               now - w->keepalive_ms >= w->start.keepalive_ms) {
        /* Twice: the first call only collects the answer to the last one, if there was a last one.
         */
        (void)ssh_send_keepalive(w->session);
        (void)ssh_send_keepalive(w->session);
        w->keepalive_ms = now;
    }
}

/* True when more can be done at once. */
static bool step(struct worker *w)
{
    switch (w->state) {
    case WORKER_KEX:
    case WORKER_AUTH:
        login_step(w);
        if (w->state != WORKER_KEX && w->state != WORKER_AUTH)
            return true;
        if (deadline_passed(w->stage_deadline))
            worker_fail(w, "timeout", "the guest did not answer in time");
        return false;
    case WORKER_READY:
        drive_session(w);
        break;
    case WORKER_EXEC:
        if (!worker_is_full(w))
            drive_session(w);
        if (exec_step(w))
            return true;
        break;
    case WORKER_TRANSFER:
        drive_session(w);
        if (move_step(w))
            return true;
        break;
    case WORKER_FRESH:
    case WORKER_JUDGED:
    case WORKER_OVER:
        return false;
    }
    if (is_connected_state(w) && worker_is_lost(w) &&
        !(w->state == WORKER_EXEC && worker_is_full(w)))
        worker_fail_ssh(w, "connection");
    if (is_connected_state(w))
        keep_alive(w);
    return false;
}

/* ---- The loop ------------------------------------------------------------------------------ */

static int sooner(int timeout_ms, int64_t at_ms)
{
    const int left = deadline_left_ms((struct deadline){at_ms});
    return timeout_ms < 0 || left < timeout_ms ? left : timeout_ms;
}

static int wait_ms(const struct worker *w)
{
    switch (w->state) {
    case WORKER_KEX:
    case WORKER_AUTH:
        return deadline_left_ms(w->stage_deadline);
    case WORKER_READY:
    case WORKER_EXEC:
    case WORKER_TRANSFER: {
        int timeout = sooner(-1, w->heard_ms + w->start.keepalive_ms);
        if (timeout == 0) /* overdue: until the next one, or the last */
            timeout = sooner(-1, w->keepalive_ms + w->start.keepalive_ms);
        const int64_t wake = w->state == WORKER_EXEC ? exec_wake_ms(w) : 0;
        return wake ? sooner(timeout, wake) : timeout;
    }
    case WORKER_FRESH:
    case WORKER_JUDGED:
    case WORKER_OVER:
        break;
    }
    return -1;
}

static void wait_for_something(struct worker *w, bool is_eager)
{
    struct pollfd fds[2] = {
        {.fd = w->wire.fd, .events = (short)(POLLIN | (wire_queued(&w->wire) ? POLLOUT : 0))},
        {.fd = -1},
    };
    const bool is_held = w->state == WORKER_EXEC && worker_is_full(w);
    if (w->session && w->state != WORKER_JUDGED && !is_held) {
        fds[1].fd = ssh_get_fd(w->session);
        fds[1].events = POLLIN;
        if (ssh_get_poll_flags(w->session) & SSH_WRITE_PENDING)
            fds[1].events |= POLLOUT;
    }
    (void)poll(fds, 2, is_eager && !is_held ? 0 : wait_ms(w));
    if (fds[0].revents & (POLLIN | POLLHUP | POLLERR))
        take_frames(w);
}

/* The last word must get out; the library reads it or closes. */
static void drain(struct worker *w)
{
    const struct deadline deadline = deadline_in_ms(1000);
    while (wire_queued(&w->wire) && wire_flush(&w->wire) == 0 && wire_queued(&w->wire)) {
        struct pollfd fd = {.fd = w->wire.fd, .events = POLLOUT};
        if (poll(&fd, 1, deadline_left_ms(deadline)) <= 0 || (fd.revents & (POLLHUP | POLLERR)))
            break;
    }
}

static void worker_done(struct worker *w)
{
    exec_done(w);
    move_done(w);
    if (w->event && w->session)
        ssh_event_remove_session(w->event, w->session);
    if (w->event)
        ssh_event_free(w->event);
    if (w->session) {
        ssh_disconnect(w->session);
        ssh_free(w->session);
    }
    ssh_key_free(w->key);
    json_decref(w->start.json);
    buf_done(&w->exec.command);
    buf_done(&w->exec.stdin_bytes);
    buf_done(&w->move.path);
    wire_done(&w->wire);
}

void worker_run(int wire_fd, int landlock, bool has_seccomp)
{
    static struct worker w;
    wire_init(&w.wire, wire_fd, /* takes_fds */ true);
    w.move.fd = -1;
    msg_hello_put(
        &w.wire, &(struct msg_hello){
                     .version = PROTO_VERSION, .landlock = landlock, .has_seccomp = has_seccomp});
    while (w.state != WORKER_OVER) {
        const bool is_eager = step(&w);
        if (w.state == WORKER_OVER || wire_flush(&w.wire) < 0)
            break;
        wait_for_something(&w, is_eager);
    }
    drain(&w);
    worker_done(&w);
}
