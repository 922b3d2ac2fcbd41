#include "base/name.h"
#include "base/buf.h"
#include "base/error.h"
#include "base/utf8.h"

#include <ctype.h>

static bool is_lower(char c)
{
    return c >= 'a' && c <= 'z';
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool is_alnum(char c)
{
    return is_lower(c) || (c >= 'A' && c <= 'Z') || is_digit(c);
}

bool name_is_valid(struct str name)
{
    if (name.n == 0 || name.n > NAME_MAX_BYTES || !is_alnum(name.p[0]))
        return false;
    for (size_t i = 0; i < name.n; i++) {
        const char c = name.p[i];
        if (!is_alnum(c) && c != '.' && c != '_' && c != '-')
            return false;
    }
    return true;
}

int name_check(const char *kind, const char *name, struct vmm_error **errp)
{
    const struct str view = str_view(name);
    if (name_is_valid(view))
        return 0;
    cleanup_buf struct buf shown = {0};
    utf8_sanitize(&shown, view.p, view.n > 80 ? 80 : view.n);
    const char *why = view.n == 0               ? "it is empty"
                      : view.n > NAME_MAX_BYTES ? "it is longer than 63 characters"
                      : !is_alnum(name[0])      ? "it does not begin with a letter or digit"
                                                : "it has a character that is not allowed";
    return vmm_fail(errp, &(struct diag){.code = VMM_E_VM_NAME},
        "\"%s\" cannot be the name of a %s: %s", buf_cstr(&shown), kind, why);
}

bool hostname_is_valid(struct str name)
{
    if (name.n == 0 || name.n > 253)
        return false;
    size_t label = 0;
    for (size_t i = 0; i < name.n; i++) {
        const char c = name.p[i];
        if (c == '.') {
            if (label == 0 || name.p[i - 1] == '-')
                return false;
            label = 0;
        } else if (is_alnum(c) || (c == '-' && label > 0)) {
            if (++label > 63)
                return false;
        } else {
            return false;
        }
    }
    return label > 0 && name.p[name.n - 1] != '-';
}

bool username_is_valid(struct str name)
{
    if (name.n == 0 || name.n > 32)
        return false;
    for (size_t i = 0; i < name.n; i++) {
        const char c = name.p[i];
        const bool may_start = is_lower(c) || c == '_';
        if (!may_start && (i == 0 || (!is_digit(c) && c != '-')))
            return false;
    }
    return true;
}

/* Edit distance where a swap of neighbours counts once. Words here are short; longer ones are never
 * worth a guess. */
enum { SUGGEST_MAX = 32 };

static unsigned distance(struct str a, struct str b)
{
    unsigned rows[3][SUGGEST_MAX + 1];
    unsigned *before = rows[0], *above = rows[1], *row = rows[2];
    for (size_t j = 0; j <= b.n; j++)
        above[j] = (unsigned)j;
    for (size_t i = 1; i <= a.n; i++) {
        row[0] = (unsigned)i;
        for (size_t j = 1; j <= b.n; j++) {
            const bool same =
                tolower((unsigned char)a.p[i - 1]) == tolower((unsigned char)b.p[j - 1]);
            unsigned best = above[j - 1] + !same;
            if (above[j] + 1 < best)
                best = above[j] + 1;
            if (row[j - 1] + 1 < best)
                best = row[j - 1] + 1;
            if (i > 1 && j > 1 && a.p[i - 1] == b.p[j - 2] && a.p[i - 2] == b.p[j - 1] &&
                before[j - 2] + 1 < best)
                best = before[j - 2] + 1;
            row[j] = best;
        }
        unsigned *const spare = before;
        before = above;
        above = row;
        row = spare;
    }
    return above[b.n];
}

const char *suggest(struct str word, const char *const *known)
{
    const char *best = NULL;
    unsigned best_distance = word.n <= 3 ? 2 : word.n <= 6 ? 3 : 4; /* must be below this */
    if (word.n == 0 || word.n > SUGGEST_MAX)
        return NULL;
    for (; *known; known++) {
        const struct str candidate = str_view(*known);
        if (candidate.n > SUGGEST_MAX)
            continue;
        const unsigned d = distance(word, candidate);
        if (d < best_distance) {
            best_distance = d;
            best = *known;
        }
    }
    return best;
}
