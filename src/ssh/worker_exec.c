#include "ssh/worker.h"

#include <stdio.h>
#include <string.h>

enum {
    READ_BYTES = 32768,
    READS_PER_STEP = 16,
    /* After the command has ended, something it left behind may hold its output for ever. So long a
     * silence, and it is done. */
    LINGER_MS = 2000,
};

static void on_exit_status(ssh_session session, ssh_channel channel, int status, void *userdata)
{
    struct worker_exec *x = &((struct worker *)userdata)->exec;
    (void)session, (void)channel;
    x->status = status & 0xff;
    x->exited_ms = x->last_output_ms = clock_ms();
}

static void on_exit_signal(ssh_session session,
    ssh_channel channel,
    const char *name,
    int core,
    const char *message,
    const char *language,
    void *userdata)
{
    struct worker_exec *x = &((struct worker *)userdata)->exec;
    (void)session, (void)channel, (void)core, (void)message, (void)language;
    snprintf(x->signal, sizeof(x->signal), "%s", name && *name ? name : "?");
    x->exited_ms = x->last_output_ms = clock_ms();
}

/* Called while libssh takes packets apart. Taken here, and not only when we read, because once the
 * connection breaks libssh gives out nothing of what it still holds. What does not fit stays with
 * libssh, whose window makes the guest wait, and pass_output fetches it. */
static int on_output(
    ssh_session session, ssh_channel channel, void *data, uint32_t n, int is_stderr, void *userdata)
{
    struct worker *w = userdata;
    (void)session, (void)channel;
    if (worker_is_full(w))
        return 0;
    wire_put_all(&w->wire, is_stderr ? MSG_STDERR : MSG_STDOUT, data, n);
    w->exec.last_output_ms = clock_ms();
    return (int)n;
}

void exec_begin(struct worker *w)
{
    struct worker_exec *x = &w->exec;
    if (x->command.n == 0)
        buf_addc(&x->command, ':'); /* what a shell does with nothing */
    buf_clear(&x->stdin_bytes);
    x->stdin_passed = 0;
    x->stdin_ended = x->eof_sent = false;
    x->status = -1;
    x->signal[0] = '\0';
    x->exited_ms = 0;
    x->phase = CHANNEL_OPENING;
    x->channel = ssh_channel_new(w->session);
    if (!x->channel) {
        worker_fail_ssh(w, "connection");
        return;
    }
    x->callbacks = (struct ssh_channel_callbacks_struct){
        .userdata = w,
        .channel_data_function = on_output,
        .channel_exit_status_function = on_exit_status,
        .channel_exit_signal_function = on_exit_signal,
    };
    ssh_callbacks_init(&x->callbacks);
    ssh_set_channel_callbacks(x->channel, &x->callbacks);
    w->state = WORKER_EXEC;
}

void exec_done(struct worker *w)
{
    struct worker_exec *x = &w->exec;
    if (x->channel) {
        ssh_channel_close(x->channel);
        ssh_channel_free(x->channel);
        x->channel = NULL;
    }
    buf_clear(&x->command);
    buf_clear(&x->stdin_bytes);
}

static void say_exit(struct worker *w, bool is_left_open)
{
    struct worker_exec *x = &w->exec;
    msg_exit_put(&w->wire,
        &(struct msg_exit){.status = x->status, .signal = x->signal, .is_left_open = is_left_open});
    exec_done(w);
    w->state = WORKER_READY;
}

/* A terminated command ends by itself; one that does not loses its input and output. Either way we
 * do not wait for the guest: the library has a second. */
void exec_cancel(struct worker *w)
{
    struct worker_exec *x = &w->exec;
    if (x->phase == CHANNEL_RUNNING && ssh_channel_is_open(x->channel))
        (void)ssh_channel_request_send_signal(x->channel, "KILL");
    say_exit(w, /* is_left_open */ true);
}

static bool start_failed(struct worker *w, const char *message)
{
    if (worker_is_lost(w)) {
        worker_fail_ssh(w, "connection");
    } else {
        exec_done(w);
        worker_refuse(w, "refused", message);
    }
    return false;
}

/* Opens the channel and asks for the command. True when it runs. */
static bool start(struct worker *w)
{
    struct worker_exec *x = &w->exec;
    if (x->phase == CHANNEL_OPENING) {
        const int r = ssh_channel_open_session(x->channel);
        if (r == SSH_AGAIN)
            return false;
        if (r != SSH_OK)
            return start_failed(w, "the guest opens no channel for a command");
        x->phase = CHANNEL_ASKING;
    }
    if (x->phase == CHANNEL_ASKING) {
        const int r = ssh_channel_request_exec(x->channel, buf_cstr(&x->command));
        if (r == SSH_AGAIN)
            return false;
        if (r != SSH_OK)
            return start_failed(w, "the guest runs no commands");
        x->phase = CHANNEL_RUNNING;
        x->last_output_ms = clock_ms();
    }
    return true;
}

/* Passes input on as far as the guest's window and the socket go. True when something was. */
static bool pass_stdin(struct worker *w)
{
    struct worker_exec *x = &w->exec;
    const size_t before = x->stdin_bytes.n;
    worker_send(w, x->channel, &x->stdin_bytes);
    if (x->stdin_bytes.n > 0 && (ssh_channel_is_closed(x->channel) || x->exited_ms))
        buf_clear(&x->stdin_bytes); /* nobody listens any more (`head -1`) */
    const size_t passed = before - x->stdin_bytes.n;
    x->stdin_passed += passed;
    if (passed > 0)
        msg_number_put(&w->wire, MSG_STDIN_TAKEN, x->stdin_passed, 0);
    if (x->stdin_bytes.n == 0 && x->stdin_ended && !x->eof_sent) {
        (void)ssh_channel_send_eof(x->channel);
        x->eof_sent = true;
    }
    return passed > 0;
}

/* Fetches what on_output had no room for. */
static bool pass_output(struct worker *w, bool is_stderr)
{
    struct worker_exec *x = &w->exec;
    bool has_passed = false;
    char bytes[READ_BYTES];
    for (unsigned i = 0; i < READS_PER_STEP && !worker_is_full(w); i++) {
        const int got = ssh_channel_read_nonblocking(x->channel, bytes, sizeof(bytes), is_stderr);
        if (got <= 0)
            break;
        wire_put(&w->wire, is_stderr ? MSG_STDERR : MSG_STDOUT, bytes, (size_t)got);
        x->last_output_ms = clock_ms();
        has_passed = true;
    }
    return has_passed;
}

int64_t exec_wake_ms(const struct worker *w)
{
    return w->exec.exited_ms ? w->exec.last_output_ms + LINGER_MS : 0;
}

bool exec_step(struct worker *w)
{
    struct worker_exec *x = &w->exec;
    if (x->phase != CHANNEL_RUNNING && !start(w))
        return w->state != WORKER_EXEC;
    bool has_passed = pass_stdin(w);
    has_passed |= pass_output(w, /* is_stderr */ false);
    has_passed |= pass_output(w, /* is_stderr */ true);
    /* When full, libssh may hold output that no event will tell of. */
    if (has_passed || worker_is_full(w))
        return true;
    if (worker_could_send(w, x->channel, &x->stdin_bytes))
        return true;
    if (ssh_channel_is_closed(x->channel)) {
        if (x->exited_ms == 0 && !ssh_is_connected(w->session))
            return false; /* not an end but a loss: the loop says so */
        say_exit(w, /* is_left_open */ false);
        return true;
    }
    if (x->exited_ms && clock_ms() - x->last_output_ms >= LINGER_MS) {
        say_exit(w, !ssh_channel_is_eof(x->channel));
        return true;
    }
    return false;
}
