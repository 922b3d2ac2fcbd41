/* For this folder only: a helper process and the session around it. */
#pragma once

#include "base/clock.h"
#include "ssh/proto.h"
#include "ssh/ssh.h"

#include <sys/types.h>

struct helper {
    struct wire wire;
    pid_t pid; /* ours and not yet waited for: nobody else can have it */
    bool said_hello;
    char confinement[64];
};

struct ssh_session {
    struct helper *helper; /* NULL once it is gone */
    char *host_key;        /* fingerprint */
    char *name;            /* "user@host port n", for messages */
};

/* Starts `vmm-ssh`; its HELLO comes later. VMM_E_HELPER. */
int helper_open(struct helper **ret, struct vmm_error **errp);
/* Closes its socket, which ends it, and waits for that: at most `patience_ms`, then it is killed.
 * NULL is fine. Returns the wait status, or -1 when it is not known. */
int helper_close(struct helper *h, int patience_ms);
/* Notes what a HELLO says. False: another version. */
bool helper_hello(struct helper *h, struct str body);

/* The next frame, sending what is queued meanwhile. 0; -ETIMEDOUT; -ECANCELED: cancel_fd; -EPIPE:
 * the helper ended; -EPROTO: it sent what is no frame; -errno. */
int helper_receive(
    struct helper *h, struct deadline deadline, int cancel_fd, struct wire_frame *ret_frame);

/* A guest's words for a message of ours: one line, sanitized, at most some 200 bytes. Appends. */
void guest_words(struct buf *out, struct str text);

/* Ends the session's helper after it misbehaved or died, and says so with VMM_E_SSH "connection".
 */
int session_lost(struct ssh_session *s, const char *doing, int why, struct vmm_error **errp);
