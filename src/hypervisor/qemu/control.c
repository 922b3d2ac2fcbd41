/* Talking to a QEMU that runs, and ending it. */
#include "hypervisor/qemu/internal.h"

#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/error.h"
#include "base/fs.h"
#include "base/process.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    MONITOR_MS = 5000,     /* a question to a healthy QEMU takes a millisecond */
    LIST_MONITOR_MS = 500, /* a list must not hang on one VM */
    TERM_MS = 5000,        /* from SIGTERM to SIGKILL */
    KILL_MS = 5000,        /* a killed process may still write back its pages */
};

static int64_t read_pidfile(const struct vmm_handle *vm)
{
    cleanup_free char *path = path_join(vm->work_dir, WORKDIR_PIDFILE);
    cleanup_buf struct buf text = {0};
    if (fs_read_file(path, 64, &text) < 0)
        return 0;
    const long pid = strtol(buf_cstr(&text), NULL, 10);
    return pid > 1 && pid <= INT32_MAX ? pid : 0;
}

int qemu_open_process(const struct vmm_handle *vm, int64_t *ret_pid)
{
    if (strlen(vm->id) < 8) /* a record without an id: nothing on a command line proves anything */
        return -ESRCH;
    struct process_identity who = {.pid = (pid_t)vm->pid, .start_ticks = vm->pid_start_ticks};
    if (vm->boot_id)
        memcpy(who.boot_id, vm->boot_id, strnlen(vm->boot_id, sizeof(who.boot_id) - 1));
    int pidfd = vm->pid > 1 ? process_open_verified(&who, vm->id) : -ESRCH;
    if (pidfd < 0) {
        /* A command that was killed before it could record the pid leaves only QEMU's own file. */
        who = (struct process_identity){.pid = (pid_t)read_pidfile(vm)};
        pidfd = process_open_verified(&who, vm->id);
    }
    if (pidfd >= 0 && ret_pid)
        *ret_pid = who.pid;
    return pidfd;
}

/* Also one that is in no file: before a disk is deleted or a VM said to be stopped. */
static int open_any_process(const struct vmm_handle *vm)
{
    const int pidfd = qemu_open_process(vm, NULL);
    if (pidfd >= 0 || strlen(vm->id) < 8)
        return pidfd;
    const struct process_identity who = {.pid = process_scan_for("-uuid", vm->id)};
    return process_open_verified(&who, vm->id);
}

int tool_monitor_open(const struct vmm_handle *vm,
    struct deadline deadline,
    struct tool_monitor *ret,
    struct vmm_error **errp)
{
    cleanup_free char *lock_path = path_join(vm->work_dir, WORKDIR_TOOL_LOCK);
    cleanup_free char *socket_path = path_join(vm->work_dir, WORKDIR_TOOL_MONITOR);
    pid_t holder = 0;
    /* The monitor serves one client at a time; the lock makes that a queue with a deadline. */
    cleanup_close int lock_fd = fs_lock(lock_path, deadline, &holder);
    if (lock_fd == -ETIMEDOUT)
        return vmm_fail(errp, &(struct diag){.code = VMM_E_VM_BUSY},
            "the monitor of VM \"%s\" is in use by process %ld", vm->name, (long)holder);
    if (lock_fd < 0)
        return vmm_fail_io(errp, -lock_fd, "lock", lock_path);
    struct qmp *qmp;
    const int r = qmp_connect(socket_path, deadline, &qmp, errp);
    if (r < 0)
        return r;
    *ret = (struct tool_monitor){.qmp = qmp, .lock_fd = TAKE_FD(lock_fd)};
    return 0;
}

void tool_monitor_close(struct tool_monitor *m)
{
    qmp_close(m->qmp);
    if (m->lock_fd >= 0)
        close(m->lock_fd);
    *m = (struct tool_monitor){.lock_fd = -1};
}

int64_t qemu_live_pid(struct vmm_hypervisor *h, const struct vmm_handle *vm)
{
    (void)h;
    int64_t pid = 0;
    cleanup_close int pidfd = qemu_open_process(vm, &pid);
    if (pidfd < 0)
        return 0;
    keeper_adopt(vm, /* wait_ms */ 0);
    return pid;
}

static enum vmm_state state_of(const struct qmp_status *status)
{
    switch (status->state) {
    case QMP_RUN_STATE_PAUSED:
    case QMP_RUN_STATE_IO_ERROR: /* the host's disk was full: `resume` when there is space again */
        return VMM_STATE_SUSPENDED;
    case QMP_RUN_STATE_GUEST_PANICKED:
    case QMP_RUN_STATE_INTERNAL_ERROR:
        return VMM_STATE_FAILED;
    default:
        return VMM_STATE_RUNNING;
    }
}

int qemu_state(struct vmm_hypervisor *h,
    const struct vmm_handle *vm,
    enum vmm_state *ret_state,
    struct vmm_error **errp)
{
    (void)h;
    (void)errp;
    if (vm->recorded_state == VMM_STATE_PREPARING || vm->recorded_state == VMM_STATE_DESTROYED) {
        *ret_state = vm->recorded_state; /* half made, half deleted: no VM, whatever still runs */
        return 0;
    }
    cleanup_close int pidfd = qemu_open_process(vm, NULL);
    if (pidfd < 0) {
        *ret_state =
            vm->recorded_state == VMM_STATE_PREPARED ? VMM_STATE_PREPARED : VMM_STATE_STOPPED;
        return 0;
    }
    struct tool_monitor monitor;
    struct qmp_status status;
    *ret_state = VMM_STATE_RUNNING; /* a process that does not answer is still running */
    if (tool_monitor_open(vm, deadline_in_ms(LIST_MONITOR_MS), &monitor, NULL) < 0)
        return 0;
    if (qmp_query_status(monitor.qmp, deadline_in_ms(LIST_MONITOR_MS), &status, NULL) == 0)
        *ret_state = state_of(&status);
    tool_monitor_close(&monitor);
    return 0;
}

static int not_running(const struct vmm_handle *vm, struct vmm_error **errp)
{
    cleanup_free char *help = xasprintf("Start it with `vmctl start %s`.", vm->name);
    return vmm_fail(errp, &(struct diag){.code = VMM_E_VM_STATE, .help = help},
        "VM \"%s\" is not running", vm->name);
}

/* Runs one monitor command on a VM that must be running, within `limit_ms` in all. */
static int with_monitor(const struct vmm_handle *vm,
    int64_t limit_ms,
    int (*command)(struct qmp *, struct deadline, struct vmm_error **),
    struct vmm_error **errp)
{
    const struct deadline deadline = deadline_in_ms(limit_ms < MONITOR_MS ? limit_ms : MONITOR_MS);
    cleanup_close int pidfd = qemu_open_process(vm, NULL);
    if (pidfd < 0)
        return not_running(vm, errp);
    struct tool_monitor monitor;
    int r = tool_monitor_open(vm, deadline, &monitor, errp);
    if (r < 0)
        return r;
    r = command(monitor.qmp, deadline, errp);
    tool_monitor_close(&monitor);
    return r;
}

int qemu_suspend(struct vmm_hypervisor *h, struct vmm_handle *vm, struct vmm_error **errp)
{
    (void)h;
    return with_monitor(vm, MONITOR_MS, qmp_stop, errp);
}

int qemu_resume(struct vmm_hypervisor *h, struct vmm_handle *vm, struct vmm_error **errp)
{
    (void)h;
    return with_monitor(vm, MONITOR_MS, qmp_cont, errp);
}

/* A guest that is paused does not hear the button. */
static int press_power_button(struct qmp *qmp, struct deadline deadline, struct vmm_error **errp)
{
    struct qmp_status status;
    int r = qmp_query_status(qmp, deadline, &status, errp);
    if (r == 0 && !status.running)
        r = qmp_cont(qmp, deadline, errp);
    return r < 0 ? r : qmp_system_powerdown(qmp, deadline, errp);
}

/* SIGTERM, then SIGKILL; each bounded. */
static int end_process(
    const struct vmm_handle *vm, int pidfd, int64_t term_ms, struct vmm_error **errp)
{
    if (term_ms > 0 && process_signal(pidfd, SIGTERM) == 0 &&
        process_wait_gone(pidfd, deadline_in_ms(term_ms)))
        return 0;
    const int r = process_signal(pidfd, SIGKILL);
    if (r < 0 && r != -ESRCH)
        return vmm_fail_io(errp, -r, "end the QEMU process of", vm->name);
    /* A stopped process dies of SIGKILL too; one in uninterruptible sleep does not, yet. */
    if (!process_wait_gone(pidfd, deadline_in_ms(KILL_MS)))
        return vmm_fail(errp,
            &(struct diag){.code = VMM_E_WAIT_TIMEOUT,
                .help = "Its disk may hang; look at the host's kernel log."},
            "the QEMU process of VM \"%s\" does not end, even when killed", vm->name);
    return 0;
}

/* The keeper writes the end down and tidies up; whoever starts or deletes next must find it done.
 * Where there was none (any more), the sockets are still there. */
static void finish_end(const struct vmm_handle *vm)
{
    cleanup_free char *path = path_join(vm->work_dir, WORKDIR_KEEPER_LOCK);
    cleanup_close int lock_fd = fs_lock(path, deadline_in_ms(MONITOR_MS), NULL);
    cleanup_close int dirfd = open(vm->work_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (lock_fd < 0 || dirfd < 0)
        return;
    for (int s = 0; s < QEMU_SOCKET_COUNT_; s++)
        unlinkat(dirfd, qemu_socket_name((enum qemu_socket)s), 0);
    unlinkat(dirfd, WORKDIR_CONSOLE, 0);
    unlinkat(dirfd, WORKDIR_PIDFILE, 0);
}

int qemu_stop(
    struct vmm_hypervisor *h, struct vmm_handle *vm, int64_t timeout_ms, struct vmm_error **errp)
{
    (void)h;
    cleanup_close int pidfd = open_any_process(vm);
    int r = 0;
    if (pidfd >= 0) {
        /* Whatever the monitor says, the ladder goes on. */
        keeper_adopt(vm, MONITOR_MS); /* so that somebody records how it ends */
        const bool was_asked =
            timeout_ms > 0 && with_monitor(vm, timeout_ms, press_power_button, NULL) == 0;
        if (!was_asked || !process_wait_gone(pidfd, deadline_in_ms(timeout_ms)))
            r = end_process(vm, pidfd, TERM_MS, errp);
        finish_end(vm);
    }
    if (r == 0)
        vm->pid = 0;
    return r;
}

int qemu_kill(const struct vmm_handle *vm, struct vmm_error **errp)
{
    cleanup_close int pidfd = open_any_process(vm);
    if (pidfd < 0)
        return 0;
    /* SIGTERM lets QEMU close its images; nothing of them will be kept, so it gets no time. */
    const int r = end_process(vm, pidfd, 0, errp);
    finish_end(vm);
    return r;
}
