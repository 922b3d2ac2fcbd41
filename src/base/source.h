/* A text file kept in memory so that places in it can be pointed at. Shared by reference: trees and
 * errors made from it hold it alive. Counting is atomic. */
#pragma once

#include "base/str.h"

struct source;

/* Takes a copy of both. `path` is what people see. */
struct source *source_new(const char *path, const char *text, size_t n);
struct source *source_ref(struct source *s);
/* NULL is fine. */
void source_unref(struct source *s);
const char *source_path(const struct source *s);
struct str source_text(const struct source *s);
/* From 1; columns count code points. A newline is LF, CR LF, CR, NEL, VT, FF, LS or PS, as in KDL.
 */
void source_locate(const struct source *s, size_t offset, unsigned *ret_line, unsigned *ret_column);
/* The line that holds `offset`, without its newline. */
struct str source_line(const struct source *s, size_t offset);

/* Bytes [offset, offset + n) of a source. */
struct span {
    size_t offset;
    size_t n;
};

static inline void source_unref_handler(struct source **s)
{
    source_unref(*s);
}
#define cleanup_source __attribute__((cleanup(source_unref_handler)))
