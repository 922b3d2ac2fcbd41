/* A VM over its life: what `vmctl`, labs and tests do with VMs goes through here. Each operation
 * takes the VM's lock, looks at what is really there, finishes what a killed command left half
 * done, acts, and records the outcome.
 *
 * A `struct machine_env` may be shared by threads that work on different VMs. */
#pragma once

#include "base/clock.h"
#include "hypervisor/hypervisor.h"
#include "machine/home.h"
#include "machine/store.h"

struct machine_env {
    struct home home;
    struct vmm_hypervisor *hypervisor;
};

/* `want_create`: the command will make things; otherwise a missing data folder is an empty one. */
int machine_env_open(struct machine_env *env, bool want_create, struct vmm_error **errp);
void machine_env_done(struct machine_env *env);

/* Makes a VM and records it: afterwards it is PREPARED, or (error) nothing of it is left.
 * `vmfile_path` may be NULL. The caller owns the handle. */
int machine_create(struct machine_env *env,
    const struct vmm_spec *spec,
    const char *vmfile_path,
    struct vmm_handle **ret_vm,
    struct vmm_error **errp);

/* Boots it; one that runs already is VMM_E_VM_STATE. `with_setup`: steps are to be run in it, and
 * until machine_setup_done says so they have not all been. The caller owns the handle. */
int machine_start(struct machine_env *env,
    const char *name,
    bool with_setup,
    struct vmm_handle **ret_vm,
    struct vmm_error **errp);
int machine_setup_done(
    struct machine_env *env, const struct vmm_handle *vm, struct vmm_error **errp);

/* `*ret_was_running` may be NULL. A VM that does not run is no error. */
int machine_stop(struct machine_env *env,
    const char *name,
    int64_t timeout_ms,
    bool *ret_was_running,
    struct vmm_error **errp);

/* The command that helps when a VM's state is in the way ("Run `vmctl resume web`."). The caller
 * owns it. */
char *machine_state_advice(const char *name, enum vmm_state state);

/* Pauses and unpauses the virtual CPUs; in any other state VMM_E_VM_STATE. */
int machine_suspend(struct machine_env *env, const char *name, struct vmm_error **errp);
int machine_resume(struct machine_env *env, const char *name, struct vmm_error **errp);

/* Ends it and deletes all it had. */
int machine_destroy(struct machine_env *env, const char *name, struct vmm_error **errp);

/* The record and the state it is really in. The caller owns the handle. */
int machine_look(struct machine_env *env,
    const char *name,
    struct vmm_handle **ret_vm,
    enum vmm_state *ret_state,
    struct vmm_error **errp);

/* Every VM there is. A VM that another command is just making is listed as PREPARING. */
struct machine_listing {
    struct store_snapshot store;
    enum vmm_state *states; /* as many as store.count */
};
int machine_list(struct machine_env *env, struct machine_listing *ret, struct vmm_error **errp);
void machine_listing_done(struct machine_listing *l);

static inline void vmm_handle_free_handler(struct vmm_handle **vm)
{
    vmm_handle_free(*vm);
}
#define cleanup_handle __attribute__((cleanup(vmm_handle_free_handler)))
