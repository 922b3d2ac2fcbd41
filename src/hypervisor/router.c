#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/error.h"
#include "base/name.h"
#include "hypervisor/hypervisor.h"
#include "hypervisor/internal.h"

#include <stdlib.h>
#include <string.h>

int vmm_hypervisor_new(const struct vmm_hypervisor_opts *opts,
    struct vmm_hypervisor **ret_hypervisor,
    struct vmm_error **errp)
{
    if (!opts->data_dir || opts->data_dir[0] != '/')
        return vmm_fail(
            errp, &(struct diag){.code = VMM_E_IO}, "the data folder must be an absolute path");
    struct vmm_hypervisor *h = xcalloc(1, sizeof(*h));
    h->data_dir = xstrdup(opts->data_dir);
    h->default_backend = opts->noop_only ? VMM_BACKEND_NOOP : VMM_BACKEND_QEMU;
    pthread_mutex_init(&h->lock, NULL);
    *ret_hypervisor = h;
    return 0;
}

void vmm_hypervisor_free(struct vmm_hypervisor *h)
{
    if (!h)
        return;
    pthread_mutex_destroy(&h->lock);
    free(h->data_dir);
    free(h->note);
    free(h);
}

enum vmm_backend hypervisor_default_backend(const struct vmm_hypervisor *h)
{
    return h->default_backend;
}

void hypervisor_set_cancel_fd(struct vmm_hypervisor *h, int fd)
{
    h->cancel_fd = fd;
}

char *hypervisor_take_note(struct vmm_hypervisor *h)
{
    pthread_mutex_lock(&h->lock);
    char *note = TAKE_PTR(h->note);
    pthread_mutex_unlock(&h->lock);
    return note;
}

void hypervisor_put_note(struct vmm_hypervisor *h, char *note)
{
    pthread_mutex_lock(&h->lock);
    char *before = h->note;
    h->note = before ? xasprintf("%s\n%s", before, note) : note;
    if (before) {
        free(before);
        free(note);
    }
    pthread_mutex_unlock(&h->lock);
}

unsigned hypervisor_patience(const struct vmm_handle *vm)
{
    return vm->accel_used == VMM_ACCEL_KVM ? 1 : 4;
}

static const struct hypervisor_backend *backend_of(enum vmm_backend tag)
{
    switch (tag) {
    case VMM_BACKEND_QEMU:
        return &qemu_backend;
    case VMM_BACKEND_NOOP:
        return &noop_backend;
    case VMM_BACKEND_PROPOLIS:
    case VMM_BACKEND_COUNT_:
        break;
    }
    return NULL;
}

static int not_available(enum vmm_backend tag, struct vmm_error **errp)
{
    return vmm_fail(errp, &(struct diag){.code = VMM_E_BACKEND},
        "the backend \"%s\" is not available here", vmm_backend_name(tag));
}

int hypervisor_prepare(struct vmm_hypervisor *h,
    const struct vmm_spec *spec,
    const struct hypervisor_reservation *reservation,
    struct vmm_handle **ret_vm,
    struct vmm_error **errp)
{
    const struct hypervisor_backend *b = backend_of(h->default_backend);
    const int r = name_check("VM", spec->name, errp);
    if (r < 0)
        return r;
    return b->prepare(h, spec, reservation, ret_vm, errp);
}

int vmm_hypervisor_prepare(struct vmm_hypervisor *h,
    const struct vmm_spec *spec,
    struct vmm_handle **ret_vm,
    struct vmm_error **errp)
{
    return hypervisor_prepare(h, spec, NULL, ret_vm, errp);
}

/* Finds the function of the VM's backend or returns the error. */
#define DISPATCH(vm, function, ...)                                      \
    do {                                                                 \
        const struct hypervisor_backend *b_ = backend_of((vm)->backend); \
        return b_ && b_->function ? b_->function(__VA_ARGS__)            \
                                  : not_available((vm)->backend, errp);  \
    } while (0)

int vmm_hypervisor_start(struct vmm_hypervisor *h, struct vmm_handle *vm, struct vmm_error **errp)
{
    DISPATCH(vm, start, h, vm, errp);
}

int vmm_hypervisor_stop(
    struct vmm_hypervisor *h, struct vmm_handle *vm, int64_t timeout_ms, struct vmm_error **errp)
{
    DISPATCH(vm, stop, h, vm, timeout_ms, errp);
}

int vmm_hypervisor_suspend(struct vmm_hypervisor *h, struct vmm_handle *vm, struct vmm_error **errp)
{
    DISPATCH(vm, suspend, h, vm, errp);
}

int vmm_hypervisor_resume(struct vmm_hypervisor *h, struct vmm_handle *vm, struct vmm_error **errp)
{
    DISPATCH(vm, resume, h, vm, errp);
}

int vmm_hypervisor_destroy(struct vmm_hypervisor *h, struct vmm_handle *vm, struct vmm_error **errp)
{
    DISPATCH(vm, destroy, h, vm, errp);
}

int vmm_hypervisor_state(struct vmm_hypervisor *h,
    const struct vmm_handle *vm,
    enum vmm_state *ret_state,
    struct vmm_error **errp)
{
    DISPATCH(vm, state, h, vm, ret_state, errp);
}

int vmm_hypervisor_guest_ip(
    struct vmm_hypervisor *h, const struct vmm_handle *vm, char **ret_ip, struct vmm_error **errp)
{
    DISPATCH(vm, guest_ip, h, vm, ret_ip, errp);
}

int vmm_hypervisor_console_endpoint(struct vmm_hypervisor *h,
    const struct vmm_handle *vm,
    struct vmm_console *ret_console,
    struct vmm_error **errp)
{
    DISPATCH(vm, console, h, vm, ret_console, errp);
}

int64_t hypervisor_live_pid(struct vmm_hypervisor *h, const struct vmm_handle *vm)
{
    const struct hypervisor_backend *b = backend_of(vm->backend);
    return b && b->live_pid ? b->live_pid(h, vm) : 0;
}
