/* A backend that only keeps books: every operation succeeds at once and nothing runs. For tests and
 * for trying commands out. */
#include "hypervisor/internal.h"

#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/error.h"
#include "base/fs.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/stat.h>

static int noop_prepare(struct vmm_hypervisor *h,
    const struct vmm_spec *spec,
    const struct hypervisor_reservation *reservation,
    struct vmm_handle **ret_vm,
    struct vmm_error **errp)
{
    struct vmm_handle *vm = handle_from_spec(h, spec, reservation);
    vm->backend = VMM_BACKEND_NOOP;
    vm->ssh_host_port = 0;
    cleanup_free char *vms = path_join(h->data_dir, "vms");
    int r = fs_make_private_dir(vms, errp);
    if (r == 0 && mkdir(vm->work_dir, 0700) < 0 && errno != EEXIST)
        r = vmm_fail_io(errp, errno, "create the folder", vm->work_dir);
    if (r < 0) {
        vmm_handle_free(vm);
        return r;
    }
    vm->recorded_state = VMM_STATE_PREPARED;
    *ret_vm = vm;
    return 0;
}

static int become(struct vmm_handle *vm, enum vmm_state state)
{
    vm->recorded_state = state;
    return 0;
}

static int noop_start(struct vmm_hypervisor *h, struct vmm_handle *vm, struct vmm_error **errp)
{
    (void)h;
    (void)errp;
    return become(vm, VMM_STATE_RUNNING);
}

static int noop_stop(
    struct vmm_hypervisor *h, struct vmm_handle *vm, int64_t timeout_ms, struct vmm_error **errp)
{
    (void)h;
    (void)timeout_ms;
    (void)errp;
    return become(vm, VMM_STATE_STOPPED);
}

static int noop_suspend(struct vmm_hypervisor *h, struct vmm_handle *vm, struct vmm_error **errp)
{
    (void)h;
    (void)errp;
    return become(vm, VMM_STATE_SUSPENDED);
}

static int noop_destroy(struct vmm_hypervisor *h, struct vmm_handle *vm, struct vmm_error **errp)
{
    cleanup_free char *vms = path_join(h->data_dir, "vms");
    cleanup_free char *dir = path_join(vms, vm->name);
    become(vm, VMM_STATE_DESTROYED);
    return fs_remove_tree(dir, errp);
}

static int noop_state(struct vmm_hypervisor *h,
    const struct vmm_handle *vm,
    enum vmm_state *ret_state,
    struct vmm_error **errp)
{
    (void)h;
    (void)errp;
    *ret_state = vm->recorded_state;
    return 0;
}

static int noop_guest_ip(
    struct vmm_hypervisor *h, const struct vmm_handle *vm, char **ret_ip, struct vmm_error **errp)
{
    (void)h;
    (void)ret_ip;
    return vmm_fail(errp,
        &(struct diag){.code = VMM_E_NETWORK_IP, .help = "The noop backend runs no guest."},
        "VM \"%s\" has no address", vm->name);
}

static int noop_console(struct vmm_hypervisor *h,
    const struct vmm_handle *vm,
    struct vmm_console *ret_console,
    struct vmm_error **errp)
{
    (void)h;
    (void)vm;
    (void)errp;
    *ret_console = (struct vmm_console){.kind = VMM_CONSOLE_NONE};
    return 0;
}

const struct hypervisor_backend noop_backend = {
    .tag = VMM_BACKEND_NOOP,
    .prepare = noop_prepare,
    .start = noop_start,
    .stop = noop_stop,
    .suspend = noop_suspend,
    .resume = noop_start,
    .destroy = noop_destroy,
    .state = noop_state,
    .guest_ip = noop_guest_ip,
    .console = noop_console,
};
