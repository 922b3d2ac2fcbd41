#include "seed/iso.h"
#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/error.h"

#include <archive.h>
#include <archive_entry.h>
#include <stdint.h>
#include <stdlib.h>
#include <time.h>

enum {
    SECTOR_BYTES = 2048,
    DESCRIPTORS_AT = 16, /* sector of the first volume descriptor */
    DESCRIPTOR_PRIMARY = 1,
    DESCRIPTOR_SUPPLEMENTARY = 2,
    DESCRIPTOR_END = 255,
    VOLUME_ID_AT = 40,
    VOLUME_ID_BYTES = 32,
    CREATED_AT = 813,
    MODIFIED_AT = 830,
    EFFECTIVE_AT = 864,
    ROOT_RECORD_AT = 156,
    /* A directory record. */
    RECORD_EXTENT_AT = 2,
    RECORD_SIZE_AT = 10,
    RECORD_TIME_AT = 18,
    RECORD_TIME_BYTES = 7,
    RECORD_NAME_LENGTH_AT = 32,
    RECORD_NAME_AT = 33,
    VOLUME_MAX_BYTES = 16, /* Joliet's half of the field: two bytes a character */
};

/* 2000-01-01T00:00:00Z; any time will do that is always the same. */
static const time_t file_time = 946684800;
static const char volume_time[17] = "2000010100000000"; /* its last byte, the zone, is 0: UTC */
static const char record_time[RECORD_TIME_BYTES] = {100, 1, 1, 0, 0, 0, 0};

static int fail(struct archive *a, struct vmm_error **errp)
{
    const int sys = archive_errno(a);
    const char *why = archive_error_string(a);
    return vmm_fail(errp, &(struct diag){.code = VMM_E_CLOUDINIT_ISO, .sys = sys > 0 ? sys : 0},
        "could not make the ISO: %s%s%s", why ? why : "out of memory", sys > 0 ? ": " : "",
        sys > 0 ? strerror(sys) : "");
}

static la_ssize_t append(struct archive *a, void *out, const void *bytes, size_t n)
{
    (void)a;
    buf_add(out, bytes, n);
    return (la_ssize_t)n;
}

static bool write_file(struct archive *a, const struct frame_file *file)
{
    struct archive_entry *entry = archive_entry_new();
    cleanup_free char *name = xstrndup(file->name.p, file->name.n);
    archive_entry_set_pathname(entry, name);
    archive_entry_set_filetype(entry, AE_IFREG);
    archive_entry_set_perm(entry, 0400);
    archive_entry_set_mtime(entry, file_time, 0);
    archive_entry_set_size(entry, (la_int64_t)file->data.n);
    const bool is_written = archive_write_header(a, entry) == ARCHIVE_OK &&
                            (file->data.n == 0 || archive_write_data(a, file->data.p,
                                                      file->data.n) == (la_ssize_t)file->data.n);
    archive_entry_free(entry);
    return is_written;
}

static bool write_image(struct archive *a,
    const char *volume,
    const struct frame_file *files,
    size_t count,
    struct buf *out)
{
    /* No padding to libarchive's blocks, nor the 300 KiB that old CD drives want at the end. */
    bool is_fine =
        archive_write_set_format_iso9660(a) == ARCHIVE_OK &&
        archive_write_add_filter_none(a) == ARCHIVE_OK &&
        archive_write_set_bytes_per_block(a, 0) == ARCHIVE_OK &&
        archive_write_set_bytes_in_last_block(a, 1) == ARCHIVE_OK &&
        archive_write_set_format_option(a, NULL, "volume-id", volume) == ARCHIVE_OK &&
        archive_write_set_format_option(a, NULL, "application-id", "VMM") == ARCHIVE_OK &&
        archive_write_set_format_option(a, NULL, "joliet", "1") == ARCHIVE_OK &&
        archive_write_set_format_option(a, NULL, "rockridge", "useful") == ARCHIVE_OK &&
        archive_write_set_format_option(a, NULL, "pad", NULL) == ARCHIVE_OK &&
        archive_write_open(a, out, NULL, append, NULL) == ARCHIVE_OK;
    for (size_t i = 0; i < count && is_fine; i++)
        is_fine = write_file(a, &files[i]);
    return is_fine && archive_write_close(a) == ARCHIVE_OK;
}

static uint32_t le32(const char *p)
{
    const unsigned char *u = (const unsigned char *)p;
    return (uint32_t)u[3] << 24 | (uint32_t)u[2] << 16 | (uint32_t)u[1] << 8 | u[0];
}

/* Rock Ridge's own times ("TF"), among the fields that follow a record's name. */
static void settle_fields(char *fields, size_t n)
{
    for (size_t at = 0; n - at > 4;) {
        const size_t length = (unsigned char)fields[at + 2];
        if (length < 4 || length > n - at)
            return;
        for (size_t i = 5; memcmp(fields + at, "TF", 2) == 0 && i + RECORD_TIME_BYTES <= length;
             i += RECORD_TIME_BYTES)
            memcpy(fields + at + i, record_time, RECORD_TIME_BYTES);
        at += length;
    }
}

static bool settle_records(char *records, size_t n)
{
    for (size_t at = 0, length; at < n && (length = (unsigned char)records[at]) != 0;
         at += length) {
        char *record = records + at;
        if (length > n - at || length <= RECORD_NAME_AT)
            return false;
        memcpy(record + RECORD_TIME_AT, record_time, RECORD_TIME_BYTES);
        const size_t name = (unsigned char)record[RECORD_NAME_LENGTH_AT];
        const size_t fields_at = RECORD_NAME_AT + name + (name % 2 == 0); /* an even offset */
        if (fields_at < length)
            settle_fields(record + fields_at, length - fields_at);
    }
    return true;
}

static bool settle_descriptor(char *image, size_t n, char *sector, const char *volume)
{
    memcpy(sector + CREATED_AT, volume_time, sizeof(volume_time));
    memcpy(sector + MODIFIED_AT, volume_time, sizeof(volume_time));
    memcpy(sector + EFFECTIVE_AT, volume_time, sizeof(volume_time));
    if (sector[0] == DESCRIPTOR_PRIMARY) {
        memset(sector + VOLUME_ID_AT, ' ', VOLUME_ID_BYTES);
        for (size_t i = 0; volume[i]; i++)
            sector[VOLUME_ID_AT + i] = volume[i];
    }
    char *root = sector + ROOT_RECORD_AT;
    memcpy(root + RECORD_TIME_AT, record_time, RECORD_TIME_BYTES);
    const uint64_t extent = (uint64_t)le32(root + RECORD_EXTENT_AT) * SECTOR_BYTES;
    const uint64_t size = le32(root + RECORD_SIZE_AT);
    return extent <= n && size <= n - extent && settle_records(image + extent, size);
}

/* What libarchive has no option for. It stamps the clock into both volume descriptors, into the
 * root folder's records and, as text with its version, into the block after the descriptors, which
 * is for nobody to read. And it puts the label in capitals into the primary descriptor, as the
 * standard wants; readers that look there and not at Joliet's (FreeBSD, illumos) expect what
 * genisoimage writes: as given. */
static bool settle(char *image, size_t n, const char *volume)
{
    static const char information[] = "INFO ";
    const size_t step = SECTOR_BYTES;
    for (size_t at = DESCRIPTORS_AT * step; n >= at + 2 * step; at += step) {
        char *sector = image + at;
        if (memcmp(sector + 1, "CD001", 5) != 0)
            return false;
        const unsigned type = (unsigned char)sector[0];
        if ((type == DESCRIPTOR_PRIMARY || type == DESCRIPTOR_SUPPLEMENTARY) &&
            !settle_descriptor(image, n, sector, volume))
            return false;
        if (type != DESCRIPTOR_END)
            continue;
        char *after = sector + SECTOR_BYTES;
        if (memcmp(after, information, strlen(information)) != 0)
            return false;
        memset(after, 0, SECTOR_BYTES);
        return true;
    }
    return false;
}

int iso_build(const char *volume,
    const struct frame_file *files,
    size_t count,
    struct buf *out,
    struct vmm_error **errp)
{
    setenv("TZ", "UTC0", 1);
    tzset();
    setenv("TMPDIR", ".", 1);
    struct archive *a = archive_write_new();
    if (!a || strlen(volume) > VOLUME_MAX_BYTES)
        abort(); /* no memory, or a caller's mistake */
    const size_t start = out->n;
    int r = 0;
    if (!write_image(a, volume, files, count, out))
        r = fail(a, errp);
    else if (!settle(out->p + start, out->n - start, volume))
        r = vmm_fail(errp, &(struct diag){.code = VMM_E_CLOUDINIT_ISO},
            "could not make the ISO: this libarchive lays it out in another way than known here");
    archive_write_free(a);
    if (r < 0)
        out->n = start;
    return r;
}
