#include "base/cleanup.h"
#include "ssh/worker.h"

#include <string.h>

enum { TELL_EVERY_MS = 100 };

/* Called while libssh takes packets apart; takes everything, so that nothing waits in libssh for an
 * event that never comes. On stderr sftp-server says nothing we want to know. */
static int on_answer(
    ssh_session session, ssh_channel channel, void *data, uint32_t n, int is_stderr, void *userdata)
{
    struct worker_transfer *v = userdata;
    (void)session, (void)channel;
    if (!is_stderr && v->transfer)
        transfer_feed(v->transfer, data, n);
    v->has_heard = true;
    return (int)n;
}

static bool make_channel(struct worker *w)
{
    struct worker_transfer *v = &w->move;
    v->channel = ssh_channel_new(w->session);
    if (!v->channel)
        return false;
    v->callbacks =
        (struct ssh_channel_callbacks_struct){.userdata = v, .channel_data_function = on_answer};
    ssh_callbacks_init(&v->callbacks);
    return ssh_set_channel_callbacks(v->channel, &v->callbacks) == SSH_OK;
}

void move_begin(struct worker *w, bool is_upload, const struct msg_transfer *m)
{
    struct worker_transfer *v = &w->move;
    v->fd = wire_take_fd(&w->wire);
    if (v->fd < 0 || v->path.n == 0) {
        w->state = WORKER_OVER;
        return;
    }
    v->phase = v->channel ? CHANNEL_RUNNING : CHANNEL_OPENING;
    if (!v->channel && !make_channel(w)) {
        worker_fail_ssh(w, "connection");
        return;
    }
    v->transfer = transfer_new(&(struct transfer_opts){
        .is_upload = is_upload,
        .fd = v->fd,
        .path = buf_cstr(&v->path),
        .mode = (mode_t)m->mode,
        .limit_bytes = (uint64_t)m->limit_bytes,
        .is_greeted = v->is_greeted,
    });
    buf_clear(&v->path);
    v->told_bytes = 0;
    v->told_ms = clock_ms();
    w->state = WORKER_TRANSFER;
}

static void close_channel(struct worker_transfer *v)
{
    if (v->channel) {
        ssh_channel_close(v->channel);
        ssh_channel_free(v->channel);
        v->channel = NULL;
    }
    v->is_greeted = false;
}

static void end_transfer(struct worker *w, bool keep_channel)
{
    struct worker_transfer *v = &w->move;
    transfer_free(v->transfer);
    v->transfer = NULL;
    if (v->fd >= 0)
        close(TAKE_FD(v->fd));
    /* After a failure answers to what was asked before may still come. */
    if (!keep_channel)
        close_channel(v);
    v->is_greeted = keep_channel;
}

void move_done(struct worker *w)
{
    end_transfer(w, /* keep_channel */ false);
}

void move_cancel(struct worker *w)
{
    end_transfer(w, /* keep_channel */ false);
    worker_refuse(w, "cancelled", "it was cancelled");
}

static bool start(struct worker *w)
{
    struct worker_transfer *v = &w->move;
    int r = SSH_OK;
    if (v->phase == CHANNEL_OPENING && (r = ssh_channel_open_session(v->channel)) == SSH_OK)
        v->phase = CHANNEL_ASKING;
    if (v->phase == CHANNEL_ASKING &&
        (r = ssh_channel_request_subsystem(v->channel, "sftp")) == SSH_OK)
        v->phase = CHANNEL_RUNNING;
    if (r == SSH_OK || r == SSH_AGAIN)
        return r == SSH_OK;
    if (worker_is_lost(w)) {
        worker_fail_ssh(w, "connection");
    } else {
        end_transfer(w, /* keep_channel */ false);
        worker_refuse(w, "no-sftp", "the guest offers no SFTP");
    }
    return false;
}

static bool pass_requests(struct worker *w)
{
    transfer_pump(w->move.transfer);
    /* A write that fails shows as a closed channel or a lost session. */
    return worker_send(w, w->move.channel, transfer_output(w->move.transfer));
}

static void tell_progress(struct worker *w, const struct transfer_status *s)
{
    struct worker_transfer *v = &w->move;
    const int64_t now = clock_ms();
    if (s->done_bytes == v->told_bytes || now - v->told_ms < TELL_EVERY_MS || worker_is_full(w))
        return;
    msg_number_put(&w->wire, MSG_PROGRESS, s->done_bytes, s->total_bytes);
    v->told_bytes = s->done_bytes;
    v->told_ms = now;
}

bool move_step(struct worker *w)
{
    struct worker_transfer *v = &w->move;
    if (v->phase != CHANNEL_RUNNING && !start(w))
        return w->state != WORKER_TRANSFER;
    bool has_passed = v->has_heard;
    v->has_heard = false;
    has_passed |= pass_requests(w);
    const struct transfer_status s = transfer_status(v->transfer);
    if (s.state == TRANSFER_DONE) {
        msg_number_put(&w->wire, MSG_DONE, s.done_bytes, s.done_bytes);
        end_transfer(w, /* keep_channel */ true);
        w->state = WORKER_READY;
        return true;
    }
    if (s.state == TRANSFER_FAILED) {
        worker_refuse(w, s.reason, s.message);
        end_transfer(w, /* keep_channel */ false);
        return true;
    }
    if (!has_passed && (ssh_channel_is_closed(v->channel) || ssh_channel_is_eof(v->channel)) &&
        ssh_is_connected(w->session)) {
        end_transfer(w, /* keep_channel */ false);
        worker_refuse(w, "no-sftp", "the guest's SFTP server ended before it answered");
        return true;
    }
    tell_progress(w, &s);
    return has_passed || worker_could_send(w, v->channel, transfer_output(v->transfer));
}
