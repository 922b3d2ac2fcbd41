/* Names that become paths and arguments (VMs, later labs, segments, snapshots), and suggestions for
 * mistyped words. */
#pragma once

#include "base/str.h"
#include "vmm/error.h"

#include <stdbool.h>

enum { NAME_MAX_BYTES = 63 };

/* Letters, digits, `.`, `_`, `-`, first a letter or digit, at most NAME_MAX_BYTES. Checked where a
 * name enters and again when it comes back from a file (security.md A-3). */
bool name_is_valid(struct str name);
/* As name_is_valid, with an error that says what is wrong with which `kind` of name. */
int name_check(const char *kind, const char *name, struct vmm_error **errp);

/* RFC 1123: labels of letters, digits and `-`, joined by dots, 253 in all. */
bool hostname_is_valid(struct str name);
/* ^[a-z_][a-z0-9_-]{0,31}$ (security.md K-7). */
bool username_is_valid(struct str name);

/* The one of `known` (NULL-terminated) closest to `word`, or NULL when none is close enough to be
 * worth a guess. */
const char *suggest(struct str word, const char *const *known);
