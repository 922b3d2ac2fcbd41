/* UTF-8: what is refused, and what reaches a terminal. */
#include "base/utf8.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* Tables keep one case a line: the line is the name of the case. */
/* clang-format off */

#define COUNT(table) (sizeof(table) / sizeof(*(table)))

static void decodes_only_shortest_forms_of_scalar_values(void **state)
{
    (void)state;
    static const struct {
        int line;
        const char *in;
        size_t n, want_n;
        uint32_t want;
    } cases[] = {
#define CASE(text, wanted_n, wanted) {__LINE__, (text), sizeof(text) - 1, (wanted_n), (wanted)}
        CASE("", 0, 0),
        CASE("a", 1, 'a'),
        CASE("\0", 1, 0),
        CASE("\x7f", 1, 0x7f),
        CASE("\xc2\x80", 2, 0x80),
        CASE("\xc3\xa9x", 2, 0xe9),
        CASE("\xdf\xbf", 2, 0x7ff),
        CASE("\xe0\xa0\x80", 3, 0x800),
        CASE("\xe2\x82\xac", 3, 0x20ac),
        CASE("\xed\x9f\xbf", 3, 0xd7ff),
        CASE("\xee\x80\x80", 3, 0xe000),
        CASE("\xef\xbf\xbf", 3, 0xffff),
        CASE("\xf0\x90\x80\x80", 4, 0x10000),
        CASE("\xf4\x8f\xbf\xbf", 4, 0x10ffff),
        /* lone and missing later bytes */
        CASE("\x80", 0, 0),
        CASE("\xbf", 0, 0),
        CASE("\xc3", 0, 0),
        CASE("\xc3"
             "a",
            0, 0),
        CASE("\xe2\x82", 0, 0),
        CASE("\xe2\x82"
             "a",
            0, 0),
        CASE("\xf0\x9f\x98", 0, 0),
        /* overlong */
        CASE("\xc0\x80", 0, 0),
        CASE("\xc1\xbf", 0, 0),
        CASE("\xe0\x80\xaf", 0, 0),
        CASE("\xe0\x9f\xbf", 0, 0),
        CASE("\xf0\x80\x80\xaf", 0, 0),
        CASE("\xf0\x8f\xbf\xbf", 0, 0),
        /* surrogates, too large */
        CASE("\xed\xa0\x80", 0, 0),
        CASE("\xed\xbf\xbf", 0, 0),
        CASE("\xf4\x90\x80\x80", 0, 0),
        CASE("\xf5\x80\x80\x80", 0, 0),
        CASE("\xff", 0, 0),
        CASE("\xfe", 0, 0),
#undef CASE
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        uint32_t cp = 0;
        const size_t n = utf8_decode(cases[i].in, cases[i].n, &cp);
        if (n != cases[i].want_n || cp != cases[i].want)
            fail_msg("%s:%d: got %zu bytes, U+%04X", __FILE__, cases[i].line, n, (unsigned)cp);
    }
}

static void encode_and_decode_agree_on_everything(void **state)
{
    (void)state;
    for (uint32_t cp = 0; cp < 0x110100; cp++) {
        char bytes[4];
        uint32_t back = 0;
        const size_t n = utf8_encode(cp, bytes);
        const size_t want = (cp >= 0xd800 && cp <= 0xdfff) || cp > 0x10ffff ? 0
                            : cp < 0x80                                     ? 1
                            : cp < 0x800                                    ? 2
                            : cp < 0x10000                                  ? 3
                                                                            : 4;
        assert_int_equal(n, want);
        if (n) {
            assert_int_equal(utf8_decode(bytes, n, &back), n);
            assert_int_equal(back, cp);
            assert_int_equal(utf8_decode(bytes, n - 1, &back), 0);
        }
    }
    char bytes[4];
    assert_int_equal(utf8_encode(UINT32_MAX, bytes), 0);
}

static void sanitize_keeps_text_and_disarms_the_rest(void **state)
{
    (void)state;
    static const struct {
        int line;
        const char *in;
        size_t n;
        const char *want;
    } cases[] = {
#define CASE(text, wanted) {__LINE__, (text), sizeof(text) - 1, (wanted)}
        CASE("", ""),
        CASE("plain\ttext\n", "plain\ttext\n"),
        CASE("caf\xc3\xa9 \xf0\x9f\x98\x80", "caf\xc3\xa9 \xf0\x9f\x98\x80"),
        CASE("\x1b[31mred\x1b]52;c;\x07", "\\x1b[31mred\\x1b]52;c;\\x07"),
        CASE("a\0b\r\n\x08\x7f", "a\\x00b\\x0d\n\\x08\\x7f"),
        CASE("\xc2\x9b"
             "1m\xc2\x85",
            "\\xc2\\x9b1m\\xc2\\x85"), /* C1: CSI in two bytes */
        CASE("\x9b"
             "1m\xff\xfe",
            "\\x9b1m\\xff\\xfe"),
        CASE("\xe2\x82", "\\xe2\\x82"),
        CASE("\xed\xa0\x80", "\\xed\\xa0\\x80"),
        CASE("\xc0\xaf", "\\xc0\\xaf"),
        CASE("a\xe2\x80\xae"
             "b\xe2\x81\xa6\xe2\x80\x8f\xd8\x9c",
            "a<U+202E>b<U+2066><U+200F><U+061C>"),
        CASE("\xe2\x80\xa8\xe2\x80\xa9\xef\xbb\xbf", "<U+2028><U+2029><U+FEFF>"),
        CASE("\xc2\xa0\xe2\x80\x8d", "\xc2\xa0\xe2\x80\x8d"), /* emoji are joined with U+200D */
#undef CASE
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        cleanup_buf struct buf got = {0};
        utf8_sanitize(&got, cases[i].in, cases[i].n);
        if (strcmp(buf_cstr(&got), cases[i].want) != 0)
            fail_msg("%s:%d: got '%s', want '%s'", __FILE__, cases[i].line, buf_cstr(&got),
                cases[i].want);
    }
}

static void sanitize_appends(void **state)
{
    (void)state;
    cleanup_buf struct buf got = {0};
    buf_adds(&got, "log: ");
    utf8_sanitize(&got, "a\x01", 2);
    utf8_sanitize(&got, NULL, 0);
    assert_string_equal(buf_cstr(&got), "log: a\\x01");
}

int main(int argc, char **argv)
{
    if (argc > 1)
        cmocka_set_test_filter(argv[1]);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(decodes_only_shortest_forms_of_scalar_values),
        cmocka_unit_test(encode_and_decode_agree_on_everything),
        cmocka_unit_test(sanitize_keeps_text_and_disarms_the_rest),
        cmocka_unit_test(sanitize_appends),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
