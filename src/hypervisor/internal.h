#pragma once

#include "hypervisor/hypervisor.h"

#include <pthread.h>

struct vmm_hypervisor {
    char *data_dir;
    enum vmm_backend default_backend;
    int cancel_fd;        /* see hypervisor_set_cancel_fd */
    pthread_mutex_t lock; /* over note */
    char *note;
};

/* Adds a line to what people should be told. Takes `note`. */
void hypervisor_put_note(struct vmm_hypervisor *h, char *note);

/* What every backend's prepare begins with: a handle filled from the spec and the reservation (or
 * freshly drawn numbers), no file made yet. */
struct vmm_handle *handle_from_spec(const struct vmm_hypervisor *h,
    const struct vmm_spec *spec,
    const struct hypervisor_reservation *reservation);

/* Keys, known hosts and the seed ISO in vm->work_dir; fills the handle's ssh and seed fields. Does
 * nothing when the spec has no cloud-init block. */
int prepare_seed(const struct vmm_spec *spec, struct vmm_handle *vm, struct vmm_error **errp);
