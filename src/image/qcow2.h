/* The qcow2 header: bytes in, a checked struct out. Pure; the format is described in QEMU's
 * docs/interop/qcow2.txt. What is accepted here is less than QEMU accepts, on purpose: no reference
 * to another file, no unknown feature, no table that lies outside the file (security.md E-1, E-4).
 *
 * Tables are checked by place and size, not read: what they hold is QEMU's to check, in a process
 * that is confined. */
#pragma once

#include "base/str.h"
#include "vmm/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    QCOW2_CLUSTER_BITS_MIN = 9,
    QCOW2_CLUSTER_BITS_MAX = 21,
    QCOW2_CLUSTER_MAX_BYTES = 1 << QCOW2_CLUSTER_BITS_MAX,
    QCOW2_BACKING_NAME_MAX_BYTES = 1023, /* of the format itself */
    /* QEMU's own limits, so that what we accept it can open. */
    QCOW2_L1_MAX_BYTES = 32 << 20,
    QCOW2_REFCOUNT_TABLE_MAX_BYTES = 8 << 20,
    QCOW2_SNAPSHOTS_MAX = 65536,
    QCOW2_EXTENSIONS_MAX = 64, /* six are defined */
};

struct qcow2_header {
    unsigned version; /* 2 or 3 */
    unsigned cluster_bits;
    unsigned refcount_order;
    unsigned header_length;
    uint64_t virtual_bytes;
    uint64_t l1_offset;
    uint32_t l1_count;
    uint64_t refcount_table_offset;
    uint32_t refcount_table_clusters;
    uint64_t snapshots_offset;
    uint32_t snapshot_count;
    bool is_dirty;
    bool has_extended_l2;
    bool has_zstd;
    struct str backing_name;   /* absent unless it was expected; a view into the bytes decoded */
    struct str backing_format; /* the same */
};

/* The backing file the header has to name; a zeroed struct is none. */
struct qcow2_backing {
    struct str name;
    struct str format;
};

/* Whether the bytes start as qcow2 version 2 or later does. */
bool qcow2_is_magic(struct str head);
/* How many bytes from the start of the file qcow2_decode wants: its first cluster. `head` must be
 * at least 24 bytes for an answer other than 0; 0 also when the cluster size makes no sense. */
size_t qcow2_wanted_bytes(struct str head);

/* `head` is the file's first cluster, or all of a shorter file; `file_bytes` its length; `path` is
 * for messages only. */
int qcow2_decode(const char *path,
    struct str head,
    uint64_t file_bytes,
    const struct qcow2_backing *expected,
    struct qcow2_header *ret,
    struct vmm_error **errp);
