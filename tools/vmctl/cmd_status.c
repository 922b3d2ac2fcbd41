#include "vmctl.h"

#include "base/alloc.h"
#include "base/buf.h"
#include "base/cleanup.h"
#include "base/fs.h"
#include "base/json.h"
#include "cli/output.h"
#include "cli/table.h"

#include <string.h>

/* How its last run ended, as its keeper wrote it down; NULL: it runs, or never did. */
static json_t *read_end(const struct vmm_handle *vm)
{
    cleanup_free char *path = path_join(vm->work_dir, WORKDIR_ENDED);
    cleanup_buf struct buf text = {0};
    json_error_t ignored;
    if (vm->pid || fs_read_file(path, 64 << 10, &text) < 0)
        return NULL;
    json_t *end = json_parse((struct str){text.p, text.n}, &ignored);
    if (json_is_object(end))
        return end;
    json_decref(end);
    return NULL;
}

static void add_end(struct facts *f, const json_t *end)
{
    const char *how = json_get_string(end, "how");
    const char *when = json_get_string(end, "time");
    if (how && when)
        facts_addf(f, "Ended", "%s at %s", how, when);
}

static void print_facts(const struct vmm_handle *vm, enum vmm_state state, const json_t *end)
{
    cleanup_facts struct facts *f = facts_new();
    cleanup_buf struct buf out = {0};
    facts_add(f, "Name", vm->name);
    facts_add(f, "ID", vm->id);
    facts_add(f, "Backend", vmm_backend_name(vm->backend));
    facts_add(f, "State", vmm_state_name(state));
    add_end(f, end);
    facts_addf(f, "vCPUs", "%u", vm->vcpus);
    facts_addf(f, "Memory", "%llu MB", (unsigned long long)vm->memory_mib);
    if (vm->disk_gib)
        facts_addf(f, "Disk", "%u GB", vm->disk_gib);
    else
        facts_add(f, "Disk", "as large as the image");
    facts_addf(f, "Network", "%s%s%s", vmm_network_name(vm->network.kind),
        vm->network.link ? " on " : "", vm->network.link ? vm->network.link : "");
    facts_add(f, "Work dir", vm->work_dir);
    facts_add(f, "Image", vm->image_path);
    facts_add(f, "Overlay", vm->overlay_path);
    facts_add(f, "Seed ISO", vm->seed_iso_path);
    facts_add(f, "VMFile", vm->vmfile_path);
    if (vm->pid) {
        facts_addf(f, "PID", "%lld", (long long)vm->pid);
        facts_add(f, "Accelerator", vmm_accel_name(vm->accel_used));
        if (vm->vnc_addr)
            facts_addf(f, "VNC address", "%s (password in %s/%s)", vm->vnc_addr, vm->work_dir,
                WORKDIR_VNC_PASSWORD);
    }
    if (vm->ssh_host_port)
        facts_addf(f, "SSH port", "%u", vm->ssh_host_port);
    facts_add(f, "MAC address", vm->mac_addr);
    facts_render(f, &out);
    output_buf(&out);
}

static int run(const struct cli_input *in, struct vmm_error **errp)
{
    cleanup_env struct machine_env env = {0};
    cleanup_handle struct vmm_handle *vm = NULL;
    enum vmm_state state;
    int r = machine_env_open(&env, false, errp);
    if (r == 0)
        r = machine_look(&env, cli_argument(in, "NAME"), &vm, &state, errp);
    if (r < 0)
        return r;
    cleanup_json json_t *end = read_end(vm);
    if (cli_flag(in, "json")) {
        cleanup_json json_t *j = vm_to_json(vm, state);
        if (end)
            json_put(j, "ended", json_incref(end));
        output_json(j, /* is_indented */ true);
    } else {
        print_facts(vm, state, end);
    }
    return 0;
}

static const struct cli_option options[] = {OPTION_JSON, {0}};

static const struct cli_argument arguments[] = {
    {.placeholder = "NAME", .help = "the VM", .presence = CLI_REQUIRED, .completes = "vm"},
    {0},
};

static const struct cli_example examples[] = {
    {NULL, "vmctl status web"},
    {0},
};

const struct cli_command cmd_status = {
    .name = "status",
    .group = "Single VMs",
    .summary = "Show all about a VM",
    .options = options,
    .arguments = arguments,
    .examples = examples,
    .run = run,
};
