#include "machine/login.h"
#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/error.h"
#include "base/fs.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { KEY_MAX_BYTES = 64 << 10 };

static char *existing(char *path)
{
    if (path && access(path, R_OK) == 0) /* a choice among candidates; opening decides */
        return path;
    free(path);
    return NULL;
}

/* The generated key first, then the one named, then the standard ones (reference, "SSH Key
 * Resolution"). A key named on the command line goes before a VMFile's. */
static char *find_key(const struct vmm_handle *vm, const char *named)
{
    static const char *const standard[] = {"id_ed25519", "id_ecdsa", "id_rsa"};
    char *found = existing(path_join(vm->work_dir, WORKDIR_KEY));
    if (!found && named)
        return xstrdup(named);
    if (!found && vm->ssh_private_key_path)
        return xstrdup(vm->ssh_private_key_path);
    const char *home = getenv("HOME");
    for (size_t i = 0; !found && home && i < sizeof(standard) / sizeof(*standard); i++)
        found = existing(xasprintf("%s/.ssh/%s", home, standard[i]));
    return found;
}

int login_resolve(struct machine_env *env,
    const struct vmm_handle *vm,
    const struct login_opts *opts,
    struct login *ret,
    struct vmm_error **errp)
{
    char *host;
    const int r = vmm_hypervisor_guest_ip(env->hypervisor, vm, &host, errp);
    if (r < 0)
        return r;
    const bool is_forwarded = vm->network.kind == VMM_NETWORK_USER;
    *ret = (struct login){
        .host = host,
        .port = is_forwarded ? vm->ssh_host_port : 22,
        .user = xstrdup(opts && opts->user ? opts->user
                        : vm->ssh_user     ? vm->ssh_user
                                           : "vm"),
        .key_path = find_key(vm, opts ? opts->key_path : NULL),
        .known_hosts_path = path_join(vm->work_dir, WORKDIR_KNOWN_HOSTS),
        .alias = xstrdup(vm->name),
        .is_pinned = vm->host_key_is_seeded,
    };
    return 0;
}

void login_done(struct login *l)
{
    free(l->host);
    free(l->user);
    free(l->key_path);
    free(l->known_hosts_path);
    free(l->alias);
    *l = (struct login){0};
}

int login_target(const struct login *l,
    struct buf *key_text,
    struct ssh_target *ret_target,
    struct vmm_error **errp)
{
    if (l->key_path) {
        const int r = fs_read_file(l->key_path, KEY_MAX_BYTES, key_text);
        if (r < 0)
            return vmm_fail_io(errp, -r, "read the ssh key", l->key_path);
    }
    *ret_target = (struct ssh_target){
        .host = l->host,
        .port = l->port,
        .user = l->user,
        .private_key = l->key_path ? buf_cstr(key_text) : NULL,
        .known_hosts_path = l->known_hosts_path,
        .host_key_alias = l->alias,
        .host_key_policy = l->is_pinned ? SSH_HOST_KEY_PINNED : SSH_HOST_KEY_PIN_FIRST,
    };
    return 0;
}
