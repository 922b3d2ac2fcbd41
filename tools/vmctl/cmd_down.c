#include "vmctl.h"

#include "base/cleanup.h"
#include "base/error.h"
#include "cli/diagnostics.h"
#include "cli/progress.h"

#include <stdlib.h>
#include <unistd.h>

enum { GRACE_MS = 30000 };

static int take_down(struct machine_env *env,
    const char *name,
    bool destroy,
    bool *ret_was_there,
    struct vmm_error **errp)
{
    bool was_running = false;
    const int r = destroy ? machine_destroy(env, name, errp)
                          : machine_stop(env, name, GRACE_MS, &was_running, errp);
    *ret_was_there = r == 0 && (destroy || was_running);
    return r;
}

/* A VM that was never made is down already. */
static bool is_absent(struct vmm_error **error)
{
    if (!*error || vmm_error_code(*error) != VMM_E_VM_NOT_FOUND)
        return false;
    vmm_error_free(TAKE_PTR(*error));
    return true;
}

static int run(const struct cli_input *in, struct vmm_error **errp)
{
    cleanup_vmfile struct vmm_vmfile *file = NULL;
    cleanup_free const struct vmm_vmdef **defs = NULL;
    cleanup_env struct machine_env env = {0};
    size_t count = 0;
    int r = open_vmfile(in, VMFILE_TO_NAME, &file, errp);
    if (r == 0)
        r = pick_vms(in, file, &defs, &count, errp);
    if (r == 0)
        r = machine_env_open(&env, false, errp);
    if (r < 0)
        return r;
    const bool destroy = cli_flag(in, "destroy");
    for (size_t i = 0; i < count; i++) {
        const char *name = defs[i]->name;
        cleanup_progress struct progress *progress = progress_new(STDERR_FILENO, &name, 1, NULL);
        cleanup_error struct vmm_error *error = NULL;
        bool was_there = false;
        progress_set(progress, 0, destroy ? "destroying" : "stopping", -1);
        if (take_down(&env, name, destroy, &was_there, &error) == 0 || is_absent(&error)) {
            progress_done(progress, 0, was_there ? PROGRESS_OK : PROGRESS_SKIPPED,
                !was_there ? "was not up"
                : destroy  ? "destroyed"
                           : "stopped");
            continue;
        }
        progress_done(progress, 0, PROGRESS_FAILED, NULL);
        progress_free(TAKE_PTR(progress));
        /* The others are taken down all the same; the first failure is the command's. */
        if (r == 0) {
            r = -(int)vmm_error_code(error);
            *errp = TAKE_PTR(error);
        } else {
            diagnostics_print(error);
        }
    }
    return r;
}

static const struct cli_option options[] = {
    OPTION_FILE,
    OPTION_NAME,
    /* No letter, on purpose: what it deletes does not come back. */
    {.name = "destroy",
        .kind = CLI_FLAG,
        .help = "delete the VMs with their disks instead of stopping them"},
    {0},
};

static const struct cli_example examples[] = {
    {"stop all VMs of ./VMFile.kdl", "vmctl down"},
    {"delete them, disks included", "vmctl down --destroy"},
    {0},
};

const struct cli_command cmd_down = {
    .name = "down",
    .group = "VMs of a VMFile",
    .summary = "Take VMs of VMFile.kdl down",
    .details =
        "Asks each guest to power down and gives it 30 seconds before its machine is switched "
        "off. `vmctl up` starts it again.",
    .options = options,
    .examples = examples,
    .run = run,
};
