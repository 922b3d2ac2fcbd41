/* How `vmm-ssh` gives its rights up, before the first byte of the guest's is read. */
#pragma once

#include <stdbool.h>

/* What came of it, for the HELLO. */
struct sandbox {
    int landlock; /* the kernel's ABI; 0: there is none */
    bool has_seccomp;
};

/* Call after every library has read what it wants to read. False: a stage that every kernel has
 * failed, and the process must not go on. */
bool sandbox_enter(struct sandbox *ret);
