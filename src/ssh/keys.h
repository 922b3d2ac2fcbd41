/* Public keys and known_hosts lines as text: checked, compared, fingerprinted. No private key comes
 * here. The lines are those of OpenSSH; hashed names and certificates are not read. */
#pragma once

#include "base/buf.h"

#include <stdbool.h>

struct public_key { /* views into the line */
    struct str type;
    struct str base64;
    struct str comment;
};

/* One line "type base64 [comment]": a known type, base64 that decodes, and the same type inside it.
 */
bool public_key_parse(struct str line, struct public_key *ret);

/* Strict: padded, no white space. Appends. */
bool base64_decode(struct str text, struct buf *out);

/* "SHA256:..." of a key that public_key_parse took. The caller owns it. */
char *public_key_fingerprint(struct str base64);

/* What a host is called in known_hosts: "host" or "[host]:port". The caller owns it. */
char *known_hosts_name(const char *host, unsigned port);

enum known_hosts_verdict {
    KNOWN_HOSTS_ABSENT, /* no line names this host */
    KNOWN_HOSTS_MATCH,
    KNOWN_HOSTS_DIFFERS, /* other keys are pinned, or this one is revoked */
};

/* Judges a key against the text of a known_hosts file. With DIFFERS, and when `pinned` is not NULL,
 * the fingerprints of the pinned keys are appended there, comma-separated. */
enum known_hosts_verdict known_hosts_check(
    struct str text, const char *name, const struct public_key *key, struct buf *pinned);

/* Appends the key types pinned for a host, comma-separated, as a client asks for them. */
void known_hosts_types(struct str text, const char *name, struct buf *out);
