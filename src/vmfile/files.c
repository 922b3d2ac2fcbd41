#include "vmfile/internal.h"

#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/fs.h"
#include "ssh/keys.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static int fault(struct vmm_error **errp,
    int sys,
    const char *label,
    const char *help,
    const char *what,
    const char *path,
    const char *problem)
{
    return vmm_fail(errp,
        &(struct diag){.code = VMM_E_VMFILE_INVALID, .sys = sys, .label = label, .help = help},
        "%s \"%s\" %s", what, path, problem);
}

static int missing(struct vmm_error **errp, const char *what, const char *path)
{
    return fault(errp, ENOENT, "no such file",
        "Put the file there or correct the path; a relative path starts at the folder of the VMFile.",
        what, path, "does not exist");
}

static int not_regular(struct vmm_error **errp, mode_t mode, const char *what, const char *path)
{
    return S_ISDIR(mode)
               ? fault(errp, EISDIR, "a folder", "Name a file.", what, path, "is a folder")
               : fault(errp, EINVAL, "not a regular file",
                     "Devices, pipes and sockets cannot be used here.", what, path,
                     "is not a regular file");
}

static int unreadable(struct vmm_error **errp, int sys, const char *what, const char *path)
{
    cleanup_free char *help = xasprintf("See who may read it: ls -l \"%s\"", path);
    cleanup_free char *problem = xasprintf("cannot be read: %s", strerror(sys));
    return fault(errp, sys, "cannot be read", help, what, path, problem);
}

int vmfile_check_file(const char *what, const char *path, struct vmm_error **errp)
{
    struct stat st;
    if (stat(path, &st) < 0)
        return errno == ENOENT ? missing(errp, what, path) : unreadable(errp, errno, what, path);
    if (!S_ISREG(st.st_mode))
        return not_regular(errp, st.st_mode, what, path);
    if (faccessat(AT_FDCWD, path, R_OK, AT_EACCESS) < 0)
        return unreadable(errp, errno, what, path);
    return 0;
}

static int read_file(const char *what,
    const char *path,
    size_t limit_bytes,
    struct buf *out,
    struct vmm_error **errp)
{
    int r = vmfile_check_file(what, path, errp);
    if (r < 0)
        return r;
    r = fs_read_file(path, limit_bytes, out);
    if (r == -EFBIG) {
        cleanup_free char *problem = xasprintf("is larger than %zu KiB", limit_bytes >> 10);
        return fault(errp, EFBIG, "too large", "Is this the right file?", what, path, problem);
    }
    return r < 0 ? unreadable(errp, -r, what, path) : 0;
}

static bool is_space(char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

static struct str trim(struct str s)
{
    while (s.n > 0 && is_space(s.p[s.n - 1]))
        s.n--;
    while (s.n > 0 && is_space(*s.p)) {
        s.p++;
        s.n--;
    }
    return s;
}

int vmfile_read_public_key(
    const char *what, const char *path, char **ret_line, struct vmm_error **errp)
{
    cleanup_buf struct buf text = {0};
    const int r = read_file(what, path, VMFILE_KEY_MAX_BYTES, &text, errp);
    if (r < 0)
        return r;
    const struct str line = trim((struct str){.p = text.p, .n = text.n});
    if (line.n && memmem(line.p, line.n, "PRIVATE KEY", strlen("PRIVATE KEY"))) {
        cleanup_free char *help =
            xasprintf("Name the public half: it is usually \"%s.pub\".", path);
        return fault(errp, 0, "a private key", help, what, path,
            "is a private key, which must not leave this machine");
    }
    if (line.n && memchr(line.p, '\n', line.n))
        return fault(errp, 0, "more than one line", "Name a file that holds one public key.", what,
            path, "holds more than one line");
    struct public_key key;
    if (!public_key_parse(line, &key))
        return fault(errp, 0, "not a public key",
            "Name the .pub file that ssh-keygen made, for example \"~/.ssh/id_ed25519.pub\".", what,
            path, "is not an SSH public key");
    *ret_line = xstrndup(line.p, line.n);
    return 0;
}

int vmfile_check_private_key(const char *what, const char *path, struct vmm_error **errp)
{
    cleanup_buf struct buf text = {0};
    int r = read_file(what, path, VMFILE_KEY_MAX_BYTES, &text, errp);
    struct public_key key;
    if (r == 0 && public_key_parse(trim((struct str){.p = text.p, .n = text.n}), &key)) {
        r = fault(errp, 0, "a public key", "Name the file without .pub: the private half.", what,
            path, "is a public key");
    }
    if (text.n)
        explicit_bzero(text.p, text.n);
    return r;
}

int vmfile_read_user_data(
    const char *what, const char *path, struct buf *out, struct vmm_error **errp)
{
    return read_file(what, path, VMFILE_USER_DATA_MAX_BYTES, out, errp);
}
