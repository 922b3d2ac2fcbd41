/* vms.json: which VMs there are. Read whole, changed under a lock, written durably; 32 writers at
 * once lose nothing. A file that cannot be read is never overwritten: commands that only look
 * answer from the last good copy (vms.json.bak) and say so, commands that would change something
 * refuse. */
#pragma once

#include "base/clock.h"
#include "base/json.h"
#include "machine/home.h"
#include "vmm/types.h"

enum { STORE_LOCK_MS = 10000 };

struct store_snapshot {
    struct vmm_handle **vms; /* sorted by name */
    size_t count;
    struct vmm_error *warning; /* the file is damaged and this is the copy; NULL: all is well */
};

int store_read(const struct home *home, struct store_snapshot *ret, struct vmm_error **errp);
void store_snapshot_done(struct store_snapshot *s);

/* The VM of that name: a handle the caller owns, VMM_E_VM_NOT_FOUND (with a guess) otherwise. */
int store_find(
    const struct home *home, const char *name, struct vmm_handle **ret_vm, struct vmm_error **errp);
/* The same for commands that only look: from the copy when the file is damaged. */
int store_look(
    const struct home *home, const char *name, struct vmm_handle **ret_vm, struct vmm_error **errp);

/* Changes the whole under the lock: `change` gets the name -> record object and says 0, or fails
 * and nothing is written. */
int store_change(const struct home *home,
    int (*change)(const struct home *home, json_t *records, void *arg, struct vmm_error **errp),
    void *arg,
    struct vmm_error **errp);

/* The common changes. */
int store_put(const struct home *home, const struct vmm_handle *vm, struct vmm_error **errp);
int store_remove(const struct home *home, const char *name, struct vmm_error **errp);
