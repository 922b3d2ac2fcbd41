/* Launching QEMU through a keeper. */
#include "hypervisor/qemu/internal.h"

#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/error.h"
#include "base/fs.h"
#include "base/json.h"
#include "base/process.h"
#include "hypervisor/draw.h"
#include "hypervisor/qemu/keeper.h"
#include "image/image.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
    START_MS = 60000, /* more than a keeper's own deadlines together; QEMU is ready in 30 ms */
    ABORT_MS = 10000,
};

/* A keeper in a session of its own; the tool keeps the other end of the pair. The process in
 * between ends at once, so that the keeper is no child of the tool and needs nobody to reap it. */
static int spawn_keeper(json_t *request, int *ret_fd, struct vmm_error **errp)
{
    cleanup_free char *helper = process_find_helper("vmm-keeper");
    if (!helper)
        return vmm_fail(
            errp, &(struct diag){.code = VMM_E_HELPER}, "the helper vmm-keeper was not found");
    int pair[2];
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
        return vmm_fail_io(errp, errno, "talk to", helper);
    cleanup_close int ours = pair[0];
    cleanup_close int theirs = pair[1];
    pid_t pid;
    int r = process_spawn((const char *const[]){helper, NULL},
        &(struct process_opts){.stdin_fd = -1,
            .stdout_fd = -1,
            .stderr_fd = -1,
            .extra_fd = theirs,
            .cwd = "/", /* not the caller's: it would stay busy as long as the VM lives */
            .new_session = true},
        &pid);
    if (r < 0)
        return vmm_fail_io(errp, -r, "start", helper);
    int status;
    process_wait(pid, deadline_in_ms(START_MS), &status);
    r = keeper_send(ours, request, errp);
    if (r == 0)
        *ret_fd = TAKE_FD(ours);
    return r;
}

static json_t *new_request(const struct vmm_handle *vm)
{
    json_t *request = json_object();
    json_put_string(request, "name", vm->name);
    json_put_string(request, "id", vm->id);
    json_put_string(request, "work_dir", vm->work_dir);
    return request;
}

/* True when a keeper lives: it holds its lock. */
static bool has_keeper(const struct vmm_handle *vm)
{
    cleanup_free char *path = path_join(vm->work_dir, WORKDIR_KEEPER_LOCK);
    cleanup_close int fd = open(path, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
    return fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) < 0 && errno == EWOULDBLOCK;
}

void keeper_adopt(const struct vmm_handle *vm, int64_t wait_ms)
{
    if (has_keeper(vm))
        return;
    int64_t pid;
    cleanup_close int pidfd = qemu_open_process(vm, &pid);
    if (pidfd < 0)
        return;
    cleanup_json json_t *request = new_request(vm);
    json_put_integer(request, "pid", pid);
    cleanup_close int fd = -1;
    cleanup_json json_t *answer = NULL;
    if (spawn_keeper(request, &fd, NULL) == 0 && wait_ms > 0)
        (void)keeper_receive(fd, /* cancel_fd */ 0, deadline_in_ms(wait_ms), &answer, NULL);
}

/* A port the VM's forward can have. Its own if that is free; another one, said aloud, if not. */
static int reserve_port(
    struct vmm_hypervisor *h, struct vmm_handle *vm, int *ret_fd, struct vmm_error **errp)
{
    const uint16_t own = vm->ssh_host_port;
    int fd = port_reserve(own);
    struct port_walk walk = port_walk_start(vm->name);
    while (fd == -EADDRINUSE) {
        const uint16_t port = port_walk_next(&walk);
        if (!port)
            break;
        fd = port_reserve(port);
        vm->ssh_host_port = port;
    }
    if (fd < 0)
        return vmm_fail(errp, &(struct diag){.code = VMM_E_HOST_PORT, .sys = -fd},
            "could not reserve a port on 127.0.0.1 for VM \"%s\": %s", vm->name, strerror(-fd));
    if (vm->ssh_host_port != own)
        hypervisor_put_note(
            h, xasprintf("port %u is taken by another program; VM \"%s\" is reached on port %u now",
                   own, vm->name, vm->ssh_host_port));
    *ret_fd = fd;
    return 0;
}

static int write_vnc_password(const struct vmm_handle *vm, struct vmm_error **errp)
{
    static const char letters[] = "abcdefghijkmnopqrstuvwxyz23456789"; /* 32: no bias */
    unsigned char random[8]; /* VNC passwords have eight characters */
    char password[sizeof(random)];
    if (getrandom(random, sizeof(random), 0) != (ssize_t)sizeof(random))
        return vmm_fail_io(errp, errno, "draw a password for", vm->name);
    for (size_t i = 0; i < sizeof(random); i++)
        password[i] = letters[random[i] % 32];
    return fs_write_durable(vm->work_dir, WORKDIR_VNC_PASSWORD, password, sizeof(password), errp);
}

/* What a keeper said when QEMU did not come up. */
static int foreign_error(const json_t *answer, struct vmm_error **errp)
{
    return vmm_fail_foreign(errp, json_get_string(answer, "code"),
        json_get_string(answer, "message"), json_get_string(answer, "help"),
        json_get_string(answer, "reason"), json_get_string(answer, "details"));
}

static void fill_runtime(struct vmm_handle *vm, const json_t *answer)
{
    struct process_identity who = {0};
    vm->pid = json_get_integer(answer, "pid", 2, INT32_MAX, 0);
    if (process_identify((pid_t)vm->pid, &who) == 0) {
        vm->pid_start_ticks = who.start_ticks;
        free(vm->boot_id);
        vm->boot_id = xstrdup(who.boot_id);
    }
    free(vm->vnc_addr);
    vm->vnc_addr = xstrdup_or_null(json_get_string(answer, "vnc"));
    vm->recorded_state = VMM_STATE_RUNNING;
}

/* Interrupted while the keeper starts QEMU: hangs up, ends a QEMU that does not answer, and waits
 * until the keeper has cleared everything away. */
static void call_off(const struct vmm_handle *vm, int fd)
{
    const struct deadline deadline = deadline_in_ms(ABORT_MS);
    shutdown(fd, SHUT_WR);
    struct pollfd keeper = {.fd = fd, .events = POLLIN};
    while (!deadline_passed(deadline)) {
        (void)qemu_kill(vm, NULL);
        /* What comes is the keeper's answer or its end; in between its QEMU may just have begun. */
        if (poll(&keeper, 1, 100) > 0)
            break;
    }
    (void)qemu_kill(vm, NULL);
}

static int launch(struct vmm_hypervisor *h,
    struct vmm_handle *vm,
    const struct qemu_features *features,
    struct vmm_error **errp)
{
    struct argv argv;
    qemu_build_argv(vm, features, &argv);
    cleanup_json json_t *request = new_request(vm);
    json_t *list = json_array();
    for (size_t i = 0; i + 1 < argv.args.n; i++)
        json_array_append_new(list, json_text(argv.args.v[i], strlen(argv.args.v[i])));
    json_put(request, "argv", list);
    argv_done(&argv);

    cleanup_close int fd = -1;
    int r = spawn_keeper(request, &fd, errp);
    if (r < 0)
        return r;
    cleanup_json json_t *answer = NULL;
    r = keeper_receive(fd, h->cancel_fd, deadline_in_ms(START_MS), &answer, errp);
    if (r == -(int)VMM_E_INTERRUPTED)
        call_off(vm, fd);
    if (r < 0)
        return r;
    if (!json_get_bool(answer, "ready", false))
        return foreign_error(answer, errp);
    fill_runtime(vm, answer);
    return 0;
}

int qemu_find(struct vmm_error **errp)
{
    cleanup_free char *qemu = process_find_program("qemu-system-x86_64");
    if (qemu)
        return 0;
    return vmm_fail(errp,
        &(struct diag){.code = VMM_E_QEMU_SPAWN,
            .sys = ENOENT,
            .help = "Install it (Debian: `apt-get install qemu-system-x86`) and see that "
                    "qemu-system-x86_64 is in PATH."},
        "qemu-system-x86_64 was not found");
}

/* A record of an older version, or one that was edited, may lack what a start needs. */
static int check_record(const struct vmm_handle *vm, struct vmm_error **errp)
{
    const char *lacks = !vm->id[0]                                              ? "id"
                        : !vm->image_path                                       ? "image_path"
                        : !vm->image_format                                     ? "image_format"
                        : vm->network.kind == VMM_NETWORK_USER && !vm->mac_addr ? "mac_addr"
                                                                                : NULL;
    if (!lacks)
        return 0;
    return vmm_fail(errp,
        &(struct diag){.code = VMM_E_STORE_CORRUPT, .help = "Destroy the VM and make it anew."},
        "the record of VM \"%s\" in vms.json lacks \"%s\"", vm->name, lacks);
}

/* A QEMU that nobody has written down: its keeper and its tool were killed before they could. A
 * second one on the same disk would be the end of it. */
static int check_no_stray(const struct vmm_handle *vm, struct vmm_error **errp)
{
    const pid_t stray = process_scan_for("-uuid", vm->id);
    if (!stray)
        return 0;
    cleanup_free char *help = xasprintf("Run `vmctl stop %s`, then start it again.", vm->name);
    return vmm_fail(errp, &(struct diag){.code = VMM_E_VM_BUSY, .help = help},
        "VM \"%s\" has a QEMU already (process %ld), left by a start that was killed", vm->name,
        (long)stray);
}

/* What is on disk may have been changed since the VM was made: looked at again before every start
 * (security.md E-3, E-4). */
static int check_images(const struct vmm_handle *vm, struct vmm_error **errp)
{
    struct image_info info;
    int r = image_inspect(vm->image_path, NULL, &info, errp);
    if (r < 0)
        return vmm_wrap(errp, &(struct diag){0},
            "could not start VM \"%s\": its image cannot be used", vm->name);
    if (strcmp(image_format_name(info.format), vm->image_format) != 0)
        return vmm_fail(errp,
            &(struct diag){.code = VMM_E_IMAGE_REFUSED,
                .help = "The VM's disk builds on the image it was made from: put that image back."},
            "the image \"%s\" of VM \"%s\" was %s and is %s now", vm->image_path, vm->name,
            vm->image_format, image_format_name(info.format));
    r = image_inspect(vm->overlay_path,
        &(struct image_inspect_opts){
            .allow_backing = vm->image_path, .backing_format = vm->image_format},
        &info, errp);
    if (r < 0)
        return vmm_wrap(errp, &(struct diag){0},
            "could not start VM \"%s\": its disk cannot be used", vm->name);
    return 0;
}

int qemu_start(struct vmm_hypervisor *h, struct vmm_handle *vm, struct vmm_error **errp)
{
    cleanup_close int reservation = -1;
    struct qemu_features features = {.image_format = vm->image_format};
    int r = qemu_find(errp);
    if (r == 0)
        r = check_record(vm, errp);
    if (r == 0)
        r = check_no_stray(vm, errp);
    if (r == 0)
        r = check_images(vm, errp);
    if (r == 0)
        r = accel_choose(h, vm->accel, &features.accel, errp);
    if (r == 0 && vm->network.kind == VMM_NETWORK_USER && vm->ssh_host_port)
        r = reserve_port(h, vm, &reservation, errp);
    if (r == 0)
        r = write_vnc_password(vm, errp);
    if (r == 0) {
        vm->accel_used = features.accel;
        r = launch(h, vm, &features, errp);
    }
    return r;
}
