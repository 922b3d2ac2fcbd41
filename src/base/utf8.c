#include "base/utf8.h"

static bool is_tail(unsigned char c)
{
    return (c & 0xc0) == 0x80;
}

size_t utf8_decode(const char *p, size_t n, uint32_t *ret_cp)
{
    const unsigned char *b = (const unsigned char *)p;
    if (n == 0)
        return 0;
    if (b[0] < 0x80) {
        *ret_cp = b[0];
        return 1;
    }
    /* c0, c1 could only begin overlong forms; f5 and up only what lies past U+10FFFF. */
    if (b[0] < 0xc2 || b[0] > 0xf4)
        return 0;
    const size_t len = b[0] < 0xe0 ? 2 : b[0] < 0xf0 ? 3 : 4;
    if (n < len)
        return 0;
    uint32_t cp = b[0] & (0x7fu >> len);
    for (size_t i = 1; i < len; i++) {
        if (!is_tail(b[i]))
            return 0;
        cp = cp << 6 | (b[i] & 0x3fu);
    }
    if ((len == 3 && cp < 0x800) || (len == 4 && (cp < 0x10000 || cp > 0x10ffff)) ||
        (cp >= 0xd800 && cp <= 0xdfff))
        return 0;
    *ret_cp = cp;
    return len;
}

size_t utf8_encode(uint32_t cp, char out[4])
{
    if (cp < 0x80) {
        out[0] = (char)cp;
        return 1;
    }
    if (cp < 0x800) {
        out[0] = (char)(0xc0 | cp >> 6);
        out[1] = (char)(0x80 | (cp & 0x3f));
        return 2;
    }
    if (cp >= 0xd800 && cp <= 0xdfff)
        return 0;
    if (cp < 0x10000) {
        out[0] = (char)(0xe0 | cp >> 12);
        out[1] = (char)(0x80 | (cp >> 6 & 0x3f));
        out[2] = (char)(0x80 | (cp & 0x3f));
        return 3;
    }
    if (cp > 0x10ffff)
        return 0;
    out[0] = (char)(0xf0 | cp >> 18);
    out[1] = (char)(0x80 | (cp >> 12 & 0x3f));
    out[2] = (char)(0x80 | (cp >> 6 & 0x3f));
    out[3] = (char)(0x80 | (cp & 0x3f));
    return 4;
}

bool utf8_is_bidi_control(uint32_t cp)
{
    return cp == 0x61c || cp == 0x200e || cp == 0x200f || (cp >= 0x202a && cp <= 0x202e) ||
           (cp >= 0x2066 && cp <= 0x2069);
}

static bool is_control(uint32_t cp)
{
    return cp < 0x20 || (cp >= 0x7f && cp < 0xa0);
}

void utf8_sanitize(struct buf *out, const char *p, size_t n)
{
    if (n == 0) /* p may be NULL then */
        return;
    size_t plain = 0; /* bytes before p that are fine and not yet copied */
    while (n) {
        uint32_t cp = 0;
        const size_t len = utf8_decode(p, n, &cp);
        const bool is_raw = !len || (is_control(cp) && cp != '\n' && cp != '\t');
        const bool is_named =
            len && (utf8_is_bidi_control(cp) || cp == 0x2028 || cp == 0x2029 || cp == 0xfeff);
        const size_t step = len ? len : 1;
        if (is_raw || is_named) {
            buf_add(out, p - plain, plain);
            plain = 0;
            if (is_named)
                buf_addf(out, "<U+%04X>", (unsigned)cp);
            for (size_t i = 0; is_raw && i < step; i++)
                buf_addf(out, "\\x%02x", (unsigned char)p[i]);
        } else {
            plain += step;
        }
        p += step;
        n -= step;
    }
    buf_add(out, p - plain, plain);
}
