/* What a file is that is not qcow2 version 2 or 3: a disk of another kind, an archive, a web page
 * that was saved in an image's place. Only what this does not know may be taken for a raw disk
 * (security.md E-2): QEMU, told "raw", lets the guest write any header it likes over the start. */
#pragma once

#include "base/str.h"

#include <stdbool.h>

enum {
    FOREIGN_HEAD_BYTES = 4096, /* enough for every mark and for a fair guess at text */
    FOREIGN_TAIL_BYTES = 512,  /* fixed VHD and dmg have their mark at the end */
};

struct foreign_format {
    const char *looks_like; /* "a VMDK disk (VMware)" */
    const char *help;       /* what to do, with the command to type; `FILE` stands for the file */
    bool is_encrypted;
};

/* `head` and `tail` are the file's first and last bytes, at most as many as above; they may
 * overlap. NULL: nothing known, so a raw disk. Static. */
const struct foreign_format *foreign_recognize(struct str head, struct str tail);
