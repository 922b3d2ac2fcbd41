#include "hypervisor/qemu/keeper.h"

#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/error.h"
#include "base/fs.h"
#include "base/log.h"
#include "base/process.h"
#include "base/ring_log.h"
#include "base/utf8.h"
#include "hypervisor/qemu/internal.h"
#include "hypervisor/qemu/keeper_console.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum {
    CONSOLE_LOG_BYTES = 8 << 20,
    EVENTS_LOG_BYTES = 1 << 20,
    QEMU_LOG_BYTES = 256 << 10,
    STDERR_TAIL_BYTES = 4096,
    FIRMWARE_LINE_BYTES = 400,
    FIRMWARE_LINES_MAX = 400, /* of one boot: SeaBIOS says about 100 */
    HANDSHAKE_MS = 30000,     /* the tool waits longer than all of a keeper's deadlines together */
    MONITOR_MS = 10000,
    DRAIN_MS = 500,
};

struct keeper {
    const char *name;
    const char *id;
    const char *work_dir;
    int request_fd; /* the tool that asked, until it has its answer */
    int dirfd;
    int lock_fd;
    int sockets[QEMU_SOCKET_COUNT_]; /* QEMU's, ours only until it runs */
    int stderr_fd;
    pid_t child; /* 0: adopted, not our child */
    int pidfd;
    int64_t pid;
    struct qmp *qmp;
    int serial_fd;
    int firmware_fd;
    struct keeper_console console;
    struct ring_log console_log;
    struct ring_log events_log;
    struct ring_log qemu_log;
    struct buf stderr_tail;
    struct buf firmware_line;
    unsigned firmware_lines;
    char *shutdown_reason; /* what the last SHUTDOWN event said */
};

static void timestamp(char ret_text[40])
{
    struct timespec now;
    struct tm tm;
    clock_gettime(CLOCK_REALTIME, &now);
    gmtime_r(&now.tv_sec, &tm);
    char seconds[24];
    strftime(seconds, sizeof(seconds), "%Y-%m-%dT%H:%M:%S", &tm);
    snprintf(ret_text, 40, "%s.%03ldZ", seconds, now.tv_nsec / 1000000);
}

/* Takes `event`, an object with "event" in it. */
static void write_event(struct keeper *k, json_t *event)
{
    char now[40];
    timestamp(now);
    json_put_string(event, "time", now);
    json_put_string(event, "vm", k->name);
    cleanup_free char *text = json_dumps(event, JSON_COMPACT | JSON_SORT_KEYS);
    json_decref(event);
    cleanup_free char *line = xasprintf("%s\n", text ? text : "{}");
    ring_log_write(&k->events_log, line, strlen(line));
}

static json_t *new_event(const char *name)
{
    json_t *event = json_object();
    json_put_string(event, "event", name);
    return event;
}

static int listen_at(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    if (strlen(path) >= sizeof(address.sun_path))
        return -ENAMETOOLONG;
    memcpy(address.sun_path, path, strlen(path) + 1);
    cleanup_close int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -errno;
    /* Ours to remove: only the holder of the keeper's lock gets here (security.md B-6). */
    unlink(path);
    if (bind(fd, (struct sockaddr *)&address, sizeof(address)) < 0 || chmod(path, 0600) < 0 ||
        listen(fd, 8) < 0)
        return -errno;
    return TAKE_FD(fd);
}

static int connect_to(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    if (strlen(path) >= sizeof(address.sun_path))
        return -ENAMETOOLONG;
    memcpy(address.sun_path, path, strlen(path) + 1);
    cleanup_close int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0)
        return -errno;
    if (fcntl(fd, F_SETFL, O_NONBLOCK) < 0)
        return -errno;
    return TAKE_FD(fd);
}

static int connect_in(const struct keeper *k, enum qemu_socket s)
{
    cleanup_free char *path = path_join(k->work_dir, qemu_socket_name(s));
    return connect_to(path);
}

static int bind_qemu_sockets(struct keeper *k, struct vmm_error **errp)
{
    for (int s = 0; s < QEMU_SOCKET_COUNT_; s++) {
        cleanup_free char *path = path_join(k->work_dir, qemu_socket_name((enum qemu_socket)s));
        k->sockets[s] = listen_at(path);
        if (k->sockets[s] < 0)
            return vmm_fail_io(errp, -k->sockets[s], "listen on the socket", path);
    }
    return 0;
}

static int spawn_qemu(struct keeper *k, const char *const *argv, struct vmm_error **errp)
{
    int pipe_fds[2];
    if (pipe2(pipe_fds, O_CLOEXEC) < 0)
        return vmm_fail_io(errp, errno, "make a pipe for", argv[0]);
    k->stderr_fd = pipe_fds[0];
    cleanup_close int stderr_write = pipe_fds[1];
    fcntl(k->stderr_fd, F_SETFL, O_NONBLOCK);
    pid_t pid;
    const int r = process_spawn(argv,
        &(struct process_opts){.stdin_fd = -1,
            .stdout_fd = stderr_write,
            .stderr_fd = stderr_write,
            .extra_fd = k->sockets[0],
            .more_fds = k->sockets + 1,
            .more_fd_count = QEMU_SOCKET_COUNT_ - 1},
        &pid);
    if (r < 0)
        return vmm_fail(errp, &(struct diag){.code = VMM_E_QEMU_SPAWN, .sys = -r},
            "could not start %s for VM \"%s\": %s", argv[0], k->name, strerror(-r));
    k->child = pid;
    k->pid = pid;
    k->pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
    if (k->pidfd < 0)
        return vmm_fail_io(errp, errno, "watch the process of", k->name);
    return 0;
}

/* QEMU has its copies now. With ours closed, a QEMU that dies takes the sockets with it and whoever
 * waits on one sees the end at once. */
static void close_qemu_sockets(struct keeper *k)
{
    for (int s = 0; s < QEMU_SOCKET_COUNT_; s++) {
        if (k->sockets[s] >= 0)
            close(k->sockets[s]);
        k->sockets[s] = -1;
    }
}

static void take_stderr(struct keeper *k)
{
    char chunk[4096];
    ssize_t n;
    while ((n = read(k->stderr_fd, chunk, sizeof(chunk))) > 0) {
        ring_log_write(&k->qemu_log, chunk, (size_t)n);
        buf_add(&k->stderr_tail, chunk, (size_t)n);
        if (k->stderr_tail.n > STDERR_TAIL_BYTES)
            buf_drop(&k->stderr_tail, k->stderr_tail.n - STDERR_TAIL_BYTES);
    }
    if (n == 0)
        close(TAKE_FD(k->stderr_fd));
}

/* Ends our own child and waits for it. */
static void kill_child(struct keeper *k)
{
    if (k->child <= 0)
        return;
    kill(k->child, SIGKILL); /* not yet reaped: the pid is its own */
    while (waitpid(k->child, NULL, 0) < 0 && errno == EINTR)
        continue;
    if (k->stderr_fd >= 0)
        take_stderr(k);
}

/* QEMU did not come up: says why, in QEMU's own words where there are any. */
static int explain_failed_start(struct keeper *k, struct vmm_error **errp)
{
    cleanup_error struct vmm_error *monitor = TAKE_PTR(*errp);
    int status = 0;
    const bool ended = k->pidfd >= 0 && process_wait_gone(k->pidfd, deadline_in_ms(DRAIN_MS)) &&
                       waitpid(k->child, &status, WNOHANG) == k->child;
    if (ended)
        k->child = 0;
    else
        kill_child(k);
    if (k->stderr_fd >= 0)
        take_stderr(k);
    cleanup_buf struct buf said = {0};
    utf8_sanitize(&said, buf_cstr(&k->stderr_tail), k->stderr_tail.n);
    const char *details = said.n ? buf_cstr(&said) : NULL;
    if (vmm_error_code(monitor) == VMM_E_INTERRUPTED)
        return vmm_fail(
            errp, &(struct diag){.code = VMM_E_INTERRUPTED}, "%s", vmm_error_message(monitor));
    const char *reason = vmm_error_reason(monitor);
    const bool was_refused = vmm_error_code(monitor) == VMM_E_QMP_COMMAND && reason &&
                             strcmp(reason, "timeout") != 0 && strcmp(reason, "closed") != 0;
    if (!ended && was_refused)
        return vmm_fail(errp,
            &(struct diag){.code = VMM_E_QMP_COMMAND,
                .reason = reason,
                .help = vmm_error_help(monitor),
                .details = details},
            "QEMU for VM \"%s\" would not start it: %s", k->name, vmm_error_message(monitor));
    if (!ended)
        return vmm_fail(errp,
            &(struct diag){.code = VMM_E_QMP_CONNECT, .reason = "timeout", .details = details},
            "QEMU runs for VM \"%s\" but does not answer: %s", k->name, vmm_error_message(monitor));
    cleanup_free char *how = WIFSIGNALED(status)
                                 ? xasprintf("was killed by signal %d", WTERMSIG(status))
                                 : xasprintf("ended with status %d", WEXITSTATUS(status));
    const bool port_taken = strstr(buf_cstr(&said), "Could not set up host forwarding rule");
    return vmm_fail(errp,
        &(struct diag){.code = port_taken ? VMM_E_HOST_PORT : VMM_E_QEMU_SPAWN,
            .details = details,
            .help = port_taken ? "Another program took the port just now; run the command again."
                               : "QEMU's own words are above; all of them are in qemu.log."},
        "QEMU for VM \"%s\" %s before it was ready", k->name, how);
}

/* Monitor, serial port and firmware port of a QEMU that runs. */
static int dial(struct keeper *k, struct vmm_error **errp)
{
    cleanup_free char *monitor = path_join(k->work_dir, WORKDIR_KEEPER_MONITOR);
    const int r = qmp_connect(monitor, deadline_in_ms(HANDSHAKE_MS), &k->qmp, errp);
    if (r < 0)
        return r;
    k->serial_fd = connect_in(k, QEMU_SOCKET_SERIAL);
    if (k->serial_fd < 0)
        return vmm_fail_io(errp, -k->serial_fd, "connect to the serial port of", k->name);
    k->firmware_fd = connect_in(k, QEMU_SOCKET_FIRMWARE);
    cleanup_free char *console = path_join(k->work_dir, WORKDIR_CONSOLE);
    const int listen_fd = listen_at(console);
    if (listen_fd < 0)
        return vmm_fail_io(errp, -listen_fd, "listen on the socket", console);
    keeper_console_init(&k->console, listen_fd);
    return 0;
}

static void open_logs(struct keeper *k, enum ring_log_start start)
{
    ring_log_open(&k->console_log, k->dirfd, WORKDIR_CONSOLE_LOG, CONSOLE_LOG_BYTES, start);
    ring_log_open(&k->events_log, k->dirfd, WORKDIR_EVENTS_LOG, EVENTS_LOG_BYTES, RING_LOG_APPEND);
    ring_log_open(&k->qemu_log, k->dirfd, WORKDIR_QEMU_LOG, QEMU_LOG_BYTES, start);
}

/* A tool that was killed or interrupted meanwhile has hung up: then the start is undone. */
static int check_still_wanted(const struct keeper *k, struct vmm_error **errp)
{
    struct pollfd asker = {.fd = k->request_fd, .events = POLLRDHUP};
    if (poll(&asker, 1, 0) == 0)
        return 0;
    return vmm_fail(errp, &(struct diag){.code = VMM_E_INTERRUPTED},
        "the start of VM \"%s\" was called off", k->name);
}

/* Lets the guest go, once everything that listens to it is in place. */
static int start(struct keeper *k, const char *const *argv, struct vmm_error **errp)
{
    unlinkat(k->dirfd, WORKDIR_ENDED, 0);
    open_logs(k, RING_LOG_FRESH);
    int r = bind_qemu_sockets(k, errp);
    if (r == 0)
        r = spawn_qemu(k, argv, errp);
    close_qemu_sockets(k);
    if (r < 0)
        return r;
    r = dial(k, errp);
    if (r == 0)
        r = check_still_wanted(k, errp);
    if (r == 0)
        r = qmp_cont(k->qmp, deadline_in_ms(MONITOR_MS), errp);
    if (r < 0)
        return explain_failed_start(k, errp);
    json_t *event = new_event("started");
    json_put_integer(event, "pid", k->pid);
    write_event(k, event);
    return 0;
}

static int adopt(struct keeper *k, struct vmm_error **errp)
{
    const struct process_identity who = {.pid = (pid_t)k->pid};
    k->pidfd = process_open_verified(&who, k->id);
    if (k->pidfd < 0)
        return vmm_fail(
            errp, &(struct diag){.code = VMM_E_VM_STATE}, "VM \"%s\" does not run", k->name);
    open_logs(k, RING_LOG_APPEND);
    int r = dial(k, errp);
    /* Its first keeper may have been killed before it let the guest go. */
    struct qmp_status status;
    if (r == 0)
        r = qmp_query_status(k->qmp, deadline_in_ms(MONITOR_MS), &status, errp);
    if (r == 0 && status.state == QMP_RUN_STATE_PRELAUNCH)
        r = qmp_cont(k->qmp, deadline_in_ms(MONITOR_MS), errp);
    if (r < 0)
        return r;
    static const char mark[] =
        "\n[the console was not recorded for a moment: its keeper was replaced]\n";
    ring_log_write(&k->console_log, mark, sizeof(mark) - 1);
    json_t *event = new_event("keeper-replaced");
    json_put_integer(event, "pid", k->pid);
    write_event(k, event);
    return 0;
}

static void take_serial(struct keeper *k)
{
    char chunk[16384];
    const ssize_t n = recv(k->serial_fd, chunk, sizeof(chunk), MSG_DONTWAIT);
    if (n > 0) {
        ring_log_write(&k->console_log, chunk, (size_t)n);
        keeper_console_output(&k->console, chunk, (size_t)n);
    } else if (n == 0 || (errno != EAGAIN && errno != EINTR)) {
        close(TAKE_FD(k->serial_fd));
    }
}

static void give_serial(struct keeper *k)
{
    struct buf *input = &k->console.input;
    const ssize_t n = send(k->serial_fd, input->p, input->n, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (n > 0)
        buf_drop(input, (size_t)n);
}

static void firmware_said(struct keeper *k)
{
    if (k->firmware_line.n && k->firmware_lines++ < FIRMWARE_LINES_MAX) {
        json_t *event = new_event("firmware");
        json_put(event, "text", json_text(k->firmware_line.p, k->firmware_line.n));
        write_event(k, event);
    }
    buf_clear(&k->firmware_line);
}

static void take_firmware(struct keeper *k)
{
    char chunk[4096];
    const ssize_t n = recv(k->firmware_fd, chunk, sizeof(chunk), MSG_DONTWAIT);
    if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR)) {
        close(TAKE_FD(k->firmware_fd));
        return;
    }
    for (ssize_t i = 0; i < n; i++) {
        if (chunk[i] == '\n')
            firmware_said(k);
        else if (chunk[i] != '\r' && k->firmware_line.n < FIRMWARE_LINE_BYTES)
            buf_addc(&k->firmware_line, chunk[i]);
    }
}

static void take_events(struct keeper *k)
{
    struct qmp_event e;
    while (qmp_next_event(k->qmp, &e)) {
        const char *reason = json_get_string(e.data, "reason");
        if (strcmp(e.name, "SHUTDOWN") == 0) {
            free(k->shutdown_reason);
            k->shutdown_reason = xstrdup_or_null(reason);
        }
        if (strcmp(e.name, "RESET") == 0)
            k->firmware_lines = 0;
        json_t *event = new_event("qmp");
        json_put_string(event, "name", e.name);
        if (e.data)
            json_put(event, "data", json_incref(e.data));
        write_event(k, event);
        qmp_event_done(&e);
    }
}

/* A monitor that breaks is given up; the process is still watched. */
static void take_monitor(struct keeper *k)
{
    const int r = qmp_pump(k->qmp, NULL);
    take_events(k);
    if (r < 0) {
        qmp_close(k->qmp);
        k->qmp = NULL;
    }
}

static void take_all(struct keeper *k, struct pollfd *fds, unsigned n)
{
    enum { SERIAL = 1, FIRMWARE, MONITOR, STDERR, CONSOLE };
    /* Viewers first, while their list is the one that was polled: output drops those that left. */
    keeper_console_dispatch(&k->console, fds + CONSOLE, n - CONSOLE);
    if (fds[SERIAL].revents & POLLOUT)
        give_serial(k);
    if (fds[SERIAL].revents & (POLLIN | POLLHUP | POLLERR))
        take_serial(k);
    if (fds[FIRMWARE].revents)
        take_firmware(k);
    if (fds[MONITOR].revents)
        take_monitor(k);
    if (fds[STDERR].revents)
        take_stderr(k);
}

/* One round. True when QEMU has ended. */
static bool round_of(struct keeper *k, int timeout_ms)
{
    struct pollfd fds[5 + 1 + CONSOLE_VIEWERS_MAX] = {
        {.fd = k->pidfd, .events = POLLIN},
        {.fd = k->serial_fd, .events = (short)(POLLIN | (k->console.input.n ? POLLOUT : 0))},
        {.fd = k->firmware_fd, .events = POLLIN},
        {.fd = k->qmp ? qmp_fd(k->qmp) : -1, .events = POLLIN},
        {.fd = k->stderr_fd, .events = POLLIN},
    };
    const unsigned n = 5 + keeper_console_pollfds(&k->console, fds + 5);
    if (poll(fds, n, timeout_ms) > 0)
        take_all(k, fds, n);
    return fds[0].revents != 0;
}

static void drain(struct keeper *k)
{
    /* Everything QEMU wrote is in the sockets' buffers already; they end when they are empty. */
    const struct deadline deadline = deadline_in_ms(DRAIN_MS);
    while ((k->serial_fd >= 0 || k->qmp || k->stderr_fd >= 0) && !deadline_passed(deadline)) {
        k->pidfd = -1;
        round_of(k, deadline_left_ms(deadline));
    }
}

static void describe_end(const struct keeper *k, json_t *event)
{
    int status = 0;
    const char *how = k->shutdown_reason ? k->shutdown_reason : "unknown";
    if (k->child > 0 && waitpid(k->child, &status, 0) == k->child) {
        if (WIFSIGNALED(status)) {
            json_put_integer(event, "signal", WTERMSIG(status));
            how = "killed";
        } else {
            json_put_integer(event, "exit_status", WEXITSTATUS(status));
            if (WEXITSTATUS(status) != 0)
                how = "crashed";
        }
    }
    json_put_string(event, "how", how);
    if (k->stderr_tail.n)
        json_put(event, "stderr", json_text(k->stderr_tail.p, k->stderr_tail.n));
}

/* QEMU writes and locks it; that of another QEMU of this VM is not ours to remove. */
static bool pidfile_is_ours(const struct keeper *k)
{
    cleanup_close int fd = fs_open_beneath(k->dirfd, WORKDIR_PIDFILE, O_RDONLY);
    cleanup_buf struct buf text = {0};
    return fd >= 0 && fs_read_all(fd, 64, &text) == 0 &&
           strtol(buf_cstr(&text), NULL, 10) == k->pid;
}

static void remove_runtime_files(const struct keeper *k)
{
    for (int s = 0; s < QEMU_SOCKET_COUNT_; s++)
        unlinkat(k->dirfd, qemu_socket_name((enum qemu_socket)s), 0);
    unlinkat(k->dirfd, WORKDIR_CONSOLE, 0);
    if (pidfile_is_ours(k))
        unlinkat(k->dirfd, WORKDIR_PIDFILE, 0);
}

static void record_end(struct keeper *k)
{
    json_t *event = new_event("ended");
    describe_end(k, event);
    char now[40];
    timestamp(now);
    json_put_string(event, "time", now);
    cleanup_free char *text = json_dumps(event, JSON_INDENT(2));
    write_event(k, event);
    (void)fs_write_durable(k->work_dir, WORKDIR_ENDED, text, strlen(text), NULL);
    remove_runtime_files(k);
}

static void keep(struct keeper *k)
{
    take_events(k); /* those that came with the answers of the start */
    while (!round_of(k, -1))
        continue;
    drain(k);
    record_end(k);
}

/* The VNC address QEMU chose, or NULL. */
static char *vnc_address(struct keeper *k)
{
    char *address = NULL;
    (void)qmp_query_vnc(k->qmp, deadline_in_ms(MONITOR_MS), &address, NULL);
    return address;
}

static void answer_ready(struct keeper *k, int fd)
{
    cleanup_json json_t *message = json_object();
    cleanup_free char *vnc = vnc_address(k);
    json_put_bool(message, "ready", true);
    json_put_integer(message, "pid", k->pid);
    json_put_string(message, "vnc", vnc);
    (void)keeper_send(fd, message, NULL); /* a tool that is gone needs no answer */
}

static void answer_error(int fd, const struct vmm_error *e)
{
    cleanup_json json_t *message = json_object();
    json_put_bool(message, "ready", false);
    json_put_string(message, "code", vmm_error_code_name(vmm_error_code(e)));
    json_put_string(message, "message", vmm_error_message(e));
    json_put_string(message, "help", vmm_error_help(e));
    json_put_string(message, "reason", vmm_error_reason(e));
    json_put_string(message, "details", vmm_error_details(e));
    (void)keeper_send(fd, message, NULL);
}

static int hold_lock(struct keeper *k, struct vmm_error **errp)
{
    cleanup_free char *path = path_join(k->work_dir, WORKDIR_KEEPER_LOCK);
    k->dirfd = open(k->work_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (k->dirfd < 0)
        return vmm_fail_io(errp, errno, "open the folder", k->work_dir);
    k->lock_fd = fs_lock(path, deadline_in_ms(MONITOR_MS), NULL);
    if (k->lock_fd == -ETIMEDOUT)
        return vmm_fail(
            errp, &(struct diag){.code = VMM_E_VM_BUSY}, "VM \"%s\" has a keeper already", k->name);
    if (k->lock_fd < 0)
        return vmm_fail_io(errp, -k->lock_fd, "lock", path);
    return 0;
}

/* argv as a NULL-terminated array of borrowed strings. The caller frees the array. */
static const char **request_argv(const json_t *request)
{
    const json_t *list = json_object_get(request, "argv");
    const size_t n = json_array_size(list);
    const char **argv = xcalloc(n + 1, sizeof(*argv));
    for (size_t i = 0; i < n; i++) {
        argv[i] = json_string_value(json_array_get(list, i));
        if (!argv[i])
            break;
    }
    return argv;
}

int keeper_main(int request_fd)
{
    signal(SIGPIPE, SIG_IGN);
    cleanup_error struct vmm_error *error = NULL;
    cleanup_json json_t *request = NULL;
    if (keeper_receive(request_fd, 0, deadline_in_ms(MONITOR_MS), &request, &error) < 0)
        return 1;
    struct keeper k = {
        .name = json_get_string(request, "name"),
        .id = json_get_string(request, "id"),
        .work_dir = json_get_string(request, "work_dir"),
        .pid = json_get_integer(request, "pid", 2, INT32_MAX, 0),
        .request_fd = request_fd,
        .lock_fd = -1,
        .dirfd = -1,
        .stderr_fd = -1,
        .pidfd = -1,
        .serial_fd = -1,
        .firmware_fd = -1,
        .sockets = {-1, -1, -1, -1, -1},
        .console.listen_fd = -1,
        .console_log.fd = -1,
        .events_log.fd = -1,
        .qemu_log.fd = -1,
    };
    if (!k.name || !k.id || !k.work_dir)
        return 1;
    cleanup_free const char **argv = request_argv(request);
    int r = hold_lock(&k, &error);
    if (r == 0)
        r = argv[0] ? start(&k, argv, &error) : adopt(&k, &error);
    if (r < 0) {
        if (k.dirfd >= 0 && k.lock_fd >= 0 && argv[0])
            remove_runtime_files(&k);
        answer_error(request_fd, error);
        return 1;
    }
    answer_ready(&k, request_fd);
    close(request_fd);
    keep(&k);
    return 0;
}
