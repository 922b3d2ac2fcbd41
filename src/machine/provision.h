/* The steps run in a guest after boot: in order, streamed, logged, stopping at the first failure.
 */
#pragma once

#include "machine/machine.h"
#include "ssh/ssh.h"

struct provision_opts {
    /* "step 2 of 3: shell"; may be NULL. */
    void (*on_step)(void *arg, const char *what);
    /* Output as it comes, a stranger's bytes; may be NULL. */
    void (*on_output)(void *arg, bool is_stderr, const char *bytes, size_t n);
    void *arg;
    int cancel_fd;
};

/* Output is also appended to provision.log in the VM's folder. */
int provision_run(const struct vmm_handle *vm,
    struct ssh_session *session,
    const struct vmm_provision *steps,
    size_t count,
    const struct provision_opts *opts,
    struct vmm_error **errp);
