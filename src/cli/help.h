/* What the tables say, as text. */
#pragma once

#include "base/buf.h"
#include "cli/options.h"

struct help_style {
    bool has_colour;
    unsigned width; /* columns; 0: 80. Lines are never made longer than 100 */
};

/* `path` are command and subcommand, `depth` of them; 0 is the tool itself. */
void help_render(struct buf *out,
    const struct cli_tool *tool,
    const struct cli_command *const *path,
    unsigned depth,
    const struct help_style *style);
/* Environment variables and exit codes. */
void help_render_environment(
    struct buf *out, const struct cli_tool *tool, const struct help_style *style);

/* SYNOPSIS and OPTIONS of a man page in scdoc's format, to check the pages against. */
void help_render_scdoc(struct buf *out,
    const struct cli_tool *tool,
    const struct cli_command *const *path,
    unsigned depth);
