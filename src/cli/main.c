/* Reading order of this folder: options.h (the tables), parse.c (the walk over argv), usage.c (its
 * errors), input.c (what a command asks), help.c and scdoc.c (the tables as text); diagnostics.c
 * with snippet.c; progress.c with progress_draw.c and lines.c; table.c; output.c; and what all of
 * them stand on: terminal.c and text.c. */
#include "cli/main.h"
#include "base/error.h"
#include "base/fs.h"
#include "base/json.h"
#include "cli/diagnostics.h"
#include "cli/help.h"
#include "cli/internal.h"
#include "cli/output.h"
#include "cli/terminal.h"

#include <signal.h>
#include <unistd.h>

static struct help_style style_for(int fd)
{
    const struct terminal t = terminal_inspect(fd, NULL);
    return (struct help_style){.has_colour = t.has_colour, .width = t.is_terminal ? t.width : 0};
}

static int show_help(const struct cli_input *in)
{
    const struct help_style style = style_for(STDOUT_FILENO);
    cleanup_buf struct buf out = {0};
    if (in->outcome == CLI_OUTCOME_ENVIRONMENT)
        help_render_environment(&out, in->tool, &style);
    else
        help_render(&out, in->tool, in->path, in->depth, &style);
    output_buf(&out);
    return 0;
}

/* No command at all is a mistake (an empty variable in a script), but whoever typed it is looking
 * for the list of commands. */
static int show_help_as_error(const struct cli_input *in)
{
    const struct help_style style = style_for(STDERR_FILENO);
    cleanup_buf struct buf out = {0};
    help_render(&out, in->tool, in->path, in->depth, &style);
    (void)fs_write_all(STDERR_FILENO, out.p, out.n);
    return 2;
}

static int show_version(const struct cli_tool *tool)
{
    cleanup_buf struct buf out = {0};
    buf_addf(&out, "%s %s\n", tool->name, tool->version);
    output_buf(&out);
    return 0;
}

static void report_json(const struct vmm_error *e)
{
    cleanup_json json_t *object = json_object();
    json_put(object, "errors", cli_error_json(e));
    cleanup_buf struct buf out = {0};
    output_json_to(&out, object, /* is_indented */ false);
    (void)fs_write_all(STDERR_FILENO, out.p, out.n);
}

static int report(const struct cli_input *in, const struct vmm_error *e)
{
    fflush(stdout); /* results before the error, where both go to one place */
    const bool has_json = in->depth > 0 && cli_find_option(in, STR("json"));
    if (has_json && cli_given(in, "json"))
        report_json(e);
    else
        diagnostics_print(e);
    return vmm_error_exit_status(e);
}

static int dispatch(const struct cli_input *in, struct vmm_error **errp)
{
    switch (in->outcome) {
    case CLI_OUTCOME_HELP:
    case CLI_OUTCOME_ENVIRONMENT:
        return show_help(in);
    case CLI_OUTCOME_VERSION:
        return show_version(in->tool);
    case CLI_OUTCOME_RUN:
        break;
    }
    if (cli_commands_here(in))
        return show_help_as_error(in);
    return cli_command(in)->run(in, errp);
}

int cli_main(const struct cli_tool *tool, int argc, char **argv)
{
    output_guard_descriptors();
    signal(SIGPIPE, SIG_IGN);

    struct cli_input in;
    cleanup_error struct vmm_error *error = NULL;
    int status = cli_parse(&in, tool, argc, argv, &error);
    if (status == 0)
        status = dispatch(&in, &error);
    if (error)
        status = report(&in, error);
    else if (status < 0)
        status = 1;

    cleanup_error struct vmm_error *lost = NULL;
    if (output_finish(stdout, &lost) < 0) {
        diagnostics_print(lost);
        status = status ? status : 1;
    }
    cli_input_done(&in);
    return status;
}
