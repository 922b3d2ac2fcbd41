#include "base/process.h"
#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/fs.h"
#include "base/vec.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/close_range.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

/* What a child may know of our environment. */
static const char *const environment_allowed[] = {
    "PATH",
    "HOME",
    "LANG",
    "LC_ALL",
    "TMPDIR",
    "TERM",
    "USER",
    "LOGNAME",
    "XDG_DATA_HOME",
    "XDG_RUNTIME_DIR",
    "VMCTL_LOG",
    "VMM_LIBEXEC",
    "ASAN_OPTIONS",
    "UBSAN_OPTIONS",
    "LSAN_OPTIONS",
};

enum { ENVIRONMENT_COUNT = sizeof(environment_allowed) / sizeof(*environment_allowed) };

static char **build_environment(void)
{
    char **env = xcalloc(ENVIRONMENT_COUNT + 1, sizeof(*env));
    size_t n = 0;
    for (size_t i = 0; i < ENVIRONMENT_COUNT; i++) {
        const char *value = getenv(environment_allowed[i]);
        if (value)
            env[n++] = xasprintf("%s=%s", environment_allowed[i], value);
    }
    return env;
}

static void free_environment(char **env)
{
    for (char **e = env; *e; e++)
        free(*e);
    free(env);
}

char *process_find_program(const char *name)
{
    if (strchr(name, '/'))
        return access(name, X_OK) == 0 ? xstrdup(name) : NULL; /* a message only: exec decides */
    const char *path = getenv("PATH");
    for (const char *p = path ? path : "/usr/bin:/bin"; *p;) {
        const size_t n = strcspn(p, ":");
        cleanup_free char *dir = n ? xstrndup(p, n) : xstrdup(".");
        cleanup_free char *candidate = path_join(dir, name);
        struct stat st;
        if (stat(candidate, &st) == 0 && S_ISREG(st.st_mode) &&
            faccessat(AT_FDCWD, candidate, X_OK, AT_EACCESS) == 0)
            return TAKE_PTR(candidate);
        p += n + (p[n] == ':');
    }
    return NULL;
}

/* `dir`/`name` if it can be executed. Takes nothing. */
static char *helper_in(const char *dir, const char *name)
{
    cleanup_free char *candidate = path_join(dir, name);
    return faccessat(AT_FDCWD, candidate, X_OK, AT_EACCESS) == 0 ? TAKE_PTR(candidate) : NULL;
}

char *process_find_helper(const char *name)
{
    const char *override = getenv("VMM_LIBEXEC");
    if (override)
        return helper_in(override, name);
    char self[4096];
    const ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);
    if (n > 0) {
        self[n] = '\0';
        char *slash = strrchr(self, '/');
        *slash = '\0';
        static const char *const beside[] = {"../libexec/vmm", "../libexec", "."};
        for (size_t i = 0; i < sizeof(beside) / sizeof(*beside); i++) {
            cleanup_free char *dir = path_join(self, beside[i]);
            char *found = helper_in(dir, name);
            if (found)
                return found;
        }
    }
    return helper_in(VMM_HELPER_DIR, name);
}

/* In the child, between fork and exec: only async-signal-safe calls. Returns where `report_fd` is
 * now, or -1. */
static int arrange_descriptors(const struct process_opts *opts, int report_fd)
{
    int wanted[4 + PROCESS_MORE_FDS_MAX] = {
        opts->stdin_fd, opts->stdout_fd, opts->stderr_fd, opts->extra_fd};
    const int count = opts->extra_fd < 0 ? 3 : 4 + (int)opts->more_fd_count;
    for (int i = 4; i < count; i++)
        wanted[i] = opts->more_fds[i - 4];
    /* Out of the way first, so that no dup2 overwrites one that is still needed. */
    const int above = 4 + PROCESS_MORE_FDS_MAX;
    for (int i = 0; i < count; i++) {
        if (wanted[i] < 0)
            wanted[i] = open("/dev/null", O_RDWR | O_CLOEXEC);
        if (wanted[i] < 0 || (wanted[i] = fcntl(wanted[i], F_DUPFD_CLOEXEC, above)) < 0)
            return -1;
    }
    const int report = fcntl(report_fd, F_DUPFD_CLOEXEC, above);
    for (int i = 0; i < count; i++) {
        if (dup2(wanted[i], i) < 0)
            return -1;
    }
    /* Whatever else was open closes at exec. */
    return syscall(SYS_close_range, (unsigned)count, ~0U, CLOSE_RANGE_CLOEXEC) < 0 ? -1 : report;
}

static void reset_signals(void)
{
    for (int i = 1; i < NSIG; i++)
        signal(i, SIG_DFL);
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
}

__attribute__((noreturn)) static void child(const char *program,
    const char *const *argv,
    char **env,
    const struct process_opts *opts,
    int report_fd,
    pid_t parent)
{
    const int report = arrange_descriptors(opts, report_fd);
    int failed = errno;
    if (report >= 0) {
        reset_signals();
        if (opts->new_session)
            setsid();
        if (opts->die_with_parent) {
            prctl(PR_SET_PDEATHSIG, SIGKILL);
            if (getppid() != parent)
                _exit(127);
        }
        if (!opts->cwd || chdir(opts->cwd) == 0)
            execve(program, (char *const *)argv, env);
        failed = errno;
        report_fd = report;
    }
    if (write(report_fd, &failed, sizeof(failed)) < 0)
        _exit(126);
    _exit(127);
}

int process_spawn(const char *const *argv, const struct process_opts *opts, pid_t *ret_pid)
{
    cleanup_free char *program = process_find_program(argv[0]);
    if (!program)
        return -ENOENT;
    int report[2];
    if (pipe2(report, O_CLOEXEC) < 0)
        return -errno;
    cleanup_close int report_read = report[0];
    cleanup_close int report_write = report[1];

    char **env = build_environment();
    const pid_t parent = getpid();
    /* Signals stay blocked until the child has reset its handlers: ours must not run in it. */
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    const pid_t pid = fork();
    const int fork_errno = errno;
    if (pid == 0)
        child(program, argv, env, opts, report_write, parent);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    free_environment(env);
    if (pid < 0)
        return -fork_errno;

    close(TAKE_FD(report_write));
    int failed = 0;
    ssize_t n;
    do
        n = read(report_read, &failed, sizeof(failed));
    while (n < 0 && errno == EINTR);
    if (n > 0) {
        while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
            continue;
        return failed ? -failed : -EIO;
    }
    *ret_pid = pid;
    return 0;
}

static int pidfd_open_(pid_t pid)
{
    const int fd = (int)syscall(SYS_pidfd_open, pid, 0);
    return fd < 0 ? -errno : fd;
}

bool process_wait_gone(int pidfd, struct deadline deadline)
{
    for (;;) {
        const int n =
            poll(&(struct pollfd){.fd = pidfd, .events = POLLIN}, 1, deadline_left_ms(deadline));
        if (n > 0)
            return true;
        if (n == 0 || errno != EINTR)
            return false;
    }
}

int process_wait(pid_t pid, struct deadline deadline, int *ret_status)
{
    cleanup_close int pidfd = pidfd_open_(pid);
    if (pidfd >= 0 && !process_wait_gone(pidfd, deadline))
        return -ETIMEDOUT;
    int status;
    while (waitpid(pid, &status, 0) < 0) {
        if (errno != EINTR)
            return -errno;
    }
    *ret_status = status;
    return 0;
}

enum { OUTPUT_MAX_BYTES = 1 << 20 };

/* Reads what is there; closes and forgets the fd at its end. */
static void drain(int *fd, struct buf *out)
{
    char chunk[16384];
    const ssize_t n = read(*fd, chunk, sizeof(chunk));
    if (n < 0 && (errno == EINTR || errno == EAGAIN))
        return;
    if (n <= 0) {
        close(TAKE_FD(*fd));
        return;
    }
    if (out && out->n < OUTPUT_MAX_BYTES)
        buf_add(out, chunk, (size_t)n);
}

int process_run(const char *const *argv,
    struct deadline deadline,
    int cancel_fd,
    struct buf *out,
    struct buf *err)
{
    int out_pipe[2], err_pipe[2];
    if (pipe2(out_pipe, O_CLOEXEC) < 0)
        return -errno;
    cleanup_close int out_read = out_pipe[0];
    cleanup_close int out_write = out_pipe[1];
    if (pipe2(err_pipe, O_CLOEXEC) < 0)
        return -errno;
    cleanup_close int err_read = err_pipe[0];
    cleanup_close int err_write = err_pipe[1];

    pid_t pid;
    const int r = process_spawn(argv,
        &(struct process_opts){.stdin_fd = -1,
            .stdout_fd = out_write,
            .stderr_fd = err_write,
            .extra_fd = -1,
            .die_with_parent = true},
        &pid);
    if (r < 0)
        return r;
    close(TAKE_FD(out_write));
    close(TAKE_FD(err_write));

    bool is_late = false, is_cancelled = false;
    while ((out_read >= 0 || err_read >= 0) && !is_late && !is_cancelled) {
        struct pollfd fds[3] = {{.fd = out_read, .events = POLLIN},
            {.fd = err_read, .events = POLLIN},
            {.fd = cancel_fd > 0 ? cancel_fd : -1, .events = POLLIN}};
        const int n = poll(fds, 3, deadline_left_ms(deadline));
        is_late = n == 0 || deadline_passed(deadline);
        is_cancelled = n > 0 && fds[2].revents;
        if (n > 0 && fds[0].revents)
            drain(&out_read, out);
        if (n > 0 && fds[1].revents)
            drain(&err_read, err);
    }
    int status;
    if (is_late || is_cancelled || process_wait(pid, deadline, &status) < 0) {
        kill(pid, SIGKILL); /* our own unreaped child: the pid cannot be another's */
        while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
            continue;
        return is_cancelled ? -ECANCELED : -ETIMEDOUT;
    }
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

static int read_proc(pid_t pid, const char *what, struct buf *out)
{
    char path[64];
    snprintf(path, sizeof(path), "/proc/%ld/%s", (long)pid, what);
    return fs_read_file(path, 4 << 20, out);
}

static void read_boot_id(char ret_id[40])
{
    cleanup_buf struct buf text = {0};
    ret_id[0] = '\0';
    if (fs_read_file("/proc/sys/kernel/random/boot_id", 64, &text) == 0 && text.n >= 36) {
        memcpy(ret_id, text.p, 36);
        ret_id[36] = '\0';
    }
}

int process_identify(pid_t pid, struct process_identity *ret_identity)
{
    cleanup_buf struct buf stat_text = {0};
    const int r = read_proc(pid, "stat", &stat_text);
    if (r < 0)
        return r == -ENOENT ? -ESRCH : r;
    /* The command name may hold anything, so count from its closing bracket: field 3 follows. */
    const char *p = strrchr(buf_cstr(&stat_text), ')');
    for (int field = 3; p && field <= 22; field++) {
        p = strchr(p + 1, ' ');
    }
    if (!p)
        return -EIO;
    struct process_identity id = {.pid = pid, .start_ticks = strtoull(p + 1, NULL, 10)};
    read_boot_id(id.boot_id);
    *ret_identity = id;
    return 0;
}

/* `after`: the argument that must stand right before it; NULL: any. */
static bool has_argument(const struct buf *cmdline, const char *after, const char *token)
{
    const char *before = "";
    for (size_t at = 0; at < cmdline->n;) {
        const char *argument = cmdline->p + at; /* the buffer itself ends in a NUL */
        if (strcmp(argument, token) == 0 && (!after || strcmp(before, after) == 0))
            return true;
        before = argument;
        at += strlen(argument) + 1;
    }
    return false;
}

int process_open_verified(const struct process_identity *identity, const char *token)
{
    if (identity->pid <= 1)
        return -ESRCH;
    cleanup_close int pidfd = pidfd_open_(identity->pid);
    if (pidfd < 0)
        return pidfd == -ESRCH || pidfd == -EINVAL ? -ESRCH : pidfd;
    struct process_identity now;
    cleanup_buf struct buf cmdline = {0};
    if (process_identify(identity->pid, &now) < 0 ||
        read_proc(identity->pid, "cmdline", &cmdline) < 0)
        return -ESRCH;
    if (identity->boot_id[0] && strcmp(identity->boot_id, now.boot_id) != 0)
        return -ESRCH;
    if (identity->start_ticks && identity->start_ticks != now.start_ticks)
        return -ESRCH;
    /* A zombie has an empty command line: ended, though not yet reaped. */
    if (!has_argument(&cmdline, NULL, token))
        return -ESRCH;
    /* What /proc said may be of a successor, if ours ended meanwhile. */
    if (poll(&(struct pollfd){.fd = pidfd, .events = POLLIN}, 1, 0) > 0)
        return -ESRCH;
    return TAKE_FD(pidfd);
}

pid_t process_scan_for(const char *option, const char *token)
{
    DIR *dir = opendir("/proc");
    pid_t found = 0;
    for (struct dirent *e; dir && !found && (e = readdir(dir));) {
        const pid_t pid =
            isdigit((unsigned char)e->d_name[0]) ? (pid_t)strtol(e->d_name, NULL, 10) : 0;
        cleanup_buf struct buf cmdline = {0};
        struct stat st;
        char path[64];
        snprintf(path, sizeof(path), "/proc/%ld", (long)pid);
        if (pid > 1 && pid != getpid() && stat(path, &st) == 0 && st.st_uid == geteuid() &&
            read_proc(pid, "cmdline", &cmdline) == 0 && has_argument(&cmdline, option, token))
            found = pid;
    }
    if (dir)
        closedir(dir);
    return found;
}

int process_signal(int pidfd, int signal_)
{
    return syscall(SYS_pidfd_send_signal, pidfd, signal_, NULL, 0) < 0 ? -errno : 0;
}
