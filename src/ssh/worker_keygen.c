#include "base/cleanup.h"
#include "ssh/worker.h"

#include <stdlib.h>
#include <string.h>

/* One pair. False: libssh would not. */
static bool make_pair(struct worker *w, const char *comment)
{
    ssh_key key = NULL;
    char *private_text = NULL;
    char *public_text = NULL;
    const bool is_made =
        ssh_pki_generate(SSH_KEYTYPE_ED25519, 0, &key) == SSH_OK &&
        ssh_pki_export_privkey_base64(key, NULL, NULL, NULL, &private_text) == SSH_OK &&
        ssh_pki_export_pubkey_base64(key, &public_text) == SSH_OK;
    if (is_made) {
        wire_put_secret(&w->wire, MSG_PRIVATE, private_text, strlen(private_text));
        cleanup_buf struct buf line = {0};
        buf_addf(&line, "%s %s", ssh_key_type_to_char(ssh_key_type(key)), public_text);
        if (*comment)
            buf_addf(&line, " %s", comment);
        wire_put(&w->wire, MSG_PUBLIC, line.p, line.n);
    }
    if (private_text)
        explicit_bzero(private_text, strlen(private_text));
    ssh_string_free_char(private_text);
    ssh_string_free_char(public_text);
    ssh_key_free(key);
    return is_made;
}

void keygen_run(struct worker *w, struct str body)
{
    struct msg_keygen m;
    if (msg_keygen_decode(body, &m)) {
        for (unsigned i = 0; i < m.count && make_pair(w, m.comments[i]); i++)
            continue;
        json_decref(m.json);
    }
    w->state = WORKER_OVER;
}
