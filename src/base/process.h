/* Child processes and who a process is. Children inherit nothing but what is listed: every other
 * descriptor is closed, signals are at their defaults, and the environment is built from an
 * allow-list (security.md A-8). Never a shell. */
#pragma once

#include "base/buf.h"
#include "base/clock.h"
#include "vmm/error.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

enum { PROCESS_MORE_FDS_MAX = 8 };

struct process_opts {
    /* What the child's 0, 1 and 2 are; -1 is /dev/null. */
    int stdin_fd;
    int stdout_fd;
    int stderr_fd;
    /* Becomes the child's 3; -1 is none. */
    int extra_fd;
    /* Become 4, 5 ...; only with an extra_fd, at most PROCESS_MORE_FDS_MAX. */
    const int *more_fds;
    size_t more_fd_count;
    /* NULL: the caller's. */
    const char *cwd;
    /* A session of its own: outlives the terminal. */
    bool new_session;
    /* The child is killed when the thread that made it ends. For short helpers only. */
    bool die_with_parent;
};

/* argv[0] is looked up in PATH when it has no slash. The pid must be waited for. 0 or -errno (also
 * of the exec). */
int process_spawn(const char *const *argv, const struct process_opts *opts, pid_t *ret_pid);

/* Waits; -ETIMEDOUT past the deadline. `ret_status` as waitpid gives it. */
int process_wait(pid_t pid, struct deadline deadline, int *ret_status);

/* Runs to the end and keeps what it wrote (at most 1 MiB of each; NULL: thrown away). Killed at the
 * deadline (-ETIMEDOUT) and when `cancel_fd` is readable (-ECANCELED; 0 or less: none). Returns the
 * exit status, 128 + the signal, or -errno. */
int process_run(const char *const *argv,
    struct deadline deadline,
    int cancel_fd,
    struct buf *out,
    struct buf *err);

/* Where a program of that name is in PATH, or NULL. The caller owns it. */
char *process_find_program(const char *name);

/* Where our own helper `name` lives: $VMM_LIBEXEC, beside the running tool, or the folder of the
 * installation. NULL when it is nowhere. The caller owns it. */
char *process_find_helper(const char *name);

/* Who a process is. A pid alone is a guess: it may have been given to somebody else. */
struct process_identity {
    pid_t pid;
    uint64_t start_ticks; /* field 22 of /proc/PID/stat; 0: not known */
    char boot_id[40];     /* empty: not known */
};

/* Start time and boot of a live process. 0 or -errno. */
int process_identify(pid_t pid, struct process_identity *ret_identity);

/* A pidfd for the process, if everything that `identity` knows still fits and `token` stands as an
 * argument of its own on its command line (a VM's uuid). -ESRCH: it is gone or somebody else.
 * The pidfd is taken before the check, so a signal sent through it cannot meet another process. */
int process_open_verified(const struct process_identity *identity, const char *token);

/* The pid of a process of ours that has the arguments `option` and, right behind it, `token`; 0:
 * none. Reads all of /proc: for where a process that nobody has written down would cost data. */
pid_t process_scan_for(const char *option, const char *token);

/* 0 or -errno (-ESRCH: gone). */
int process_signal(int pidfd, int signal);
/* Waits for the end; false past the deadline. */
bool process_wait_gone(int pidfd, struct deadline deadline);
