/* The process that stays with a running VM: hypervisor/qemu/keeper.h. */
#include "hypervisor/qemu/keeper.h"

#include <sys/stat.h>
#include <unistd.h>

int main(void)
{
    umask(077);
    /* Nobody's child: the tool that started us will be gone long before the VM. */
    const pid_t pid = fork();
    if (pid != 0)
        _exit(pid < 0 ? 1 : 0);
    return keeper_main(3);
}
