#include "vmm/types.h"
#include "base/alloc.h"

#include <stdlib.h>
#include <string.h>

#define NAME_OF(names, value, count) ((value) < (count) ? (names)[value] : "unknown")

const char *vmm_backend_name(enum vmm_backend backend)
{
    static const char *const names[VMM_BACKEND_COUNT_] = {"qemu", "propolis", "noop"};
    return NAME_OF(names, backend, VMM_BACKEND_COUNT_);
}

const char *vmm_state_name(enum vmm_state state)
{
    static const char *const names[VMM_STATE_COUNT_] = {
        "preparing", "prepared", "running", "suspended", "stopped", "failed", "destroyed"};
    return NAME_OF(names, state, VMM_STATE_COUNT_);
}

const char *vmm_network_name(enum vmm_network_kind kind)
{
    static const char *const names[VMM_NETWORK_COUNT_] = {"user", "tap", "vnic", "none"};
    return NAME_OF(names, kind, VMM_NETWORK_COUNT_);
}

const char *vmm_accel_name(enum vmm_accel accel)
{
    static const char *const names[VMM_ACCEL_COUNT_] = {"auto", "kvm", "tcg"};
    return NAME_OF(names, accel, VMM_ACCEL_COUNT_);
}

void vmm_spec_done(struct vmm_spec *spec)
{
    free(spec->name);
    free(spec->image_path);
    free(spec->network.link);
    free(spec->cloud_init.hostname);
    free(spec->cloud_init.user_data);
    free(spec->ssh.user);
    free(spec->ssh.public_key);
    free(spec->ssh.private_key_path);
    *spec = (struct vmm_spec){0};
}

void vmm_provision_done(struct vmm_provision *provision)
{
    free(provision->command);
    free(provision->source);
    free(provision->destination);
    *provision = (struct vmm_provision){0};
}

void vmm_handle_free(struct vmm_handle *vm)
{
    if (!vm)
        return;
    free(vm->id);
    free(vm->name);
    free(vm->work_dir);
    free(vm->image_path);
    free(vm->image_format);
    free(vm->overlay_path);
    free(vm->seed_iso_path);
    free(vm->boot_id);
    free(vm->qmp_socket);
    free(vm->console_socket);
    free(vm->vnc_addr);
    free(vm->network.link);
    free(vm->mac_addr);
    free(vm->ssh_user);
    free(vm->ssh_private_key_path);
    free(vm->vmfile_path);
    free(vm->extra_json);
    free(vm);
}

struct vmm_handle *vmm_handle_copy(const struct vmm_handle *vm)
{
    struct vmm_handle *copy = xmalloc(sizeof(*copy));
    *copy = *vm;
    copy->id = xstrdup_or_null(vm->id);
    copy->name = xstrdup_or_null(vm->name);
    copy->work_dir = xstrdup_or_null(vm->work_dir);
    copy->image_path = xstrdup_or_null(vm->image_path);
    copy->image_format = xstrdup_or_null(vm->image_format);
    copy->overlay_path = xstrdup_or_null(vm->overlay_path);
    copy->seed_iso_path = xstrdup_or_null(vm->seed_iso_path);
    copy->boot_id = xstrdup_or_null(vm->boot_id);
    copy->qmp_socket = xstrdup_or_null(vm->qmp_socket);
    copy->console_socket = xstrdup_or_null(vm->console_socket);
    copy->vnc_addr = xstrdup_or_null(vm->vnc_addr);
    copy->network.link = xstrdup_or_null(vm->network.link);
    copy->mac_addr = xstrdup_or_null(vm->mac_addr);
    copy->ssh_user = xstrdup_or_null(vm->ssh_user);
    copy->ssh_private_key_path = xstrdup_or_null(vm->ssh_private_key_path);
    copy->vmfile_path = xstrdup_or_null(vm->vmfile_path);
    copy->extra_json = xstrdup_or_null(vm->extra_json);
    return copy;
}
