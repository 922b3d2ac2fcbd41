/* The frame every tool's main() stands in. */
#pragma once

#include "cli/options.h"

/* Parses, runs the command, prints what went wrong, and returns what to exit with: 0 done, 1
 * failed, 2 asked wrongly, 124 timed out, 130 interrupted, or the command's own status.
 *
 * Errors go to stderr: as text, or, when the command has an option `json` and it was given, as one
 * line {"errors": [...]} (see cli_error_json), so that stdout holds results or nothing.
 *
 * A reader that leaves early (`| head`, `| grep -q`) is no failure: the status is the command's
 * own, without a word. SIGPIPE is ignored from here on: a VM must not be left half made because
 * nobody reads the news any more, and with `set -o pipefail` `vmctl list | grep -q web` is true
 * exactly when there is a web. Whoever execs a program in this process must set SIGPIPE back to
 * its default. */
int cli_main(const struct cli_tool *tool, int argc, char **argv);
