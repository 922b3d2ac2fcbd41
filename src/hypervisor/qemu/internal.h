/* The QEMU backend's own rooms: argv.c (command line), accel.c and kvm_probe.c (which accelerator),
 * start.c (launch through a keeper), control.c (state, stop, suspend), keeper.c and its parts (the
 * process that stays with a running VM). */
#pragma once

#include "base/clock.h"
#include "base/vec.h"
#include "hypervisor/internal.h"
#include "qmp/qmp.h"

/* Sockets QEMU listens on that are not for people. Short, because socket paths are. */
#define WORKDIR_TOOL_MONITOR ".tool.sock" /* short questions of our tools; under .tool.lock */
#define WORKDIR_TOOL_LOCK ".tool.lock"
#define WORKDIR_KEEPER_MONITOR ".keep.sock"
#define WORKDIR_KEEPER_LOCK ".keep.lock" /* held for a keeper's life */
#define WORKDIR_SERIAL ".serial.sock"
#define WORKDIR_FIRMWARE ".fw.sock" /* the firmware's debug port */

/* A list of arguments. Strings are the list's. */
struct argv {
    VEC(char *) args;
};

/* The value of a QEMU option with its commas doubled (security.md C-1). The caller owns it. */
char *argv_escape(const char *value);
/* NULL-terminates. */
void argv_finish(struct argv *a);
void argv_done(struct argv *a);

/* The listening sockets a keeper binds and QEMU inherits: no path is given to QEMU, nothing has to
 * be waited for, and a connection made before QEMU is ready waits in the backlog. */
enum qemu_socket {
    QEMU_SOCKET_QMP,
    QEMU_SOCKET_TOOL,
    QEMU_SOCKET_KEEPER,
    QEMU_SOCKET_SERIAL,
    QEMU_SOCKET_FIRMWARE,
    QEMU_SOCKET_COUNT_,
};
/* Child descriptors start here. */
enum { QEMU_FIRST_FD = 3 };

const char *qemu_socket_name(enum qemu_socket s);

struct qemu_features {
    enum vmm_accel accel; /* KVM or TCG: decided */
    const char *image_format;
};

/* The whole command line for a VM, argv[0] included. */
void qemu_build_argv(
    const struct vmm_handle *vm, const struct qemu_features *features, struct argv *ret_argv);

/* Which accelerator to use; `asked` may be AUTO. VMCTL_ACCEL overrides. Fails when KVM is demanded
 * and does not work. Puts a note for people when it falls back. */
int accel_choose(struct vmm_hypervisor *h,
    enum vmm_accel asked,
    enum vmm_accel *ret_accel,
    struct vmm_error **errp);

/* Runs a few instructions in long mode under KVM. NULL: KVM works; otherwise why not, owned by the
 * caller. Bounded by 2 s. */
char *kvm_probe(const char *device);

/* A connected tool monitor with its lock. */
struct tool_monitor {
    struct qmp *qmp;
    int lock_fd;
};
int tool_monitor_open(const struct vmm_handle *vm,
    struct deadline deadline,
    struct tool_monitor *ret,
    struct vmm_error **errp);
void tool_monitor_close(struct tool_monitor *m);

/* A pidfd of the VM's QEMU, or -ESRCH. Looks at the pidfile when the handle does not know. */
int qemu_open_process(const struct vmm_handle *vm, int64_t *ret_pid);

/* Starts a keeper for a QEMU that has lost its own; waits up to `wait_ms` until it has dialled in.
 */
void keeper_adopt(const struct vmm_handle *vm, int64_t wait_ms);

/* Whether QEMU is there at all. */
int qemu_find(struct vmm_error **errp);
int qemu_start(struct vmm_hypervisor *h, struct vmm_handle *vm, struct vmm_error **errp);
int qemu_stop(
    struct vmm_hypervisor *h, struct vmm_handle *vm, int64_t timeout_ms, struct vmm_error **errp);
/* Ends the process now; no guest is asked. */
int qemu_kill(const struct vmm_handle *vm, struct vmm_error **errp);
int qemu_suspend(struct vmm_hypervisor *h, struct vmm_handle *vm, struct vmm_error **errp);
int qemu_resume(struct vmm_hypervisor *h, struct vmm_handle *vm, struct vmm_error **errp);
int qemu_state(struct vmm_hypervisor *h,
    const struct vmm_handle *vm,
    enum vmm_state *ret_state,
    struct vmm_error **errp);
int64_t qemu_live_pid(struct vmm_hypervisor *h, const struct vmm_handle *vm);
