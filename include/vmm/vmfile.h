/* VMFile.kdl: find it, read it, turn its definitions into specs. Every mistake of a file is
 * reported in one run, each pointing into the file (vmm_error_next walks them). */
#pragma once

#include "vmm/types.h"

#ifdef __cplusplus
extern "C" {
#endif

enum vmm_image_kind { VMM_IMAGE_LOCAL, VMM_IMAGE_URL };

/* One `vm` block, paths as written. Borrowed from its vmm_vmfile. */
struct vmm_vmdef {
    const char *name;
    enum vmm_image_kind image_kind;
    const char *image; /* path or URL */
    uint16_t vcpus;
    uint64_t memory_mib;
    uint32_t disk_gib; /* 0: not set */
    enum vmm_network_kind network_kind;
    const char *network_link; /* tap: the bridge; vnic: its name; otherwise NULL */
    bool has_cloud_init;
    const char *hostname;  /* NULL: not set */
    const char *ssh_key;   /* path; NULL: not set */
    const char *user_data; /* path; NULL: not set */
    bool has_ssh;
    const char *ssh_user;        /* NULL: not set */
    const char *ssh_private_key; /* path; NULL: not set */
    enum vmm_accel accel;
    const struct vmm_provision_def *provisions;
    size_t provision_count;
};

struct vmm_provision_def {
    enum vmm_provision_kind kind;
    const char *command;     /* inline */
    const char *source;      /* script, file: path as written */
    const char *destination; /* file */
};

struct vmm_vmfile; /* opaque */

/* The file to use: `explicit_path` as it is, or VMFile.kdl in the current folder. That it is there
 * and can be read has been seen. The caller owns the path. */
VMM_EXPORT int vmm_vmfile_discover(
    const char *explicit_path, char **ret_path, struct vmm_error **errp);
/* Reads and checks the whole file, and that the files it names are there and fit. The caller owns
 * the result. */
VMM_EXPORT int vmm_vmfile_parse(
    const char *path, struct vmm_vmfile **ret_file, struct vmm_error **errp);
/* The same without a look at the files it names, for commands that need none of them: a VM can be
 * stopped when the image it was made from is gone. */
VMM_EXPORT int vmm_vmfile_parse_alone(
    const char *path, struct vmm_vmfile **ret_file, struct vmm_error **errp);
VMM_EXPORT void vmm_vmfile_free(struct vmm_vmfile *file);

/* Absolute path of the file and of its folder; the folder's is free of symbolic links, the file's
 * own name is not followed. Borrowed. */
VMM_EXPORT const char *vmm_vmfile_path(const struct vmm_vmfile *file);
VMM_EXPORT const char *vmm_vmfile_base_dir(const struct vmm_vmfile *file);
VMM_EXPORT size_t vmm_vmfile_count(const struct vmm_vmfile *file);
VMM_EXPORT const struct vmm_vmdef *vmm_vmfile_vm(const struct vmm_vmfile *file, size_t index);
/* NULL when the file has no VM of that name. */
VMM_EXPORT const struct vmm_vmdef *vmm_vmfile_find(const struct vmm_vmfile *file, const char *name);

/* Paths made absolute, files read. The caller owns what the spec holds. */
VMM_EXPORT int vmm_vmfile_resolve(const struct vmm_vmfile *file,
    const struct vmm_vmdef *def,
    struct vmm_spec *ret_spec,
    struct vmm_error **errp);
/* The steps of one VM with absolute paths; an array of `*ret_count`, each to be vmm_provision_done
 * and the array freed. */
VMM_EXPORT int vmm_vmfile_provisions(const struct vmm_vmfile *file,
    const struct vmm_vmdef *def,
    struct vmm_provision **ret_provisions,
    size_t *ret_count,
    struct vmm_error **errp);

/* `~` and `~/...` become the user's home ($HOME, or else what the user database says); a relative
 * path is taken from `base_dir`. `..` is kept. The caller owns the result. */
VMM_EXPORT char *vmm_resolve_path(const char *path, const char *base_dir);

#ifdef __cplusplus
}
#endif
