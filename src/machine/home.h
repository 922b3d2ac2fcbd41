/* Where our data is: $XDG_DATA_HOME/vmctl, as the reference draws it. */
#pragma once

#include "vmm/error.h"

struct home {
    char *root;  /* .../vmctl */
    char *vms;   /* .../vmctl/vms */
    char *store; /* .../vmctl/vms.json */
};

/* Finds the folder and makes it when `want_create`; without that a missing one is an empty one. */
int home_open(struct home *home, bool want_create, struct vmm_error **errp);
void home_done(struct home *home);
