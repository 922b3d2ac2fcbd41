#include "vmctl.h"

#include "base/alloc.h"
#include "base/buf.h"
#include "base/cleanup.h"
#include "base/error.h"
#include "base/fs.h"
#include "cli/lines.h"
#include "cli/output.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { LOG_MAX_BYTES = 32 << 20 }; /* more than any of our logs is allowed to hold */

/* Where lines go: a window over the last `wanted` of them, or straight out. */
struct tail {
    size_t wanted; /* 0: all */
    struct buf out;
    size_t lines;
};

static void take_line(void *arg, struct str line)
{
    struct tail *t = arg;
    buf_addstr(&t->out, line);
    buf_addc(&t->out, '\n');
    t->lines++;
}

/* A log and its older half, raw. */
static int read_log(
    const struct vmm_handle *vm, const char *name, struct buf *raw, struct vmm_error **errp)
{
    cleanup_free char *path = path_join(vm->work_dir, name);
    cleanup_free char *older = xasprintf("%s.1", path);
    int r = fs_read_file(older, LOG_MAX_BYTES, raw);
    if (r == 0 || r == -ENOENT)
        r = fs_read_file(path, LOG_MAX_BYTES, raw);
    return r == 0 || r == -ENOENT ? 0 : vmm_fail_io(errp, -r, "read", path);
}

/* The place from which `wanted` lines are left. */
static const char *last_lines(const struct tail *t)
{
    const char *p = buf_cstr(&t->out);
    for (size_t skip = t->wanted && t->lines > t->wanted ? t->lines - t->wanted : 0; skip; skip--)
        p = strchr(p, '\n') + 1;
    return p;
}

/* What a guest prints is a stranger's: every line is made safe for a terminal. */
static int print_log(
    const struct vmm_handle *vm, const char *name, size_t wanted, struct vmm_error **errp)
{
    cleanup_buf struct buf raw = {0};
    const int r = read_log(vm, name, &raw, errp);
    if (r < 0)
        return r;
    struct tail tail = {.wanted = wanted};
    cleanup_lines struct lines lines = {0};
    lines_feed(&lines, buf_cstr(&raw), raw.n, take_line, &tail);
    lines_finish(&lines, take_line, &tail);
    const char *from = last_lines(&tail);
    output_write(str_view(from));
    buf_done(&tail.out);
    return 0;
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
    const bool all = !cli_flag(in, "console") && !cli_flag(in, "provision");
    const size_t wanted = (size_t)cli_integer(in, "tail");
    if (all || cli_flag(in, "console"))
        r = print_log(vm, WORKDIR_CONSOLE_LOG, wanted, errp);
    if (r == 0 && (all || cli_flag(in, "provision")))
        r = print_log(vm, WORKDIR_PROVISION_LOG, wanted, errp);
    return r;
}

static const struct cli_option options[] = {
    {.name = "console",
        .kind = CLI_FLAG,
        .help = "only what the guest printed on its serial console"},
    {.name = "provision", .kind = CLI_FLAG, .help = "only what the provision steps printed"},
    {.name = "tail",
        .letter = 'n',
        .kind = CLI_INTEGER,
        .placeholder = "LINES",
        .fallback = "0",
        .help = "only the last lines of each (0: all)",
        .min = 0,
        .max = 1000000000},
    {0},
};

static const struct cli_argument arguments[] = {
    {.placeholder = "NAME", .help = "the VM", .presence = CLI_REQUIRED, .completes = "vm"},
    {0},
};

static const struct cli_example examples[] = {
    {"how the last boot went", "vmctl log web --console --tail 50"},
    {0},
};

const struct cli_command cmd_log = {
    .name = "log",
    .group = "Single VMs",
    .summary = "Show what a VM printed",
    .options = options,
    .arguments = arguments,
    .examples = examples,
    .run = run,
};
