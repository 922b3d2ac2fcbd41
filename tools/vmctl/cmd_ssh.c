#include "vmctl.h"

#include "base/alloc.h"
#include "base/buf.h"
#include "base/cleanup.h"
#include "base/error.h"
#include "base/process.h"
#include "base/vec.h"
#include "machine/login.h"
#include "machine/wait.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { REACH_MS = 30000 }; /* times the guest's slowness */

/* The VM that is meant: NAME, --name, or the only one of the VMFile. The caller owns it. */
static int infer_name(const struct cli_input *in, char **ret_name, struct vmm_error **errp)
{
    const char *given =
        cli_argument(in, "NAME") ? cli_argument(in, "NAME") : cli_string(in, "name");
    if (given) {
        *ret_name = xstrdup(given);
        return 0;
    }
    cleanup_vmfile struct vmm_vmfile *file = NULL;
    const int r = open_vmfile(in, VMFILE_TO_NAME, &file, errp);
    if (r < 0)
        return r;
    if (vmm_vmfile_count(file) != 1)
        return cli_fail_usage(errp, in, "NAME", "say which", "%s defines %zu VMs",
            vmm_vmfile_path(file), vmm_vmfile_count(file));
    *ret_name = xstrdup(vmm_vmfile_vm(file, 0)->name);
    return 0;
}

/* ssh reads `%` in paths as the start of a token and splits values at spaces outside of quotes. */
static char *ssh_option_path(const char *option, const char *path)
{
    struct buf out = {0};
    buf_addf(&out, "%s=\"", option);
    for (; *path; path++) {
        if (*path == '%')
            buf_addc(&out, '%');
        if (*path == '"' || *path == '\\')
            buf_addc(&out, '\\');
        buf_addc(&out, *path);
    }
    buf_addc(&out, '"');
    return buf_steal(&out);
}

/* Replaces this process. Nothing of the user's own ssh configuration, known hosts or agent is used
 * or changed: what is right for this VM is said in full. */
static int hand_over(const struct login *l, const char *const *command, struct vmm_error **errp)
{
    VEC(const char *) args = {0};
    cleanup_free char *identity = l->key_path ? ssh_option_path("IdentityFile", l->key_path) : NULL;
    cleanup_free char *known_hosts = ssh_option_path("UserKnownHostsFile", l->known_hosts_path);
    cleanup_free char *alias = xasprintf("HostKeyAlias=%s", l->alias);
    cleanup_free char *port = xasprintf("%u", l->port);
    const char *const fixed[] = {
        "ssh",
        "-F",
        "none",
        "-o",
        "StrictHostKeyChecking=yes",
        "-o",
        "GlobalKnownHostsFile=none",
        "-o",
        known_hosts,
        "-o",
        alias,
        "-o",
        "IdentitiesOnly=yes",
        "-o",
        "ForwardAgent=no",
        "-o",
        "LogLevel=ERROR",
        "-o",
        "ServerAliveInterval=15",
        "-p",
        port,
        "-l",
        l->user,
    };
    for (size_t i = 0; i < sizeof(fixed) / sizeof(*fixed); i++)
        vec_push(&args, fixed[i]);
    if (identity) {
        vec_push(&args, "-o");
        vec_push(&args, identity);
    }
    vec_push(&args, "--");
    vec_push(&args, l->host);
    for (; *command; command++)
        vec_push(&args, *command);
    vec_push(&args, NULL);
    signal(SIGPIPE, SIG_DFL);
    signal(SIGINT, SIG_DFL);
    signal(SIGTERM, SIG_DFL);
    execvp("ssh", (char *const *)args.v);
    const int r = vmm_fail(errp,
        &(struct diag){.code = VMM_E_SSH,
            .sys = errno,
            .help = "Install it (Debian: `apt-get install openssh-client`)."},
        "could not run the program ssh: %s", strerror(errno));
    vec_done(&args);
    return r;
}

static int check_running(const char *name, enum vmm_state state, struct vmm_error **errp)
{
    if (state == VMM_STATE_RUNNING)
        return 0;
    cleanup_free char *help = machine_state_advice(name, state);
    return vmm_fail(errp, &(struct diag){.code = VMM_E_VM_STATE, .help = help},
        "VM \"%s\" cannot be entered: it is %s", name, vmm_state_name(state));
}

/* Through our own client first: it waits for a guest that is still booting, and says what is wrong
 * with one that cannot be reached. */
static int check_reachable(struct machine_env *env,
    const struct vmm_handle *vm,
    const struct login_opts *opts,
    struct vmm_error **errp)
{
    cleanup_ssh_session struct ssh_session *session = NULL;
    return wait_login(env, vm, opts,
        &(struct wait_opts){
            .cancel_fd = interrupt_fd(), .limit_ms = (int64_t)REACH_MS * hypervisor_patience(vm)},
        &session, errp);
}

static int run(const struct cli_input *in, struct vmm_error **errp)
{
    cleanup_env struct machine_env env = {0};
    cleanup_handle struct vmm_handle *vm = NULL;
    cleanup_free char *name = NULL;
    __attribute__((cleanup(login_done))) struct login login = {0};
    const struct login_opts opts = {
        .user = cli_string(in, "user"), .key_path = cli_string(in, "key")};
    enum vmm_state state;
    int r = infer_name(in, &name, errp);
    if (r == 0)
        r = machine_env_open(&env, false, errp);
    if (r == 0)
        r = machine_look(&env, name, &vm, &state, errp);
    if (r == 0)
        r = check_running(name, state, errp);
    if (r == 0)
        r = check_reachable(&env, vm, &opts, errp);
    if (r == 0)
        r = login_resolve(&env, vm, &opts, &login, errp);
    return r < 0 ? r : hand_over(&login, cli_rest(in, NULL), errp);
}

static const struct cli_option options[] = {
    {.name = "name",
        .kind = CLI_STRING,
        .placeholder = "NAME",
        .help = "the VM, as NAME",
        .completes = "vm"},
    {.name = "user", .kind = CLI_STRING, .placeholder = "USER", .help = "log in as this user"},
    {.name = "key",
        .kind = CLI_PATH,
        .placeholder = "PATH",
        .help = "private key to use",
        .completes = "file"},
    OPTION_FILE,
    {0},
};

static const struct cli_argument arguments[] = {
    {.placeholder = "NAME",
        .help = "the VM (default: the only one of VMFile.kdl)",
        .presence = CLI_OPTIONAL,
        .completes = "vm"},
    {.placeholder = "COMMAND", .help = "run this instead of a shell", .presence = CLI_COMMAND},
    {0},
};

static const struct cli_example examples[] = {
    {"a shell in the only VM of ./VMFile.kdl", "vmctl ssh"},
    {"a command in the VM web; its exit status is ours", "vmctl ssh web -- uname -r"},
    {0},
};

const struct cli_command cmd_ssh = {
    .name = "ssh",
    .group = "Single VMs",
    .summary = "Enter a VM by ssh",
    .details =
        "Waits until the guest can be logged in to (30 seconds, more under emulation), then hands "
        "over to the system's ssh. The guest's host key is checked against the one the VM was "
        "given when it was made.",
    .options = options,
    .arguments = arguments,
    .examples = examples,
    .run = run,
};
