/* Bringing several VMs up at once: each by a thread of its own, as many boots at a time as the host
 * carries, each going on as far as it can whatever happens to the others. */
#pragma once

#include "machine/machine.h"

enum up_outcome {
    UP_FAILED,
    UP_SKIPPED, /* it ran already */
    UP_DONE,
};

struct up_item {
    const struct vmm_spec *spec;
    const struct vmm_provision *provisions;
    size_t provision_count;
    const char *vmfile_path; /* may be NULL */
    /* Filled by machine_up. */
    enum up_outcome outcome;
    struct vmm_error *error; /* the caller's when FAILED */
};

/* Called from the items' threads, possibly at the same time. `item` is its index. */
struct up_events {
    void (*on_state)(void *arg, size_t item, const char *what);
    void (*on_output)(void *arg, size_t item, bool is_stderr, const char *bytes, size_t n);
    void (*on_note)(void *arg, const char *note);
    void (*on_end)(void *arg, size_t item, enum up_outcome outcome);
    void *arg;
};

struct up_opts {
    bool no_provision;
    bool no_wait; /* return as soon as QEMU runs */
    int cancel_fd;
    const struct up_events *events;
};

/* 0 when every item is DONE or SKIPPED, -1 otherwise; the errors are in the items. */
int machine_up(
    struct machine_env *env, struct up_item *items, size_t count, const struct up_opts *opts);
