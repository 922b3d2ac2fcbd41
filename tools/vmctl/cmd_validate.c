#include "vmctl.h"

#include "base/buf.h"
#include "base/json.h"
#include "cli/output.h"

static int run(const struct cli_input *in, struct vmm_error **errp)
{
    cleanup_vmfile struct vmm_vmfile *file = NULL;
    const int r = open_vmfile(in, VMFILE_TO_MAKE, &file, errp);
    if (r < 0)
        return r;
    const size_t count = vmm_vmfile_count(file);
    if (cli_flag(in, "json")) {
        cleanup_json json_t *j = json_object();
        json_t *names = json_array();
        for (size_t i = 0; i < count; i++)
            json_array_append_new(names, json_string(vmm_vmfile_vm(file, i)->name));
        json_put_string(j, "file", vmm_vmfile_path(file));
        json_put(j, "vms", names);
        output_json(j, /* is_indented */ true);
    } else {
        cleanup_buf struct buf out = {0};
        buf_addf(
            &out, "%s is valid: %zu VM%s\n", vmm_vmfile_path(file), count, count == 1 ? "" : "s");
        output_buf(&out);
    }
    return 0;
}

static const struct cli_option options[] = {OPTION_FILE, OPTION_JSON, {0}};

static const struct cli_example examples[] = {
    {NULL, "vmctl validate"},
    {NULL, "vmctl validate --file path/to/VMFile.kdl --json"},
    {0},
};

const struct cli_command cmd_validate = {
    .name = "validate",
    .group = "VMs of a VMFile",
    .summary = "Check a VMFile and change nothing",
    .details =
        "Reports every mistake of the file in one run, each with its place. Exit status 2 when "
        "there are any.",
    .options = options,
    .examples = examples,
    .run = run,
};
