#include "machine/provision.h"
#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/error.h"
#include "base/fs.h"
#include "base/ring_log.h"
#include "base/utf8.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

enum {
    LOG_BYTES = 16 << 20,
    TAIL_BYTES = 2048,    /* of a failing step's output, for its error */
    STEP_MS = 30 * 60000, /* times the guest's slowness */
    SHORT_MS = 60000,     /* making or removing a folder */
};

struct run {
    const struct vmm_handle *vm;
    struct ssh_session *session;
    const struct provision_opts *opts;
    struct ring_log log;
    struct buf tail;
    size_t index; /* from 0 */
    size_t count;
};

static const char *kind_name(enum vmm_provision_kind kind)
{
    static const char *const names[VMM_PROVISION_COUNT_] = {"shell", "script", "file"};
    return names[kind];
}

static void take_output(struct run *run, bool is_stderr, const char *bytes, size_t n)
{
    ring_log_write(&run->log, bytes, n);
    buf_add(&run->tail, bytes, n);
    if (run->tail.n > 2 * TAIL_BYTES)
        buf_drop(&run->tail, run->tail.n - TAIL_BYTES);
    if (run->opts->on_output)
        run->opts->on_output(run->opts->arg, is_stderr, bytes, n);
}

static void take_stdout(void *arg, const char *bytes, size_t n)
{
    take_output(arg, false, bytes, n);
}

static void take_stderr(void *arg, const char *bytes, size_t n)
{
    take_output(arg, true, bytes, n);
}

static int execute(
    struct run *run, const char *command, struct ssh_result *ret, struct vmm_error **errp)
{
    const int r = ssh_exec(run->session, command,
        &(struct ssh_exec_opts){
            .on_stdout = take_stdout,
            .on_stderr = take_stderr,
            .arg = run,
            .deadline = deadline_in_ms((int64_t)STEP_MS * hypervisor_patience(run->vm)),
            .cancel_fd = run->opts->cancel_fd,
        },
        ret, errp);
    static const char mark[] = "\n[the rest of the output was too much to keep]\n";
    if (r == 0 && ret->is_truncated)
        take_output(run, false, mark, sizeof(mark) - 1);
    return r;
}

static int judge(
    struct run *run, const char *what, const struct ssh_result *result, struct vmm_error **errp)
{
    if (result->exit_status == 0)
        return 0;
    cleanup_buf struct buf tail = {0};
    const size_t from = run->tail.n > TAIL_BYTES ? run->tail.n - TAIL_BYTES : 0;
    utf8_sanitize(&tail, buf_cstr(&run->tail) + from, run->tail.n - from);
    cleanup_free char *help = xasprintf(
        "All of its output: `vmctl log %s --provision`. Mend the step, then run `vmctl up` again.",
        run->vm->name);
    cleanup_free char *how = result->signal[0]
                                 ? xasprintf("was killed by signal %s", result->signal)
                                 : xasprintf("ended with status %d", result->exit_status);
    cleanup_buf struct buf how_shown = {0};
    utf8_sanitize(&how_shown, how, strlen(how));
    return vmm_fail(errp,
        &(struct diag){
            .code = VMM_E_PROVISION, .details = tail.n ? buf_cstr(&tail) : NULL, .help = help},
        "provision step %zu of %zu (%s) of VM \"%s\" %s", run->index + 1, run->count, what,
        run->vm->name, buf_cstr(&how_shown));
}

static int run_inline(struct run *run, const struct vmm_provision *step, struct vmm_error **errp)
{
    struct ssh_result result;
    const int r = execute(run, step->command, &result, errp);
    return r < 0 ? r : judge(run, "shell", &result, errp);
}

static int open_source(const char *path, mode_t *ret_mode, int *ret_fd, struct vmm_error **errp)
{
    cleanup_close int fd = fs_open_regular(path);
    struct stat st;
    if (fd < 0)
        return vmm_fail_io(errp, -fd, "open", path);
    if (fstat(fd, &st) < 0)
        return vmm_fail_io(errp, errno, "look at", path);
    *ret_mode = st.st_mode & 0777;
    *ret_fd = TAKE_FD(fd);
    return 0;
}

static int upload(struct run *run,
    const char *source,
    const char *destination,
    mode_t more_mode,
    struct vmm_error **errp)
{
    mode_t mode = 0;
    cleanup_close int fd = -1;
    const int r = open_source(source, &mode, &fd, errp);
    return r < 0 ? r
                 : ssh_upload(run->session, fd, destination,
                       &(struct ssh_transfer_opts){
                           .mode = mode | more_mode, .cancel_fd = run->opts->cancel_fd},
                       errp);
}

static void collect(void *arg, const char *bytes, size_t n)
{
    struct buf *out = arg;
    if (out->n + n <= 4096)
        buf_add(out, bytes, n);
}

/* A folder nobody else in the guest could have laid out for us. The caller owns the path. */
static int make_remote_dir(struct run *run, char **ret_dir, struct vmm_error **errp)
{
    struct ssh_result result;
    cleanup_buf struct buf out = {0};
    const int r = ssh_exec(run->session, "umask 077 && mktemp -d /tmp/vmctl-provision-XXXXXXXX",
        &(struct ssh_exec_opts){.on_stdout = collect,
            .arg = &out,
            .deadline = deadline_in_ms(SHORT_MS),
            .cancel_fd = run->opts->cancel_fd},
        &result, errp);
    if (r < 0)
        return r;
    while (out.n && out.p[out.n - 1] == '\n')
        out.p[--out.n] = '\0';
    static const char prefix[] = "/tmp/vmctl-provision-";
    /* The guest's word, so it is looked at: this goes into a command line again, quoted. */
    if (result.exit_status != 0 || out.n != sizeof(prefix) - 1 + 8 ||
        strncmp(out.p, prefix, sizeof(prefix) - 1) != 0)
        return vmm_fail(errp,
            &(struct diag){
                .code = VMM_E_PROVISION, .help = "Is the guest's /tmp writable and not full?"},
            "could not make a folder below /tmp in VM \"%s\"", run->vm->name);
    *ret_dir = buf_steal(&out);
    return 0;
}

static void remove_remote_dir(struct run *run, const char *dir)
{
    struct ssh_result ignored;
    cleanup_buf struct buf command = {0};
    buf_adds(&command, "rm -rf -- ");
    ssh_quote(&command, str_view(dir));
    (void)ssh_exec(run->session, buf_cstr(&command),
        &(struct ssh_exec_opts){
            .deadline = deadline_in_ms(SHORT_MS), .cancel_fd = run->opts->cancel_fd},
        &ignored, NULL);
}

static int run_script(struct run *run, const struct vmm_provision *step, struct vmm_error **errp)
{
    cleanup_free char *dir = NULL;
    int r = make_remote_dir(run, &dir, errp);
    if (r < 0)
        return r;
    cleanup_free char *remote = xasprintf("%s/step-%zu.sh", dir, run->index + 1);
    r = upload(run, step->source, remote, 0700, errp);
    struct ssh_result result;
    if (r == 0) {
        cleanup_buf struct buf command = {0};
        ssh_quote(&command, str_view(remote));
        r = execute(run, buf_cstr(&command), &result, errp);
    }
    if (r == 0)
        r = judge(run, "script", &result, errp);
    if (ssh_session_is_alive(run->session))
        remove_remote_dir(run, dir);
    return r;
}

static int run_step(struct run *run, const struct vmm_provision *step, struct vmm_error **errp)
{
    switch (step->kind) {
    case VMM_PROVISION_SHELL_INLINE:
        return run_inline(run, step, errp);
    case VMM_PROVISION_SHELL_SCRIPT:
        return run_script(run, step, errp);
    case VMM_PROVISION_FILE:
        return upload(run, step->source, step->destination, 0, errp);
    case VMM_PROVISION_COUNT_:
        break;
    }
    return 0;
}

static void log_heading(struct run *run, const char *what)
{
    char now[32];
    struct tm tm;
    const time_t t = time(NULL);
    strftime(now, sizeof(now), "%Y-%m-%dT%H:%M:%SZ", gmtime_r(&t, &tm));
    cleanup_free char *heading = xasprintf("==> %s %s\n", now, what);
    ring_log_write(&run->log, heading, strlen(heading));
}

static int announce_and_run(
    struct run *run, const struct vmm_provision *step, struct vmm_error **errp)
{
    cleanup_free char *what =
        xasprintf("step %zu of %zu: %s", run->index + 1, run->count, kind_name(step->kind));
    log_heading(run, what);
    if (run->opts->on_step)
        run->opts->on_step(run->opts->arg, what);
    buf_clear(&run->tail);
    const int r = run_step(run, step, errp);
    if (r == -(int)VMM_E_PROVISION || r == 0)
        return r;
    const bool keeps_code = r == -(int)VMM_E_INTERRUPTED || r == -(int)VMM_E_WAIT_TIMEOUT;
    return vmm_wrap(errp,
        &(struct diag){.code = keeps_code ? (enum vmm_code) - r : VMM_E_PROVISION,
            .reason = errp && *errp ? vmm_error_reason(*errp) : NULL},
        "provision step %zu of %zu (%s) of VM \"%s\" failed", run->index + 1, run->count,
        kind_name(step->kind), run->vm->name);
}

int provision_run(const struct vmm_handle *vm,
    struct ssh_session *session,
    const struct vmm_provision *steps,
    size_t count,
    const struct provision_opts *opts,
    struct vmm_error **errp)
{
    cleanup_close int dirfd = open(vm->work_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (dirfd < 0)
        return vmm_fail_io(errp, errno, "open the folder", vm->work_dir);
    struct run run = {.vm = vm, .session = session, .opts = opts, .count = count};
    ring_log_open(&run.log, dirfd, WORKDIR_PROVISION_LOG, LOG_BYTES, RING_LOG_APPEND);
    int r = 0;
    for (run.index = 0; r == 0 && run.index < count; run.index++)
        r = announce_and_run(&run, &steps[run.index], errp);
    ring_log_close(&run.log);
    buf_done(&run.tail);
    return r;
}
