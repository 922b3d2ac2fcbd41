/* Results on stdout. Everything goes through stdio's stdout, so printf may be mixed in; what went
 * wrong with it is remembered and told once, at the end, by cli_main. A command that writes
 * without end (a log that is followed) stops when one of these fails. */
#pragma once

#include "base/buf.h"
#include "vmm/error.h"

#include <jansson.h>
#include <stdbool.h>
#include <stdio.h>

/* Writes and flushes. 0 or -errno: -EPIPE when the reader has gone. */
int output_write(struct str s);
/* Text for people: what is in the buffer, already sanitized. */
int output_buf(const struct buf *b);
/* One value and a newline, compact or indented by two. Keys keep the order they were put in. What a
 * terminal might obey inside of a string is written as \u escapes; the JSON is the same. `value` is
 * borrowed. */
int output_json(const json_t *value, bool is_indented);
/* The same into a buffer. */
void output_json_to(struct buf *out, const json_t *value, bool is_indented);

/* Opens /dev/null in place of a missing 0, 1 or 2, so that no file we open later becomes somebody's
 * stdout. Writing to such a stdout still fails. Called by cli_main. */
void output_guard_descriptors(void);
/* Everything written so far has arrived: flushes and closes stdout, because a full disk may speak
 * up only then. A reader that left (`| head`) is no error. Called by cli_main. */
int output_finish(FILE *stream, struct vmm_error **errp);
