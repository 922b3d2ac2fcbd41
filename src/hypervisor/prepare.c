/* What every backend's prepare has in common: numbers, keys, the seed. */
#include "hypervisor/internal.h"

#include "base/alloc.h"
#include "base/buf.h"
#include "base/cleanup.h"
#include "base/error.h"
#include "base/fs.h"
#include "hypervisor/draw.h"
#include "seed/seed.h"
#include "ssh/ssh.h"

#include <stdlib.h>
#include <string.h>

struct vmm_handle *handle_from_spec(const struct vmm_hypervisor *h,
    const struct vmm_spec *spec,
    const struct hypervisor_reservation *reservation)
{
    struct vmm_handle *vm = xcalloc(1, sizeof(*vm));
    char uuid[37], mac[18];
    draw_uuid(uuid);
    mac_from_uuid(uuid, mac);
    cleanup_free char *vms = path_join(h->data_dir, "vms");
    vm->id = xstrdup(reservation ? reservation->id : uuid);
    vm->mac_addr = xstrdup(reservation ? reservation->mac_addr : mac);
    vm->ssh_host_port = reservation ? reservation->ssh_host_port : 0;
    vm->name = xstrdup(spec->name);
    vm->work_dir = path_join(vms, spec->name);
    vm->image_path = xstrdup_or_null(spec->image_path);
    vm->vcpus = spec->vcpus ? spec->vcpus : 1;
    vm->memory_mib = spec->memory_mib ? spec->memory_mib : 1024;
    vm->disk_gib = spec->disk_gib;
    vm->network.kind = spec->network.kind;
    vm->network.link = xstrdup_or_null(spec->network.link);
    vm->accel = spec->accel;
    vm->has_ssh = spec->has_ssh;
    vm->ssh_user = xstrdup_or_null(spec->ssh.user);
    vm->ssh_private_key_path = xstrdup_or_null(spec->ssh.private_key_path);
    vm->recorded_state = VMM_STATE_PREPARING;
    return vm;
}

static int write_file(
    const struct vmm_handle *vm, const char *name, const char *text, struct vmm_error **errp)
{
    return fs_write_durable(vm->work_dir, name, text, strlen(text), errp);
}

/* The VM's own pair: ours to log in with, and the identity its sshd will have. */
struct vm_keys {
    struct ssh_key_pair client;
    struct ssh_key_pair host;
};

static void vm_keys_done(struct vm_keys *keys)
{
    ssh_key_pair_done(&keys->client);
    ssh_key_pair_done(&keys->host);
}

/* Both by one helper: starting it costs more than making a key. */
static int make_keys(const struct vmm_handle *vm, struct vm_keys *keys, struct vmm_error **errp)
{
    cleanup_free char *comment = xasprintf("vmctl-%s", vm->name);
    const char *const comments[2] = {comment, vm->name};
    struct ssh_key_pair pairs[2] = {{0}};
    int r = ssh_generate_keys(comments, 2, pairs, errp);
    if (r < 0)
        return r;
    keys->client = pairs[0];
    keys->host = pairs[1];
    r = write_file(vm, WORKDIR_HOST_KEY_PUB, keys->host.public_line, errp);
    return r;
}

static int write_client_key(
    struct vmm_handle *vm, const struct ssh_key_pair *pair, struct vmm_error **errp)
{
    cleanup_free char *public_text = xasprintf("%s\n", pair->public_line);
    int r = write_file(vm, WORKDIR_KEY, pair->private_openssh, errp);
    if (r == 0)
        r = write_file(vm, WORKDIR_KEY ".pub", public_text, errp);
    return r;
}

static int write_known_hosts(const struct vmm_handle *vm, struct vmm_error **errp)
{
    cleanup_free char *path = path_join(vm->work_dir, WORKDIR_HOST_KEY_PUB);
    cleanup_buf struct buf public_line = {0};
    const int r = fs_read_file(path, 16384, &public_line);
    if (r < 0)
        return vmm_fail_io(errp, -r, "read", path);
    /* Under the VM's name, not its port: a port may move, the machine stays the same. */
    cleanup_free char *line = NULL;
    if (ssh_known_hosts_line(vm->name, 0, buf_cstr(&public_line), &line, errp) < 0)
        return vmm_wrap(
            errp, &(struct diag){0}, "could not pin the host key of VM \"%s\"", vm->name);
    return write_file(vm, WORKDIR_KNOWN_HOSTS, line, errp);
}

/* A host name may hold fewer characters than a VM's. The caller owns it. */
static char *hostname_from_name(const char *name)
{
    char *host = xstrdup(name);
    for (char *p = host; *p; p++) {
        if (*p == '_' || *p == '.')
            *p = '-';
    }
    for (size_t n = strlen(host); n && host[n - 1] == '-'; n--)
        host[n - 1] = '\0';
    return host;
}

static int write_seed(const struct vmm_spec *spec,
    struct vmm_handle *vm,
    const struct vm_keys *keys,
    struct vmm_error **errp)
{
    cleanup_free char *own_name = hostname_from_name(vm->name);
    const char *public_key = spec->ssh.public_key ? spec->ssh.public_key : keys->client.public_line;
    const struct seed_input input = {
        .hostname = spec->cloud_init.hostname ? spec->cloud_init.hostname : own_name,
        .salt = vm->id,
        .user = spec->ssh.user ? spec->ssh.user : "vm",
        .ssh_public_keys = &public_key,
        .ssh_public_key_count = 1,
        .host_key_private = keys->host.private_openssh,
        .host_key_public = keys->host.public_line,
        .user_data = {spec->cloud_init.user_data, spec->cloud_init.user_data_bytes},
    };
    struct seed_documents documents = {0};
    int r = seed_compose(&input, &documents, errp);
    if (r < 0)
        return r;
    cleanup_free char *path = path_join(vm->work_dir, WORKDIR_SEED);
    r = seed_write_iso(&documents, path, errp);
    seed_documents_done(&documents);
    if (r == 0)
        vm->seed_iso_path = TAKE_PTR(path);
    return r;
}

int prepare_seed(const struct vmm_spec *spec, struct vmm_handle *vm, struct vmm_error **errp)
{
    if (!spec->has_cloud_init)
        return 0;
    __attribute__((cleanup(vm_keys_done))) struct vm_keys keys = {0};
    int r = make_keys(vm, &keys, errp);
    /* With raw user-data or a key of the user's own, ours would open no door. */
    const bool uses_own_key = !spec->ssh.public_key && !spec->cloud_init.user_data;
    if (r == 0 && uses_own_key)
        r = write_client_key(vm, &keys.client, errp);
    if (r == 0)
        r = write_seed(spec, vm, &keys, errp);
    if (r == 0) {
        vm->host_key_is_seeded = true;
        r = write_known_hosts(vm, errp);
    }
    return r;
}
