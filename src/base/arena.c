#include "base/arena.h"
#include "base/alloc.h"

#include <stdalign.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum {
    CHUNK_MIN_BYTES = 4096,
    CHUNK_MAX_BYTES = 1 << 20, /* growth stops doubling here: a large tree wastes at most this */
};

struct arena_chunk {
    struct arena_chunk *next;
    size_t used;
    size_t cap;
    alignas(max_align_t) char bytes[];
};

static struct arena_chunk *chunk_new(struct arena *a, size_t n)
{
    size_t cap = a->chunks ? a->chunks->cap * 2 : CHUNK_MIN_BYTES;
    if (cap > CHUNK_MAX_BYTES)
        cap = CHUNK_MAX_BYTES;
    if (cap < n)
        cap = n;
    struct arena_chunk *c = xmalloc(sizeof(*c) + cap);
    c->next = a->chunks;
    c->used = 0;
    c->cap = cap;
    a->chunks = c;
    return c;
}

void *arena_alloc(struct arena *a, size_t n)
{
    const size_t align = alignof(max_align_t);
    if (n > SIZE_MAX - align) {
        a->is_full = true;
        return NULL;
    }
    n = (n + align - 1) / align * align;
    if (a->limit_bytes && (n > a->limit_bytes || a->used_bytes > a->limit_bytes - n)) {
        a->is_full = true;
        return NULL;
    }
    struct arena_chunk *c = a->chunks;
    if (!c || c->cap - c->used < n)
        c = chunk_new(a, n);
    void *p = c->bytes + c->used;
    c->used += n;
    a->used_bytes += n;
    return memset(p, 0, n);
}

char *arena_strndup(struct arena *a, const char *s, size_t n)
{
    char *out = n == SIZE_MAX ? NULL : arena_alloc(a, n + 1);
    if (out && n)
        memcpy(out, s, n);
    return out;
}

void arena_done(struct arena *a)
{
    for (struct arena_chunk *c = a->chunks, *next; c; c = next) {
        next = c->next;
        free(c);
    }
    a->chunks = NULL;
    a->used_bytes = 0;
    a->is_full = false;
}
