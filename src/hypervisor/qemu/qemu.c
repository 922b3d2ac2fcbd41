/* The QEMU backend: making a VM's files, and the row of its functions. */
#include "hypervisor/qemu/internal.h"

#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/error.h"
#include "base/fs.h"
#include "hypervisor/draw.h"
#include "image/image.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/un.h>

#define GIB ((uint64_t)1 << 30)

/* Before anything is made: a path that no socket can have would only show when QEMU starts. */
static int check_socket_paths(const struct vmm_handle *vm, struct vmm_error **errp)
{
    const size_t max = sizeof(((struct sockaddr_un *)NULL)->sun_path) - 1;
    size_t longest = strlen(WORKDIR_CONSOLE);
    for (int s = 0; s < QEMU_SOCKET_COUNT_; s++) {
        const size_t n = strlen(qemu_socket_name((enum qemu_socket)s));
        longest = n > longest ? n : longest;
    }
    const size_t need = strlen(vm->work_dir) + 1 + longest;
    if (need <= max)
        return 0;
    return vmm_fail(errp, &(struct diag){.code = VMM_E_HOST_PATH_LONG, .sys = ENAMETOOLONG},
        "the sockets of VM \"%s\" would have paths of %zu bytes below \"%s\"; the system allows %zu",
        vm->name, need, vm->work_dir, max);
}

static int make_work_dir(const struct vmm_handle *vm, struct vmm_error **errp)
{
    if (mkdir(vm->work_dir, 0700) == 0)
        return 0;
    if (errno == EEXIST)
        return vmm_fail(errp,
            &(struct diag){.code = VMM_E_VM_EXISTS,
                .help = "Nothing was touched. Move the folder away if it holds nothing you need."},
            "the folder \"%s\" exists but belongs to no recorded VM", vm->work_dir);
    return vmm_fail_io(errp, errno, "create the folder", vm->work_dir);
}

static int make_overlay(
    const struct vmm_hypervisor *h, struct vmm_handle *vm, struct vmm_error **errp)
{
    struct image_info info;
    char *resolved;
    int r = image_resolve(vm->image_path, &resolved, errp);
    if (r < 0)
        return r;
    free(vm->image_path);
    vm->image_path = resolved;
    r = image_inspect(vm->image_path, NULL, &info, errp);
    if (r < 0)
        return r;
    vm->image_format = xstrdup(image_format_name(info.format));
    vm->overlay_path = path_join(vm->work_dir, WORKDIR_OVERLAY);
    return image_create_overlay(
        vm->image_path, vm->image_format, vm->overlay_path, vm->disk_gib * GIB, h->cancel_fd, errp);
}

static int fill_work_dir(const struct vmm_hypervisor *h,
    const struct vmm_spec *spec,
    struct vmm_handle *vm,
    struct vmm_error **errp)
{
    int r = make_overlay(h, vm, errp);
    if (r == 0)
        r = prepare_seed(spec, vm, errp);
    if (r == 0 && (r = fs_sync_dir(vm->work_dir)) < 0)
        r = vmm_fail_io(errp, -r, "make the folder durable", vm->work_dir);
    if (r < 0)
        (void)fs_remove_tree(vm->work_dir, NULL);
    return r;
}

/* For a caller without a registry. */
static uint16_t first_free_port(const char *name)
{
    struct port_walk walk = port_walk_start(name);
    uint16_t port;
    while ((port = port_walk_next(&walk)) && !port_is_free(port))
        continue;
    return port;
}

static void handle_free_handler(struct vmm_handle **vm)
{
    vmm_handle_free(*vm);
}

static int qemu_prepare(struct vmm_hypervisor *h,
    const struct vmm_spec *spec,
    const struct hypervisor_reservation *reservation,
    struct vmm_handle **ret_vm,
    struct vmm_error **errp)
{
    __attribute__((cleanup(handle_free_handler))) struct vmm_handle *vm =
        handle_from_spec(h, spec, reservation);
    vm->backend = VMM_BACKEND_QEMU;
    vm->qmp_socket = path_join(vm->work_dir, WORKDIR_QMP);
    vm->console_socket = path_join(vm->work_dir, WORKDIR_CONSOLE);
    if (vm->network.kind == VMM_NETWORK_VNIC || vm->network.kind == VMM_NETWORK_TAP)
        return vmm_fail(errp,
            &(struct diag){
                .code = VMM_E_BACKEND, .help = "Use `network \"user\"` or `network \"none\"`."},
            "this version cannot attach VM \"%s\" to a %s network", vm->name,
            vmm_network_name(vm->network.kind));
    if (vm->network.kind == VMM_NETWORK_USER && !vm->ssh_host_port)
        vm->ssh_host_port = first_free_port(vm->name);
    cleanup_free char *vms = path_join(h->data_dir, "vms");
    int r = qemu_find(errp); /* before anything is made that could not be started */
    if (r == 0)
        r = check_socket_paths(vm, errp);
    if (r == 0)
        r = fs_make_private_dir(vms, errp);
    if (r == 0)
        r = make_work_dir(vm, errp);
    if (r == 0)
        r = fill_work_dir(h, spec, vm, errp);
    if (r == 0 && (r = fs_sync_dir(vms)) < 0)
        r = vmm_fail_io(errp, -r, "make the folder durable", vms);
    if (r < 0)
        return r;
    vm->recorded_state = VMM_STATE_PREPARED;
    *ret_vm = TAKE_PTR(vm);
    return 0;
}

/* The folder is taken from the name, not from what a file says it is (security.md A-5). */
static int qemu_destroy(struct vmm_hypervisor *h, struct vmm_handle *vm, struct vmm_error **errp)
{
    const int r = qemu_kill(vm, errp);
    if (r < 0)
        return r;
    cleanup_free char *vms = path_join(h->data_dir, "vms");
    cleanup_free char *dir = path_join(vms, vm->name);
    vm->recorded_state = VMM_STATE_DESTROYED;
    return fs_remove_tree(dir, errp);
}

static int qemu_guest_ip(
    struct vmm_hypervisor *h, const struct vmm_handle *vm, char **ret_ip, struct vmm_error **errp)
{
    (void)h;
    if (vm->network.kind == VMM_NETWORK_USER) {
        *ret_ip = xstrdup("127.0.0.1");
        return 0;
    }
    return vmm_fail(errp, &(struct diag){.code = VMM_E_NETWORK_IP},
        "VM \"%s\" has no address: its network is \"%s\"", vm->name,
        vmm_network_name(vm->network.kind));
}

static int qemu_console(struct vmm_hypervisor *h,
    const struct vmm_handle *vm,
    struct vmm_console *ret_console,
    struct vmm_error **errp)
{
    (void)h;
    (void)errp;
    *ret_console = (struct vmm_console){
        .kind = VMM_CONSOLE_UNIX_SOCKET, .address = path_join(vm->work_dir, WORKDIR_CONSOLE)};
    return 0;
}

const struct hypervisor_backend qemu_backend = {
    .tag = VMM_BACKEND_QEMU,
    .prepare = qemu_prepare,
    .start = qemu_start,
    .stop = qemu_stop,
    .suspend = qemu_suspend,
    .resume = qemu_resume,
    .destroy = qemu_destroy,
    .state = qemu_state,
    .guest_ip = qemu_guest_ip,
    .console = qemu_console,
    .live_pid = qemu_live_pid,
};
