/* Does KVM work, or does it only open? There are hosts (nested, para-virtualized) where /dev/kvm
 * opens and makes VMs, yet guests hang or die. So we run a guest of fifty bytes: it enters long
 * mode with paging on, does a locked cmpxchg16b (the instruction broken hosts hand to an emulator
 * that does not know it), and halts. That takes a tenth of a millisecond where KVM works. */
#include "hypervisor/qemu/internal.h"

#include "base/alloc.h"
#include "base/cleanup.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
    PROBE_TIMEOUT_MS = 2000,
    GUEST_BYTES = 0x10000,
    CODE_AT = 0x1000,
    DATA_AT = 0x2000, /* 16 bytes, aligned as cmpxchg16b wants */
    PML4_AT = 0x3000,
    PDPT_AT = 0x4000,
    PD_AT = 0x5000,
    CPUID_ENTRIES = 256,
};

static const uint8_t code[] = {
    0x48, 0xc7, 0xc6, 0x00, 0x20, 0x00, 0x00, /* mov  $DATA_AT, %rsi */
    0x31, 0xc0,                               /* xor  %eax, %eax */
    0x31, 0xd2,                               /* xor  %edx, %edx */
    0xbb, 0x11, 0x00, 0x00, 0x00,             /* mov  $0x11, %ebx */
    0xb9, 0x22, 0x00, 0x00, 0x00,             /* mov  $0x22, %ecx */
    0xf0, 0x48, 0x0f, 0xc7, 0x0e,             /* lock cmpxchg16b (%rsi) */
    0xf4,                                     /* hlt */
};

static int enter_long_mode(int vcpu)
{
    struct kvm_sregs s;
    if (ioctl(vcpu, KVM_GET_SREGS, &s) < 0)
        return -1;
    const struct kvm_segment code_segment = {
        .limit = 0xffffffff, .selector = 8, .type = 11, .present = 1, .s = 1, .l = 1, .g = 1};
    struct kvm_segment data_segment = code_segment;
    data_segment.selector = 16;
    data_segment.type = 3;
    data_segment.l = 0;
    data_segment.db = 1;
    s.cs = code_segment;
    s.ds = s.es = s.fs = s.gs = s.ss = data_segment;
    s.cr3 = PML4_AT;
    s.cr4 = 1 << 5;                  /* PAE */
    s.cr0 = 1u | 1u << 4 | 1u << 31; /* PE, ET, PG */
    s.efer = 1 << 8 | 1 << 10;       /* LME, LMA */
    const struct kvm_regs r = {.rip = CODE_AT, .rsp = GUEST_BYTES, .rflags = 2};
    return ioctl(vcpu, KVM_SET_SREGS, &s) < 0 || ioctl(vcpu, KVM_SET_REGS, &r) < 0 ? -1 : 0;
}

static int set_cpuid(int kvm, int vcpu)
{
    struct kvm_cpuid2 *cpuid = calloc(1, sizeof(*cpuid) + CPUID_ENTRIES * sizeof(*cpuid->entries));
    if (!cpuid)
        return -1;
    cpuid->nent = CPUID_ENTRIES;
    const bool is_set =
        ioctl(kvm, KVM_GET_SUPPORTED_CPUID, cpuid) == 0 && ioctl(vcpu, KVM_SET_CPUID2, cpuid) == 0;
    free(cpuid);
    return is_set ? 0 : -1;
}

static void load_guest(uint8_t *memory)
{
    const uint64_t present_writable = 3, large = 1 << 7;
    memcpy(memory + CODE_AT, code, sizeof(code));
    *(uint64_t *)(memory + PML4_AT) = PDPT_AT | present_writable;
    *(uint64_t *)(memory + PDPT_AT) = PD_AT | present_writable;
    *(uint64_t *)(memory + PD_AT) = 0 | present_writable | large; /* the first 2 MiB, as they are */
}

/* NULL or a constant sentence. Runs in a child: a KVM that never returns is killed with it. */
static const char *run_guest(const char *device)
{
    const int kvm = open(device, O_RDWR | O_CLOEXEC);
    if (kvm < 0)
        return errno == ENOENT ? "there is no /dev/kvm" : "/dev/kvm cannot be opened";
    const int vm = ioctl(kvm, KVM_CREATE_VM, 0);
    const int vcpu = vm < 0 ? -1 : ioctl(vm, KVM_CREATE_VCPU, 0);
    const int run_bytes = ioctl(kvm, KVM_GET_VCPU_MMAP_SIZE, 0);
    if (vcpu < 0 || run_bytes < (int)sizeof(struct kvm_run))
        return "KVM cannot make a virtual machine";
    uint8_t *memory =
        mmap(NULL, GUEST_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    struct kvm_run *run =
        mmap(NULL, (size_t)run_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, vcpu, 0);
    if (memory == MAP_FAILED || run == MAP_FAILED)
        return "KVM cannot map its memory";
    load_guest(memory);
    const struct kvm_userspace_memory_region region = {
        .memory_size = GUEST_BYTES, .userspace_addr = (uintptr_t)memory};
    if (ioctl(vm, KVM_SET_USER_MEMORY_REGION, &region) < 0 || set_cpuid(kvm, vcpu) < 0 ||
        enter_long_mode(vcpu) < 0)
        return "KVM cannot set up a 64-bit processor";
    while (ioctl(vcpu, KVM_RUN, 0) < 0) {
        if (errno != EINTR && errno != EAGAIN)
            return "KVM cannot run a guest";
    }
    if (run->exit_reason == KVM_EXIT_INTERNAL_ERROR)
        return "KVM fails to emulate an ordinary instruction";
    if (run->exit_reason != KVM_EXIT_HLT)
        return "a test guest under KVM does not reach its end";
    const uint64_t *data = (const uint64_t *)(memory + DATA_AT);
    return data[0] == 0x11 && data[1] == 0x22 ? NULL : "a test guest under KVM computes wrongly";
}

char *kvm_probe(const char *device)
{
    int result[2];
    if (pipe2(result, O_CLOEXEC) < 0)
        return xstrdup("the test guest could not be started");
    cleanup_close int result_read = result[0];
    cleanup_close int result_write = result[1];
    const pid_t pid = fork();
    if (pid < 0)
        return xstrdup("the test guest could not be started");
    if (pid == 0) {
        const char *why = run_guest(device);
        if (why && write(result_write, why, strlen(why)) < 0)
            _exit(1);
        _exit(why ? 1 : 0);
    }
    close(TAKE_FD(result_write));
    /* The pipe closes when the child ends. */
    char why[128] = "";
    const struct deadline deadline = deadline_in_ms(PROBE_TIMEOUT_MS);
    bool is_late = false;
    int n;
    do
        n = poll(
            &(struct pollfd){.fd = result_read, .events = POLLIN}, 1, deadline_left_ms(deadline));
    while (n < 0 && errno == EINTR);
    if (n == 0) {
        is_late = true;
        kill(pid, SIGKILL); /* our unreaped child */
    } else if (read(result_read, why, sizeof(why) - 1) < 0) {
        why[0] = '\0';
    }
    int status;
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
        continue;
    if (is_late)
        return xstrdup("a test guest under KVM hangs");
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
        return NULL;
    return xstrdup(why[0] ? why : "the test guest crashed");
}
