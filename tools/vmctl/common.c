#include "vmctl.h"

#include "base/alloc.h"
#include "base/buf.h"
#include "base/cleanup.h"
#include "base/error.h"
#include "base/json.h"
#include "base/name.h"
#include "base/vec.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int open_vmfile(const struct cli_input *in,
    enum vmfile_use use,
    struct vmm_vmfile **ret_file,
    struct vmm_error **errp)
{
    cleanup_free char *path = NULL;
    const int r =
        vmm_vmfile_discover(cli_given(in, "file") ? cli_string(in, "file") : NULL, &path, errp);
    if (r < 0)
        return r;
    return use == VMFILE_TO_MAKE ? vmm_vmfile_parse(path, ret_file, errp)
                                 : vmm_vmfile_parse_alone(path, ret_file, errp);
}

static int no_such_vm(const struct cli_input *in,
    const struct vmm_vmfile *file,
    const char *name,
    struct vmm_error **errp)
{
    const size_t n = vmm_vmfile_count(file);
    const char **known = xcalloc(n + 1, sizeof(*known));
    for (size_t i = 0; i < n; i++)
        known[i] = vmm_vmfile_vm(file, i)->name;
    const char *guess = suggest(str_view(name), known);
    cleanup_free char *label = guess ? xasprintf("did you mean \"%s\"?", guess) : NULL;
    free(known);
    return cli_fail_usage(
        errp, in, "--name", label, "%s defines no VM \"%s\"", vmm_vmfile_path(file), name);
}

static bool is_picked(const struct cli_input *in, const char *name)
{
    if (!cli_given(in, "name"))
        return true;
    const char *wanted;
    for (size_t i = 0; (wanted = cli_string_at(in, "name", i)); i++) {
        if (strcmp(wanted, name) == 0)
            return true;
    }
    return false;
}

int pick_vms(const struct cli_input *in,
    const struct vmm_vmfile *file,
    const struct vmm_vmdef ***ret_defs,
    size_t *ret_count,
    struct vmm_error **errp)
{
    const char *wanted;
    for (size_t i = 0; (wanted = cli_string_at(in, "name", i)); i++) {
        if (!vmm_vmfile_find(file, wanted))
            return no_such_vm(in, file, wanted, errp);
    }
    VEC(const struct vmm_vmdef *) picked = {0};
    for (size_t i = 0; i < vmm_vmfile_count(file); i++) {
        const struct vmm_vmdef *def = vmm_vmfile_vm(file, i);
        if (is_picked(in, def->name))
            vec_push(&picked, def);
    }
    *ret_defs = picked.v;
    *ret_count = picked.n;
    return 0;
}

static int interrupt_pipe[2] = {-1, -1};

static void on_interrupt(int signal_)
{
    static volatile sig_atomic_t asked;
    if (asked++)
        _exit(128 + signal_);
    const int saved = errno;
    if (write(interrupt_pipe[1], "", 1) < 0)
        _exit(128 + signal_);
    errno = saved;
}

int interrupt_fd(void)
{
    if (interrupt_pipe[0] < 0 && pipe2(interrupt_pipe, O_CLOEXEC | O_NONBLOCK) == 0) {
        const struct sigaction action = {.sa_handler = on_interrupt, .sa_flags = SA_RESTART};
        sigaction(SIGINT, &action, NULL);
        sigaction(SIGTERM, &action, NULL);
    }
    return interrupt_pipe[0];
}

json_t *vm_to_json(const struct vmm_handle *vm, enum vmm_state state)
{
    json_t *j = json_object();
    json_put_string(j, "name", vm->name);
    json_put_string(j, "id", vm->id);
    json_put_string(j, "backend", vmm_backend_name(vm->backend));
    json_put_string(j, "state", vmm_state_name(state));
    json_put_integer(j, "vcpus", vm->vcpus);
    json_put_integer(j, "memory_mb", (int64_t)vm->memory_mib);
    json_put(j, "disk_gb", vm->disk_gib ? json_integer(vm->disk_gib) : json_null());
    json_t *network = json_object();
    json_put_string(network, "type", vmm_network_name(vm->network.kind));
    json_put_string(
        network, vm->network.kind == VMM_NETWORK_TAP ? "bridge" : "name", vm->network.link);
    json_put(j, "network", network);
    json_put(j, "pid", vm->pid ? json_integer(vm->pid) : json_null());
    json_put(j, "ssh_host_port", vm->ssh_host_port ? json_integer(vm->ssh_host_port) : json_null());
    json_put_string(j, "ssh_user", vm->has_ssh ? (vm->ssh_user ? vm->ssh_user : "vm") : NULL);
    json_put_string(j, "mac_addr", vm->mac_addr);
    json_put_string(j, "vnc_addr", vm->pid ? vm->vnc_addr : NULL);
    json_put_string(j, "accel", vm->pid ? vmm_accel_name(vm->accel_used) : NULL);
    json_put_string(j, "work_dir", vm->work_dir);
    json_put_string(j, "overlay_path", vm->overlay_path);
    json_put_string(j, "seed_iso_path", vm->seed_iso_path);
    json_put_string(j, "image_path", vm->image_path);
    json_put_string(j, "image_format", vm->image_format);
    json_put_string(j, "vmfile_path", vm->vmfile_path);
    return j;
}
