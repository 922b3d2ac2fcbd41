#include "vmctl.h"

#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/error.h"
#include "cli/diagnostics.h"
#include "cli/progress.h"
#include "machine/up.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/* Everything one run of `up` holds. */
struct up_command {
    struct machine_env env;
    struct vmm_vmfile *file;
    const struct vmm_vmdef **defs;
    struct vmm_spec *specs;
    struct vmm_provision **provisions;
    struct up_item *items;
    size_t count;
    struct progress *progress;
};

static void up_command_done(struct up_command *c)
{
    progress_free(c->progress);
    for (size_t i = 0; i < c->count; i++) {
        vmm_error_free(c->items[i].error);
        for (size_t k = 0; k < c->items[i].provision_count; k++)
            vmm_provision_done(&c->provisions[i][k]);
        free(c->provisions[i]);
        vmm_spec_done(&c->specs[i]);
    }
    free(c->items);
    free(c->provisions);
    free(c->specs);
    free(c->defs);
    vmm_vmfile_free(c->file);
    machine_env_done(&c->env);
}

static void on_state(void *arg, size_t item, const char *what)
{
    struct up_command *c = arg;
    progress_set(c->progress, (int)item, what, -1);
}

static void on_output(void *arg, size_t item, bool is_stderr, const char *bytes, size_t n)
{
    (void)is_stderr;
    struct up_command *c = arg;
    progress_feed(c->progress, (int)item, bytes, n);
}

static void on_note(void *arg, const char *note)
{
    struct up_command *c = arg;
    progress_log(c->progress, PROGRESS_NO_ROW, note);
}

static void on_end(void *arg, size_t item, enum up_outcome outcome)
{
    struct up_command *c = arg;
    static const struct {
        enum progress_outcome outcome;
        const char *text;
    } ends[] = {
        [UP_FAILED] = {PROGRESS_FAILED, NULL}, /* what went wrong is told whole at the end */
        [UP_SKIPPED] = {PROGRESS_SKIPPED, "runs already"},
        [UP_DONE] = {PROGRESS_OK, "up"},
    };
    progress_feed_end(c->progress, (int)item);
    progress_done(c->progress, (int)item, ends[outcome].outcome, ends[outcome].text);
}

/* Everything that can be found wrong is found before the first VM is touched. */
static int resolve_all(struct up_command *c, struct vmm_error **errp)
{
    c->specs = xcalloc(c->count, sizeof(*c->specs));
    c->items = xcalloc(c->count, sizeof(*c->items));
    c->provisions = xcalloc(c->count, sizeof(*c->provisions));
    int r = 0;
    for (size_t i = 0; r == 0 && i < c->count; i++) {
        c->items[i].spec = &c->specs[i];
        c->items[i].vmfile_path = vmm_vmfile_path(c->file);
        r = vmm_vmfile_resolve(c->file, c->defs[i], &c->specs[i], errp);
        if (r == 0)
            r = vmm_vmfile_provisions(
                c->file, c->defs[i], &c->provisions[i], &c->items[i].provision_count, errp);
        c->items[i].provisions = c->provisions[i];
    }
    return r;
}

static void start_progress(struct up_command *c)
{
    const char **names = xcalloc(c->count, sizeof(*names));
    for (size_t i = 0; i < c->count; i++)
        names[i] = c->defs[i]->name;
    c->progress = progress_new(STDERR_FILENO, names, c->count, NULL);
    free(names);
}

/* The first failure becomes the command's; the others are shown here. */
static int report(struct up_command *c, struct vmm_error **errp)
{
    int r = 0;
    for (size_t i = 0; i < c->count; i++) {
        struct vmm_error *error = TAKE_PTR(c->items[i].error);
        if (!error)
            continue;
        if (r == 0) {
            r = -(int)vmm_error_code(error);
            *errp = error;
        } else {
            diagnostics_print(error);
            vmm_error_free(error);
        }
    }
    return r;
}

static int run(const struct cli_input *in, struct vmm_error **errp)
{
    __attribute__((cleanup(up_command_done))) struct up_command c = {0};
    int r = open_vmfile(in, VMFILE_TO_MAKE, &c.file, errp);
    if (r == 0)
        r = pick_vms(in, c.file, &c.defs, &c.count, errp);
    if (r == 0)
        r = resolve_all(&c, errp);
    if (r == 0)
        r = machine_env_open(&c.env, true, errp);
    if (r < 0)
        return r;
    const struct up_events events = {
        .on_state = on_state,
        .on_output = on_output,
        .on_note = on_note,
        .on_end = on_end,
        .arg = &c,
    };
    start_progress(&c);
    machine_up(&c.env, c.items, c.count,
        &(struct up_opts){
            .no_provision = cli_flag(in, "no-provision"),
            .no_wait = cli_flag(in, "no-wait"),
            .cancel_fd = interrupt_fd(),
            .events = &events,
        });
    progress_free(TAKE_PTR(c.progress));
    return report(&c, errp);
}

static const struct cli_option options[] = {
    OPTION_FILE,
    OPTION_NAME,
    {.name = "no-provision", .kind = CLI_FLAG, .help = "skip the provision steps"},
    {.name = "no-wait", .kind = CLI_FLAG, .help = "return when the VMs run, before one can log in"},
    {0},
};

static const struct cli_example examples[] = {
    {"all VMs of ./VMFile.kdl", "vmctl up"},
    {"one of them", "vmctl up --name web"},
    {0},
};

const struct cli_command cmd_up = {
    .name = "up",
    .group = "VMs of a VMFile",
    .summary = "Bring VMs up from VMFile.kdl",
    .details =
        "Makes the VMs that do not exist, starts those that do not run, waits until one can log "
        "in where there is an ssh block, and runs the provision steps. A VM that runs already "
        "is left alone. Several VMs come up in parallel.",
    .options = options,
    .examples = examples,
    .run = run,
};
