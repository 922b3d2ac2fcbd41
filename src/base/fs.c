#include "base/fs.h"
#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/error.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <poll.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/syscall.h>

char *path_join(const char *dir, const char *name)
{
    const size_t n = strlen(dir);
    return xasprintf("%s%s%s", dir, n && dir[n - 1] == '/' ? "" : "/", name);
}

/* Keeps `fd` only if it is a regular file. */
static int regular_or_close(int fd)
{
    struct stat st;
    int r = fd;
    if (fstat(fd, &st) < 0)
        r = -errno;
    else if (S_ISDIR(st.st_mode))
        r = -EISDIR;
    else if (!S_ISREG(st.st_mode))
        r = -EINVAL;
    if (r < 0)
        close(fd);
    return r;
}

int fs_open_beneath(int dirfd, const char *path, int flags)
{
    const struct open_how how = {
        .flags = (unsigned long long)(flags | O_CLOEXEC | O_NOFOLLOW | O_NOCTTY | O_NONBLOCK),
        .resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS,
    };
    const int fd = (int)syscall(SYS_openat2, dirfd, path, &how, sizeof(how));
    return fd < 0 ? -errno : regular_or_close(fd);
}

int fs_open_regular(const char *path)
{
    const int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    return fd < 0 ? -errno : regular_or_close(fd);
}

int fs_read_all(int fd, size_t limit_bytes, struct buf *out)
{
    for (size_t total = 0;;) {
        char *to = buf_reserve(out, 65536);
        const ssize_t got = read(fd, to, 65536);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return -errno;
        if (got == 0)
            return 0;
        total += (size_t)got;
        if (total > limit_bytes)
            return -EFBIG;
        out->n += (size_t)got;
        out->p[out->n] = '\0';
    }
}

int fs_read_file(const char *path, size_t limit_bytes, struct buf *out)
{
    cleanup_close int fd = fs_open_regular(path);
    return fd < 0 ? fd : fs_read_all(fd, limit_bytes, out);
}

int fs_write_all(int fd, const void *p, size_t n)
{
    for (const char *at = p; n > 0;) {
        const ssize_t put = write(fd, at, n);
        if (put < 0 && errno == EINTR)
            continue;
        if (put < 0 && errno == EAGAIN) {
            poll(&(struct pollfd){.fd = fd, .events = POLLOUT}, 1, -1);
            continue;
        }
        if (put < 0)
            return -errno;
        at += put;
        n -= (size_t)put;
    }
    return 0;
}

/* mkdir -p, 0700 for what it makes. 0 or -errno. */
static int make_dirs(const char *path)
{
    cleanup_free char *partial = xstrdup(path);
    for (char *slash = strchr(partial + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        if (mkdir(partial, 0700) < 0 && errno != EEXIST)
            return -errno;
        *slash = '/';
    }
    return mkdir(path, 0700) < 0 && errno != EEXIST ? -errno : 0;
}

int fs_make_private_dir(const char *path, struct vmm_error **errp)
{
    const int r = make_dirs(path);
    if (r < 0)
        return vmm_fail_io(errp, -r, "create the folder", path);
    cleanup_close int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    struct stat st;
    if (fd < 0 || fstat(fd, &st) < 0)
        return vmm_fail_io(errp, errno, "open the folder", path);
    if (st.st_uid != geteuid())
        return vmm_fail(errp,
            &(struct diag){.code = VMM_E_IO,
                .sys = EPERM,
                .help = "Set XDG_DATA_HOME to a folder of your own."},
            "the folder \"%s\" belongs to user %u, not to you", path, (unsigned)st.st_uid);
    if (st.st_mode & 077) {
        cleanup_free char *help = xasprintf("Run `chmod 700 %s`.", path);
        return vmm_fail(errp, &(struct diag){.code = VMM_E_IO, .sys = EPERM, .help = help},
            "the folder \"%s\" is open to other users (mode %03o)", path,
            (unsigned)st.st_mode & 0777);
    }
    if (faccessat(fd, ".", W_OK | X_OK, AT_EACCESS) < 0)
        return vmm_fail_io(errp, errno, "write in the folder", path);
    return 0;
}

static char *temporary_name(const char *name)
{
    unsigned long long random;
    if (getrandom(&random, sizeof(random), 0) != sizeof(random))
        abort();
    return xasprintf(".%s.%016llx.tmp", name, random);
}

int fs_sync_dir(const char *path)
{
    cleanup_close int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return fd < 0 || fsync(fd) < 0 ? -errno : 0;
}

/* A failed fsync is not asked again: the kernel may have dropped the pages and would answer "fine".
 */
static int write_temporary(int dirfd, const char *name, const void *p, size_t n)
{
    cleanup_close int fd = openat(dirfd, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0)
        return -errno;
    int r = fs_write_all(fd, p, n);
    if (r == 0 && fsync(fd) < 0)
        r = -errno;
    const int owned = TAKE_FD(fd);
    if (close(owned) < 0 && r == 0)
        r = -errno;
    return r;
}

int fs_write_durable(
    const char *dir, const char *name, const void *p, size_t n, struct vmm_error **errp)
{
    cleanup_free char *path = path_join(dir, name);
    cleanup_free char *temporary = temporary_name(name);
    cleanup_close int dirfd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (dirfd < 0)
        return vmm_fail_io(errp, errno, "open the folder", dir);
    int r = write_temporary(dirfd, temporary, p, n);
    if (r == 0 && renameat(dirfd, temporary, dirfd, name) < 0)
        r = -errno;
    if (r < 0) {
        unlinkat(dirfd, temporary, 0);
        return vmm_fail_io(errp, -r, "write", path);
    }
    if (fsync(dirfd) < 0)
        return vmm_fail_io(errp, errno, "make the folder durable", dir);
    return 0;
}

/* One folder of the tree being deleted. */
static int remove_entries(int dirfd, dev_t dev, unsigned depth)
{
    enum { DEPTH_MAX = 64 }; /* our folders are two deep; anything deeper was put there by hand */
    if (depth > DEPTH_MAX) {
        close(dirfd);
        return -ELOOP;
    }
    DIR *dir = fdopendir(dirfd);
    if (!dir) {
        const int r = -errno;
        close(dirfd);
        return r;
    }
    int r = 0;
    for (struct dirent *e; r == 0 && (errno = 0, e = readdir(dir));) {
        struct stat st;
        if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0)
            continue;
        if (fstatat(dirfd, e->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0) {
            r = errno == ENOENT ? 0 : -errno;
            continue;
        }
        if (S_ISDIR(st.st_mode)) {
            if (st.st_dev != dev) {
                r = -EXDEV;
                continue;
            }
            const int sub =
                openat(dirfd, e->d_name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
            r = sub < 0 ? -errno : remove_entries(sub, dev, depth + 1);
        }
        if (r == 0 && unlinkat(dirfd, e->d_name, S_ISDIR(st.st_mode) ? AT_REMOVEDIR : 0) < 0 &&
            errno != ENOENT)
            r = -errno;
    }
    closedir(dir);
    return r;
}

int fs_remove_tree(const char *path, struct vmm_error **errp)
{
    const int dirfd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (dirfd < 0 && errno == ENOENT)
        return 0;
    struct stat st;
    if (dirfd < 0 || fstat(dirfd, &st) < 0) {
        const int saved = errno;
        if (dirfd >= 0)
            close(dirfd);
        return vmm_fail_io(errp, saved, "delete", path);
    }
    const int r = remove_entries(dirfd, st.st_dev, 0);
    if (r < 0)
        return vmm_fail_io(errp, -r, "delete", path);
    if (rmdir(path) < 0 && errno != ENOENT)
        return vmm_fail_io(errp, errno, "delete", path);
    return 0;
}

static pid_t read_holder(int fd)
{
    char text[32] = "";
    const ssize_t n = pread(fd, text, sizeof(text) - 1, 0);
    return n > 0 ? (pid_t)strtol(text, NULL, 10) : 0;
}

static void write_holder(int fd)
{
    char text[32];
    const int n = snprintf(text, sizeof(text), "%ld\n", (long)getpid());
    if (ftruncate(fd, 0) < 0 || pwrite(fd, text, (size_t)n, 0) < 0)
        return; /* only for the words of a message */
}

int fs_lock(const char *path, struct deadline deadline, pid_t *ret_holder)
{
    for (int wait_ms = 1;; wait_ms = wait_ms < 20 ? wait_ms * 2 : 20) {
        cleanup_close int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
        if (fd < 0)
            return -errno;
        if (flock(fd, LOCK_EX | LOCK_NB) == 0) {
            /* The holder before us may have removed the file: then we hold a lock on nothing. */
            struct stat ours, there;
            if (fstat(fd, &ours) == 0 && stat(path, &there) == 0 && ours.st_ino == there.st_ino &&
                ours.st_dev == there.st_dev) {
                write_holder(fd);
                return TAKE_FD(fd);
            }
            continue;
        }
        if (errno != EWOULDBLOCK && errno != EINTR)
            return -errno;
        if (deadline_passed(deadline)) {
            if (ret_holder)
                *ret_holder = read_holder(fd);
            return -ETIMEDOUT;
        }
        /* flock has no deadline and no event; holders are quick, so a short nap is enough. */
        poll(NULL, 0, wait_ms);
    }
}

void fs_unlock_and_remove(int lock_fd, const char *path)
{
    if (lock_fd < 0)
        return;
    unlink(path);
    close(lock_fd);
}
