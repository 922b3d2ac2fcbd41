/* How to log in to a VM: address, user, key and the host key to expect, resolved as the reference
 * says. Used by our own sessions and by the hand-over to the system's ssh. */
#pragma once

#include "hypervisor/hypervisor.h"
#include "machine/machine.h"
#include "ssh/ssh.h"

struct login {
    char *host;
    unsigned port;
    char *user;
    char *key_path;         /* NULL: none was found */
    char *known_hosts_path; /* the VM's own */
    char *alias;            /* the name its host key is pinned under */
    bool is_pinned;         /* the key was given to the guest; otherwise the first one is pinned */
};

/* What a command line may override; NULL or zeroed: nothing. */
struct login_opts {
    const char *user;
    const char *key_path;
};

int login_resolve(struct machine_env *env,
    const struct vmm_handle *vm,
    const struct login_opts *opts,
    struct login *ret,
    struct vmm_error **errp);
void login_done(struct login *l);

/* The same for our own client. Reads the key; the target borrows from both. */
int login_target(const struct login *l,
    struct buf *key_text,
    struct ssh_target *ret_target,
    struct vmm_error **errp);
