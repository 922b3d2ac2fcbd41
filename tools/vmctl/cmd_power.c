/* start, stop, suspend, resume: one VM by name. */
#include "vmctl.h"

#include "base/alloc.h"
#include "base/cleanup.h"
#include "cli/diagnostics.h"

#include <stdio.h>

static const struct cli_argument arguments[] = {
    {.placeholder = "NAME", .help = "the VM", .presence = CLI_REQUIRED, .completes = "vm"},
    {0},
};

static int run_start(const struct cli_input *in, struct vmm_error **errp)
{
    cleanup_env struct machine_env env = {0};
    cleanup_handle struct vmm_handle *vm = NULL;
    int r = machine_env_open(&env, false, errp);
    if (r == 0)
        r = machine_start(&env, cli_argument(in, "NAME"), /* with_setup */ false, &vm, errp);
    cleanup_free char *note = env.hypervisor ? hypervisor_take_note(env.hypervisor) : NULL;
    if (note)
        diagnostics_warn("%s", note);
    return r;
}

static int run_stop(const struct cli_input *in, struct vmm_error **errp)
{
    cleanup_env struct machine_env env = {0};
    const int r = machine_env_open(&env, false, errp);
    return r < 0 ? r
                 : machine_stop(&env, cli_argument(in, "NAME"), cli_integer(in, "timeout") * 1000,
                       NULL, errp);
}

static int run_suspend(const struct cli_input *in, struct vmm_error **errp)
{
    cleanup_env struct machine_env env = {0};
    const int r = machine_env_open(&env, false, errp);
    return r < 0 ? r : machine_suspend(&env, cli_argument(in, "NAME"), errp);
}

static int run_resume(const struct cli_input *in, struct vmm_error **errp)
{
    cleanup_env struct machine_env env = {0};
    const int r = machine_env_open(&env, false, errp);
    return r < 0 ? r : machine_resume(&env, cli_argument(in, "NAME"), errp);
}

const struct cli_command cmd_start = {
    .name = "start",
    .group = "Single VMs",
    .summary = "Start a VM that exists",
    .arguments = arguments,
    .examples = (const struct cli_example[]){{NULL, "vmctl start web"}, {0}},
    .run = run_start,
};

const struct cli_command cmd_stop = {
    .name = "stop",
    .group = "Single VMs",
    .summary = "Stop a running VM",
    .details = "Asks the guest to power down; when the time is up its machine is switched off.",
    .options =
        (const struct cli_option[]){
            {.name = "timeout",
                .kind = CLI_DURATION,
                .placeholder = "SECONDS",
                .fallback = "30",
                .help = "time the guest gets",
                .min = 0,
                .max = 86400},
            {0},
        },
    .arguments = arguments,
    .examples = (const struct cli_example[]){{NULL, "vmctl stop web"}, {0}},
    .run = run_stop,
};

const struct cli_command cmd_suspend = {
    .name = "suspend",
    .group = "Single VMs",
    .summary = "Pause a running VM in memory",
    .arguments = arguments,
    .examples = (const struct cli_example[]){{NULL, "vmctl suspend web"}, {0}},
    .run = run_suspend,
};

const struct cli_command cmd_resume = {
    .name = "resume",
    .group = "Single VMs",
    .summary = "Let a suspended VM go on",
    .arguments = arguments,
    .examples = (const struct cli_example[]){{NULL, "vmctl resume web"}, {0}},
    .run = run_resume,
};
