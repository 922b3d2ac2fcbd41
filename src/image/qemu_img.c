/* The only place that runs qemu-img. It always gets the format said to it and never a name that it
 * could take for something else than a file: every path begins with a slash, so no "json:", "nbd:"
 * or "file:" in a name means anything, and a name is an argument of its own, so no comma in it
 * starts an option.
 *
 * An overlay is made with -u ("unsafe"): qemu-img then does not open the base at all. What it would
 * learn there, the size, our own reader has already read, and a stranger's image is parsed by one
 * program less. One run, no second "resize". */
#include "base/alloc.h"
#include "base/buf.h"
#include "base/cleanup.h"
#include "base/error.h"
#include "base/fs.h"
#include "base/process.h"
#include "base/utf8.h"
#include "image/image.h"
#include "image/qcow2.h"

#include <fcntl.h>
#include <inttypes.h>
#include <libgen.h>
#include <limits.h>
#include <stdio.h>
#include <sys/random.h>
#include <sys/stat.h>

enum {
    QEMU_IMG_DEADLINE_MS = 60000, /* it takes 10 ms; a sleepy network disk may take seconds */
    DETAILS_MAX_BYTES = 2048,
};

#define GIB ((uint64_t)1 << 30)

/* "20 GiB", "3.5 GiB", "1234567 bytes". */
static char *size_text(uint64_t bytes)
{
    if (bytes >= GIB / 10)
        return bytes % GIB == 0 ? xasprintf("%" PRIu64 " GiB", bytes / GIB)
                                : xasprintf("%.2f GiB", (double)bytes / (double)GIB);
    return bytes % (1 << 20) == 0 ? xasprintf("%" PRIu64 " MiB", bytes >> 20)
                                  : xasprintf("%" PRIu64 " bytes", bytes);
}

int image_check_size(
    const char *base_path, uint64_t base_bytes, uint64_t size_bytes, struct vmm_error **errp)
{
    if (size_bytes > IMAGE_VIRTUAL_MAX_BYTES)
        return vmm_fail(errp,
            &(struct diag){.code = VMM_E_IMAGE_OVERLAY, .help = "Use `disk 2048` or less."},
            "cannot make a disk of %" PRIu64 " GiB: 2 TiB is the most", size_bytes / GIB);
    if (size_bytes >= base_bytes)
        return 0;
    const uint64_t least = (base_bytes + GIB - 1) / GIB;
    cleanup_free char *have = size_text(base_bytes);
    cleanup_free char *asked = size_text(size_bytes);
    cleanup_free char *help = xasprintf(
        "Use `disk %" PRIu64 "` or more, or leave `disk` out to keep the size of the image.",
        least);
    return vmm_fail(errp, &(struct diag){.code = VMM_E_IMAGE_TOO_SMALL, .help = help},
        "a disk of %s is smaller than the image \"%s\", which has %s", asked, base_path, have);
}

/* The base has to be what the caller thinks it is; gives the size it shows to a guest. */
static int check_base(
    const char *base_path, const char *base_format, uint64_t *ret_bytes, struct vmm_error **errp)
{
    if (base_path[0] != '/')
        return vmm_fail(errp,
            &(struct diag){.code = VMM_E_IMAGE_OVERLAY, .help = "Give an absolute path."},
            "cannot make an overlay over \"%s\": the path is not absolute", base_path);
    if (strlen(base_path) > QCOW2_BACKING_NAME_MAX_BYTES)
        return vmm_fail(errp,
            &(struct diag){.code = VMM_E_HOST_PATH_LONG,
                .help = "Move the image to a folder with a shorter path."},
            "the path of the image \"%s\" is longer than a qcow2 overlay can name (%d bytes)",
            base_path, QCOW2_BACKING_NAME_MAX_BYTES);
    struct image_info info;
    const int r = image_inspect(base_path, NULL, &info, errp);
    if (r < 0)
        return r;
    if (strcmp(image_format_name(info.format), base_format) != 0)
        return vmm_fail(errp,
            &(struct diag){.code = VMM_E_IMAGE_REFUSED,
                .reason = "other-format",
                .help = "The file was replaced since it was looked at; make the VM again."},
            "cannot make an overlay over \"%s\": it is %s, not %s", base_path,
            image_format_name(info.format), base_format);
    *ret_bytes = info.virtual_bytes;
    return 0;
}

/* An overlay in the making. All borrowed. */
struct overlay {
    const char *base_path;
    const char *base_format;
    const char *path;
    const char *temporary; /* absolute, in the folder of `path` */
    uint64_t size_bytes;
    int cancel_fd;
};

/* qemu-img's first words, made safe to show. */
static char *said(const struct buf *err)
{
    struct buf shown = {0};
    utf8_sanitize(&shown, buf_cstr(err), err->n < DETAILS_MAX_BYTES ? err->n : DETAILS_MAX_BYTES);
    return buf_steal(&shown);
}

static int fail_run(const struct overlay *o, int r, const struct buf *err, struct vmm_error **errp)
{
    if (r == -ENOENT)
        return vmm_fail(errp,
            &(struct diag){.code = VMM_E_IMAGE_OVERLAY,
                .sys = ENOENT,
                .reason = "no-qemu-img",
                .help =
                    "Install it: `apt install qemu-utils` (Debian, Ubuntu), `dnf install qemu-img` "
                    "(Fedora)."},
            "could not make the overlay \"%s\": there is no qemu-img in PATH", o->path);
    if (r == -ECANCELED)
        return vmm_fail(errp, &(struct diag){.code = VMM_E_INTERRUPTED},
            "making the overlay \"%s\" was interrupted", o->path);
    if (r == -ETIMEDOUT)
        return vmm_fail(errp, &(struct diag){.code = VMM_E_IMAGE_OVERLAY, .sys = ETIMEDOUT},
            "could not make the overlay \"%s\": qemu-img did not end within %d s", o->path,
            QEMU_IMG_DEADLINE_MS / 1000);
    if (r < 0)
        return vmm_fail_io(errp, -r, "run", "qemu-img");
    cleanup_free char *details = said(err);
    /* Only its words tell why; a full disk is what a person can do something about. */
    const bool is_full =
        strstr(details, "No space left on device") || strstr(details, "quota exceeded");
    return vmm_fail(errp,
        &(struct diag){
            .code = is_full ? VMM_E_HOST_NO_SPACE : VMM_E_IMAGE_OVERLAY, .details = details},
        "could not make the overlay \"%s\": %s", o->path,
        is_full ? "the disk is full" : "qemu-img failed");
}

static int run_create(const struct overlay *o, struct vmm_error **errp)
{
    cleanup_free char *size = xasprintf("%" PRIu64, o->size_bytes);
    const char *const argv[] = {"qemu-img", "create", "-q", "-u", "-f", "qcow2", "-F",
        o->base_format, "-b", o->base_path, "--", o->temporary, size, NULL};
    cleanup_buf struct buf err = {0};
    const int r =
        process_run(argv, deadline_in_ms(QEMU_IMG_DEADLINE_MS), o->cancel_fd, /* out */ NULL, &err);
    return r == 0 ? 0 : fail_run(o, r, &err, errp);
}

static int sync_file(const char *path, struct vmm_error **errp)
{
    cleanup_close int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0 || fsync(fd) < 0)
        return vmm_fail_io(errp, errno, "make durable", path);
    return 0;
}

static int fail_exists(const char *path, struct vmm_error **errp)
{
    return vmm_fail(errp,
        &(struct diag){.code = VMM_E_IMAGE_OVERLAY,
            .sys = EEXIST,
            .reason = "exists",
            .help = "It may be a disk somebody needs. Move it away or delete it, then try again."},
        "could not make the overlay \"%s\": the file exists", path);
}

/* Renames without replacing. Some file systems (older NFS, some FUSE) cannot promise that; there a
 * look beforehand has to do, and the VM's lock keeps our own commands out. */
static int publish(const char *temporary, const char *path, struct vmm_error **errp)
{
    int r = renameat2(AT_FDCWD, temporary, AT_FDCWD, path, RENAME_NOREPLACE);
    if (r < 0 && errno == EINVAL) {
        struct stat st;
        if (lstat(path, &st) == 0)
            return fail_exists(path, errp);
        r = rename(temporary, path);
    }
    if (r < 0 && errno == EEXIST)
        return fail_exists(path, errp);
    return r < 0 ? vmm_fail_io(errp, errno, "write", path) : 0;
}

/* The file is there and has our mode before qemu-img writes to it: it would make it readable for
 * everybody if the umask let it. */
static int reserve(const char *temporary, struct vmm_error **errp)
{
    cleanup_close int fd =
        open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    return fd < 0 ? vmm_fail_io(errp, errno, "create", temporary) : 0;
}

static int make_and_publish(const struct overlay *o, struct vmm_error **errp)
{
    int r = run_create(o, errp);
    if (r < 0)
        return r;
    /* What was asked for is what is there, also with the oddest name. */
    struct image_info info;
    const struct image_inspect_opts opts = {
        .allow_backing = o->base_path, .backing_format = o->base_format};
    r = image_inspect(o->temporary, &opts, &info, errp);
    if (r < 0)
        return vmm_wrap(errp, &(struct diag){.code = VMM_E_IMAGE_OVERLAY},
            "could not make the overlay \"%s\": qemu-img wrote something else", o->path);
    r = sync_file(o->temporary, errp);
    return r < 0 ? r : publish(o->temporary, o->path, errp);
}

/* The folder, absolute, of a file that need not exist. */
static int resolve_folder(const char *path, char **ret_dir, struct vmm_error **errp)
{
    cleanup_free char *copy = xstrdup(path);
    const char *dir = dirname(copy);
    char *resolved = realpath(dir, NULL);
    if (!resolved)
        return vmm_fail_io(errp, errno, "open the folder", dir);
    *ret_dir = resolved;
    return 0;
}

static char *temporary_in(const char *dir)
{
    uint64_t random;
    if (getrandom(&random, sizeof(random), 0) != sizeof(random))
        abort();
    cleanup_free char *name = xasprintf(".overlay.%016" PRIx64 ".tmp", random);
    return path_join(dir, name);
}

int image_create_overlay(const char *base_path,
    const char *base_format,
    const char *overlay_path,
    uint64_t size_bytes,
    int cancel_fd,
    struct vmm_error **errp)
{
    uint64_t base_bytes = 0;
    int r = check_base(base_path, base_format, &base_bytes, errp);
    if (r < 0)
        return r;
    const uint64_t bytes = size_bytes ? size_bytes : base_bytes;
    r = image_check_size(base_path, base_bytes, bytes, errp);
    if (r < 0)
        return r;
    cleanup_free char *dir = NULL;
    r = resolve_folder(overlay_path, &dir, errp);
    if (r < 0)
        return r;
    struct stat st;
    if (lstat(overlay_path, &st) == 0)
        return fail_exists(overlay_path, errp);

    cleanup_free char *temporary = temporary_in(dir);
    r = reserve(temporary, errp);
    if (r < 0)
        return r;
    const struct overlay o = {base_path, base_format, overlay_path, temporary, bytes, cancel_fd};
    r = make_and_publish(&o, errp);
    if (r < 0) {
        unlink(temporary);
        return r;
    }
    r = fs_sync_dir(dir);
    return r < 0 ? vmm_fail_io(errp, -r, "make the folder durable", dir) : 0;
}
