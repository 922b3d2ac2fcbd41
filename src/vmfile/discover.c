#include "vmfile/internal.h"

#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/fs.h"

#include <dirent.h>
#include <errno.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

static const char default_name[] = "VMFile.kdl";

static void closedir_handler(DIR **dir)
{
    if (*dir)
        closedir(*dir);
}

/* A file of the current folder whose name was perhaps meant to be ours. The caller owns it; NULL:
 * none. */
static char *find_similar(void)
{
    __attribute__((__cleanup__(closedir_handler))) DIR *dir = opendir(".");
    for (struct dirent *d = dir ? readdir(dir) : NULL; d; d = readdir(dir)) {
        if (strcasecmp(d->d_name, default_name) == 0 || strcasecmp(d->d_name, "VMFile") == 0)
            return xstrdup(d->d_name);
    }
    return NULL;
}

static int not_found(const char *path, struct vmm_error **errp)
{
    struct stat st;
    if (lstat(path, &st) == 0)
        return vmm_fail(errp, &(struct diag){.code = VMM_E_VMFILE_NOT_FOUND, .sys = ENOENT},
            "\"%s\" is a symbolic link to a file that does not exist", path);
    if (strcmp(path, default_name) != 0)
        return vmm_fail(errp,
            &(struct diag){.code = VMM_E_VMFILE_NOT_FOUND,
                .sys = ENOENT,
                .help =
                    "Check the path, or leave it out to use VMFile.kdl of the current directory."},
            "there is no file \"%s\"", path);
    cleanup_free char *similar = find_similar();
    cleanup_free char *help =
        similar ? xasprintf("Did you mean \"%s\"? Rename it to VMFile.kdl, or use --file %s",
                      similar, similar)
                : NULL;
    return vmm_fail(errp,
        &(struct diag){.code = VMM_E_VMFILE_NOT_FOUND, .sys = ENOENT, .help = help},
        "there is no VMFile.kdl in the current directory");
}

static int is_folder(const char *path, struct vmm_error **errp)
{
    cleanup_free char *inside = path_join(path, default_name);
    struct stat st;
    const bool has_file = stat(inside, &st) == 0 && S_ISREG(st.st_mode);
    cleanup_free char *help = has_file ? xasprintf("Name the file in it: --file %s", inside)
                                       : xstrdup("Name a file with --file.");
    return vmm_fail(errp, &(struct diag){.code = VMM_E_VMFILE_INVALID, .sys = EISDIR, .help = help},
        "\"%s\" is a folder, not a file", path);
}

int vmfile_open(const char *path, struct vmm_error **errp)
{
    const int fd = fs_open_regular(path);
    switch (fd) {
    case -ENOENT:
        return not_found(path, errp);
    case -EISDIR:
        return is_folder(path, errp);
    case -EINVAL:
    case -ENXIO: /* a socket; a pipe nobody writes to */
        return vmm_fail(errp,
            &(struct diag){.code = VMM_E_VMFILE_INVALID,
                .sys = EINVAL,
                .help =
                    "A pipe cannot be read twice: write the definitions into a file and name that."},
            "\"%s\" is not a regular file", path);
    default:
        return fd < 0 ? vmm_fail_io(errp, -fd, "read", path) : fd;
    }
}

int vmm_vmfile_discover(const char *explicit_path, char **ret_path, struct vmm_error **errp)
{
    const char *path = explicit_path ? explicit_path : default_name;
    cleanup_close int fd = vmfile_open(path, errp);
    if (fd < 0)
        return fd;
    *ret_path = xstrdup(path);
    return 0;
}
