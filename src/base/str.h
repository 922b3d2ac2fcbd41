/* A view of bytes somebody else owns. Not NUL-terminated; turn into a C string only at libc's door.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <string.h>

struct str {
    const char *p; /* may be NULL when n is 0: "absent" where the user of the view says so */
    size_t n;
};

#define STR(lit) ((struct str){.p = (lit), .n = sizeof(lit) - 1})

static inline struct str str_view(const char *s)
{
    return (struct str){.p = s, .n = s ? strlen(s) : 0};
}

static inline bool str_eq(struct str a, struct str b)
{
    return a.n == b.n && (a.n == 0 || memcmp(a.p, b.p, a.n) == 0);
}

static inline bool str_is(struct str a, const char *lit)
{
    return str_eq(a, str_view(lit));
}
