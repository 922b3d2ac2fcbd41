/* Life of a VM, whatever runs it. A router hands each call to the backend the handle names.
 *
 * The functions block, with deadlines of their own, and may be called from several threads at once
 * for different VMs. They change no registry: `vmctl` records handles in vms.json itself. */
#pragma once

#include "vmm/types.h"

#ifdef __cplusplus
extern "C" {
#endif

struct vmm_hypervisor; /* opaque */

struct vmm_hypervisor_opts {
    const char *data_dir; /* absolute; work folders are made under its vms/. Copied */
    bool noop_only;       /* for tests and dry runs: nothing is started */
};

/* The caller owns the result. */
VMM_EXPORT int vmm_hypervisor_new(const struct vmm_hypervisor_opts *opts,
    struct vmm_hypervisor **ret_hypervisor,
    struct vmm_error **errp);
VMM_EXPORT void vmm_hypervisor_free(struct vmm_hypervisor *h);

/* Makes the work folder, the overlay and the seed; the VM is then PREPARED. On failure what was
 * made is gone again. The caller owns the handle. */
VMM_EXPORT int vmm_hypervisor_prepare(struct vmm_hypervisor *h,
    const struct vmm_spec *spec,
    struct vmm_handle **ret_vm,
    struct vmm_error **errp);

/* Boots it. Run-time facts (pid, VNC address) are filled into the handle. */
VMM_EXPORT int vmm_hypervisor_start(
    struct vmm_hypervisor *h, struct vmm_handle *vm, struct vmm_error **errp);

/* Asks the guest to power down, then ends the process when `timeout_ms` has passed. A VM that does
 * not run is no error. */
VMM_EXPORT int vmm_hypervisor_stop(
    struct vmm_hypervisor *h, struct vmm_handle *vm, int64_t timeout_ms, struct vmm_error **errp);

VMM_EXPORT int vmm_hypervisor_suspend(
    struct vmm_hypervisor *h, struct vmm_handle *vm, struct vmm_error **errp);
VMM_EXPORT int vmm_hypervisor_resume(
    struct vmm_hypervisor *h, struct vmm_handle *vm, struct vmm_error **errp);

/* Ends it at once and deletes everything it had. The handle stays the caller's to free. */
VMM_EXPORT int vmm_hypervisor_destroy(
    struct vmm_hypervisor *h, struct vmm_handle *vm, struct vmm_error **errp);

/* From the live process and its monitor, not from what was written down. */
VMM_EXPORT int vmm_hypervisor_state(struct vmm_hypervisor *h,
    const struct vmm_handle *vm,
    enum vmm_state *ret_state,
    struct vmm_error **errp);

/* Where ssh reaches the guest. The caller owns the string. */
VMM_EXPORT int vmm_hypervisor_guest_ip(
    struct vmm_hypervisor *h, const struct vmm_handle *vm, char **ret_ip, struct vmm_error **errp);

enum vmm_console_kind { VMM_CONSOLE_NONE, VMM_CONSOLE_UNIX_SOCKET, VMM_CONSOLE_WEBSOCKET };

struct vmm_console {
    enum vmm_console_kind kind;
    char *address; /* path or URL, owned by the caller; NULL for NONE */
};

VMM_EXPORT int vmm_hypervisor_console_endpoint(struct vmm_hypervisor *h,
    const struct vmm_handle *vm,
    struct vmm_console *ret_console,
    struct vmm_error **errp);

#ifdef __cplusplus
}
#endif
