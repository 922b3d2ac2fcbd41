#include "machine/home.h"
#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/error.h"
#include "base/fs.h"
#include "base/utf8.h"

#include <errno.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char *home_folder(void)
{
    const char *env = getenv("HOME");
    if (env && env[0] == '/')
        return xstrdup(env);
    const struct passwd *pw = getpwuid(geteuid());
    return pw && pw->pw_dir && pw->pw_dir[0] == '/' ? xstrdup(pw->pw_dir) : NULL;
}

/* A relative XDG_DATA_HOME is to be ignored, says the XDG specification. */
static char *data_root(void)
{
    const char *xdg = getenv("XDG_DATA_HOME");
    if (xdg && xdg[0] == '/')
        return path_join(xdg, "vmctl");
    cleanup_free char *home = home_folder();
    if (home)
        return path_join(home, ".local/share/vmctl");
    return xasprintf("/tmp/vmctl-%u", (unsigned)geteuid());
}

/* Paths go into JSON, which knows only UTF-8, and on ssh's command line, where ${X} is a variable.
 */
static int check_root(const char *root, struct vmm_error **errp)
{
    bool is_fine = !strstr(root, "${");
    for (size_t at = 0, n = strlen(root); is_fine && at < n;) {
        uint32_t ignored;
        const size_t len = utf8_decode(root + at, n - at, &ignored);
        is_fine = len > 0;
        at += len;
    }
    if (is_fine)
        return 0;
    cleanup_buf struct buf shown = {0};
    utf8_sanitize(&shown, root, strlen(root));
    return vmm_fail(errp,
        &(struct diag){
            .code = VMM_E_IO, .help = "Set XDG_DATA_HOME to a folder with a plainer name."},
        "VMs cannot be kept in \"%s\": its name is not UTF-8 or holds \"${\"", buf_cstr(&shown));
}

int home_open(struct home *home, bool want_create, struct vmm_error **errp)
{
    struct home h = {.root = data_root()};
    h.vms = path_join(h.root, "vms");
    h.store = path_join(h.root, "vms.json");
    struct stat st;
    const bool is_there = stat(h.root, &st) == 0 || errno != ENOENT;
    int r = check_root(h.root, errp);
    if (r == 0 && (want_create || is_there))
        r = fs_make_private_dir(h.root, errp);
    if (r == 0 && want_create)
        r = fs_make_private_dir(h.vms, errp);
    if (r < 0) {
        home_done(&h);
        return r;
    }
    *home = h;
    return 0;
}

void home_done(struct home *home)
{
    free(home->root);
    free(home->vms);
    free(home->store);
    *home = (struct home){0};
}
