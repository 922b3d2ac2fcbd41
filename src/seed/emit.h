/* JSON that YAML readers read as the same values (security.md 0.9). JSON is YAML's subset except in
 * its escapes: PyYAML refuses DEL and the C1 controls as they are, reads U+0085, U+2028 and U+2029
 * as line ends, drops a byte order mark, and does not join \uD83D\uDE00 into one character. So
 * those go out as \uXXXX, and characters past U+FFFF as they are. */
#pragma once

#include "base/buf.h"
#include "base/str.h"

#include <jansson.h>

/* Appends the quoted string. What is no UTF-8 becomes U+FFFD. */
void emit_string(struct buf *out, struct str text);

/* Appends an object, array, string or boolean and what is in it, indented for people; keys stay in
 * their order. Anything else is a mistake of the caller's and aborts. */
void emit_json(struct buf *out, const json_t *value);
