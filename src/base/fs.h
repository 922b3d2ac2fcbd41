/* Files that must survive: durable writes, locks, private folders, bounded reads, deletion that
 * stays inside one folder. The durable-write recipe and its reasons: docs/decisions/0003. */
#pragma once

#include "base/buf.h"
#include "base/clock.h"
#include "vmm/error.h"

#include <stdbool.h>
#include <sys/types.h>

/* Joins with one slash. The caller owns the result. */
char *path_join(const char *dir, const char *name);

/* Opens a file below `dirfd` for reading: never through a symbolic link, never outside (openat2
 * RESOLVE_BENEATH), and only a regular file. Returns an fd or -errno (-ELOOP, -EINVAL: not a
 * regular file). */
int fs_open_beneath(int dirfd, const char *path, int flags);

/* Opens a user-named file for reading: follows links, does not block on a FIFO, accepts only a
 * regular file (-EISDIR, -EINVAL). Returns an fd or -errno. */
int fs_open_regular(const char *path);

/* Appends the whole of `fd` to `out`; -EFBIG past `limit_bytes`. 0 or -errno. */
int fs_read_all(int fd, size_t limit_bytes, struct buf *out);
/* The same for a path. */
int fs_read_file(const char *path, size_t limit_bytes, struct buf *out);
/* All of it, whatever signals and short writes do. 0 or -errno. */
int fs_write_all(int fd, const void *p, size_t n);

/* A folder of ours: made with 0700 when missing (parents too), refused when it is another user's or
 * open to others (security.md A-1). */
int fs_make_private_dir(const char *path, struct vmm_error **errp);

/* Replaces `dir`/`name` so that after a crash or power cut it holds the old or the new bytes, never
 * anything else: temporary file in the same folder, write, fsync, rename, fsync of the folder.
 * Mode is 0600. */
int fs_write_durable(
    const char *dir, const char *name, const void *p, size_t n, struct vmm_error **errp);

/* fsync of a folder after a rename in it. 0 or -errno. */
int fs_sync_dir(const char *path);

/* Deletes a tree without following links or crossing to another file system. A path that is not
 * there is no error. */
int fs_remove_tree(const char *path, struct vmm_error **errp);

/* An exclusive lock on a file of its own, freed when the fd is closed, also by a kill. Writes the
 * holder's pid into the file for the message of whoever waits. -ETIMEDOUT past the deadline. */
int fs_lock(const char *path, struct deadline deadline, pid_t *ret_holder);
/* Removes the lock's file while it is held, then lets go. */
void fs_unlock_and_remove(int lock_fd, const char *path);
