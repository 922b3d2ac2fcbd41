#include "image/qcow2.h"
#include "base/buf.h"
#include "base/error.h"
#include "base/utf8.h"
#include "image/image.h"

#include <inttypes.h>

/* Offsets in the header. Version 2 ends at 72; version 3 says its own length. */
enum {
    AT_VERSION = 4,
    AT_BACKING_OFFSET = 8,
    AT_BACKING_LENGTH = 16,
    AT_CLUSTER_BITS = 20,
    AT_SIZE = 24,
    AT_CRYPT_METHOD = 32,
    AT_L1_COUNT = 36,
    AT_L1_OFFSET = 40,
    AT_REFCOUNT_TABLE_OFFSET = 48,
    AT_REFCOUNT_TABLE_CLUSTERS = 56,
    AT_SNAPSHOT_COUNT = 60,
    AT_SNAPSHOTS_OFFSET = 64,
    V2_LENGTH = 72,
    AT_INCOMPATIBLE = 72,
    AT_REFCOUNT_ORDER = 96,
    AT_HEADER_LENGTH = 100,
    V3_LENGTH_MIN = 104,
    AT_COMPRESSION_TYPE = 104,
};

enum {
    FEATURE_DIRTY = 1 << 0,
    FEATURE_CORRUPT = 1 << 1,
    FEATURE_DATA_FILE = 1 << 2,
    FEATURE_COMPRESSION_TYPE = 1 << 3,
    FEATURE_EXTENDED_L2 = 1 << 4,
    FEATURES_KNOWN = (1 << 5) - 1,
};

enum {
    EXTENSION_END = 0,
    EXTENSION_BACKING_FORMAT = 0xe2792aca,
    EXTENSION_ENCRYPTION = 0x0537be77,
    EXTENSION_DATA_FILE = 0x44415441,
};

static const char help_broken[] =
    "Download or copy the file again; `qemu-img check -f qcow2` says more about it.";

static uint32_t be32(struct str bytes, size_t at)
{
    const unsigned char *p = (const unsigned char *)bytes.p + at;
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static uint64_t be64(struct str bytes, size_t at)
{
    return (uint64_t)be32(bytes, at) << 32 | be32(bytes, at + 4);
}

bool qcow2_is_magic(struct str head)
{
    return head.n >= 8 && memcmp(head.p, "QFI\xfb", 4) == 0 && be32(head, AT_VERSION) >= 2;
}

static bool cluster_bits_are_sane(uint32_t bits)
{
    return bits >= QCOW2_CLUSTER_BITS_MIN && bits <= QCOW2_CLUSTER_BITS_MAX;
}

size_t qcow2_wanted_bytes(struct str head)
{
    if (head.n < AT_SIZE || !cluster_bits_are_sane(be32(head, AT_CLUSTER_BITS)))
        return 0;
    return (size_t)1 << be32(head, AT_CLUSTER_BITS);
}

/* One decode: what every check needs. */
struct decode {
    const char *path;
    struct str head;
    uint64_t file_bytes;
    struct vmm_error **errp;
};

__attribute__((format(printf, 2, 3))) static int broken(
    const struct decode *d, const char *fmt, ...)
{
    cleanup_buf struct buf what = {0};
    va_list ap;
    va_start(ap, fmt);
    buf_vaddf(&what, fmt, ap);
    va_end(ap);
    return vmm_fail(d->errp,
        &(struct diag){.code = VMM_E_IMAGE_FORMAT, .reason = "broken", .help = help_broken},
        "the image \"%s\" is a broken qcow2 file: %s", d->path, buf_cstr(&what));
}

static int refused(const struct decode *d, const char *reason, const char *help, const char *what)
{
    return vmm_fail(d->errp,
        &(struct diag){.code = VMM_E_IMAGE_REFUSED, .reason = reason, .help = help},
        "cannot use the image \"%s\": %s", d->path, what);
}

/* Length and version: after this, every fixed field may be read. */
static int decode_shape(const struct decode *d, struct qcow2_header *h)
{
    if (d->head.n < V2_LENGTH)
        return broken(d, "it ends within the header");
    h->version = be32(d->head, AT_VERSION);
    if (h->version != 2 && h->version != 3)
        return refused(d, "features", "Convert it with a newer `qemu-img`, or update this program.",
            "its qcow2 version is newer than the ones known here (2 and 3)");
    h->cluster_bits = be32(d->head, AT_CLUSTER_BITS);
    if (!cluster_bits_are_sane(h->cluster_bits))
        return broken(d, "clusters of 2^%u bytes do not exist", h->cluster_bits);
    if (h->version == 2) {
        h->header_length = V2_LENGTH;
        h->refcount_order = 4;
        return 0;
    }
    if (d->head.n < V3_LENGTH_MIN)
        return broken(d, "it ends within the header");
    h->header_length = be32(d->head, AT_HEADER_LENGTH);
    if (h->header_length < V3_LENGTH_MIN || h->header_length % 8 != 0 ||
        h->header_length > 1U << h->cluster_bits || h->header_length > d->head.n)
        return broken(d, "a header of %u bytes does not exist", h->header_length);
    h->refcount_order = be32(d->head, AT_REFCOUNT_ORDER);
    if (h->refcount_order > 6)
        return broken(d, "reference counts of 2^%u bits do not exist", h->refcount_order);
    return 0;
}

static int refuse_unknown_features(const struct decode *d, uint64_t features)
{
    cleanup_buf struct buf what = {0};
    buf_adds(&what, "it needs features that are not known here (bits");
    for (unsigned bit = 0; bit < 64; bit++) {
        if (features >> bit & 1)
            buf_addf(&what, " %u", bit);
    }
    buf_adds(&what, ")");
    return refused(d, "features",
        "Convert it with the `qemu-img` it was made with: `qemu-img convert -O qcow2`.",
        buf_cstr(&what));
}

static int decode_features(const struct decode *d, struct qcow2_header *h)
{
    if (h->version == 2)
        return 0;
    const uint64_t features = be64(d->head, AT_INCOMPATIBLE);
    if (features & FEATURE_DATA_FILE)
        return refused(d, "data-file",
            "Only images that are whole in one file are safe to use. If you made it yourself: "
            "`qemu-img convert -O qcow2`.",
            "its data is in another file");
    if (features & FEATURE_CORRUPT)
        return refused(d, "corrupt",
            "QEMU marked it so after an error. Work on a copy: `qemu-img check -f qcow2 -r all`.",
            "it is marked as corrupt");
    if (features & ~(uint64_t)FEATURES_KNOWN)
        return refuse_unknown_features(d, features & ~(uint64_t)FEATURES_KNOWN);
    h->is_dirty = features & FEATURE_DIRTY;
    h->has_extended_l2 = features & FEATURE_EXTENDED_L2;
    /* QEMU's own floor: a subcluster must not be smaller than a sector. */
    if (h->has_extended_l2 && h->cluster_bits < 14)
        return broken(d, "extended L2 entries need clusters of 16 KiB or more");
    const unsigned compression =
        h->header_length > AT_COMPRESSION_TYPE ? (unsigned char)d->head.p[AT_COMPRESSION_TYPE] : 0;
    if (compression > 1)
        return refused(d, "features",
            "Convert it with the `qemu-img` it was made with: `qemu-img convert -O qcow2`.",
            "it is compressed in a way that is not known here");
    if (!(features & FEATURE_COMPRESSION_TYPE) != (compression == 0))
        return broken(d, "two places of the header disagree on the compression");
    h->has_zstd = compression == 1;
    return 0;
}

static int decode_size(const struct decode *d, struct qcow2_header *h)
{
    h->virtual_bytes = be64(d->head, AT_SIZE);
    if (h->virtual_bytes == 0)
        return broken(d, "it holds a disk of 0 bytes");
    if (h->virtual_bytes > IMAGE_VIRTUAL_MAX_BYTES)
        return refused(d, "too-large",
            "A disk may have 2 TiB at most. Shrink it: `qemu-img resize --shrink`.",
            "its disk is larger than 2 TiB");
    return 0;
}

/* A table of `bytes` at `offset`: on a cluster of its own after the header, all of it in the file.
 */
static int check_table(const struct decode *d,
    const struct qcow2_header *h,
    const char *what,
    uint64_t offset,
    uint64_t bytes)
{
    const uint64_t cluster = (uint64_t)1 << h->cluster_bits;
    if (offset < cluster || offset % cluster != 0)
        return broken(d, "its %s is at no possible place (%" PRIu64 ")", what, offset);
    if (offset > d->file_bytes || bytes > d->file_bytes - offset)
        return broken(d,
            "its %s ends at byte %" PRIu64 ", the file at %" PRIu64 ": it was cut short", what,
            offset > UINT64_MAX - bytes ? UINT64_MAX : offset + bytes, d->file_bytes);
    return 0;
}

static int decode_l1(const struct decode *d, struct qcow2_header *h)
{
    h->l1_offset = be64(d->head, AT_L1_OFFSET);
    h->l1_count = be32(d->head, AT_L1_COUNT);
    const uint64_t bytes = (uint64_t)h->l1_count * 8;
    if (bytes > QCOW2_L1_MAX_BYTES)
        return broken(d, "its L1 table would have %" PRIu64 " bytes", bytes);
    /* What one entry of L1 covers: a cluster full of L2 entries (8 bytes, extended 16). */
    const unsigned cover_bits = h->cluster_bits * 2 - (h->has_extended_l2 ? 4 : 3);
    const uint64_t needed = (h->virtual_bytes + ((uint64_t)1 << cover_bits) - 1) >> cover_bits;
    if (h->l1_count < needed)
        return broken(
            d, "its L1 table is too small for a disk of %" PRIu64 " bytes", h->virtual_bytes);
    return check_table(d, h, "L1 table", h->l1_offset, bytes);
}

static int decode_refcounts(const struct decode *d, struct qcow2_header *h)
{
    h->refcount_table_offset = be64(d->head, AT_REFCOUNT_TABLE_OFFSET);
    h->refcount_table_clusters = be32(d->head, AT_REFCOUNT_TABLE_CLUSTERS);
    const uint64_t bytes = (uint64_t)h->refcount_table_clusters << h->cluster_bits;
    if (bytes == 0 || bytes > QCOW2_REFCOUNT_TABLE_MAX_BYTES)
        return broken(d, "its refcount table would have %" PRIu64 " bytes", bytes);
    return check_table(d, h, "refcount table", h->refcount_table_offset, bytes);
}

static int decode_snapshots(const struct decode *d, struct qcow2_header *h)
{
    enum { ENTRY_MIN_BYTES = 40 }; /* entries vary; this is the least one takes */
    h->snapshot_count = be32(d->head, AT_SNAPSHOT_COUNT);
    h->snapshots_offset = be64(d->head, AT_SNAPSHOTS_OFFSET);
    if (h->snapshot_count == 0)
        return 0;
    if (h->snapshot_count > QCOW2_SNAPSHOTS_MAX)
        return broken(d, "it claims to hold %" PRIu32 " snapshots", h->snapshot_count);
    return check_table(
        d, h, "snapshot table", h->snapshots_offset, (uint64_t)h->snapshot_count * ENTRY_MIN_BYTES);
}

static int decode_encryption(const struct decode *d, bool has_extension)
{
    if (be32(d->head, AT_CRYPT_METHOD) == 0 && !has_extension)
        return 0;
    return refused(d, "encrypted",
        "Decrypt it first: `qemu-img convert` with the image's secret, see its manual.",
        "it is encrypted");
}

/* Where the first cluster's extensions must end. */
static uint64_t extensions_end(const struct decode *d, const struct qcow2_header *h)
{
    const uint64_t backing = be64(d->head, AT_BACKING_OFFSET);
    const uint64_t cluster = (uint64_t)1 << h->cluster_bits;
    return backing && backing < cluster ? backing : cluster;
}

static int decode_extensions(const struct decode *d, struct qcow2_header *h)
{
    const uint64_t end = extensions_end(d, h);
    uint64_t at = h->header_length;
    for (unsigned count = 0; at + 8 <= end; count++) {
        const uint32_t type = be32(d->head, at);
        const uint32_t length = be32(d->head, at + 4);
        at += 8;
        if (type == EXTENSION_END)
            return 0;
        if (count == QCOW2_EXTENSIONS_MAX)
            return broken(d, "its header has more than %d extensions", QCOW2_EXTENSIONS_MAX);
        if (length > end - at)
            return broken(d, "a header extension (%08" PRIx32 ") runs past its place", type);
        if (type == EXTENSION_DATA_FILE)
            return refused(d, "data-file",
                "Only images that are whole in one file are safe to use.",
                "its header names another file for its data");
        if (type == EXTENSION_ENCRYPTION)
            return decode_encryption(d, /* has_extension */ true);
        if (type == EXTENSION_BACKING_FORMAT)
            h->backing_format = (struct str){.p = d->head.p + at, .n = length};
        at += ((uint64_t)length + 7) & ~(uint64_t)7;
    }
    return 0;
}

/* A name out of the header, for one line of a message: utf8_sanitize keeps newlines and tabs. */
static void show_name(struct buf *out, struct str name)
{
    enum { SHOWN_MAX_BYTES = 200 };
    const size_t end = name.n < SHOWN_MAX_BYTES ? name.n : SHOWN_MAX_BYTES;
    for (size_t at = 0; at < end;) {
        const char c = name.p[at];
        if (c == '\n' || c == '\t') {
            buf_adds(out, c == '\n' ? "\\n" : "\\t");
            at++;
            continue;
        }
        size_t n = 1;
        while (at + n < end && name.p[at + n] != '\n' && name.p[at + n] != '\t')
            n++;
        utf8_sanitize(out, name.p + at, n);
        at += n;
    }
}

static int refuse_backing(
    const struct decode *d, struct str name, const char *what, const char *help)
{
    cleanup_buf struct buf shown = {0};
    show_name(&shown, name);
    return vmm_fail(d->errp,
        &(struct diag){.code = VMM_E_IMAGE_REFUSED, .reason = "backing-file", .help = help},
        "cannot use the image \"%s\": %s (\"%s\")", d->path, what, buf_cstr(&shown));
}

static int decode_backing(
    const struct decode *d, const struct qcow2_backing *expected, struct qcow2_header *h)
{
    static const char help_overlay[] =
        "The overlay was changed by something else than this program. Make the VM again, or restore "
        "the overlay from a backup.";
    const uint64_t offset = be64(d->head, AT_BACKING_OFFSET);
    const uint64_t length = be32(d->head, AT_BACKING_LENGTH);
    const uint64_t cluster = (uint64_t)1 << h->cluster_bits;
    if (offset == 0) {
        h->backing_format = (struct str){0}; /* a format without a file means nothing */
        if (expected->name.n == 0)
            return 0;
        return refuse_backing(
            d, expected->name, "it no longer names its backing file", help_overlay);
    }
    if (offset < h->header_length || offset >= cluster || length == 0 ||
        length > QCOW2_BACKING_NAME_MAX_BYTES || length > cluster - offset)
        return broken(d, "the name of its backing file is at no possible place");
    h->backing_name = (struct str){.p = d->head.p + offset, .n = length};
    if (expected->name.n == 0)
        return refuse_backing(d, h->backing_name, "it reads from another file",
            "Such an image could show any of your files to the guest. If you made it yourself, make it "
            "whole: `qemu-img convert -O qcow2`.");
    if (!str_eq(h->backing_name, expected->name))
        return refuse_backing(d, h->backing_name,
            "it names another backing file than it was made with", help_overlay);
    if (!str_eq(h->backing_format, expected->format))
        return refuse_backing(
            d, h->backing_name, "it names another format for its backing file", help_overlay);
    return 0;
}

int qcow2_decode(const char *path,
    struct str head,
    uint64_t file_bytes,
    const struct qcow2_backing *expected,
    struct qcow2_header *ret,
    struct vmm_error **errp)
{
    const struct decode d = {.path = path, .head = head, .file_bytes = file_bytes, .errp = errp};
    struct qcow2_header h = {0};
    int r;
    if (head.n > file_bytes || !qcow2_is_magic(head))
        return broken(&d, "it does not begin as one");
    /* What an image refers to is told before what is broken in it: it matters more. */
    if ((r = decode_shape(&d, &h)) || (r = decode_features(&d, &h)) ||
        (r = decode_encryption(&d, /* has_extension */ false)))
        return r;
    const uint64_t cluster = (uint64_t)1 << h.cluster_bits;
    if (head.n < cluster)
        return broken(&d, "it ends within its first cluster");
    if ((r = decode_extensions(&d, &h)) || (r = decode_backing(&d, expected, &h)) ||
        (r = decode_size(&d, &h)) || (r = decode_l1(&d, &h)) || (r = decode_refcounts(&d, &h)) ||
        (r = decode_snapshots(&d, &h)))
        return r;
    *ret = h;
    return 0;
}
