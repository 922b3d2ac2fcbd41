#include "base/alloc.h"
#include "base/buf.h"
#include "base/cleanup.h"
#include "base/error.h"
#include "base/fs.h"
#include "image/foreign.h"
#include "image/image.h"
#include "image/qcow2.h"

#include <limits.h>
#include <stdlib.h>
#include <sys/stat.h>

enum { SECTOR_BYTES = 512 };

const char *image_format_name(enum image_format format)
{
    switch (format) {
    case IMAGE_FORMAT_QCOW2:
        return "qcow2";
    case IMAGE_FORMAT_RAW:
        return "raw";
    case IMAGE_FORMAT_COUNT_:
        break;
    }
    return "unknown";
}

static int fail_to_open(const char *path, int sys, struct vmm_error **errp)
{
    if (sys == ENOENT || sys == ENOTDIR)
        return vmm_fail(errp,
            &(struct diag){.code = VMM_E_IMAGE_FORMAT,
                .sys = sys,
                .reason = "missing",
                .help = "Check the path; in a VMFile it starts at the folder of the VMFile."},
            "there is no image \"%s\"", path);
    if (sys == EISDIR || sys == EINVAL)
        return vmm_fail(errp,
            &(struct diag){.code = VMM_E_IMAGE_FORMAT, .sys = sys, .reason = "not-a-file"},
            "cannot use \"%s\" as an image: it is %s", path,
            sys == EISDIR ? "a folder" : "no regular file");
    return vmm_fail_io(errp, sys, "open the image", path);
}

/* Appends up to `n` bytes of `fd` from `offset`; fewer only at the end of the file. 0 or -errno. */
static int read_at(int fd, uint64_t offset, size_t n, struct buf *out)
{
    char *to = buf_reserve(out, n);
    size_t got = 0;
    while (got < n) {
        const ssize_t r = pread(fd, to + got, n - got, (off_t)(offset + got));
        if (r < 0 && errno == EINTR)
            continue;
        if (r < 0)
            return -errno;
        if (r == 0)
            break;
        got += (size_t)r;
    }
    out->n += got;
    out->p[out->n] = '\0';
    return 0;
}

static struct str view(const struct buf *b)
{
    return (struct str){.p = buf_cstr(b), .n = b->n};
}

/* Puts the path where the help says FILE, unless a shell would need it quoted. */
static char *help_for(const char *help, const char *path)
{
    static const char safe[] =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_./+,:@%-";
    const char *at = strstr(help, "FILE");
    if (!at || path[0] == '-' || path[strspn(path, safe)])
        return xstrdup(help);
    return xasprintf("%.*s%s%s", (int)(at - help), help, path, at + strlen("FILE"));
}

static int inspect_raw(const char *path,
    struct str head,
    struct str tail,
    uint64_t file_bytes,
    struct image_info *ret,
    struct vmm_error **errp)
{
    const struct foreign_format *foreign = foreign_recognize(head, tail);
    if (foreign) {
        cleanup_free char *help = help_for(foreign->help, path);
        return vmm_fail(errp,
            &(struct diag){.code = foreign->is_encrypted ? VMM_E_IMAGE_REFUSED : VMM_E_IMAGE_FORMAT,
                .reason = foreign->is_encrypted ? "encrypted" : "foreign",
                .help = help},
            "cannot use the image \"%s\": it looks like %s", path, foreign->looks_like);
    }
    if (file_bytes < SECTOR_BYTES)
        return vmm_fail(errp,
            &(struct diag){.code = VMM_E_IMAGE_FORMAT,
                .reason = "too-short",
                .help = "No disk is that small; download or copy the image again."},
            "cannot use the image \"%s\": it has %llu bytes, less than one sector", path,
            (unsigned long long)file_bytes);
    if (file_bytes > IMAGE_VIRTUAL_MAX_BYTES)
        return vmm_fail(errp,
            &(struct diag){.code = VMM_E_IMAGE_REFUSED,
                .reason = "too-large",
                .help = "A disk may have 2 TiB at most."},
            "cannot use the image \"%s\": its disk is larger than 2 TiB", path);
    *ret = (struct image_info){
        .format = IMAGE_FORMAT_RAW,
        /* QEMU shows whole sectors only, and fills up the last. */
        .virtual_bytes = (file_bytes + SECTOR_BYTES - 1) / SECTOR_BYTES * SECTOR_BYTES,
        .file_bytes = file_bytes,
    };
    return 0;
}

static int inspect_qcow2(int fd,
    const char *path,
    struct buf *head,
    uint64_t file_bytes,
    const struct image_inspect_opts *opts,
    struct image_info *ret,
    struct vmm_error **errp)
{
    const size_t wanted = qcow2_wanted_bytes(view(head));
    if (wanted > head->n) {
        const int r = read_at(fd, head->n, wanted - head->n, head);
        if (r < 0)
            return vmm_fail_io(errp, -r, "read the image", path);
    }
    const struct qcow2_backing expected = {
        .name = str_view(opts->allow_backing),
        .format = str_view(opts->backing_format),
    };
    struct qcow2_header header;
    const int r = qcow2_decode(path, view(head), file_bytes, &expected, &header, errp);
    if (r < 0)
        return r;
    *ret = (struct image_info){
        .format = IMAGE_FORMAT_QCOW2,
        .virtual_bytes = header.virtual_bytes,
        .file_bytes = file_bytes,
        .has_backing = header.backing_name.n > 0,
        .is_dirty = header.is_dirty,
        .has_snapshots = header.snapshot_count > 0,
    };
    return 0;
}

static int fail_empty(const char *path, struct vmm_error **errp)
{
    return vmm_fail(errp,
        &(struct diag){.code = VMM_E_IMAGE_FORMAT,
            .reason = "empty",
            .help =
                "A download or a copy that did not finish leaves such a file; get the image again."},
        "cannot use the image \"%s\": it is an empty file", path);
}

int image_inspect(const char *path,
    const struct image_inspect_opts *opts,
    struct image_info *ret,
    struct vmm_error **errp)
{
    static const struct image_inspect_opts defaults;
    opts = opts ? opts : &defaults;
    cleanup_close int fd = fs_open_regular(path);
    if (fd < 0)
        return fail_to_open(path, -fd, errp);
    struct stat st;
    if (fstat(fd, &st) < 0)
        return vmm_fail_io(errp, errno, "read the image", path);
    if (st.st_size == 0)
        return fail_empty(path, errp);
    const uint64_t file_bytes = (uint64_t)st.st_size;

    cleanup_buf struct buf head = {0};
    cleanup_buf struct buf tail = {0};
    int r = read_at(fd, 0, FOREIGN_HEAD_BYTES, &head);
    if (r == 0 && file_bytes > FOREIGN_TAIL_BYTES)
        r = read_at(fd, file_bytes - FOREIGN_TAIL_BYTES, FOREIGN_TAIL_BYTES, &tail);
    if (r < 0)
        return vmm_fail_io(errp, -r, "read the image", path);
    if (qcow2_is_magic(view(&head)))
        return inspect_qcow2(fd, path, &head, file_bytes, opts, ret, errp);
    if (opts->allow_backing)
        return vmm_fail(errp,
            &(struct diag){.code = VMM_E_IMAGE_FORMAT,
                .reason = "broken",
                .help = "The overlay was changed by something else than this program. Make the VM "
                        "again, or restore the overlay from a backup."},
            "the overlay \"%s\" is no qcow2 file any more", path);
    return inspect_raw(path, view(&head), view(&tail), file_bytes, ret, errp);
}

int image_resolve(const char *path, char **ret_path, struct vmm_error **errp)
{
    char *resolved = realpath(path, NULL);
    if (!resolved)
        return fail_to_open(path, errno, errp);
    *ret_path = resolved;
    return 0;
}
