/* Disk images: what a file is, whether it may be used, and the overlay a VM writes to.
 *
 * An image is a stranger (security.md section E). Before any tool opens it, our own reader looks at
 * its first bytes: qcow2 is decoded into a checked struct (qcow2.h), anything that is not qcow2 and
 * not known to be something else (foreign.h) is a raw disk. Nothing here ever reads what is behind
 * a backing file or an external data file: an image that names one is refused, except for our own
 * overlays, which name exactly the base they were made with.
 *
 * All functions block for file I/O only and may be called from any thread. */
#pragma once

#include "vmm/error.h"

#include <stdbool.h>
#include <stdint.h>

/* No disk of a VM is larger. QEMU would take more; a header that claims more is far more often
 * garbage or an attack on whoever adds up sizes than a disk somebody made. */
#define IMAGE_VIRTUAL_MAX_BYTES ((uint64_t)2 << 40)

enum image_format {
    IMAGE_FORMAT_QCOW2,
    IMAGE_FORMAT_RAW, /* also ISO 9660: a CD is a raw disk */
    IMAGE_FORMAT_COUNT_
};

/* As qemu-img and QEMU call it: "qcow2", "raw". */
const char *image_format_name(enum image_format format);

struct image_inspect_opts {
    /* NULL: an image with a backing file is refused. Otherwise the file must be an overlay of ours:
     * a qcow2 whose header names exactly this backing file, byte for byte, in this format ("qcow2"
     * or "raw"). To be asked before each start: a guest that broke out of QEMU may have written
     * another name (security.md E-3). */
    const char *allow_backing;
    const char *backing_format;
};

struct image_info {
    enum image_format format;
    uint64_t virtual_bytes; /* what a guest sees */
    uint64_t file_bytes;    /* the file's length; it may take less */
    bool has_backing;       /* only ever with allow_backing */
    /* qcow2 only: not closed cleanly; `qemu-img check` should look before a start (security.md
     * E-4). */
    bool is_dirty;
    bool has_snapshots;
};

/* Reads at most one cluster of the file's head and 512 bytes of its tail. `opts` may be NULL.
 * VMM_E_IMAGE_FORMAT: no disk image, or a broken one. VMM_E_IMAGE_REFUSED: an image that is not
 * safe to use (reasons "backing-file", "data-file", "encrypted", "corrupt", "features",
 * "too-large"). VMM_E_IO: the system would not let us read it. */
int image_inspect(const char *path,
    const struct image_inspect_opts *opts,
    struct image_info *ret,
    struct vmm_error **errp);

/* The absolute path with every symbolic link followed: what overlays and records should name, since
 * a link that is pointed elsewhere later would change the disk under a guest. The caller owns
 * *ret_path. */
int image_resolve(const char *path, char **ret_path, struct vmm_error **errp);

/* Whether a disk of `size_bytes` can be made over an image of `base_bytes`: VMM_E_IMAGE_TOO_SMALL
 * with the least number for `disk`, or VMM_E_IMAGE_OVERLAY past what a disk can have. */
int image_check_size(
    const char *base_path, uint64_t base_bytes, uint64_t size_bytes, struct vmm_error **errp);

/* Makes a qcow2 at `overlay_path` (0600) that writes over `base_path`, which must be absolute and
 * of `base_format`; it is inspected first. `size_bytes` 0 is the base's size; a smaller one is
 * VMM_E_IMAGE_TOO_SMALL. After a crash there is a whole overlay or none. An existing file is never
 * replaced: it may be somebody's disk. Needs qemu-img. `cancel_fd`: readable means stop
 * (VMM_E_INTERRUPTED); 0 or less is none. */
int image_create_overlay(const char *base_path,
    const char *base_format,
    const char *overlay_path,
    uint64_t size_bytes,
    int cancel_fd,
    struct vmm_error **errp);
