/* One line of an SSH public key file, checked (security.md K-7). */
#pragma once

#include "base/str.h"

#include <stdbool.h>

/* NULL when `line` is a sound public key: a known type, base64 that decodes to that type and the
 * number of parts it has, perhaps a comment. Otherwise what is wrong, as the end of the sentence
 * "SSH public key N ...". White space at the end is fine. Static. */
const char *pubkey_flaw(struct str line);

/* The type, "ssh-ed25519"; absent when there is none. A view into `line`. */
struct str pubkey_type(struct str line);
