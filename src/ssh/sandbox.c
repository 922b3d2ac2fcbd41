#include "ssh/sandbox.h"

#include <errno.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/landlock.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Under a sanitizer address space is reserved in terabytes, so memory cannot be limited. */
#if defined(__SANITIZE_ADDRESS__)
#define HAS_SANITIZER 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define HAS_SANITIZER 1
#endif
#endif
#ifndef HAS_SANITIZER
#define HAS_SANITIZER 0
#endif

/* The headers may be older than the kernel: what they lack is spelled out. Rights of ABI 1 to 5,
 * in the order of their bits. */
#define FS_RIGHTS_ABI_1 ((1ULL << 13) - 1)
#define FS_RIGHT_REFER (1ULL << 13)     /* ABI 2 */
#define FS_RIGHT_TRUNCATE (1ULL << 14)  /* ABI 3 */
#define FS_RIGHT_IOCTL_DEV (1ULL << 15) /* ABI 5 */
#define NET_RIGHTS 3ULL                 /* ABI 4: bind, connect */
#define SCOPES 3ULL                     /* ABI 6: abstract sockets, signals */

struct ruleset {
    uint64_t fs;
    uint64_t net;
    uint64_t scoped;
};

/* ---- Stage 1: what any process can do for itself ------------------------------------------- */

static bool limit(int resource, rlim_t value)
{
    return setrlimit((__rlimit_resource_t)resource, &(struct rlimit){value, value}) == 0;
}

static bool stage_process(void)
{
    /* No core file, no debugger of the same user: a private key is in this memory. */
    if (!limit(RLIMIT_CORE, 0) || prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0)
        return false;
    /* A guest that floods us meets an allocation that fails. 64 MiB is some ten times what a
     * session in full swing uses. */
    if (!HAS_SANITIZER && !limit(RLIMIT_DATA, 64U << 20))
        return false;
    if (!limit(RLIMIT_NOFILE, 64))
        return false;
    /* Nothing we might execute may gain rights; and Landlock and seccomp ask for it. */
    return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0;
}

/* ---- Stage 2: no file, no connection, no signal to others ---------------------------------- */

/* An empty ruleset that handles everything refuses everything. What is open stays usable: the
 * socketpair, and the files and the one connection that are handed over. */
static int stage_landlock(void)
{
    const int abi =
        (int)syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);
    if (abi <= 0)
        return 0; /* an old kernel, or switched off */
    struct ruleset rules = {.fs = FS_RIGHTS_ABI_1};
    if (abi >= 2)
        rules.fs |= FS_RIGHT_REFER;
    if (abi >= 3)
        rules.fs |= FS_RIGHT_TRUNCATE;
    if (abi >= 4)
        rules.net = NET_RIGHTS;
    if (abi >= 5)
        rules.fs |= FS_RIGHT_IOCTL_DEV;
    if (abi >= 6)
        rules.scoped = SCOPES;
    const size_t size = abi >= 6   ? sizeof(rules)
                        : abi >= 4 ? offsetof(struct ruleset, scoped)
                                   : offsetof(struct ruleset, net);
    const int fd = (int)syscall(SYS_landlock_create_ruleset, &rules, size, 0);
    if (fd < 0)
        return 0;
    const long r = syscall(SYS_landlock_restrict_self, fd, 0);
    close(fd);
    return r == 0 ? abi : 0;
}

/* ---- Stage 3: no system call that reaches out ---------------------------------------------- */

/* Landlock leaves holes: connect() to a Unix socket by its path, and everything on kernels without
 * it. A list of what is refused, since a list of what is allowed would break with the next libc or
 * OpenSSL. They fail with EPERM instead of killing: libraries ask for files they can do
 * without. */
static const int refused_calls[] = {
    SYS_openat,
    SYS_openat2,
    SYS_open_by_handle_at,
    SYS_name_to_handle_at,
    SYS_execve,
    SYS_execveat,
    SYS_socket,
    SYS_socketpair,
    SYS_connect,
    SYS_bind,
    SYS_listen,
    SYS_accept,
    SYS_accept4,
    SYS_ptrace,
    SYS_process_vm_readv,
    SYS_process_vm_writev,
    SYS_pidfd_getfd,
    SYS_pidfd_send_signal,
    SYS_kill,
    SYS_unlinkat,
    SYS_renameat2,
    SYS_linkat,
    SYS_symlinkat,
    SYS_mkdirat,
    SYS_mknodat,
    SYS_fchmodat,
    SYS_fchownat,
    SYS_truncate,
    SYS_mount,
    SYS_umount2,
    SYS_unshare,
    SYS_setns,
    SYS_chroot,
    SYS_pivot_root,
    SYS_io_uring_setup,
    SYS_bpf,
    SYS_perf_event_open,
    SYS_userfaultfd,
    SYS_keyctl,
    SYS_add_key,
    SYS_request_key,
    SYS_memfd_create,
    SYS_shmat,
    SYS_msgget,
    SYS_semget,
#ifdef SYS_open
    SYS_open,
    SYS_creat,
    SYS_unlink,
    SYS_rename,
    SYS_renameat,
    SYS_link,
    SYS_symlink,
    SYS_mkdir,
    SYS_rmdir,
    SYS_mknod,
    SYS_chmod,
    SYS_chown,
    SYS_lchown,
    SYS_fork,
    SYS_vfork,
#endif
#if !HAS_SANITIZER /* which looks for leaks from a thread of its own */
    SYS_clone,
    SYS_clone3,
#endif
};

#if defined(__x86_64__)
#define THIS_ARCH AUDIT_ARCH_X86_64
#define X32_BIT 0x40000000U
#elif defined(__aarch64__) && defined(__AARCH64EL__)
#define THIS_ARCH AUDIT_ARCH_AARCH64
#endif

static bool stage_seccomp(void)
{
#ifndef THIS_ARCH
    return false;
#else
    enum { COUNT = sizeof(refused_calls) / sizeof(*refused_calls) };
    struct sock_filter code[2 * COUNT + 16];
    unsigned short n = 0;
    const struct sock_filter refuse = BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM);

    /* Numbers mean other calls in another architecture's mode: refuse those modes whole. */
    code[n++] =
        (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, arch));
    code[n++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, THIS_ARCH, 1, 0);
    code[n++] = refuse;
    code[n++] =
        (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr));
#ifdef X32_BIT
    code[n++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, X32_BIT, 0, 1);
    code[n++] = refuse;
#endif
    for (unsigned i = 0; i < COUNT; i++) {
        code[n++] = (struct sock_filter)BPF_JUMP(
            BPF_JMP | BPF_JEQ | BPF_K, (unsigned)refused_calls[i], 0, 1);
        code[n++] = refuse;
    }
    code[n++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
    const struct sock_fprog program = {.len = n, .filter = code};
    return prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program, 0, 0) == 0;
#endif
}

bool sandbox_enter(struct sandbox *ret)
{
    *ret = (struct sandbox){0};
    if (!stage_process())
        return false;
    ret->landlock = stage_landlock();
    ret->has_seccomp = stage_seccomp();
    return true;
}
