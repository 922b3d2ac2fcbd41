/* The commands there are, one typed function each. */
#include "qmp/internal.h"

#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/error.h"
#include "base/json.h"

#include <ctype.h>
#include <string.h>

enum { HOST_MAX_BYTES = 255 };

static const char *const run_state_names[QMP_RUN_STATE_COUNT_] = {
    [QMP_RUN_STATE_UNKNOWN] = "unknown",
#define X(constant, name) [QMP_RUN_STATE_##constant] = (name),
    QMP_RUN_STATES(X)
#undef X
};

/* An answer that lacks what the protocol promises. */
static int fail_answer(const char *command, const char *what, struct vmm_error **errp)
{
    return vmm_fail(errp, &(struct diag){.code = VMM_E_QMP_COMMAND, .reason = "protocol"},
        "QEMU answered \"%s\" without %s", command, what);
}

static int ask(struct qmp *q,
    const char *command,
    struct deadline deadline,
    json_t **ret_answer,
    struct vmm_error **errp)
{
    return qmp_command(q, command, /* args */ NULL, deadline, ret_answer, errp);
}

static int tell(
    struct qmp *q, const char *command, struct deadline deadline, struct vmm_error **errp)
{
    return qmp_command(q, command, /* args */ NULL, deadline, /* ret_result */ NULL, errp);
}

const char *qmp_run_state_name(enum qmp_run_state state)
{
    return run_state_names[(unsigned)state < QMP_RUN_STATE_COUNT_ ? state : QMP_RUN_STATE_UNKNOWN];
}

static enum qmp_run_state run_state_of(const char *name)
{
    for (unsigned i = 1; i < QMP_RUN_STATE_COUNT_; i++) {
        if (strcmp(run_state_names[i], name) == 0)
            return (enum qmp_run_state)i;
    }
    return QMP_RUN_STATE_UNKNOWN;
}

int qmp_query_status(
    struct qmp *q, struct deadline deadline, struct qmp_status *ret, struct vmm_error **errp)
{
    cleanup_json json_t *answer = NULL;
    const int r = ask(q, "query-status", deadline, &answer, errp);
    if (r < 0)
        return r;
    const char *status = json_get_string(answer, "status");
    if (!status || !json_is_boolean(json_object_get(answer, "running")))
        return fail_answer("query-status", "a status", errp);
    *ret = (struct qmp_status){
        .state = run_state_of(status),
        .running = json_get_bool(answer, "running", false),
    };
    return 0;
}

static bool is_uuid(const char *text)
{
    if (strlen(text) != QMP_UUID_SIZE - 1)
        return false;
    for (size_t i = 0; i < QMP_UUID_SIZE - 1; i++) {
        const bool is_dash = i == 8 || i == 13 || i == 18 || i == 23;
        if (is_dash ? text[i] != '-' : !isxdigit((unsigned char)text[i]))
            return false;
    }
    return true;
}

int qmp_query_uuid(
    struct qmp *q, struct deadline deadline, char ret_uuid[QMP_UUID_SIZE], struct vmm_error **errp)
{
    cleanup_json json_t *answer = NULL;
    const int r = ask(q, "query-uuid", deadline, &answer, errp);
    if (r < 0)
        return r;
    const char *uuid = json_get_string(answer, "UUID");
    if (!uuid || !is_uuid(uuid))
        return fail_answer("query-uuid", "a UUID", errp);
    memcpy(ret_uuid, uuid, QMP_UUID_SIZE);
    return 0;
}

/* An address or a name, and a port: what can be shown and dialled, nothing else. */
static bool is_host(const char *host)
{
    const size_t n = strlen(host);
    return n > 0 && n <= HOST_MAX_BYTES &&
           strspn(host, "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ.:-_%") == n;
}

static bool is_port(const char *port)
{
    const size_t n = strlen(port);
    return n > 0 && n <= 5 && strspn(port, "0123456789") == n && strtol(port, NULL, 10) <= 65535;
}

int qmp_query_vnc(
    struct qmp *q, struct deadline deadline, char **ret_address, struct vmm_error **errp)
{
    cleanup_json json_t *answer = NULL;
    const int r = ask(q, "query-vnc", deadline, &answer, errp);
    if (r < 0)
        return r;
    const json_t *enabled = json_object_get(answer, "enabled");
    if (!json_is_boolean(enabled))
        return fail_answer("query-vnc", "what it was asked", errp);
    const char *family = json_get_string(answer, "family");
    const bool is_ipv6 = family && strcmp(family, "ipv6") == 0;
    /* Enabled, but without an address or on a Unix socket: nothing to dial over TCP. */
    if (json_is_false(enabled) || !family || (!is_ipv6 && strcmp(family, "ipv4") != 0)) {
        *ret_address = NULL;
        return 0;
    }
    const char *host = json_get_string(answer, "host");
    const char *port = json_get_string(answer, "service");
    if (!host || !port || !is_host(host) || !is_port(port))
        return fail_answer("query-vnc", "a proper address", errp);
    *ret_address = xasprintf(is_ipv6 ? "[%s]:%s" : "%s:%s", host, port);
    return 0;
}

int qmp_cont(struct qmp *q, struct deadline deadline, struct vmm_error **errp)
{
    return tell(q, "cont", deadline, errp);
}

int qmp_stop(struct qmp *q, struct deadline deadline, struct vmm_error **errp)
{
    return tell(q, "stop", deadline, errp);
}

int qmp_system_powerdown(struct qmp *q, struct deadline deadline, struct vmm_error **errp)
{
    return tell(q, "system_powerdown", deadline, errp);
}

int qmp_quit(struct qmp *q, struct deadline deadline, struct vmm_error **errp)
{
    const bool was_open = qmp_fd(q) >= 0;
    struct vmm_error *error = NULL;
    const int r = tell(q, "quit", deadline, &error);
    if (r == 0)
        return 0;
    const char *reason = vmm_error_reason(error);
    if (was_open && reason && strcmp(reason, "closed") == 0) {
        vmm_error_free(error);
        return 0;
    }
    if (errp)
        *errp = error;
    else
        vmm_error_free(error);
    return r;
}
