/* Tables of aligned columns, and "Key: value" lists. Cells are copied and made one safe line each,
 * so they may come from anywhere. */
#pragma once

#include "base/buf.h"

#include <stdbool.h>

struct table;

struct table_column {
    const char *title;
    bool is_right; /* numbers */
};

/* `columns` is borrowed: usually a static table. */
struct table *table_new(const struct table_column *columns, size_t n);
/* Cells go in from left to right; the row is complete after as many as there are columns. NULL and
 * the empty string show as `-`. */
void table_add(struct table *t, const char *cell);
void table_addf(struct table *t, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
size_t table_rows(const struct table *t);
/* No trailing spaces; every line ends in a newline. Without rows only the header. */
void table_render(const struct table *t, bool with_header, struct buf *out);
void table_free(struct table *t);

struct facts;

/* What `status` prints. */
struct facts *facts_new(void);
/* A value of several lines keeps them, aligned. NULL values are left out. */
void facts_add(struct facts *f, const char *key, const char *value);
void facts_addf(struct facts *f, const char *key, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
void facts_render(const struct facts *f, struct buf *out);
void facts_free(struct facts *f);

static inline void table_free_handler(struct table **t)
{
    table_free(*t);
}
static inline void facts_free_handler(struct facts **f)
{
    facts_free(*f);
}
#define cleanup_table __attribute__((__cleanup__(table_free_handler)))
#define cleanup_facts __attribute__((__cleanup__(facts_free_handler)))
