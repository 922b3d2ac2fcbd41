/* Shows errors: to people as text that points at the place, to programs as JSON. Everything in an
 * error may come from a file or a guest and is sanitized here. */
#pragma once

#include "base/buf.h"
#include "vmm/error.h"

#include <jansson.h>
#include <stdbool.h>

enum { DIAGNOSTICS_WIDTH_MAX = 200 };

struct diagnostics_style {
    bool has_colour;
    /* Columns there are; the line of source is cut to them, and to DIAGNOSTICS_WIDTH_MAX. 0: not a
     * terminal. */
    unsigned width;
    /* How many findings there were, if more than the chain holds. 0: not known. */
    unsigned found;
};

/* The error, its causes, and all further findings; of several, a closing line tells the count. */
void diagnostics_render(
    struct buf *out, const struct vmm_error *e, const struct diagnostics_style *style);
/* The same on stderr, as its terminal and the environment want it. */
void diagnostics_print(const struct vmm_error *e);
/* `warning: ...` on stderr: it happened, but. One line, sanitized. */
void diagnostics_warn(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/* An array with one object per finding: code, message, help, label, reason, details, errno, place
 * {file, line, column, offset_bytes, length_bytes}, cause (an object of the same kind). What is not
 * known is left out. The caller owns it. */
json_t *cli_error_json(const struct vmm_error *e);
