#include "vmctl.h"

#include "base/buf.h"
#include "base/json.h"
#include "cli/diagnostics.h"
#include "cli/output.h"
#include "cli/table.h"

static const struct table_column columns[] = {
    {"NAME", false},
    {"BACKEND", false},
    {"VCPUS", true},
    {"MEM", true},
    {"NETWORK", false},
    {"PID", true},
    {"SSH", true},
    {"STATE", false},
};

static void add_number(struct table *t, int64_t value)
{
    if (value)
        table_addf(t, "%lld", (long long)value);
    else
        table_add(t, NULL);
}

static void print_table(const struct machine_listing *l)
{
    cleanup_table struct table *t = table_new(columns, sizeof(columns) / sizeof(*columns));
    cleanup_buf struct buf out = {0};
    for (size_t i = 0; i < l->store.count; i++) {
        const struct vmm_handle *vm = l->store.vms[i];
        table_add(t, vm->name);
        table_add(t, vmm_backend_name(vm->backend));
        table_addf(t, "%u", vm->vcpus);
        table_addf(t, "%llu", (unsigned long long)vm->memory_mib);
        table_add(t, vmm_network_name(vm->network.kind));
        add_number(t, vm->pid);
        add_number(t, vm->ssh_host_port);
        table_add(t, vmm_state_name(l->states[i]));
    }
    table_render(t, /* with_header */ true, &out);
    output_buf(&out);
}

static void print_json(const struct machine_listing *l)
{
    cleanup_json json_t *list = json_array();
    for (size_t i = 0; i < l->store.count; i++)
        json_array_append_new(list, vm_to_json(l->store.vms[i], l->states[i]));
    output_json(list, /* is_indented */ true);
}

static int run(const struct cli_input *in, struct vmm_error **errp)
{
    cleanup_env struct machine_env env = {0};
    struct machine_listing l;
    int r = machine_env_open(&env, false, errp);
    if (r == 0)
        r = machine_list(&env, &l, errp);
    if (r < 0)
        return r;
    if (l.store.warning)
        diagnostics_warn("%s; these VMs are from vms.json.bak, the copy before the last change",
            vmm_error_message(l.store.warning));
    if (cli_flag(in, "json"))
        print_json(&l);
    else
        print_table(&l);
    machine_listing_done(&l);
    return 0;
}

static const struct cli_option options[] = {OPTION_JSON, {0}};

static const struct cli_example examples[] = {
    {NULL, "vmctl list"},
    {"names of the VMs that run",
        "vmctl list --json | jq -r '.[] | select(.state == \"running\").name'"},
    {0},
};

const struct cli_command cmd_list = {
    .name = "list",
    .alias = "ls",
    .group = "Single VMs",
    .summary = "List all VMs",
    .options = options,
    .examples = examples,
    .run = run,
};
