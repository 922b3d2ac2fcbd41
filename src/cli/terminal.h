/* What the other end of a descriptor can show, decided in one place: a terminal or not, how wide,
 * in colour or not, redrawn in place or not. The environment comes in through a function so that
 * tests need no setenv. */
#pragma once

#include <stdbool.h>

/* As getenv; NULL where a function takes one means getenv itself. */
typedef const char *terminal_getenv(const char *name);

struct terminal {
    bool is_terminal;
    /* NO_COLOR (any non-empty value) wins over everything, then CLICOLOR_FORCE (not empty, not 0),
     * then: a terminal that is not TERM=dumb. */
    bool has_colour;
    /* May be redrawn in place: a terminal that is not dumb, and no CI. */
    bool is_live;
    /* The locale's character set is UTF-8, so marks beyond ASCII may be used for decoration. */
    bool has_utf8;
    /* Columns and lines; 80 and 24 when nobody knows. */
    unsigned width;
    unsigned height;
};

struct terminal terminal_inspect(int fd, terminal_getenv *env);
/* Only width and height, again: they change while we run. */
void terminal_measure(int fd, struct terminal *t);
