/* For tests: a QEMU, fake or real, in a folder of its own, and what to say about errors. */
#pragma once

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/fs.h"
#include "base/process.h"
#include "qmp/qmp.h"

#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#ifndef FAKE_QEMU_PATH
#define FAKE_QEMU_PATH "tests/fake/qemu/qemu-system-x86_64"
#endif

enum {
    LONG_MS = 10000, /* never reached unless something is broken */
    SHORT_MS = 100,  /* for what must run into its deadline */
    LATE_MS = 1500,  /* how much later than that a busy machine may be */
};

static inline struct deadline in(int64_t ms)
{
    return deadline_in_ms(ms);
}

/* Makes the error go away; fails when there was none or another. `words` may be NULL. */
static inline void assert_error(
    struct vmm_error **e, enum vmm_code code, const char *reason, const char *words)
{
    assert_non_null(*e);
    const char *got = vmm_error_reason(*e);
    const struct vmm_error *root = *e;
    while (vmm_error_cause(root))
        root = vmm_error_cause(root);
    if (vmm_error_code(*e) != code || strcmp(got ? got : "-", reason) != 0 ||
        (words && !strstr(vmm_error_message(root), words)))
        fail_msg("got %s, reason %s: %s", vmm_error_code_name(vmm_error_code(*e)), got ? got : "-",
            vmm_error_message(root));
    vmm_error_free(*e);
    *e = NULL;
}

static inline void assert_ok(int r, struct vmm_error *e)
{
    if (r != 0 || e)
        fail_msg("%d: %s", r, e ? vmm_error_message(e) : "no error object");
}

#define VM_UUID "01234567-89ab-cdef-0123-456789abcdef"

struct vm {
    char dir[64];
    char *socket_path;
    pid_t pid; /* 0: it has been waited for */
    struct qmp *q;
};

static inline const char *fake_path(void)
{
    const char *path = getenv("FAKE_QEMU_BIN");
    return path ? path : FAKE_QEMU_PATH;
}

static inline struct vm vm_new(const char *script)
{
    struct vm vm = {0};
    const char *tmp = getenv("TMPDIR");
    snprintf(vm.dir, sizeof(vm.dir), "%.40s/qmp-XXXXXX", tmp ? tmp : "/tmp");
    assert_non_null(mkdtemp(vm.dir));
    vm.socket_path = path_join(vm.dir, "qmp.sock");
    cleanup_free char *path = path_join(vm.dir, "fake-qemu.script");
    cleanup_close int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    assert_int_equal(fs_write_all(fd, script, strlen(script)), 0);
    return vm;
}

/* Standard error goes to `stderr_fd`, and is ours for -1: QEMU's complaints belong into the log. */
static inline void vm_spawn(struct vm *vm, const char *const *argv, int listen_fd, int stderr_fd)
{
    const struct process_opts opts = {.stdin_fd = -1,
        .stdout_fd = -1,
        .stderr_fd = stderr_fd < 0 ? STDERR_FILENO : stderr_fd,
        .extra_fd = listen_fd,
        .die_with_parent = true};
    assert_int_equal(process_spawn(argv, &opts, &vm->pid), 0);
}

/* Started with a socket that listens already: nobody need wait for it to appear. */
static inline struct vm vm_start(const char *program, const char *script)
{
    struct vm vm = vm_new(script);
    cleanup_close int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    snprintf(address.sun_path, sizeof(address.sun_path), "%s", vm.socket_path);
    assert_int_equal(bind(fd, (const struct sockaddr *)&address, sizeof(address)), 0);
    assert_int_equal(listen(fd, 1), 0);
    const char *const argv[] = {program, "-M", "none", "-nodefaults", "-display", "none", "-accel",
        "tcg", "-S", "-uuid", VM_UUID, "-chardev", "socket,id=m,fd=3,server=on,wait=off", "-mon",
        "chardev=m,mode=control", NULL};
    vm_spawn(&vm, argv, fd, -1);
    return vm;
}

static inline void vm_connect(struct vm *vm)
{
    struct vmm_error *e = NULL;
    assert_ok(qmp_connect(vm->socket_path, in(LONG_MS), &vm->q, &e), e);
}

/* Reads, as a loop of its own would, until that event comes. */
static inline void vm_await_event(struct vm *vm, const char *name)
{
    const struct deadline deadline = in(LONG_MS);
    for (;;) {
        struct qmp_event event;
        while (qmp_next_event(vm->q, &event)) {
            const bool is_it = strcmp(event.name, name) == 0;
            qmp_event_done(&event);
            if (is_it)
                return;
        }
        struct pollfd pfd = {.fd = qmp_fd(vm->q), .events = POLLIN};
        if (pfd.fd < 0 || poll(&pfd, 1, deadline_left_ms(deadline)) != 1)
            fail_msg("no event %s", name);
        struct vmm_error *e = NULL;
        if (qmp_pump(vm->q, &e) < 0)
            vmm_error_free(e); /* what came before the end is still to be looked at */
    }
}

static inline int vm_wait(struct vm *vm)
{
    int status = -1;
    assert_int_equal(process_wait(vm->pid, in(LONG_MS), &status), 0);
    vm->pid = 0;
    return status;
}

static inline void vm_done(struct vm *vm)
{
    qmp_close(vm->q);
    if (vm->pid) {
        kill(vm->pid, SIGKILL);
        vm_wait(vm);
    }
    struct vmm_error *e = NULL;
    assert_ok(fs_remove_tree(vm->dir, &e), e);
    free(vm->socket_path);
}
