/* Growable typed arrays: `VEC(struct thing) things;`. Zeroed is empty. */
#pragma once

#include "base/alloc.h"

#include <stdlib.h>

#define VEC(type)   \
    struct {        \
        type *v;    \
        size_t n;   \
        size_t cap; \
    }

/* Appends a copy of `item` and grows as needed. */
#define vec_push(vec, item)                                               \
    do {                                                                  \
        if ((vec)->n == (vec)->cap) {                                     \
            (vec)->cap = (vec)->cap ? (vec)->cap * 2 : 8;                 \
            (vec)->v = xrealloc((vec)->v, (vec)->cap, sizeof(*(vec)->v)); \
        }                                                                 \
        (vec)->v[(vec)->n++] = (item);                                    \
    } while (0)

/* Frees the array, not what its items own. */
#define vec_done(vec)              \
    do {                           \
        free((vec)->v);            \
        (vec)->v = NULL;           \
        (vec)->n = (vec)->cap = 0; \
    } while (0)
