#include "machine/store.h"
#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/error.h"
#include "base/fs.h"
#include "base/log.h"
#include "base/name.h"
#include "base/vec.h"
#include "machine/record.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { STORE_MAX_BYTES = 64 << 20 }; /* some 60,000 VMs */

static int damaged(const char *path, const char *why, int line, struct vmm_error **errp)
{
    cleanup_free char *backup = xasprintf("%s.bak", path);
    cleanup_free char *help = NULL;
    if (access(backup, F_OK) == 0)
        help =
            xasprintf("Nothing was changed. %s holds the state before the last change: compare the "
                      "two, then run `mv %s %s`.",
                backup, backup, path);
    else
        help = xasprintf(
            "Nothing was changed. Mend the file by hand, or move it away: VMs whose folders "
            "are in %.*s/vms are then no longer known.",
            (int)(strrchr(path, '/') - path), path);
    return vmm_fail(errp, &(struct diag){.code = VMM_E_STORE_CORRUPT, .help = help},
        "the registry \"%s\" is damaged: %s (line %d)", path, why, line);
}

/* The records of a file; an empty object when there is none. */
static int load(const char *path, json_t **ret_records, struct vmm_error **errp)
{
    cleanup_buf struct buf text = {0};
    const int r = fs_read_file(path, STORE_MAX_BYTES, &text);
    if (r == -ENOENT) {
        *ret_records = json_object();
        return 0;
    }
    if (r < 0)
        return vmm_fail_io(errp, -r, "read the registry", path);
    json_error_t where;
    json_t *records = json_parse((struct str){text.p, text.n}, &where);
    if (!records)
        return damaged(path, text.n ? where.text : "it is empty", where.line, errp);
    if (!json_is_object(records)) {
        json_decref(records);
        return damaged(path, "it holds no object", 1, errp);
    }
    *ret_records = records;
    return 0;
}

static int by_name(const void *a, const void *b)
{
    const struct vmm_handle *const *x = a, *const *y = b;
    return strcmp((*x)->name, (*y)->name);
}

/* The records, or those of the copy when the file is damaged: then *ret_warning is set. */
static int load_or_copy(const struct home *home,
    json_t **ret_records,
    struct vmm_error **ret_warning,
    struct vmm_error **errp)
{
    cleanup_error struct vmm_error *problem = NULL;
    const int r = load(home->store, ret_records, &problem);
    if (r == 0)
        return 0;
    cleanup_free char *backup = xasprintf("%s.bak", home->store);
    const bool is_damaged = r == -(int)VMM_E_STORE_CORRUPT;
    if (is_damaged && access(backup, F_OK) == 0 && load(backup, ret_records, NULL) == 0) {
        *ret_warning = TAKE_PTR(problem);
        return 0;
    }
    if (errp)
        *errp = TAKE_PTR(problem);
    return r;
}

int store_read(const struct home *home, struct store_snapshot *ret, struct vmm_error **errp)
{
    cleanup_json json_t *records = NULL;
    cleanup_error struct vmm_error *warning = NULL;
    const int r = load_or_copy(home, &records, &warning, errp);
    if (r < 0)
        return r;
    VEC(struct vmm_handle *) vms = {0};
    const char *name;
    json_t *record;
    json_object_foreach(records, name, record)
    {
        struct vmm_handle *vm = record_decode(name, record, home->vms);
        if (vm)
            vec_push(&vms, vm);
    }
    if (vms.n)
        qsort(vms.v, vms.n, sizeof(*vms.v), by_name);
    *ret = (struct store_snapshot){.vms = vms.v, .count = vms.n, .warning = TAKE_PTR(warning)};
    return 0;
}

void store_snapshot_done(struct store_snapshot *s)
{
    for (size_t i = 0; i < s->count; i++)
        vmm_handle_free(s->vms[i]);
    free(s->vms);
    vmm_error_free(s->warning);
    *s = (struct store_snapshot){0};
}

static int not_found(const char *name, const json_t *records, struct vmm_error **errp)
{
    const char **known = xcalloc(json_object_size(records) + 1, sizeof(*known));
    size_t n = 0;
    const char *key;
    json_t *ignored;
    json_object_foreach((json_t *)records, key, ignored)
    {
        known[n++] = key;
    }
    const char *guess = suggest(str_view(name), known);
    cleanup_free char *help =
        guess ? xasprintf("Did you mean \"%s\"? `vmctl list` shows the VMs there are.", guess)
              : NULL;
    free(known);
    return vmm_fail(errp, &(struct diag){.code = VMM_E_VM_NOT_FOUND, .help = help},
        "there is no VM \"%s\"", name);
}

static int decode_one(const struct home *home,
    const char *name,
    const json_t *records,
    struct vmm_handle **ret_vm,
    struct vmm_error **errp)
{
    const json_t *record = json_object_get(records, name);
    struct vmm_handle *vm = record ? record_decode(name, record, home->vms) : NULL;
    if (!vm)
        return not_found(name, records, errp);
    *ret_vm = vm;
    return 0;
}

int store_find(
    const struct home *home, const char *name, struct vmm_handle **ret_vm, struct vmm_error **errp)
{
    cleanup_json json_t *records = NULL;
    int r = name_check("VM", name, errp);
    if (r == 0)
        r = load(home->store, &records, errp);
    return r < 0 ? r : decode_one(home, name, records, ret_vm, errp);
}

int store_look(
    const struct home *home, const char *name, struct vmm_handle **ret_vm, struct vmm_error **errp)
{
    cleanup_json json_t *records = NULL;
    cleanup_error struct vmm_error *warning = NULL;
    int r = name_check("VM", name, errp);
    if (r == 0)
        r = load_or_copy(home, &records, &warning, errp);
    if (warning)
        log_warn("store", "%s; this is from vms.json.bak, the copy before the last change",
            vmm_error_message(warning));
    return r < 0 ? r : decode_one(home, name, records, ret_vm, errp);
}

/* VMs that are just being made are no part of the copy: whoever goes back to it would have them
 * cleared away as half made, when they have long been finished. NULL: there are none. */
static json_t *without_half_made(const json_t *records)
{
    json_t *settled = NULL;
    const char *name;
    json_t *record;
    json_object_foreach((json_t *)records, name, record)
    {
        const char *state = json_get_string(record, "state");
        if (!state || strcmp(state, vmm_state_name(VMM_STATE_PREPARING)) != 0)
            continue;
        if (!settled)
            settled = json_copy((json_t *)records);
        json_object_del(settled, name);
    }
    return settled;
}

/* The state before this change stays as vms.json.bak: a link to the file, which is never written
 * again. Not made durable: it is for a file that got damaged, and a power cut does not damage that.
 */
static int keep_copy(const struct home *home, const json_t *records, struct vmm_error **errp)
{
    cleanup_free char *backup = xasprintf("%s.bak", home->store);
    cleanup_free char *fresh = xasprintf("%s.new", backup);
    cleanup_json json_t *settled = without_half_made(records);
    unlink(fresh); /* of a killed predecessor; we hold the lock */
    const bool is_made = settled
                             ? json_dump_file(settled, fresh, JSON_INDENT(2) | JSON_SORT_KEYS) == 0
                             : link(home->store, fresh) == 0;
    if (!is_made)
        return errno == ENOENT ? 0 : vmm_fail_io(errp, errno, "keep a copy of", home->store);
    if (rename(fresh, backup) < 0)
        return vmm_fail_io(errp, errno, "write", backup);
    unlink(fresh); /* rename does nothing when both are links to one file, which nobody changed
                      since */
    return 0;
}

/* What writers that were killed had in hand. We hold the lock, so nobody is writing now. */
static void sweep_temporaries(const struct home *home)
{
    static const char prefix[] = ".vms.json.", suffix[] = ".tmp";
    DIR *dir = opendir(home->root);
    for (struct dirent *e; dir && (e = readdir(dir));) {
        const size_t n = strlen(e->d_name);
        if (n > sizeof(prefix) + sizeof(suffix) &&
            strncmp(e->d_name, prefix, sizeof(prefix) - 1) == 0 &&
            strcmp(e->d_name + n - (sizeof(suffix) - 1), suffix) == 0)
            unlinkat(dirfd(dir), e->d_name, 0);
    }
    if (dir)
        closedir(dir);
}

int store_change(const struct home *home,
    int (*change)(const struct home *home, json_t *records, void *arg, struct vmm_error **errp),
    void *arg,
    struct vmm_error **errp)
{
    cleanup_free char *lock_path = xasprintf("%s.lock", home->store);
    pid_t holder = 0;
    cleanup_close int lock_fd = fs_lock(lock_path, deadline_in_ms(STORE_LOCK_MS), &holder);
    if (lock_fd == -ETIMEDOUT)
        return vmm_fail(errp, &(struct diag){.code = VMM_E_VM_BUSY},
            "the registry \"%s\" is locked by process %ld", home->store, (long)holder);
    if (lock_fd < 0)
        return vmm_fail_io(errp, -lock_fd, "lock", lock_path);
    cleanup_json json_t *records = NULL;
    int r = load(home->store, &records, errp);
    if (r == 0)
        r = keep_copy(home, records, errp);
    sweep_temporaries(home);
    if (r == 0)
        r = change(home, records, arg, errp);
    if (r < 0)
        return r;
    cleanup_free char *text = json_dumps(records, JSON_INDENT(2) | JSON_SORT_KEYS);
    if (!text)
        return vmm_fail(errp, &(struct diag){.code = VMM_E_IO}, "could not encode the registry");
    return fs_write_durable(home->root, "vms.json", text, strlen(text), errp);
}

static int put_record(const struct home *home, json_t *records, void *arg, struct vmm_error **errp)
{
    (void)home;
    (void)errp;
    const struct vmm_handle *vm = arg;
    json_put(records, vm->name, record_encode(vm));
    return 0;
}

int store_put(const struct home *home, const struct vmm_handle *vm, struct vmm_error **errp)
{
    return store_change(home, put_record, (void *)vm, errp);
}

static int remove_record(
    const struct home *home, json_t *records, void *arg, struct vmm_error **errp)
{
    (void)home;
    (void)errp;
    json_object_del(records, arg);
    return 0;
}

int store_remove(const struct home *home, const char *name, struct vmm_error **errp)
{
    return store_change(home, remove_record, (void *)name, errp);
}
