#include "qmp/internal.h"

#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/error.h"
#include "base/json.h"
#include "base/log.h"
#include "base/utf8.h"

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/un.h>

enum {
    READ_BYTES = 64 * 1024,
    /* One look at the socket: a flooding peer must not hold a loop, nor hide a deadline. */
    PUMP_BYTES = 2 * READ_BYTES,
    DESC_SHOWN_BYTES = 512,
};

enum state {
    STATE_OPEN,
    STATE_CLOSED,
    STATE_BROKEN, /* the decoder is, and says why */
};

struct qmp {
    int fd;
    enum state state;
    int closed_sys; /* errno of a connection that did not simply end */
    bool is_greeted;
    struct qmp_decoder decoder;
    struct buf unsent; /* the end of a command; a whole one only while its caller waits */
    struct event_queue events;
    /* Never used twice, so that a late answer meets nobody. */
    int64_t next_id;
    int64_t awaited_id; /* 0: no command is out */
    bool has_reply;
    struct qmp_message reply;
};

/* What a failure is told as. */
struct task {
    enum vmm_code code;
    const char *command; /* NULL: the greeting is awaited */
    struct deadline deadline;
    int64_t start_ms;
};

static char *sanitized(const char *text, size_t max_bytes)
{
    cleanup_buf struct buf shown = {0};
    utf8_sanitize(&shown, text, strnlen(text, max_bytes));
    for (size_t i = 0; i < shown.n; i++) {
        if (shown.p[i] == '\n' || shown.p[i] == '\t')
            shown.p[i] = ' '; /* a message is one line */
    }
    return buf_steal(&shown);
}

static int fail_broken(const struct qmp *q, enum vmm_code code, struct vmm_error **errp)
{
    cleanup_free char *problem = sanitized(q->decoder.problem, sizeof(q->decoder.problem));
    return vmm_fail(errp,
        &(struct diag){.code = code,
            .reason = "protocol",
            .help = "The other end may be no QEMU, or QEMU is broken or taken over: end the VM."},
        "QEMU sent what is no QMP: %s", problem);
}

/* `during` says what that leaves undone, beginning with a space; it may be empty. */
static int fail_ended(
    const struct qmp *q, enum vmm_code code, const char *during, struct vmm_error **errp)
{
    if (q->state == STATE_BROKEN)
        return fail_broken(q, code, errp);
    const struct diag d = {.code = code,
        .sys = q->closed_sys,
        .reason = "closed",
        .help = "QEMU has ended; see qemu.log in the VM's folder."};
    if (q->closed_sys)
        return vmm_fail(
            errp, &d, "lost the QMP connection to QEMU%s: %s", during, strerror(q->closed_sys));
    return vmm_fail(errp, &d, "QEMU closed its QMP connection%s", during);
}

static int fail_ended_during(const struct qmp *q, const struct task *task, struct vmm_error **errp)
{
    if (!task->command)
        return fail_ended(q, task->code, " without a greeting", errp);
    cleanup_free char *during = xasprintf(" before it answered \"%s\"", task->command);
    return fail_ended(q, task->code, during, errp);
}

static int fail_late(const struct task *task, struct vmm_error **errp)
{
    const double seconds = (double)(clock_ms() - task->start_ms) / 1000;
    if (!task->command)
        return vmm_fail(errp,
            &(struct diag){.code = task->code,
                .reason = "timeout",
                .help = "QEMU may be hung or stopped, or somebody else uses this QMP socket: it "
                        "serves one client at a time."},
            "QEMU sent no QMP greeting within %.1f s", seconds);
    return vmm_fail(errp,
        &(struct diag){.code = task->code,
            .reason = "timeout",
            .help = "QEMU may be hung, stopped or starved; see qemu.log in the VM's folder."},
        "QEMU did not answer \"%s\" within %.1f s", task->command, seconds);
}

static void take_message(struct qmp *q, struct qmp_message *m)
{
    switch (m->kind) {
    case QMP_MESSAGE_EVENT:
        event_queue_push(&q->events, &m->as.event, m->cost_bytes);
        return;
    case QMP_MESSAGE_GREETING:
        q->is_greeted = true;
        break;
    case QMP_MESSAGE_RETURN:
    case QMP_MESSAGE_ERROR:
        if (q->awaited_id && m->has_id && m->id == q->awaited_id && !q->has_reply) {
            q->reply = *m;
            q->has_reply = true;
            return;
        }
        log_debug("qmp", "dropped an answer with id %" PRId64 " while %" PRId64 " is awaited",
            m->has_id ? m->id : 0, q->awaited_id);
        break;
    case QMP_MESSAGE_COUNT_:
        break;
    }
    qmp_message_done(m);
}

static void end(struct qmp *q, enum state state, int sys)
{
    q->state = state;
    q->closed_sys = sys;
    close(TAKE_FD(q->fd));
}

/* All whole messages, so that nothing is left waiting that poll() does not tell of. */
static void decode_all(struct qmp *q)
{
    for (;;) {
        struct qmp_message m;
        switch (qmp_decoder_next(&q->decoder, &m)) {
        case QMP_DECODE_MESSAGE:
            take_message(q, &m);
            break;
        case QMP_DECODE_BROKEN:
            end(q, STATE_BROKEN, 0);
            return;
        case QMP_DECODE_MORE:
            return;
        }
    }
}

/* Neither side of the socket need be non-blocking: the flags say so per call. */
static void send_some(struct qmp *q)
{
    while (q->state == STATE_OPEN && q->unsent.n) {
        const ssize_t n = send(q->fd, q->unsent.p, q->unsent.n, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (n >= 0) {
            buf_drop(&q->unsent, (size_t)n);
        } else if (errno != EINTR) {
            /* What a dead peer said last is still to be read, and tells more than this. */
            if (errno != EAGAIN)
                buf_clear(&q->unsent);
            return;
        }
    }
}

static void receive_some(struct qmp *q)
{
    for (size_t total = 0; q->state == STATE_OPEN && total < PUMP_BYTES;) {
        char chunk[READ_BYTES];
        const ssize_t n = recv(q->fd, chunk, sizeof(chunk), MSG_DONTWAIT);
        if (n > 0) {
            total += (size_t)n;
            qmp_decoder_feed(&q->decoder, chunk, (size_t)n);
            decode_all(q);
        } else if (n == 0) {
            end(q, STATE_CLOSED, 0);
        } else if (errno == EAGAIN) {
            return;
        } else if (errno != EINTR) {
            /* How a socket ends whose peer died with our bytes unread. */
            end(q, STATE_CLOSED, errno == ECONNRESET ? 0 : errno);
        }
    }
}

/* Until *is_done, or why not. */
static int wait_for(
    struct qmp *q, const bool *is_done, const struct task *task, struct vmm_error **errp)
{
    for (;;) {
        send_some(q);
        receive_some(q);
        if (*is_done)
            return 0;
        if (q->state != STATE_OPEN)
            return fail_ended_during(q, task, errp);
        const int left_ms = deadline_left_ms(task->deadline);
        if (left_ms == 0)
            return fail_late(task, errp);
        struct pollfd pfd = {.fd = q->fd, .events = POLLIN};
        if (q->unsent.n)
            pfd.events |= POLLOUT;
        if (poll(&pfd, 1, left_ms) < 0 && errno != EINTR)
            return vmm_fail_io(errp, errno, "wait for", "QMP socket");
    }
}

static int fail_refused(
    const struct qmp_message *reply, const struct task *task, struct vmm_error **errp)
{
    cleanup_free char *class = sanitized(reply->as.error.class, DESC_SHOWN_BYTES);
    cleanup_free char *desc = sanitized(reply->as.error.desc, DESC_SHOWN_BYTES);
    return vmm_fail(errp, &(struct diag){.code = task->code, .reason = class},
        "QEMU refused \"%s\": %s (%s)", task->command, desc, class);
}

static int take_reply(
    struct qmp *q, const struct task *task, json_t **ret_result, struct vmm_error **errp)
{
    struct qmp_message reply = q->reply;
    q->has_reply = false;
    q->reply = (struct qmp_message){0};
    int r = 0;
    if (reply.kind == QMP_MESSAGE_ERROR) {
        r = fail_refused(&reply, task, errp);
    } else if (ret_result) {
        *ret_result = reply.as.result;
        reply.as.result = NULL;
    }
    qmp_message_done(&reply);
    return r;
}

/* Returns its length. */
static size_t queue_command(struct qmp *q, const char *name, json_t *args)
{
    cleanup_json json_t *command = json_object();
    json_put_string(command, "execute", name);
    if (args)
        json_put(command, "arguments", json_incref(args));
    q->awaited_id = q->next_id++;
    json_put_integer(command, "id", q->awaited_id);
    cleanup_free char *text = json_dumps(command, JSON_COMPACT);
    if (!text)
        abort(); /* out of memory: the tree is ours */
    const size_t n = strlen(text) + 1;
    buf_adds(&q->unsent, text);
    buf_addc(&q->unsent, '\n');
    return n;
}

static int run_command(struct qmp *q,
    const struct task *task,
    json_t *args,
    json_t **ret_result,
    struct vmm_error **errp)
{
    if (q->state != STATE_OPEN)
        return fail_ended(q, task->code, "", errp);
    if (deadline_passed(task->deadline))
        return fail_late(task, errp); /* better not sent at all */
    const size_t n = queue_command(q, task->command, args);
    const int r = wait_for(q, &q->has_reply, task, errp);
    q->awaited_id = 0;
    if (r == 0)
        return take_reply(q, task, ret_result, errp);
    /* A stopped QEMU reads nothing. What it has not begun to get, it must not find when it wakes;
     * what it has begun to get, it must get all of. */
    if (q->unsent.n >= n) {
        q->unsent.n -= n;
        q->unsent.p[q->unsent.n] = '\0';
    }
    return r;
}

static bool is_listed(const char *name)
{
    static const char *const listed[] = {
#define X(command) command,
        QMP_COMMANDS(X)
#undef X
    };
    for (size_t i = 0; i < sizeof(listed) / sizeof(*listed); i++) {
        if (strcmp(listed[i], name) == 0)
            return true;
    }
    return false;
}

int qmp_command(struct qmp *q,
    const char *name,
    json_t *args,
    struct deadline deadline,
    json_t **ret_result,
    struct vmm_error **errp)
{
    cleanup_json json_t *taken = args;
    if (!is_listed(name))
        return vmm_fail(errp, &(struct diag){.code = VMM_E_QMP_COMMAND, .reason = "not-allowed"},
            "cannot send QMP command \"%s\": it is not on this program's list", name);
    const struct task task = {
        .code = VMM_E_QMP_COMMAND, .command = name, .deadline = deadline, .start_ms = clock_ms()};
    return run_command(q, &task, taken, ret_result, errp);
}

/* An answer to the client before us may still be on its way, and must not look like ours. Stays
 * below 2^53, where even a number read as a real is exact. */
static int64_t random_id(void)
{
    uint32_t random = 0;
    if (getrandom(&random, sizeof(random), GRND_NONBLOCK) < 0)
        random = (uint32_t)(clock_ms() ^ ((int64_t)getpid() << 16));
    return ((int64_t)(random & 0x3fffffff) + 1) << 20;
}

int qmp_open_fd_with(
    int fd, int64_t first_id, struct deadline deadline, struct qmp **ret, struct vmm_error **errp)
{
    cleanup_qmp struct qmp *q = xcalloc(1, sizeof(*q));
    q->fd = fd;
    q->next_id = first_id;
    struct task task = {.code = VMM_E_QMP_CONNECT, .deadline = deadline, .start_ms = clock_ms()};
    int r = wait_for(q, &q->is_greeted, &task, errp);
    if (r < 0)
        return r;
    task.command = "qmp_capabilities";
    r = run_command(q, &task, /* args */ NULL, /* ret_result */ NULL, errp);
    if (r < 0)
        return r;
    *ret = TAKE_PTR(q);
    return 0;
}

int qmp_open_fd(int fd, struct deadline deadline, struct qmp **ret, struct vmm_error **errp)
{
    return qmp_open_fd_with(fd, random_id(), deadline, ret, errp);
}

/* A listener whose queue is full lets connect() wait, and has no descriptor to poll meanwhile: the
 * send timeout bounds it. */
static int connect_by(int fd, const struct sockaddr_un *address, struct deadline deadline)
{
    for (;;) {
        const int left_ms = deadline_left_ms(deadline);
        if (left_ms == 0)
            return -ETIMEDOUT;
        const struct timeval left = {
            .tv_sec = left_ms / 1000, .tv_usec = (suseconds_t)(left_ms % 1000) * 1000};
        if (setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &left, sizeof(left)) < 0)
            return -errno;
        if (connect(fd, (const struct sockaddr *)address, sizeof(*address)) == 0)
            return 0;
        if (errno != EINTR)
            return errno == EAGAIN ? -ETIMEDOUT : -errno;
    }
}

static int fail_connect(int sys, const char *path, struct vmm_error **errp)
{
    return vmm_fail(errp,
        &(struct diag){
            .code = VMM_E_QMP_CONNECT, .sys = sys, .reason = sys == ETIMEDOUT ? "timeout" : NULL},
        "could not connect to QMP socket \"%s\": %s", path, strerror(sys));
}

int qmp_connect(
    const char *socket_path, struct deadline deadline, struct qmp **ret, struct vmm_error **errp)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    const size_t n = strlen(socket_path);
    if (n >= sizeof(address.sun_path))
        return vmm_fail(errp, &(struct diag){.code = VMM_E_HOST_PATH_LONG, .sys = ENAMETOOLONG},
            "cannot connect to QMP socket \"%s\": its path has %zu bytes, a socket's can have %zu",
            socket_path, n, sizeof(address.sun_path) - 1);
    memcpy(address.sun_path, socket_path, n);

    cleanup_close int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    const int connected = fd < 0 ? -errno : connect_by(fd, &address, deadline);
    if (connected < 0)
        return fail_connect(-connected, socket_path, errp);
    const int r = qmp_open_fd(TAKE_FD(fd), deadline, ret, errp);
    if (r < 0)
        vmm_wrap(errp, &(struct diag){0}, "could not talk to QEMU at \"%s\"", socket_path);
    return r;
}

int qmp_fd(const struct qmp *q)
{
    return q->fd;
}

int qmp_pump(struct qmp *q, struct vmm_error **errp)
{
    send_some(q);
    receive_some(q);
    return q->state == STATE_OPEN ? 0 : fail_ended(q, VMM_E_QMP_COMMAND, "", errp);
}

bool qmp_next_event(struct qmp *q, struct qmp_event *ret)
{
    return event_queue_pop(&q->events, ret);
}

uint64_t qmp_events_dropped(const struct qmp *q)
{
    return q->events.dropped;
}

void qmp_close(struct qmp *q)
{
    if (!q)
        return;
    if (q->fd >= 0)
        close(q->fd);
    if (q->has_reply)
        qmp_message_done(&q->reply);
    qmp_decoder_done(&q->decoder);
    buf_done(&q->unsent);
    event_queue_done(&q->events);
    free(q);
}
