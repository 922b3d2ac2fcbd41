/* What vmm-seed is fed on its standard input: named files, length before content. Numbers are 4
 * bytes, most significant first.
 *
 *   "VMMSEED1"  count  { name length, name, data length, data } * count
 *
 * Both ends are ours and of one installation, yet the reader checks everything: it is a process
 * border. */
#pragma once

#include "base/buf.h"
#include "base/str.h"

#include <stdbool.h>
#include <stddef.h>

enum {
    FRAME_FILES_MAX = 8,
    FRAME_NAME_MAX_BYTES = 64,
    FRAME_MAX_BYTES = 32 << 20,
};

struct frame_file {
    struct str name;
    struct str data;
};

void frame_encode(struct buf *out, const struct frame_file *files, size_t count);

/* Views into `bytes`. Names are nonempty, of letters, digits, `.`, `_` and `-`, and differ from
 * each other. False when anything does not fit; then nothing is set. */
bool frame_decode(struct str bytes, struct frame_file files[FRAME_FILES_MAX], size_t *ret_count);
