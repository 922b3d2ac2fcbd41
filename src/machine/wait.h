/* Waiting for a guest, with an eye on everything that tells how it does: its process, its console,
 * its firmware, its sshd. Every wait ends: at once when the guest cannot go on, otherwise when it
 * has made no progress for a while; and it says on which rung the guest stood, shows its last lines
 * and what to try. */
#pragma once

#include "machine/ladder.h"
#include "machine/login.h"

struct wait_opts {
    /* Told when the phrase to show changes ("waiting for sshd"). May be NULL. */
    void (*on_progress)(void *arg, const char *phrase);
    void *arg;
    /* We have just booted it: what its console says is of this boot and to be believed at once. */
    bool is_fresh_boot;
    int cancel_fd; /* readable: give up (VMM_E_INTERRUPTED); 0 or less: none */
    /* Fails after this long whatever the guest does; 0: as long as it makes progress. */
    int64_t limit_ms;
};

/* Until one can log in. The caller owns the session. */
int wait_login(struct machine_env *env,
    const struct vmm_handle *vm,
    const struct login_opts *login,
    const struct wait_opts *opts,
    struct ssh_session **ret_session,
    struct vmm_error **errp);

/* Until cloud-init has ended in the guest; its failure is ours, with the module and its log lines.
 * A guest without cloud-init is fine. */
int wait_cloud_init(const struct vmm_handle *vm,
    struct ssh_session *session,
    const struct wait_opts *opts,
    struct vmm_error **errp);
