/* The ISO 9660 writer, with Joliet and Rock Ridge, on libarchive. Linked into vmm-seed only:
 * libarchive brings a dozen libraries along, and a tool has to start in 3 ms. */
#pragma once

#include "base/buf.h"
#include "seed/frame.h"
#include "vmm/error.h"

/* Appends an image labelled `volume` (at most 16 characters) with the files in its root. The bytes
 * depend on the input alone, not on time, time zone or user. Sets TZ and TMPDIR of the process:
 * libarchive writes times in the local zone and keeps the files' content in a temporary file, which
 * so ends up in the current folder and not in /tmp. */
int iso_build(const char *volume,
    const struct frame_file *files,
    size_t count,
    struct buf *out,
    struct vmm_error **errp);
