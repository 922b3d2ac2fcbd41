/* Memory with one lifetime: trees, decoded files, anything freed all at once. Nothing in an arena
 * may own an fd or a malloc'd block. Each arena has a byte limit, so that hostile input meets
 * `arena_is_full` rather than the out-of-memory killer. */
#pragma once

#include "base/str.h"

#include <stdbool.h>
#include <stddef.h>

struct arena_chunk;

struct arena {
    struct arena_chunk *chunks; /* newest first */
    size_t used_bytes;          /* over all chunks */
    size_t limit_bytes;         /* 0: no limit */
    bool is_full;               /* sticky: an allocation was refused */
};

/* Zeroed memory aligned for any type. NULL, and `is_full` set, when the limit is reached. */
void *arena_alloc(struct arena *a, size_t n) __attribute__((warn_unused_result));
/* A NUL-terminated copy. */
char *arena_strndup(struct arena *a, const char *s, size_t n) __attribute__((warn_unused_result));
void arena_done(struct arena *a);

#define cleanup_arena __attribute__((cleanup(arena_done)))
