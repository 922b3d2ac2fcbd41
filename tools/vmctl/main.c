/* vmctl: virtual machines on Linux from a plain file. One file per command:
 *
 *   cmd_up.c        bring VMs of a VMFile up           cmd_list.c      the VMs there are
 *   cmd_down.c      take them down                     cmd_status.c    all about one
 *   cmd_ssh.c       enter one                          cmd_log.c       what it printed
 *   cmd_destroy.c   delete one                         cmd_validate.c  check a VMFile
 *   cmd_power.c     start, stop, suspend, resume       common.c        what they share
 */
#include "cli/main.h"
#include "vmctl.h"

#include <sys/stat.h>

static const struct cli_command *const commands[] = {
    &cmd_up,
    &cmd_down,
    &cmd_validate,
    &cmd_ssh,
    &cmd_list,
    &cmd_status,
    &cmd_log,
    &cmd_start,
    &cmd_stop,
    &cmd_suspend,
    &cmd_resume,
    &cmd_destroy,
    NULL,
};

static const struct cli_note environment[] = {
    {"XDG_DATA_HOME", "where VMs are kept, in its folder vmctl (default: ~/.local/share)"},
    {"VMCTL_ACCEL", "auto, kvm or tcg: goes before a VMFile's accel"},
    {"VMCTL_TIMEOUT", "seconds a booting guest may make no progress"},
    {"VMCTL_BACKEND", "noop: keep books, start nothing"},
    {"VMCTL_LOG",
        "error, warn, info, debug or trace; also module=level,... (RUST_LOG is read too)"},
    {"NO_COLOR", "no colours"},
    {0},
};

static const struct cli_note exit_codes[] = {
    {"0", "done"},
    {"1", "failed"},
    {"2", "asked wrongly: the command line or the VMFile"},
    {"124", "timed out"},
    {"130", "interrupted"},
    {0},
};

static const struct cli_example examples[] = {
    {"bring up what VMFile.kdl says", "vmctl up"},
    {"enter the VM", "vmctl ssh"},
    {"delete it again", "vmctl down --destroy"},
    {0},
};

static const struct cli_tool tool = {
    .name = "vmctl",
    .version = VMM_VERSION,
    .summary = "Virtual machines on Linux from a plain file.",
    .commands = commands,
    .examples = examples,
    .environment = environment,
    .exit_codes = exit_codes,
};

int main(int argc, char **argv)
{
    umask(077);
    return cli_main(&tool, argc, argv);
}
