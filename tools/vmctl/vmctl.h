/* What the commands share. Each command is a file cmd_NAME.c with one `const struct cli_command`;
 * main.c lists them. Thin: options in, a call into libvmm, words out. */
#pragma once

#include "cli/options.h"
#include "machine/machine.h"
#include "vmm/vmfile.h"

#include <jansson.h>

extern const struct cli_command cmd_up, cmd_down, cmd_ssh, cmd_list, cmd_status, cmd_destroy,
    cmd_log, cmd_validate, cmd_start, cmd_stop, cmd_suspend, cmd_resume;

/* Options that stand in several commands. */
#define OPTION_FILE                                                             \
    {                                                                           \
        .name = "file", .letter = 'f', .kind = CLI_PATH, .placeholder = "PATH", \
        .help = "VMFile to use", .fallback = "VMFile.kdl", .completes = "file"  \
    }
#define OPTION_NAME                                                                       \
    {                                                                                     \
        .name = "name", .kind = CLI_STRING, .is_repeatable = true, .placeholder = "NAME", \
        .help = "only this VM of the file", .completes = "vm"                             \
    }
#define OPTION_JSON                                            \
    {                                                          \
        .name = "json", .kind = CLI_FLAG, .help = "print JSON" \
    }

static inline void machine_env_done_handler(struct machine_env *env)
{
    machine_env_done(env);
}
#define cleanup_env __attribute__((cleanup(machine_env_done_handler)))

static inline void vmfile_free_handler(struct vmm_vmfile **file)
{
    vmm_vmfile_free(*file);
}
#define cleanup_vmfile __attribute__((cleanup(vmfile_free_handler)))

enum vmfile_use {
    VMFILE_TO_MAKE, /* the files it names must be there */
    VMFILE_TO_NAME, /* only which VMs: an image deleted since must not keep anybody from stopping
                       one */
};

/* The VMFile that --file (or the folder) names, parsed. */
int open_vmfile(const struct cli_input *in,
    enum vmfile_use use,
    struct vmm_vmfile **ret_file,
    struct vmm_error **errp);

/* The definitions that --name picks, in the file's order; all without it. The caller frees the
 * array. A name the file does not have is an error that says which there are. */
int pick_vms(const struct cli_input *in,
    const struct vmm_vmfile *file,
    const struct vmm_vmdef ***ret_defs,
    size_t *ret_count,
    struct vmm_error **errp);

/* Readable once the user has asked us to stop (Ctrl-C, SIGTERM); asked twice, the process ends. */
int interrupt_fd(void);

/* One VM as --json shows it. The caller owns it. */
json_t *vm_to_json(const struct vmm_handle *vm, enum vmm_state state);
