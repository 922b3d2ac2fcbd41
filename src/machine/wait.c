#include "machine/wait.h"
#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/error.h"
#include "base/fs.h"
#include "base/process.h"
#include "base/utf8.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

enum {
    /* Without progress; times the host's patience (4 under emulation). */
    STALL_MS = 60000,
    /* In all: a guest that prints for ever does not boot for ever. */
    TOTAL_MS = 15 * 60000,
    OLD_VERDICT_MS = 5000,
    TAIL_LINES = 12,
    CHUNK_BYTES = 64 << 10,
};

/* One growing file of the keeper's, read as it grows. */
struct follow {
    const char *name;
    int fd;
};

struct watch {
    const struct vmm_handle *vm;
    const struct wait_opts *opts;
    struct ladder ladder;
    struct follow console;
    struct follow events;
    struct buf event_line;
    int dirfd;
    int inotify_fd;
    int pidfd;
    struct ssh_connect *connect;
    enum ssh_stage stage;
    enum ssh_stage best_stage; /* only getting further than ever is progress */
    struct deadline believe;   /* until then what the console said before we came is not believed */
    const char *phrase;        /* the last one told */
    int64_t stall_ms;
    struct deadline stall;
    struct deadline total;
};

static void watch_done(struct watch *w)
{
    ssh_connect_cancel(w->connect);
    ladder_done(&w->ladder);
    buf_done(&w->event_line);
    const int fds[] = {w->console.fd, w->events.fd, w->dirfd, w->inotify_fd, w->pidfd};
    for (size_t i = 0; i < sizeof(fds) / sizeof(*fds); i++) {
        if (fds[i] >= 0)
            close(fds[i]);
    }
}

/* Reads on; when the keeper has rotated the file, goes over to the new one. */
static void follow_read(
    struct watch *w, struct follow *f, void (*take)(struct watch *, const char *, size_t))
{
    cleanup_free char *chunk = xmalloc(CHUNK_BYTES);
    for (;;) {
        if (f->fd < 0)
            f->fd = fs_open_beneath(w->dirfd, f->name, O_RDONLY);
        if (f->fd < 0)
            return;
        ssize_t n;
        while ((n = read(f->fd, chunk, CHUNK_BYTES)) > 0)
            take(w, chunk, (size_t)n);
        struct stat ours, there;
        if (fstat(f->fd, &ours) < 0 ||
            fstatat(w->dirfd, f->name, &there, AT_SYMLINK_NOFOLLOW) < 0 ||
            ours.st_ino == there.st_ino)
            return;
        close(TAKE_FD(f->fd));
    }
}

static void take_console(struct watch *w, const char *p, size_t n)
{
    ladder_console(&w->ladder, p, n);
}

static void take_event_line(struct watch *w)
{
    json_error_t ignored;
    cleanup_json json_t *event =
        json_parse((struct str){w->event_line.p, w->event_line.n}, &ignored);
    const char *kind = json_get_string(event, "event");
    if (kind && strcmp(kind, "started") == 0) {
        ladder_done(&w->ladder); /* what stood before belongs to an earlier boot */
        return;
    }
    if (event)
        ladder_event(&w->ladder, event);
}

static void take_events(struct watch *w, const char *p, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (p[i] != '\n') {
            buf_addc(&w->event_line, p[i]);
            continue;
        }
        take_event_line(w);
        buf_clear(&w->event_line);
    }
}

static int watch_init(struct watch *w,
    const struct vmm_handle *vm,
    const struct wait_opts *opts,
    struct vmm_error **errp)
{
    const int64_t stall_ms = (int64_t)STALL_MS * hypervisor_patience(vm);
    *w = (struct watch){
        .vm = vm,
        .opts = opts,
        .console = {.name = WORKDIR_CONSOLE_LOG, .fd = -1},
        .events = {.name = WORKDIR_EVENTS_LOG, .fd = -1},
        .dirfd = open(vm->work_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC),
        .inotify_fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK),
        .pidfd = -1,
        .stall_ms = stall_ms,
        .stall = deadline_in_ms(stall_ms),
        .total = deadline_in_ms(
            opts->limit_ms ? opts->limit_ms : (int64_t)TOTAL_MS * hypervisor_patience(vm)),
    };
    const char *own = getenv("VMCTL_TIMEOUT");
    const long own_s = own ? strtol(own, NULL, 10) : 0;
    if (own_s > 0 && own_s < 86400) {
        w->stall_ms = own_s * 1000;
        w->stall = deadline_in_ms(w->stall_ms);
    }
    if (w->dirfd < 0 || w->inotify_fd < 0 ||
        inotify_add_watch(w->inotify_fd, vm->work_dir, IN_MODIFY | IN_CREATE | IN_MOVED_TO) < 0)
        return vmm_fail_io(errp, errno, "watch the folder", vm->work_dir);
    const struct process_identity who = {.pid = (pid_t)vm->pid, .start_ticks = vm->pid_start_ticks};
    w->pidfd = process_open_verified(&who, vm->id);
    return 0;
}

/* How the keeper says it ended: "guest-shutdown", "killed" ... The caller owns it. */
static char *read_how_it_ended(const struct watch *w)
{
    cleanup_buf struct buf text = {0};
    json_error_t ignored;
    cleanup_close int fd = fs_open_beneath(w->dirfd, WORKDIR_ENDED, O_RDONLY);
    if (fd < 0 || fs_read_all(fd, 65536, &text) < 0)
        return NULL;
    cleanup_json json_t *ended = json_parse((struct str){text.p, text.n}, &ignored);
    return xstrdup_or_null(json_get_string(ended, "how"));
}

static int fail_ended(struct watch *w, struct vmm_error **errp)
{
    cleanup_buf struct buf tail = {0};
    ladder_tail(&w->ladder, TAIL_LINES, &tail);
    cleanup_free char *how = read_how_it_ended(w);
    cleanup_buf struct buf shown = {0};
    utf8_sanitize(&shown, how ? how : "unknown", strlen(how ? how : "unknown"));
    cleanup_free char *help =
        xasprintf("See `vmctl log %s --console` and qemu.log in the VM's folder.", w->vm->name);
    return vmm_fail(errp,
        &(struct diag){.code = VMM_E_GUEST_FAILED,
            .reason = "process",
            .details = buf_cstr(&tail),
            .help = help},
        "VM \"%s\" ended while it was booting (%s); it had come to: %s", w->vm->name,
        buf_cstr(&shown), rung_name(w->ladder.rung));
}

static int fail_dead(struct watch *w, struct vmm_error **errp)
{
    cleanup_buf struct buf tail = {0};
    ladder_tail(&w->ladder, TAIL_LINES, &tail);
    cleanup_free char *help = xasprintf(
        "See `vmctl log %s --console` for all it printed; `vmctl destroy %s` clears it away.",
        w->vm->name, w->vm->name);
    return vmm_fail(errp,
        &(struct diag){.code = VMM_E_GUEST_FAILED,
            .reason = w->ladder.dead,
            .details = buf_cstr(&tail),
            .help = help},
        "VM \"%s\" cannot boot: %s", w->vm->name, w->ladder.dead_words);
}

static int fail_stalled(struct watch *w, struct vmm_error **errp)
{
    cleanup_buf struct buf tail = {0};
    ladder_tail(&w->ladder, TAIL_LINES, &tail);
    const bool is_total = deadline_passed(w->total);
    return vmm_fail(errp,
        &(struct diag){.code = VMM_E_WAIT_TIMEOUT,
            .reason = rung_name(w->ladder.rung),
            .details = buf_cstr(&tail),
            .help = rung_advice(w->ladder.rung)},
        "VM \"%s\" %s; it stands at: %s, waiting for %s", w->vm->name,
        is_total ? "took too long to boot" : "makes no progress", rung_name(w->ladder.rung),
        rung_phrase(w->ladder.rung));
}

/* The ssh client gave up for good (a changed host key, a broken key file). */
static int fail_ssh(struct watch *w, struct vmm_error **errp)
{
    cleanup_buf struct buf tail = {0};
    if (w->ladder.rung < RUNG_LOGIN)
        ladder_tail(&w->ladder, TAIL_LINES, &tail);
    return vmm_wrap(errp, &(struct diag){.details = tail.n ? buf_cstr(&tail) : NULL},
        "could not log in to VM \"%s\"; it stands at: %s", w->vm->name, rung_name(w->ladder.rung));
}

static void tell(struct watch *w)
{
    const char *phrase = rung_phrase(w->ladder.rung);
    if (phrase == w->phrase || !w->opts->on_progress)
        return;
    w->phrase = phrase;
    cleanup_free char *text = xasprintf("waiting for %s", phrase);
    w->opts->on_progress(w->opts->arg, text);
}

/* Drains what the guest has shown and moves the deadline if that was anything new. */
static void look(struct watch *w)
{
    char ignored[4096] __attribute__((aligned(8)));
    while (read(w->inotify_fd, ignored, sizeof(ignored)) > 0)
        continue;
    const uint64_t bytes = w->ladder.console_bytes;
    const enum rung rung = w->ladder.rung;
    const unsigned sshd_signs = w->ladder.sshd_signs;
    /* Events first: they tell where this boot begins, and the console's file begins with it. */
    follow_read(w, &w->events, take_events);
    follow_read(w, &w->console, take_console);
    if (w->stage >= SSH_STAGE_KEX)
        ladder_reach(&w->ladder, RUNG_LOGIN);
    if (w->ladder.console_bytes != bytes || w->ladder.rung != rung)
        w->stall = deadline_in_ms(w->stall_ms);
    if (w->ladder.sshd_signs != sshd_signs && w->connect)
        ssh_connect_nudge(w->connect);
    tell(w);
}

static struct deadline next_deadline(const struct watch *w)
{
    return deadline_sooner(w->stall, w->total);
}

/* The keeper closes its books a moment after QEMU's end. */
static void await_the_books(struct watch *w)
{
    const struct deadline deadline = deadline_in_ms(1000);
    while (faccessat(w->dirfd, WORKDIR_ENDED, F_OK, 0) < 0 && !deadline_passed(deadline)) {
        poll(
            &(struct pollfd){.fd = w->inotify_fd, .events = POLLIN}, 1, deadline_left_ms(deadline));
        look(w);
    }
}

/* 1: go on; 0: in; negative: over. */
static int step(struct watch *w, struct ssh_session **ret_session, struct vmm_error **errp)
{
    enum ssh_stage stage = w->stage;
    ssh_connect_set_deadline(w->connect, next_deadline(w));
    const int r = ssh_connect_step(w->connect, &stage, ret_session, errp);
    if (stage > w->best_stage) {
        w->best_stage = stage;
        w->stall = deadline_in_ms(w->stall_ms);
    }
    w->stage = stage;
    look(w);
    if (r == 0)
        return 0;
    if (r < 0) {
        /* Its deadline is ours: then the rung explains more than "connection refused" would. */
        const bool is_late = deadline_passed(next_deadline(w)) && w->ladder.rung < RUNG_LOGIN;
        if (!is_late)
            return fail_ssh(w, errp);
        if (errp && *errp) {
            vmm_error_free(*errp);
            *errp = NULL;
        }
        return w->ladder.dead ? fail_dead(w, errp) : fail_stalled(w, errp);
    }
    if (w->ladder.dead && w->ladder.rung < RUNG_LOGIN && deadline_passed(w->believe))
        return fail_dead(w, errp);
    if (w->pidfd < 0 || process_wait_gone(w->pidfd, deadline_in_ms(0))) {
        await_the_books(w);
        return fail_ended(w, errp);
    }
    if (deadline_passed(next_deadline(w)))
        return fail_stalled(w, errp);
    return 1;
}

/* When to look again though nothing happens. */
static struct deadline next_look(const struct watch *w)
{
    return deadline_passed(w->believe) ? next_deadline(w)
                                       : deadline_sooner(w->believe, next_deadline(w));
}

static int wait_for_more(struct watch *w, struct vmm_error **errp)
{
    struct pollfd fds[] = {
        {.fd = ssh_connect_fd(w->connect), .events = POLLIN},
        {.fd = w->inotify_fd, .events = POLLIN},
        {.fd = w->pidfd, .events = POLLIN},
        {.fd = w->opts->cancel_fd > 0 ? w->opts->cancel_fd : -1, .events = POLLIN},
    };
    poll(fds, sizeof(fds) / sizeof(*fds), deadline_left_ms(next_look(w)));
    if (fds[3].revents)
        return vmm_fail(errp, &(struct diag){.code = VMM_E_INTERRUPTED},
            "stopped waiting for VM \"%s\"; it stands at: %s", w->vm->name,
            rung_name(w->ladder.rung));
    return 0;
}

int wait_login(struct machine_env *env,
    const struct vmm_handle *vm,
    const struct login_opts *login_opts,
    const struct wait_opts *opts,
    struct ssh_session **ret_session,
    struct vmm_error **errp)
{
    __attribute__((cleanup(login_done))) struct login login = {0};
    __attribute__((cleanup(watch_done))) struct watch w = {
        .console.fd = -1, .events.fd = -1, .dirfd = -1, .inotify_fd = -1, .pidfd = -1};
    cleanup_buf struct buf key = {0};
    struct ssh_target target;
    int r = login_resolve(env, vm, login_opts, &login, errp);
    if (r == 0)
        r = login_target(&login, &key, &target, errp);
    if (r == 0)
        r = watch_init(&w, vm, opts, errp);
    if (r == 0) {
        look(&w);
        /* An old verdict may be of a guest that somebody has mended by hand since. */
        w.believe = deadline_in_ms(w.ladder.dead && !opts->is_fresh_boot ? OLD_VERDICT_MS : 0);
    }
    if (r == 0)
        r = ssh_connect_start(&target,
            &(struct ssh_connect_opts){
                .deadline = next_deadline(&w),
                .slowness = hypervisor_patience(vm),
                .host_key_grace = login.is_pinned,
            },
            &w.connect, errp);
    if (key.p)
        explicit_bzero(key.p, key.n);
    if (r < 0)
        return r;
    struct vmm_error *error = NULL;
    while ((r = step(&w, ret_session, &error)) == 1) {
        r = wait_for_more(&w, &error);
        if (r < 0)
            break;
    }
    if (r < 0) {
        if (errp)
            *errp = error;
        else
            vmm_error_free(error);
    }
    return r;
}

/* ---- cloud-init -------------------------------------------------------------------------- */

/* Says nothing while it waits; then its verdict as JSON, a line, and what its log says of failures.
 * 97: the guest has no cloud-init. */
static const char cloud_init_script[] =
    "command -v cloud-init >/dev/null 2>&1 || exit 97\n"
    "cloud-init status --wait >/dev/null 2>&1\n"
    "cloud-init status --format json 2>/dev/null || cloud-init status --long 2>/dev/null\n"
    "echo ====\n"
    "cat=cat; [ -r /var/log/cloud-init.log ] || cat='sudo -n cat'\n"
    "$cat /var/log/cloud-init.log 2>/dev/null | grep -E 'WARNING|ERROR|failed' | tail -n 15\n"
    "exit 0\n";

static void collect(void *arg, const char *bytes, size_t n)
{
    struct buf *out = arg;
    enum { VERDICT_MAX_BYTES = 256 << 10 };
    if (out->n + n <= VERDICT_MAX_BYTES)
        buf_add(out, bytes, n);
}

/* The name in "Running module NAME (<module ...>) failed". The caller owns it; NULL: not said. */
static char *failed_module(const char *log)
{
    static const char before[] = "Running module ";
    const char *at = strstr(log, before);
    if (!at)
        return NULL;
    at += sizeof(before) - 1;
    const size_t n =
        strspn(at, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-.");
    return n ? xstrndup(at, n) : NULL;
}

static bool has_errors(const json_t *verdict)
{
    const char *status = json_get_string(verdict, "status");
    return (status && strcmp(status, "error") == 0) ||
           json_array_size(json_object_get(verdict, "errors")) > 0;
}

static int judge_cloud_init(
    const struct vmm_handle *vm, const struct buf *output, struct vmm_error **errp)
{
    const char *mark = strstr(buf_cstr(output), "\n====\n");
    const size_t verdict_bytes = mark ? (size_t)(mark - output->p) : output->n;
    json_error_t ignored;
    cleanup_json json_t *verdict =
        json_parse((struct str){buf_cstr(output), verdict_bytes}, &ignored);
    const bool failed =
        verdict ? has_errors(verdict) : strstr(buf_cstr(output), "status: error") != NULL;
    if (!failed)
        return 0;
    const char *log = mark ? mark + 6 : "";
    cleanup_free char *module = failed_module(log);
    cleanup_buf struct buf details = {0};
    size_t i;
    json_t *e;
    json_array_foreach(json_object_get(verdict, "errors"), i, e)
    {
        const char *text = json_string_value(e);
        if (text && i < 5) {
            utf8_sanitize(&details, text, strlen(text));
            buf_addc(&details, '\n');
        }
    }
    utf8_sanitize(&details, log, strlen(log));
    return vmm_fail(errp,
        &(struct diag){.code = VMM_E_CLOUDINIT_FAILED,
            .reason = module ? module : "cloud-init",
            .details = buf_cstr(&details)},
        module ? "cloud-init failed in VM \"%s\", in its module \"%s\""
               : "cloud-init failed in VM \"%s\"%s",
        vm->name, module ? module : "");
}

int wait_cloud_init(const struct vmm_handle *vm,
    struct ssh_session *session,
    const struct wait_opts *opts,
    struct vmm_error **errp)
{
    if (!vm->seed_iso_path)
        return 0;
    if (opts->on_progress)
        opts->on_progress(opts->arg, "waiting for cloud-init");
    cleanup_buf struct buf output = {0};
    struct ssh_result result;
    const int r = ssh_exec(session, cloud_init_script,
        &(struct ssh_exec_opts){
            .on_stdout = collect,
            .arg = &output,
            .deadline = deadline_in_ms((int64_t)TOTAL_MS * hypervisor_patience(vm)),
            .cancel_fd = opts->cancel_fd,
        },
        &result, errp);
    if (r < 0)
        return vmm_wrap(
            errp, &(struct diag){0}, "could not learn how cloud-init did in VM \"%s\"", vm->name);
    return result.exit_status == 97 ? 0 : judge_cloud_init(vm, &output, errp);
}
