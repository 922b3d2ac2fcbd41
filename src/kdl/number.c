#include "kdl/internal.h"

#include <inttypes.h>
#include <locale.h>
#include <pthread.h>
#include <stdlib.h>

struct scan {
    const char *p;
    const char *end;
    const char *label; /* what is wrong at p; NULL while nothing is */
};

static bool is_digit(char c, unsigned base)
{
    unsigned v = 16;
    if (c >= '0' && c <= '9')
        v = (unsigned)(c - '0');
    else if ((c | 0x20) >= 'a' && (c | 0x20) <= 'f')
        v = (unsigned)((c | 0x20) - 'a' + 10);
    return v < base;
}

/* digit (digit | '_')* */
static struct str scan_digits(struct scan *s, unsigned base)
{
    const char *const from = s->p;
    if (!s->label && (s->p == s->end || !is_digit(*s->p, base)))
        s->label = s->p < s->end && *s->p == '_' ? "a digit must come before \"_\""
                                                 : "a digit is missing here";
    while (!s->label && s->p < s->end && (*s->p == '_' || is_digit(*s->p, base)))
        s->p++;
    return (struct str){.p = from, .n = (size_t)(s->p - from)};
}

static bool scan_char(struct scan *s, char a, char b)
{
    if (s->label || s->p == s->end || (*s->p != a && *s->p != b))
        return false;
    s->p++;
    return true;
}

/* Without underscores and leading zeros, at least one digit. */
static void add_digits(struct buf *out, struct str digits, bool keep_zeros)
{
    bool is_leading = !keep_zeros;
    for (size_t i = 0; i < digits.n; i++) {
        const char c = digits.p[i];
        if (c == '_' || (c == '0' && is_leading))
            continue;
        is_leading = false;
        buf_addc(out, c);
    }
    if (is_leading)
        buf_addc(out, '0');
}

/* --- integers --- */

/* Of what is_digit accepted. */
static unsigned digit_value(char c)
{
    return c <= '9' ? (unsigned)(c - '0') : (unsigned)((c | 0x20) - 'a' + 10);
}

/* Appends the digits, of a power-of-two base, in decimal. Limbs hold nine decimal digits each. */
static void add_in_decimal(struct buf *out, struct str digits, unsigned bits)
{
    enum { LIMB = 1000000000, LIMBS_MAX = KDL_RADIX_MAX_BYTES * 4 / 29 + 2 };
    uint32_t limbs[LIMBS_MAX] = {0};
    size_t n = 1;
    for (size_t i = 0; i < digits.n;) {
        /* As many digits at a time as 28 bits take. */
        uint64_t carry = 0;
        unsigned shift = 0;
        for (; i < digits.n && shift + bits <= 28; i++) {
            const char c = digits.p[i];
            if (c == '_')
                continue;
            carry = carry << bits | digit_value(c);
            shift += bits;
        }
        for (size_t at = 0; at < n || carry; at++) {
            if (at == n)
                n++;
            carry += (uint64_t)limbs[at] << shift;
            limbs[at] = (uint32_t)(carry % LIMB);
            carry /= LIMB;
        }
    }
    buf_addf(out, "%" PRIu32, limbs[n - 1]);
    for (size_t at = n - 1; at-- > 0;)
        buf_addf(out, "%09" PRIu32, limbs[at]);
}

/* False when it does not fit. */
static bool to_int64(struct str digits, unsigned base, bool is_negative, int64_t *ret)
{
    uint64_t v = 0;
    for (size_t i = 0; i < digits.n; i++) {
        const char c = digits.p[i];
        if (c == '_')
            continue;
        if (__builtin_mul_overflow(v, base, &v) || __builtin_add_overflow(v, digit_value(c), &v))
            return false;
    }
    if (v > (uint64_t)INT64_MAX + is_negative)
        return false;
    *ret = is_negative ? (int64_t)(0 - v) : (int64_t)v;
    return true;
}

static void set_integer(
    struct kdl_parser *k, struct str digits, unsigned base, bool is_negative, struct kdl_value *ret)
{
    if (to_int64(digits, base, is_negative, &ret->as.integer)) {
        ret->kind = KDL_KIND_INTEGER;
        return;
    }
    buf_clear(&k->scratch);
    if (is_negative)
        buf_addc(&k->scratch, '-');
    if (base == 10)
        add_digits(&k->scratch, digits, /* keep_zeros */ false);
    else
        add_in_decimal(&k->scratch, digits, base == 16 ? 4 : base == 8 ? 3 : 1);
    ret->kind = KDL_KIND_BIG_INTEGER;
    ret->as.big_integer = kdl_keep(k, k->scratch.p, k->scratch.n).p;
}

static const char *not_a_digit(unsigned base)
{
    if (base == 16)
        return "not a hexadecimal digit";
    return base == 8 ? "not an octal digit" : "not a binary digit";
}

static void read_radix(
    struct kdl_parser *k, struct scan *s, bool is_negative, struct kdl_value *ret)
{
    const unsigned base = s->p[1] == 'x' ? 16 : s->p[1] == 'o' ? 8 : 2;
    s->p += 2;
    const struct str digits = scan_digits(s, base);
    if (!s->label && s->p < s->end)
        s->label = not_a_digit(base);
    if (!s->label && digits.n > KDL_RADIX_MAX_BYTES)
        kdl_report(k, k->p, s->end, "this number", NULL, "number of %zu digits is longer than %d",
            digits.n, KDL_RADIX_MAX_BYTES);
    else if (!s->label)
        set_integer(k, digits, base, is_negative, ret);
}

/* --- decimals --- */

static locale_t c_locale;

static void make_c_locale(void)
{
    c_locale = newlocale(LC_ALL_MASK, "C", (locale_t)0);
}

/* strtod takes the decimal point from the process's locale, which is not ours to assume. */
static double to_double(const char *text)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, make_c_locale);
    return c_locale ? strtod_l(text, NULL, c_locale) : strtod(text, NULL);
}

static void report_long(struct kdl_parser *k, const char *end)
{
    kdl_report(k, k->p, end, "this number", NULL, "number of %zu bytes is longer than %d KiB",
        (size_t)(end - k->p), KDL_NUMBER_MAX_BYTES >> 10);
}

static void read_decimal(
    struct kdl_parser *k, struct scan *s, bool is_negative, struct kdl_value *ret)
{
    const struct str whole = scan_digits(s, 10);
    const bool has_point = scan_char(s, '.', '.');
    const struct str fraction = has_point ? scan_digits(s, 10) : (struct str){0};
    const bool has_exponent = scan_char(s, 'e', 'E');
    const bool is_small = has_exponent && s->p < s->end && *s->p == '-';
    if (has_exponent)
        scan_char(s, '+', '-');
    const struct str exponent = has_exponent ? scan_digits(s, 10) : (struct str){0};
    if (!s->label && s->p < s->end)
        s->label = "does not belong to a number";
    if (s->label)
        return;
    if (!has_point && !has_exponent) {
        set_integer(k, whole, 10, is_negative, ret);
        return;
    }
    struct buf *const out = &k->scratch;
    buf_clear(out);
    if (is_negative)
        buf_addc(out, '-');
    add_digits(out, whole, /* keep_zeros */ false);
    if (has_point) {
        buf_addc(out, '.');
        add_digits(out, fraction, /* keep_zeros */ true);
    }
    if (has_exponent) {
        buf_adds(out, is_small ? "E-" : "E+");
        add_digits(out, exponent, /* keep_zeros */ false);
    }
    if (out->n > KDL_NUMBER_MAX_BYTES) { /* 1e9 grows to 1E+9: what is printed must read back */
        report_long(k, s->end);
        return;
    }
    ret->kind = KDL_KIND_FLOAT;
    ret->as.number.text = kdl_keep(k, out->p, out->n).p;
    ret->as.number.value = to_double(ret->as.number.text);
}

void kdl_read_number(struct kdl_parser *k, struct kdl_value *ret)
{
    const char *const from = k->p;
    struct scan s = {.p = from, .end = kdl_word_end(from)};
    ret->kind = KDL_KIND_INTEGER;
    if (s.end - from > KDL_NUMBER_MAX_BYTES) {
        report_long(k, s.end);
        k->p = s.end;
        return;
    }
    const bool is_negative = *s.p == '-';
    if (*s.p == '+' || *s.p == '-')
        s.p++;
    if (s.p[0] == '0' && (s.p[1] == 'x' || s.p[1] == 'o' || s.p[1] == 'b'))
        read_radix(k, &s, is_negative, ret);
    else
        read_decimal(k, &s, is_negative, ret);
    if (s.label) {
        const char *to = s.p < s.end ? s.p + 1 : s.p;
        while (to < s.end && ((unsigned char)*to & 0xc0) == 0x80)
            to++;
        const int shown = s.end - from > 40 ? 40 : (int)(s.end - from);
        kdl_report(k, s.p, to, s.label, "Put it in quotes if it is meant as text.",
            "\"%.*s\" is not a number", shown, from);
    }
    k->p = s.end;
}
