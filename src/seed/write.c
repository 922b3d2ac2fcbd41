/* seed_write_iso: the caller's end of the pipe to vmm-seed. Three memfds instead of pipes: nothing
 * to poll, nothing that can fill up, and the documents are on no disk but in the ISO. */
#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/error.h"
#include "base/fs.h"
#include "base/process.h"
#include "base/utf8.h"
#include "seed/frame.h"
#include "seed/seed.h"

#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>

enum {
    HELPER_DEADLINE_MS = 30000, /* it takes 10 ms */
    ISO_MAX_BYTES = FRAME_MAX_BYTES + (1 << 20),
    DETAILS_MAX_BYTES = 2048,
};

static struct str view(const struct buf *b)
{
    return (struct str){.p = buf_cstr(b), .n = b->n};
}

static int memory_file(const char *name)
{
    const int fd = memfd_create(name, MFD_CLOEXEC);
    return fd < 0 ? -errno : fd;
}

/* A memfd that holds the documents, to be read from its start. */
static int documents_file(const struct seed_documents *d)
{
    struct frame_file files[FRAME_FILES_MAX];
    size_t count = 0;
    files[count++] = (struct frame_file){STR("meta-data"), view(&d->meta_data)};
    files[count++] = (struct frame_file){STR("user-data"), view(&d->user_data)};
    if (d->vendor_data.n)
        files[count++] = (struct frame_file){STR("vendor-data"), view(&d->vendor_data)};
    cleanup_buf struct buf frame = {0};
    frame_encode(&frame, files, count);
    cleanup_close int fd = memory_file("seed documents");
    int r = fd < 0 ? fd : fs_write_all(fd, frame.p, frame.n);
    explicit_bzero(frame.p, frame.n);
    if (r == 0 && lseek(fd, 0, SEEK_SET) < 0)
        r = -errno;
    return r < 0 ? r : TAKE_FD(fd);
}

static int read_back(int fd, size_t limit_bytes, struct buf *out)
{
    return lseek(fd, 0, SEEK_SET) < 0 ? -errno : fs_read_all(fd, limit_bytes, out);
}

static int fail_helper(const char *path, int status, int words_fd, struct vmm_error **errp)
{
    cleanup_buf struct buf words = {0};
    cleanup_buf struct buf details = {0};
    if (read_back(words_fd, 1 << 20, &words) == 0)
        utf8_sanitize(
            &details, buf_cstr(&words), words.n < DETAILS_MAX_BYTES ? words.n : DETAILS_MAX_BYTES);
    const bool is_full = strstr(buf_cstr(&details), "No space left on device");
    cleanup_free char *how = WIFSIGNALED(status)
                                 ? xasprintf("vmm-seed was killed by signal %d", WTERMSIG(status))
                                 : xasprintf("vmm-seed failed (%d)", WEXITSTATUS(status));
    return vmm_fail(errp,
        &(struct diag){.code = is_full ? VMM_E_HOST_NO_SPACE : VMM_E_CLOUDINIT_ISO,
            .details = details.n ? details.p : NULL},
        "could not make the cloud-init ISO \"%s\": %s", path, is_full ? "the disk is full" : how);
}

/* Waits for the helper; one that is late is killed. */
static int wait_for_helper(pid_t pid, const char *path, int words_fd, struct vmm_error **errp)
{
    int status;
    const int r = process_wait(pid, deadline_in_ms(HELPER_DEADLINE_MS), &status);
    if (r == -ETIMEDOUT) {
        kill(pid, SIGKILL); /* our own unreaped child: the pid cannot be another's */
        while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
            continue;
        return vmm_fail(errp, &(struct diag){.code = VMM_E_CLOUDINIT_ISO, .sys = ETIMEDOUT},
            "could not make the cloud-init ISO \"%s\": the helper did not end within %d s", path,
            HELPER_DEADLINE_MS / 1000);
    }
    if (r < 0)
        return vmm_fail_io(errp, -r, "wait for", "vmm-seed");
    return WIFEXITED(status) && WEXITSTATUS(status) == 0
               ? 0
               : fail_helper(path, status, words_fd, errp);
}

/* Runs the helper in `dir`, where it may put a temporary file, and keeps the image. */
static int run_helper(const struct seed_documents *d,
    const char *dir,
    const char *path,
    struct buf *image,
    struct vmm_error **errp)
{
    cleanup_free char *found = process_find_helper("vmm-seed");
    /* Absolute, because it starts in another folder than we are in. */
    cleanup_free char *helper = found ? realpath(found, NULL) : NULL;
    if (!helper)
        return vmm_fail(errp, &(struct diag){.code = VMM_E_HELPER, .sys = ENOENT},
            "could not make the cloud-init ISO \"%s\": the helper vmm-seed is nowhere", path);
    cleanup_close int documents_fd = documents_file(d);
    cleanup_close int image_fd = memory_file("seed image");
    cleanup_close int words_fd = memory_file("seed words");
    if (documents_fd < 0 || image_fd < 0 || words_fd < 0)
        return vmm_fail_io(
            errp, documents_fd < 0 ? -documents_fd : EMFILE, "make memory for", path);
    const char *const argv[] = {helper, NULL};
    pid_t pid;
    int r = process_spawn(argv,
        &(struct process_opts){.stdin_fd = documents_fd,
            .stdout_fd = -1,
            .stderr_fd = words_fd,
            .extra_fd = image_fd,
            .cwd = dir,
            .die_with_parent = true},
        &pid);
    if (r < 0)
        return vmm_fail(errp, &(struct diag){.code = VMM_E_HELPER, .sys = -r},
            "could not run the helper \"%s\": %s", helper, strerror(-r));
    r = wait_for_helper(pid, path, words_fd, errp);
    if (r < 0)
        return r;
    r = read_back(image_fd, ISO_MAX_BYTES, image);
    return r < 0 ? vmm_fail_io(errp, -r, "read back", path) : 0;
}

/* Whether `path` is a file of ours with these bytes. Anything else, also a link, is replaced. */
static bool is_there_already(const char *path, const struct buf *image)
{
    struct stat st;
    if (lstat(path, &st) < 0 || !S_ISREG(st.st_mode) || (st.st_mode & 07777) != 0600 ||
        st.st_uid != geteuid() || (size_t)st.st_size != image->n)
        return false;
    cleanup_buf struct buf bytes = {0};
    return fs_read_file(path, image->n, &bytes) == 0 && str_eq(view(&bytes), view(image));
}

int seed_write_iso(
    const struct seed_documents *documents, const char *path, struct vmm_error **errp)
{
    const char *slash = strrchr(path, '/');
    const char *name = slash ? slash + 1 : path;
    cleanup_free char *dir = !slash          ? xstrdup(".")
                             : slash == path ? xstrdup("/")
                                             : xstrndup(path, (size_t)(slash - path));
    struct stat st;
    if (stat(dir, &st) < 0)
        return vmm_fail_io(errp, errno, "open the folder", dir);
    cleanup_buf struct buf image = {0};
    int r = run_helper(documents, dir, path, &image, errp);
    if (r == 0 && !is_there_already(path, &image))
        r = fs_write_durable(dir, name, image.p, image.n, errp);
    if (image.p)
        explicit_bzero(image.p, image.cap);
    return r;
}
