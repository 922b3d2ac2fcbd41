#include "vmctl.h"

static int run(const struct cli_input *in, struct vmm_error **errp)
{
    cleanup_env struct machine_env env = {0};
    const int r = machine_env_open(&env, false, errp);
    return r < 0 ? r : machine_destroy(&env, cli_argument(in, "NAME"), errp);
}

static const struct cli_argument arguments[] = {
    {.placeholder = "NAME", .help = "the VM", .presence = CLI_REQUIRED, .completes = "vm"},
    {0},
};

static const struct cli_example examples[] = {
    {NULL, "vmctl destroy web"},
    {0},
};

/* No alias, on purpose: what it deletes does not come back. */
const struct cli_command cmd_destroy = {
    .name = "destroy",
    .group = "Single VMs",
    .summary = "Delete a VM, its disk included",
    .details =
        "Ends the VM if it runs, then deletes its disk, seed, keys and logs. The image it was "
        "made from stays.",
    .arguments = arguments,
    .examples = examples,
    .run = run,
};
