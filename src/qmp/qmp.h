/* A client of the QEMU Machine Protocol: it runs in whoever wants something from a QEMU, the tools
 * for one question, the keeper for a VM's whole life. One connection belongs to one thread. Calls
 * block up to their deadline; a caller with a loop of its own polls qmp_fd() for reading and calls
 * qmp_pump().
 *
 * The peer is a stranger (security.md C-6): what it sends is bounded, checked and typed, its words
 * reach messages sanitized, and none of its strings is ever a path.
 *
 * Once the peer has closed, or has sent what is no QMP, every later call fails with the same
 * reason. Events that came before stay in the queue. Failures have the code VMM_E_QMP_COMMAND
 * (while connecting: VMM_E_QMP_CONNECT) and one of these reasons:
 *
 *   timeout      no answer by the deadline; the command may still take effect later
 *   closed       the connection ended
 *   protocol     the peer sent what is no QMP, or an answer without its documented fields
 *   not-allowed  the command is not on the list below; nothing was sent
 *   otherwise    QEMU's own error class: "GenericError", "CommandNotFound" ... */
#pragma once

#include "base/clock.h"
#include "vmm/error.h"

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* All that is ever sent (security.md C-5). A new command is a row here and a typed function. */
#define QMP_COMMANDS(X)   \
    X("qmp_capabilities") \
    X("query-status")     \
    X("query-uuid")       \
    X("query-vnc")        \
    X("cont")             \
    X("stop")             \
    X("system_powerdown") \
    X("quit")

enum {
    /* Deadlines for callers without an opinion (security.md C-6). */
    QMP_QUERY_MS = 2000,
    QMP_COMMAND_MS = 30000,
    /* QEMU 7.2's longest event name has 26. */
    QMP_EVENT_NAME_MAX_BYTES = 64,
    /* More than a caller that looks in now and then can miss; past it the oldest goes. */
    QMP_EVENTS_MAX = 1000,
    QMP_UUID_SIZE = 37,
};

struct qmp;

struct qmp_event {
    char name[QMP_EVENT_NAME_MAX_BYTES + 1]; /* letters, digits and `_ - .` only */
    json_t *data;                            /* an object, or NULL; the event owns it */
    int64_t time_us;                         /* QEMU's wall clock since 1970; -1: it gave none */
};

/* QEMU's RunState. A name of a later QEMU is UNKNOWN; `running` then still says the main thing. */
#define QMP_RUN_STATES(X)               \
    X(COLO, "colo")                     \
    X(DEBUG, "debug")                   \
    X(FINISH_MIGRATE, "finish-migrate") \
    X(GUEST_PANICKED, "guest-panicked") \
    X(INMIGRATE, "inmigrate")           \
    X(INTERNAL_ERROR, "internal-error") \
    X(IO_ERROR, "io-error")             \
    X(PAUSED, "paused")                 \
    X(POSTMIGRATE, "postmigrate")       \
    X(PRELAUNCH, "prelaunch")           \
    X(RESTORE_VM, "restore-vm")         \
    X(RUNNING, "running")               \
    X(SAVE_VM, "save-vm")               \
    X(SHUTDOWN, "shutdown")             \
    X(SUSPENDED, "suspended")           \
    X(WATCHDOG, "watchdog")

enum qmp_run_state {
    QMP_RUN_STATE_UNKNOWN,
#define X(constant, name) QMP_RUN_STATE_##constant,
    QMP_RUN_STATES(X)
#undef X
        QMP_RUN_STATE_COUNT_
};

struct qmp_status {
    enum qmp_run_state state;
    bool running;
};

/* Connects, greets and negotiates. Failures are VMM_E_QMP_CONNECT; vmm_error_errno() tells ENOENT
 * and ECONNREFUSED (nobody listens there yet: worth another try) from the rest. A monitor serves
 * one client at a time, so a second one meets "timeout". */
int qmp_connect(
    const char *socket_path, struct deadline deadline, struct qmp **ret, struct vmm_error **errp);
/* The same over a connected socket, which is taken, also on failure. */
int qmp_open_fd(int fd, struct deadline deadline, struct qmp **ret, struct vmm_error **errp);
/* NULL is fine. */
void qmp_close(struct qmp *q);

/* For poll(): POLLIN. -1 once the connection has ended. */
int qmp_fd(const struct qmp *q);
/* Reads what is there, at most 128 KiB (poll() tells of the rest), and never blocks; events go to
 * the queue. */
int qmp_pump(struct qmp *q, struct vmm_error **errp);
/* The oldest event, in the caller's hands until qmp_event_done(). Ask after every qmp_pump() and
 * also after every command: events that come with an answer leave nothing for poll() to see. */
bool qmp_next_event(struct qmp *q, struct qmp_event *ret);
void qmp_event_done(struct qmp_event *event);
/* Events lost so far because nobody fetched them. */
uint64_t qmp_events_dropped(const struct qmp *q);

/* Sends a command of the list and waits for its own answer. Takes `args` (an object or NULL), also
 * on failure. `ret_result` may be NULL; otherwise the caller owns the tree. */
int qmp_command(struct qmp *q,
    const char *name,
    json_t *args,
    struct deadline deadline,
    json_t **ret_result,
    struct vmm_error **errp);

int qmp_query_status(
    struct qmp *q, struct deadline deadline, struct qmp_status *ret, struct vmm_error **errp);
/* "prelaunch", "unknown" ... */
const char *qmp_run_state_name(enum qmp_run_state state);
/* Lower case, as QEMU prints it. All zeros: none was given. */
int qmp_query_uuid(
    struct qmp *q, struct deadline deadline, char ret_uuid[QMP_UUID_SIZE], struct vmm_error **errp);
/* "127.0.0.1:5901", "[::1]:5901"; NULL when QEMU serves no VNC over TCP. The caller owns it. */
int qmp_query_vnc(
    struct qmp *q, struct deadline deadline, char **ret_address, struct vmm_error **errp);
int qmp_cont(struct qmp *q, struct deadline deadline, struct vmm_error **errp);
int qmp_stop(struct qmp *q, struct deadline deadline, struct vmm_error **errp);
/* Presses the button; what the guest does about it comes as events. */
int qmp_system_powerdown(struct qmp *q, struct deadline deadline, struct vmm_error **errp);
/* QEMU may end before its answer is out: a connection that closes meanwhile is success. */
int qmp_quit(struct qmp *q, struct deadline deadline, struct vmm_error **errp);

static inline void qmp_close_handler(struct qmp **q)
{
    qmp_close(*q);
}
#define cleanup_qmp __attribute__((cleanup(qmp_close_handler)))
