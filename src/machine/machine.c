#include "machine/machine.h"
#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/error.h"
#include "base/fs.h"
#include "base/name.h"
#include "hypervisor/draw.h"
#include "machine/record.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

enum { VM_LOCK_MS = 10000 };

int machine_env_open(struct machine_env *env, bool want_create, struct vmm_error **errp)
{
    struct machine_env e = {0};
    int r = home_open(&e.home, want_create, errp);
    if (r < 0)
        return r;
    const char *backend = getenv("VMCTL_BACKEND");
    r = vmm_hypervisor_new(&(struct vmm_hypervisor_opts){.data_dir = e.home.root,
                               .noop_only = backend && strcmp(backend, "noop") == 0},
        &e.hypervisor, errp);
    if (r < 0) {
        home_done(&e.home);
        return r;
    }
    *env = e;
    return 0;
}

void machine_env_done(struct machine_env *env)
{
    vmm_hypervisor_free(env->hypervisor);
    home_done(&env->home);
    *env = (struct machine_env){0};
}

/* A VM's lock lies beside its folder, because the folder comes and goes. */
struct vm_lock {
    int fd;
    char *path;
    bool has_no_vm; /* the file goes too; otherwise it stays, so that a full disk stops no later
                       command */
};

static void vm_unlock(struct vm_lock *lock)
{
    if (lock->fd >= 0 && lock->has_no_vm)
        fs_unlock_and_remove(lock->fd, lock->path);
    else if (lock->fd >= 0)
        close(lock->fd);
    free(lock->path);
    *lock = (struct vm_lock){.fd = -1};
}

#define cleanup_vm_lock __attribute__((cleanup(vm_unlock)))

static int vm_lock_take(
    struct machine_env *env, const char *name, struct vm_lock *ret_lock, struct vmm_error **errp)
{
    int r = name_check("VM", name, errp);
    if (r < 0)
        return r;
    cleanup_free char *path = xasprintf("%s/.%s.lock", env->home.vms, name);
    pid_t holder = 0;
    const int fd = fs_lock(path, deadline_in_ms(VM_LOCK_MS), &holder);
    if (fd == -ETIMEDOUT)
        return vmm_fail(errp, &(struct diag){.code = VMM_E_VM_BUSY},
            "VM \"%s\" is being worked on by process %ld", name, (long)holder);
    if (fd == -ENOENT) /* no data folder yet: no VM either */
        return vmm_fail(
            errp, &(struct diag){.code = VMM_E_VM_NOT_FOUND}, "there is no VM \"%s\"", name);
    if (fd < 0)
        return vmm_fail_io(errp, -fd, "lock", path);
    *ret_lock = (struct vm_lock){.fd = fd, .path = TAKE_PTR(path)};
    return 0;
}

/* Deletes everything of a VM, its record last. Can be done again at any point: the record says what
 * is under way until the very end. Wants the lock. */
static int erase(struct machine_env *env, struct vmm_handle *vm, struct vmm_error **errp)
{
    vm->recorded_state = VMM_STATE_DESTROYED;
    int r = store_put(&env->home, vm, errp);
    if (r < 0 && errp && *errp && vmm_error_code(*errp) == VMM_E_HOST_NO_SPACE) {
        /* Deleting is what helps on a full disk, so it goes on without the note. */
        vmm_error_free(TAKE_PTR(*errp));
        r = 0;
    }
    if (r == 0)
        r = vmm_hypervisor_destroy(env->hypervisor, vm, errp);
    return r < 0 ? r : store_remove(&env->home, vm->name, errp);
}

/* Whoever was making or deleting it is gone (we hold the lock): roll back or forward. */
static bool is_half_done(const struct vmm_handle *vm)
{
    return vm->recorded_state == VMM_STATE_PREPARING || vm->recorded_state == VMM_STATE_DESTROYED;
}

/* The VM as it is, after what was half done is cleared away. Wants the lock. */
static int open_settled(struct machine_env *env,
    struct vm_lock *lock,
    const char *name,
    struct vmm_handle **ret_vm,
    struct vmm_error **errp)
{
    cleanup_handle struct vmm_handle *vm = NULL;
    int r = store_find(&env->home, name, &vm, errp);
    lock->has_no_vm = r == -(int)VMM_E_VM_NOT_FOUND;
    if (r < 0)
        return r;
    if (is_half_done(vm)) {
        r = erase(env, vm, errp);
        lock->has_no_vm = r == 0;
        return r < 0 ? r
                     : vmm_fail(errp,
                           &(struct diag){.code = VMM_E_VM_NOT_FOUND,
                               .help =
                                   "What an interrupted command had left of it was cleared away."},
                           "there is no VM \"%s\"", name);
    }
    *ret_vm = TAKE_PTR(vm);
    return 0;
}

/* What every change of a VM that exists begins with. */
static int enter(struct machine_env *env,
    const char *name,
    struct vm_lock *ret_lock,
    struct vmm_handle **ret_vm,
    enum vmm_state *ret_state,
    struct vmm_error **errp)
{
    int r = vm_lock_take(env, name, ret_lock, errp);
    if (r == 0)
        r = open_settled(env, ret_lock, name, ret_vm, errp);
    return r < 0 ? r : vmm_hypervisor_state(env->hypervisor, *ret_vm, ret_state, errp);
}

/* ---- create ------------------------------------------------------------------------------ */

struct reserve {
    const struct vmm_spec *spec;
    bool wants_port;
    char id[37];
    char mac[18];
    uint16_t port;
};

static bool port_is_promised(const json_t *records, uint16_t port)
{
    const char *name;
    json_t *record;
    json_object_foreach((json_t *)records, name, record)
    {
        if (json_get_integer(record, "ssh_host_port", 1, UINT16_MAX, 0) == port)
            return true;
    }
    return false;
}

static bool mac_is_promised(const json_t *records, const char *mac)
{
    const char *name;
    json_t *record;
    json_object_foreach((json_t *)records, name, record)
    {
        const char *other = json_get_string(record, "mac_addr");
        if (other && strcasecmp(other, mac) == 0)
            return true;
    }
    return false;
}

static int promise_port(
    const json_t *records, const char *name, uint16_t *ret_port, struct vmm_error **errp)
{
    struct port_walk walk = port_walk_start(name);
    uint16_t port;
    while ((port = port_walk_next(&walk))) {
        /* Somebody else on this host may listen there or have it reserved. */
        if (!port_is_promised(records, port) && port_is_free(port)) {
            *ret_port = port;
            return 0;
        }
    }
    return vmm_fail(errp,
        &(struct diag){.code = VMM_E_HOST_PORT, .help = "Destroy VMs that are no longer needed."},
        "no ssh port is left for VM \"%s\"", name);
}

/* Under the registry's lock: the name, id, MAC and port are this VM's from here on. */
static int reserve_record(
    const struct home *home, json_t *records, void *arg, struct vmm_error **errp)
{
    struct reserve *reserve = arg;
    const char *name = reserve->spec->name;
    if (json_object_get(records, name)) {
        cleanup_free char *help =
            xasprintf("Use another name, or run `vmctl destroy %s` first.", name);
        return vmm_fail(errp, &(struct diag){.code = VMM_E_VM_EXISTS, .help = help},
            "there is a VM \"%s\" already", name);
    }
    /* Looked at before anything is written: what a killed command leaves is cleared away later, and
     * a folder that is not ours must never be taken for that. */
    cleanup_free char *work_dir = path_join(home->vms, name);
    if (faccessat(AT_FDCWD, work_dir, F_OK, AT_SYMLINK_NOFOLLOW) == 0)
        return vmm_fail(errp,
            &(struct diag){.code = VMM_E_VM_EXISTS,
                .help = "Nothing was touched. Move the folder away if it holds nothing you need."},
            "the folder \"%s\" exists but belongs to no recorded VM", work_dir);
    do {
        draw_uuid(reserve->id);
        mac_from_uuid(reserve->id, reserve->mac);
    } while (mac_is_promised(records, reserve->mac));
    if (reserve->wants_port) {
        const int r = promise_port(records, name, &reserve->port, errp);
        if (r < 0)
            return r;
    }
    struct vmm_handle vm = {
        .id = reserve->id,
        .name = (char *)name,
        .work_dir = work_dir,
        .recorded_state = VMM_STATE_PREPARING,
        .vcpus = reserve->spec->vcpus,
        .memory_mib = reserve->spec->memory_mib,
        .network = reserve->spec->network,
        .mac_addr = reserve->mac,
        .ssh_host_port = reserve->port,
    };
    json_put(records, name, record_encode(&vm));
    return 0;
}

/* A record left by a create or destroy that was killed is no VM: it goes before we look for room.
 */
static int clear_half_done(struct machine_env *env, const char *name, struct vmm_error **errp)
{
    cleanup_handle struct vmm_handle *vm = NULL;
    cleanup_error struct vmm_error *error = NULL;
    if (store_find(&env->home, name, &vm, &error) < 0)
        return 0; /* none, or the reservation below meets the same trouble and tells it */
    return is_half_done(vm) ? erase(env, vm, errp) : 0;
}

int machine_create(struct machine_env *env,
    const struct vmm_spec *spec,
    const char *vmfile_path,
    struct vmm_handle **ret_vm,
    struct vmm_error **errp)
{
    cleanup_vm_lock struct vm_lock lock = {.fd = -1};
    struct reserve reserve = {
        .spec = spec,
        .wants_port = spec->network.kind == VMM_NETWORK_USER &&
                      hypervisor_default_backend(env->hypervisor) == VMM_BACKEND_QEMU,
    };
    int r = vm_lock_take(env, spec->name, &lock, errp);
    if (r == 0)
        r = clear_half_done(env, spec->name, errp);
    if (r == 0)
        r = store_change(&env->home, reserve_record, &reserve, errp);
    if (r < 0)
        return r;

    cleanup_handle struct vmm_handle *vm = NULL;
    r = hypervisor_prepare(env->hypervisor, spec,
        &(struct hypervisor_reservation){
            .id = reserve.id, .mac_addr = reserve.mac, .ssh_host_port = reserve.port},
        &vm, errp);
    if (r < 0) {
        lock.has_no_vm = store_remove(&env->home, spec->name, NULL) == 0;
        return r;
    }
    vm->vmfile_path = xstrdup_or_null(vmfile_path);
    r = store_put(&env->home, vm, errp);
    if (r < 0) {
        (void)vmm_hypervisor_destroy(env->hypervisor, vm, NULL);
        (void)store_remove(&env->home, spec->name, NULL);
        return r;
    }
    *ret_vm = TAKE_PTR(vm);
    return 0;
}

/* ---- start, stop, destroy ---------------------------------------------------------------- */

char *machine_state_advice(const char *name, enum vmm_state state)
{
    switch (state) {
    case VMM_STATE_SUSPENDED:
        return xasprintf("Run `vmctl resume %s`.", name);
    case VMM_STATE_RUNNING:
        return xasprintf("Run `vmctl stop %s` first.", name);
    case VMM_STATE_FAILED:
        return xasprintf("Run `vmctl stop %s`, then start it again.", name);
    default:
        return xasprintf("Run `vmctl start %s`.", name);
    }
}

int machine_start(struct machine_env *env,
    const char *name,
    bool with_setup,
    struct vmm_handle **ret_vm,
    struct vmm_error **errp)
{
    cleanup_vm_lock struct vm_lock lock = {.fd = -1};
    cleanup_handle struct vmm_handle *vm = NULL;
    enum vmm_state state;
    int r = enter(env, name, &lock, &vm, &state, errp);
    if (r < 0)
        return r;
    if (state != VMM_STATE_PREPARED && state != VMM_STATE_STOPPED) {
        cleanup_free char *help = machine_state_advice(name, state);
        return vmm_fail(errp, &(struct diag){.code = VMM_E_VM_STATE, .help = help},
            "VM \"%s\" cannot be started: it is %s", name, vmm_state_name(state));
    }
    if (with_setup && !vm->setup_pending) {
        /* Before the boot: whoever finds it running after a crash must know what is left to do. */
        vm->setup_pending = true;
        r = store_put(&env->home, vm, errp);
    }
    if (r == 0)
        r = vmm_hypervisor_start(env->hypervisor, vm, errp);
    if (r == 0)
        r = store_put(&env->home, vm, errp);
    if (r < 0)
        return r;
    *ret_vm = TAKE_PTR(vm);
    return 0;
}

static int clear_pending(
    const struct home *home, json_t *records, void *arg, struct vmm_error **errp)
{
    (void)home;
    (void)errp;
    const struct vmm_handle *vm = arg;
    json_t *record = json_object_get(records, vm->name);
    const char *id = json_get_string(record, "id");
    if (id && strcmp(id, vm->id) == 0) /* destroyed and made anew meanwhile: another VM */
        json_object_del(record, "setup_pending");
    return 0;
}

int machine_setup_done(
    struct machine_env *env, const struct vmm_handle *vm, struct vmm_error **errp)
{
    if (!vm->setup_pending)
        return 0;
    cleanup_vm_lock struct vm_lock lock = {.fd = -1};
    const int r = vm_lock_take(env, vm->name, &lock, errp);
    return r < 0 ? r : store_change(&env->home, clear_pending, (void *)vm, errp);
}

int machine_stop(struct machine_env *env,
    const char *name,
    int64_t timeout_ms,
    bool *ret_was_running,
    struct vmm_error **errp)
{
    cleanup_vm_lock struct vm_lock lock = {.fd = -1};
    cleanup_handle struct vmm_handle *vm = NULL;
    enum vmm_state state;
    int r = enter(env, name, &lock, &vm, &state, errp);
    if (r < 0)
        return r;
    const bool is_up = state != VMM_STATE_PREPARED && state != VMM_STATE_STOPPED;
    if (ret_was_running)
        *ret_was_running = is_up;
    /* Also when nothing is written down: a killed start may have left a QEMU that no file knows of.
     */
    r = vmm_hypervisor_stop(env->hypervisor, vm, timeout_ms, errp);
    if (r == 0 && !is_up)
        return 0;
    if (r < 0)
        return r;
    vm->recorded_state = VMM_STATE_STOPPED;
    cleanup_error struct vmm_error *error = NULL;
    r = store_put(&env->home, vm, &error);
    /* It is stopped, which the next look finds out by itself: a full disk must not make that fail.
     */
    if (r < 0 && vmm_error_code(error) != VMM_E_HOST_NO_SPACE) {
        if (errp)
            *errp = TAKE_PTR(error);
        return r;
    }
    return 0;
}

/* Suspend and resume: from exactly one state to another. */
static int switch_state(struct machine_env *env,
    const char *name,
    enum vmm_state from,
    enum vmm_state to,
    int (*act)(struct vmm_hypervisor *, struct vmm_handle *, struct vmm_error **),
    const char *verb,
    struct vmm_error **errp)
{
    cleanup_vm_lock struct vm_lock lock = {.fd = -1};
    cleanup_handle struct vmm_handle *vm = NULL;
    enum vmm_state state;
    int r = enter(env, name, &lock, &vm, &state, errp);
    if (r < 0)
        return r;
    if (state != from) {
        cleanup_free char *help = state == VMM_STATE_RUNNING
                                      ? xstrdup("Nothing needs to be done: it runs.")
                                      : machine_state_advice(name, state);
        return vmm_fail(errp, &(struct diag){.code = VMM_E_VM_STATE, .help = help},
            "VM \"%s\" cannot be %s: it is %s", name, verb, vmm_state_name(state));
    }
    r = act(env->hypervisor, vm, errp);
    if (r < 0)
        return r;
    vm->recorded_state = to;
    return store_put(&env->home, vm, errp);
}

int machine_suspend(struct machine_env *env, const char *name, struct vmm_error **errp)
{
    return switch_state(env, name, VMM_STATE_RUNNING, VMM_STATE_SUSPENDED, vmm_hypervisor_suspend,
        "suspended", errp);
}

int machine_resume(struct machine_env *env, const char *name, struct vmm_error **errp)
{
    return switch_state(
        env, name, VMM_STATE_SUSPENDED, VMM_STATE_RUNNING, vmm_hypervisor_resume, "resumed", errp);
}

int machine_destroy(struct machine_env *env, const char *name, struct vmm_error **errp)
{
    cleanup_vm_lock struct vm_lock lock = {.fd = -1};
    cleanup_handle struct vmm_handle *vm = NULL;
    int r = vm_lock_take(env, name, &lock, errp);
    if (r == 0)
        r = store_find(&env->home, name, &vm, errp);
    if (r == 0)
        r = erase(env, vm, errp);
    lock.has_no_vm = r == 0 || r == -(int)VMM_E_VM_NOT_FOUND;
    return r;
}

/* ---- looking ----------------------------------------------------------------------------- */

/* State and pid as they are. */
static int look_at(struct machine_env *env,
    struct vmm_handle *vm,
    enum vmm_state *ret_state,
    struct vmm_error **errp)
{
    const int r = vmm_hypervisor_state(env->hypervisor, vm, ret_state, errp);
    if (r < 0)
        return r;
    const bool has_process = *ret_state == VMM_STATE_RUNNING || *ret_state == VMM_STATE_SUSPENDED ||
                             *ret_state == VMM_STATE_FAILED;
    const int64_t pid = has_process ? hypervisor_live_pid(env->hypervisor, vm) : 0;
    if (pid != vm->pid) {
        vm->pid_start_ticks = 0; /* they were of the process that is written down */
        free(vm->boot_id);
        vm->boot_id = NULL;
    }
    vm->pid = pid;
    return 0;
}

int machine_look(struct machine_env *env,
    const char *name,
    struct vmm_handle **ret_vm,
    enum vmm_state *ret_state,
    struct vmm_error **errp)
{
    cleanup_handle struct vmm_handle *vm = NULL;
    int r = store_look(&env->home, name, &vm, errp);
    if (r == 0)
        r = look_at(env, vm, ret_state, errp);
    if (r < 0)
        return r;
    *ret_vm = TAKE_PTR(vm);
    return 0;
}

int machine_list(struct machine_env *env, struct machine_listing *ret, struct vmm_error **errp)
{
    struct machine_listing l = {0};
    int r = store_read(&env->home, &l.store, errp);
    if (r < 0)
        return r;
    l.states = xcalloc(l.store.count, sizeof(*l.states));
    for (size_t i = 0; r == 0 && i < l.store.count; i++)
        r = look_at(env, l.store.vms[i], &l.states[i], errp);
    if (r < 0) {
        machine_listing_done(&l);
        return r;
    }
    *ret = l;
    return 0;
}

void machine_listing_done(struct machine_listing *l)
{
    store_snapshot_done(&l->store);
    free(l->states);
    *l = (struct machine_listing){0};
}
