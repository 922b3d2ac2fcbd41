#include "machine/record.h"
#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/fs.h"
#include "base/name.h"
#include "hypervisor/hypervisor.h"

#include <stdlib.h>
#include <string.h>

/* Every key we write; anything else in a record is a newer version's. */
static const char *const known_keys[] = {
    "id",
    "name",
    "backend",
    "state",
    "work_dir",
    "image_path",
    "image_format",
    "overlay_path",
    "seed_iso_path",
    "pid",
    "pid_start_ticks",
    "boot_id",
    "qmp_socket",
    "console_socket",
    "vnc_addr",
    "vcpus",
    "memory_mb",
    "disk_gb",
    "network",
    "ssh_host_port",
    "mac_addr",
    "accel",
    "accel_used",
    "ssh",
    "host_key_is_seeded",
    "vmfile_path",
    "setup_pending",
};

static bool is_known(const char *key)
{
    for (size_t i = 0; i < sizeof(known_keys) / sizeof(*known_keys); i++) {
        if (strcmp(known_keys[i], key) == 0)
            return true;
    }
    return false;
}

/* The index of `word` among `count` names given by `name_of`, or `fallback`. */
static unsigned enum_of(
    const char *word, const char *(*name_of)(unsigned), unsigned count, unsigned fallback)
{
    for (unsigned i = 0; word && i < count; i++) {
        if (strcmp(name_of(i), word) == 0)
            return i;
    }
    return fallback;
}

static const char *backend_name(unsigned i)
{
    return vmm_backend_name((enum vmm_backend)i);
}
static const char *state_name(unsigned i)
{
    return vmm_state_name((enum vmm_state)i);
}
static const char *accel_name(unsigned i)
{
    return vmm_accel_name((enum vmm_accel)i);
}

/* The reference writes {"type": "User"}, {"type": "Tap", "bridge": "br0"} ... */
static const char *const network_tags[VMM_NETWORK_COUNT_] = {"User", "Tap", "Vnic", "None"};
static const char *network_tag(unsigned i)
{
    return network_tags[i];
}

static const char *network_link_key(enum vmm_network_kind kind)
{
    return kind == VMM_NETWORK_TAP ? "bridge" : kind == VMM_NETWORK_VNIC ? "name" : NULL;
}

static char *copy_string(const json_t *record, const char *key)
{
    return xstrdup_or_null(json_get_string(record, key));
}

static char *unknown_fields(const json_t *record)
{
    cleanup_json json_t *extra = json_object();
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)record, key, value)
    {
        if (!is_known(key))
            json_object_set(extra, key, value);
    }
    return json_object_size(extra) ? json_dumps(extra, JSON_COMPACT) : NULL;
}

struct vmm_handle *record_decode(const char *name, const json_t *record, const char *vms_dir)
{
    if (!json_is_object(record) || !name_is_valid(str_view(name)))
        return NULL;
    struct vmm_handle *vm = xcalloc(1, sizeof(*vm));
    vm->name = xstrdup(name);
    /* Paths below the work folder are made from the name, whatever the file says: a record that was
     * tampered with must not make us delete or open something else (security.md A-5). */
    vm->work_dir = path_join(vms_dir, name);
    vm->id = xstrdup(json_get_string(record, "id") ? json_get_string(record, "id") : "");
    vm->backend = (enum vmm_backend)enum_of(
        json_get_string(record, "backend"), backend_name, VMM_BACKEND_COUNT_, VMM_BACKEND_QEMU);
    vm->recorded_state = (enum vmm_state)enum_of(
        json_get_string(record, "state"), state_name, VMM_STATE_COUNT_, VMM_STATE_STOPPED);
    vm->image_path = copy_string(record, "image_path");
    vm->image_format = copy_string(record, "image_format");
    if (vm->backend == VMM_BACKEND_QEMU)
        vm->overlay_path = path_join(vm->work_dir, WORKDIR_OVERLAY);
    if (json_get_string(record, "seed_iso_path"))
        vm->seed_iso_path = path_join(vm->work_dir, WORKDIR_SEED);
    vm->qmp_socket = path_join(vm->work_dir, WORKDIR_QMP);
    vm->console_socket = path_join(vm->work_dir, WORKDIR_CONSOLE);
    vm->pid = json_get_integer(record, "pid", 2, INT32_MAX, 0);
    vm->pid_start_ticks = (uint64_t)json_get_integer(record, "pid_start_ticks", 0, INT64_MAX, 0);
    vm->boot_id = copy_string(record, "boot_id");
    vm->vnc_addr = copy_string(record, "vnc_addr");
    vm->vcpus = (uint16_t)json_get_integer(record, "vcpus", 1, UINT16_MAX, 1);
    vm->memory_mib = (uint64_t)json_get_integer(record, "memory_mb", 1, INT64_MAX, 1024);
    vm->disk_gib = (uint32_t)json_get_integer(record, "disk_gb", 0, UINT32_MAX, 0);
    const json_t *network = json_object_get(record, "network");
    vm->network.kind = (enum vmm_network_kind)enum_of(
        json_get_string(network, "type"), network_tag, VMM_NETWORK_COUNT_, VMM_NETWORK_USER);
    if (network_link_key(vm->network.kind))
        vm->network.link = copy_string(network, network_link_key(vm->network.kind));
    vm->ssh_host_port = (uint16_t)json_get_integer(record, "ssh_host_port", 1, UINT16_MAX, 0);
    vm->mac_addr = copy_string(record, "mac_addr");
    vm->accel = (enum vmm_accel)enum_of(
        json_get_string(record, "accel"), accel_name, VMM_ACCEL_COUNT_, VMM_ACCEL_AUTO);
    vm->accel_used = (enum vmm_accel)enum_of(
        json_get_string(record, "accel_used"), accel_name, VMM_ACCEL_COUNT_, VMM_ACCEL_AUTO);
    const json_t *ssh = json_object_get(record, "ssh");
    vm->has_ssh = json_is_object(ssh);
    vm->ssh_user = copy_string(ssh, "user");
    vm->ssh_private_key_path = copy_string(ssh, "private_key_path");
    vm->host_key_is_seeded = json_get_bool(record, "host_key_is_seeded", false);
    vm->vmfile_path = copy_string(record, "vmfile_path");
    vm->setup_pending = json_get_bool(record, "setup_pending", false);
    vm->extra_json = unknown_fields(record);
    return vm;
}

static json_t *encode_network(const struct vmm_network *network)
{
    json_t *j = json_object();
    json_put_string(j, "type", network_tags[network->kind]);
    if (network_link_key(network->kind))
        json_put_string(j, network_link_key(network->kind), network->link);
    return j;
}

static void put_number(json_t *record, const char *key, int64_t value)
{
    if (value)
        json_put_integer(record, key, value);
}

json_t *record_encode(const struct vmm_handle *vm)
{
    json_error_t ignored;
    json_t *record = vm->extra_json ? json_parse(str_view(vm->extra_json), &ignored) : NULL;
    if (!record)
        record = json_object();
    json_put_string(record, "id", vm->id);
    json_put_string(record, "name", vm->name);
    json_put_string(record, "backend", vmm_backend_name(vm->backend));
    json_put_string(record, "state", vmm_state_name(vm->recorded_state));
    json_put_string(record, "work_dir", vm->work_dir);
    json_put_string(record, "image_path", vm->image_path);
    json_put_string(record, "image_format", vm->image_format);
    json_put_string(record, "overlay_path", vm->overlay_path);
    json_put_string(record, "seed_iso_path", vm->seed_iso_path);
    put_number(record, "pid", vm->pid);
    put_number(record, "pid_start_ticks", vm->pid ? (int64_t)vm->pid_start_ticks : 0);
    json_put_string(record, "boot_id", vm->pid ? vm->boot_id : NULL);
    json_put_string(record, "qmp_socket", vm->qmp_socket);
    json_put_string(record, "console_socket", vm->console_socket);
    json_put_string(record, "vnc_addr", vm->pid ? vm->vnc_addr : NULL);
    json_put_integer(record, "vcpus", vm->vcpus);
    json_put_integer(record, "memory_mb", (int64_t)vm->memory_mib);
    put_number(record, "disk_gb", vm->disk_gib);
    json_put(record, "network", encode_network(&vm->network));
    put_number(record, "ssh_host_port", vm->ssh_host_port);
    json_put_string(record, "mac_addr", vm->mac_addr);
    json_put_string(record, "accel", vmm_accel_name(vm->accel));
    json_put_string(record, "accel_used", vmm_accel_name(vm->accel_used));
    if (vm->has_ssh) {
        json_t *ssh = json_object();
        json_put_string(ssh, "user", vm->ssh_user);
        json_put_string(ssh, "private_key_path", vm->ssh_private_key_path);
        json_put(record, "ssh", ssh);
    }
    json_put_bool(record, "host_key_is_seeded", vm->host_key_is_seeded);
    json_put_string(record, "vmfile_path", vm->vmfile_path);
    if (vm->setup_pending)
        json_put_bool(record, "setup_pending", true);
    return record;
}
