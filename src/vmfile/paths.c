#include "vmfile/internal.h"

#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/fs.h"

#include <pwd.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* The caller owns it; NULL when the user has none. */
static char *home_dir(void)
{
    const char *home = getenv("HOME");
    if (home && *home == '/')
        return xstrdup(home);
    char room[16384]; /* passwd entries are lines of a file; longer ones are not looked at */
    struct passwd entry, *found = NULL;
    if (getpwuid_r(getuid(), &entry, room, sizeof(room), &found) != 0 || !found ||
        *found->pw_dir != '/')
        return NULL;
    return xstrdup(found->pw_dir);
}

/* Takes out "//" and "/./", in place, so that people read the path they mean. ".." stays: what it
 * leads to depends on symbolic links. */
static char *tidy(char *path)
{
    char *to = path;
    for (const char *from = path; *from;) {
        if (from[0] == '/' && from[1] == '/')
            from++;
        else if (from[0] == '/' && from[1] == '.' && from[2] == '/')
            from += 2;
        else
            *to++ = *from++;
    }
    *to = '\0';
    return path;
}

char *vmm_resolve_path(const char *path, const char *base_dir)
{
    if (*path == '/')
        return tidy(xstrdup(path));
    if (path[0] == '~' && (path[1] == '/' || path[1] == '\0')) {
        cleanup_free char *home = home_dir();
        if (home)
            return tidy(xasprintf("%s%s", home, path + 1));
    }
    while (path[0] == '.' && path[1] == '/') {
        path += 2;
        while (*path == '/') /* ".//etc" is below here too */
            path++;
    }
    return tidy(path_join(base_dir, path));
}

const char *vmfile_path_fault(const char *path)
{
    if (path[0] == '~' && path[1] != '/' && path[1] != '\0')
        return "`~` with a user's name is not expanded";
    if (path[0] == '$')
        return "variables are not expanded";
    return NULL;
}
