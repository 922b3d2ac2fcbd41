#include "kdl/internal.h"

#include "base/utf8.h"

#define W KDL_CHAR_WORD
#define D (KDL_CHAR_WORD | KDL_CHAR_DIGIT)
#define F (KDL_CHAR_WORD | KDL_CHAR_FORBIDDEN)
#define X (KDL_CHAR_WORD | KDL_CHAR_WIDE)

const uint8_t kdl_chars[256] = {
    /* Forbidden ones count as word characters: they are reported by themselves, once, and should
     * not break the word they stand in. */
    [0x00] = KDL_CHAR_FORBIDDEN | KDL_CHAR_STOP,
    [0x01 ... 0x08] = F,
    ['\t'] = 0,
    ['\n' ... '\r'] = KDL_CHAR_STOP, /* LF VT FF CR */
    [0x0e ... 0x1f] = F,
    [' '] = 0,
    ['!'] = W,
    ['"'] = KDL_CHAR_STOP,
    ['#'] = 0,
    ['$' ... '\''] = W,
    ['('] = 0,
    [')'] = 0,
    ['*' ... '.'] = W,
    ['/'] = 0,
    ['0' ... '9'] = D,
    [':'] = W,
    [';'] = 0,
    ['<'] = W,
    ['='] = 0,
    ['>' ... 'Z'] = W,
    ['['] = 0,
    ['\\'] = KDL_CHAR_STOP,
    [']'] = 0,
    ['^' ... 'z'] = W,
    ['{'] = 0,
    ['|'] = W,
    ['}'] = 0,
    ['~'] = W,
    [0x7f] = F,
    [0x80 ... 0xc1] = W,
    [0xc2] = X | KDL_CHAR_STOP, /* NEL, no-break space */
    [0xc3 ... 0xe0] = W,
    [0xe1] = X,                 /* ogham space */
    [0xe2] = X | KDL_CHAR_STOP, /* most spaces, line separators, direction marks */
    [0xe3] = X,                 /* ideographic space */
    [0xe4 ... 0xee] = W,
    [0xef] = X, /* byte order mark */
    [0xf0 ... 0xff] = W,
};

#undef W
#undef D
#undef F
#undef X

static inline unsigned char byte(const char *p, size_t i)
{
    return (unsigned char)p[i];
}

size_t kdl_newline_at(const char *p)
{
    switch (byte(p, 0)) {
    case '\r':
        return p[1] == '\n' ? 2 : 1;
    case '\n':
    case '\v':
    case '\f':
        return 1;
    case 0xc2: /* NEL */
        return byte(p, 1) == 0x85 ? 2 : 0;
    case 0xe2: /* LS, PS */
        return byte(p, 1) == 0x80 && (byte(p, 2) == 0xa8 || byte(p, 2) == 0xa9) ? 3 : 0;
    default:
        return 0;
    }
}

size_t kdl_space_at(const char *p)
{
    switch (byte(p, 0)) {
    case ' ':
    case '\t':
        return 1;
    case 0xc2: /* U+00A0 */
        return byte(p, 1) == 0xa0 ? 2 : 0;
    case 0xe1: /* U+1680 */
        return byte(p, 1) == 0x9a && byte(p, 2) == 0x80 ? 3 : 0;
    case 0xe2: /* U+2000 to U+200A, U+202F, U+205F */
        if (byte(p, 1) == 0x80)
            return byte(p, 2) <= 0x8a || byte(p, 2) == 0xaf ? 3 : 0;
        return byte(p, 1) == 0x81 && byte(p, 2) == 0x9f ? 3 : 0;
    case 0xe3: /* U+3000 */
        return byte(p, 1) == 0x80 && byte(p, 2) == 0x80 ? 3 : 0;
    default:
        return 0;
    }
}

bool kdl_is_forbidden(uint32_t cp)
{
    return cp <= 0x08 || (cp >= 0x0e && cp <= 0x1f) || cp == 0x7f ||
           (cp >= 0xd800 && cp <= 0xdfff) || cp == 0x200e || cp == 0x200f ||
           (cp >= 0x202a && cp <= 0x202e) || (cp >= 0x2066 && cp <= 0x2069) || cp == 0xfeff ||
           cp > 0x10ffff;
}

const char *kdl_line_end(const char *p)
{
    while (*p && !(kdl_char_is(*p, KDL_CHAR_STOP) && kdl_newline_at(p)))
        p++;
    return p;
}

const char *kdl_word_end(const char *p)
{
    for (;; p++) {
        /* The later bytes of a character count as word characters of their own. */
        while (kdl_chars[byte(p, 0)] == KDL_CHAR_WORD)
            p++;
        if (!kdl_char_is(*p, KDL_CHAR_WORD))
            return p;
        if (kdl_char_is(*p, KDL_CHAR_WIDE) && (kdl_space_at(p) || kdl_newline_at(p)))
            return p;
    }
}

bool kdl_is_reserved(struct str s)
{
    if (s.n < 3 || s.n > 5)
        return false;
    return str_is(s, "true") || str_is(s, "false") || str_is(s, "null") || str_is(s, "inf") ||
           str_is(s, "-inf") || str_is(s, "nan");
}

/* A sign, a point or both before a digit would read as a number. */
static bool looks_numeric(struct str s)
{
    size_t i = 0;
    if (i < s.n && (s.p[i] == '+' || s.p[i] == '-'))
        i++;
    if (i < s.n && s.p[i] == '.')
        i++;
    return i < s.n && kdl_char_is(s.p[i], KDL_CHAR_DIGIT);
}

bool kdl_is_bare(struct str s)
{
    /* A longer one could not be read back. */
    if (s.n == 0 || s.n > KDL_IDENTIFIER_MAX_BYTES)
        return false;
    for (size_t i = 0; i < s.n; i++) {
        const unsigned what = kdl_chars[byte(s.p, i)];
        if (!(what & KDL_CHAR_WORD) || (what & KDL_CHAR_FORBIDDEN))
            return false;
        if (what & KDL_CHAR_WIDE) {
            uint32_t cp = 0;
            utf8_decode(s.p + i, s.n - i, &cp);
            if (kdl_is_forbidden(cp) || kdl_space_at(s.p + i) || kdl_newline_at(s.p + i))
                return false;
        }
    }
    return !looks_numeric(s) && !kdl_is_reserved(s);
}
