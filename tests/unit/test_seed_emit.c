/* The emitter's bytes. That YAML readers read the same values from them is checked by another
 * program's reader in tests/system/seed_schema.sh. */
#include "base/json.h"
#include "seed/emit.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

/* clang-format off */
static const struct {
    int line;
    struct str text;
    const char *want;
} strings[] = {
    {__LINE__, STR(""), "\"\""},
    {__LINE__, STR("web"), "\"web\""},
    {__LINE__, STR("no"), "\"no\""},
    {__LINE__, STR("yes"), "\"yes\""},
    {__LINE__, STR("0123"), "\"0123\""},
    {__LINE__, STR("~"), "\"~\""},
    {__LINE__, STR("null"), "\"null\""},
    {__LINE__, STR("1e3"), "\"1e3\""},
    {__LINE__, STR("2001-01-01"), "\"2001-01-01\""},
    {__LINE__, STR("a\nb: c"), "\"a\\nb: c\""},
    {__LINE__, STR("# not a comment"), "\"# not a comment\""},
    {__LINE__, STR("{{ x }} %tag &a *a !b | > @ `"), "\"{{ x }} %tag &a *a !b | > @ `\""},
    {__LINE__, STR("say \"hi\""), "\"say \\\"hi\\\"\""},
    {__LINE__, STR("C:\\dir\\new"), "\"C:\\\\dir\\\\new\""},
    {__LINE__, STR("it's"), "\"it's\""},
    {__LINE__, STR(" spaces \t"), "\" spaces \\u0009\""},
    {__LINE__, STR("\r\x1b[31m\x01"), "\"\\u000d\\u001b[31m\\u0001\""},
    {__LINE__, STR("a\0b"), "\"a\\u0000b\""},
    {__LINE__, STR("\x7f"), "\"\\u007f\""},
    {__LINE__, STR("\xc2\x80\xc2\x85\xc2\x9f"), "\"\\u0080\\u0085\\u009f\""},
    {__LINE__, STR("\xc2\xa0\xc3\xbc"), "\"\xc2\xa0\xc3\xbc\""},
    {__LINE__, STR("\xe2\x80\xa8\xe2\x80\xa9"), "\"\\u2028\\u2029\""},
    {__LINE__, STR("\xef\xbb\xbf" "bom"), "\"\\ufeffbom\""},
    {__LINE__, STR("\xef\xbf\xbe\xef\xbf\xbf"), "\"\\ufffe\\uffff\""},
    {__LINE__, STR("\xf0\x9f\x98\x80"), "\"\xf0\x9f\x98\x80\""},
    {__LINE__, STR("\xf4\x8f\xbf\xbf"), "\"\xf4\x8f\xbf\xbf\""},
    {__LINE__, STR("\xe2\x80\xae" "rtl"), "\"\xe2\x80\xae" "rtl\""},
    {__LINE__, STR("bad\xff\xc3"), "\"bad\xef\xbf\xbd\xef\xbf\xbd\""},
    {__LINE__, STR("\xed\xa0\x80"), "\"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\""}, /* a surrogate */
    {__LINE__, STR("</script>"), "\"</script>\""},
};
/* clang-format on */

static void strings_are_escaped(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(strings) / sizeof(*strings); i++) {
        cleanup_buf struct buf out = {0};
        emit_string(&out, strings[i].text);
        if (strcmp(buf_cstr(&out), strings[i].want) != 0)
            fail_msg("line %d: %s", strings[i].line, buf_cstr(&out));
    }
}

/* Every code point comes back equal through a JSON reader that is not ours. */
static void every_code_point_survives(void **state)
{
    (void)state;
    for (uint32_t cp = 1; cp < 0x110000; cp += cp < 0x3000 ? 1 : 97) {
        if (cp >= 0xd800 && cp < 0xe000)
            continue;
        char text[4];
        const size_t n = cp < 0x80      ? (text[0] = (char)cp, (size_t)1)
                         : cp < 0x800   ? (text[0] = (char)(0xc0 | cp >> 6), (size_t)2)
                         : cp < 0x10000 ? (text[0] = (char)(0xe0 | cp >> 12), (size_t)3)
                                        : (text[0] = (char)(0xf0 | cp >> 18), (size_t)4);
        for (size_t i = 1; i < n; i++)
            text[i] = (char)(0x80 | (cp >> (6 * (n - 1 - i)) & 0x3f));
        cleanup_buf struct buf out = {0};
        buf_addc(&out, '[');
        emit_string(&out, (struct str){.p = text, .n = n});
        buf_addc(&out, ']');
        json_error_t error;
        cleanup_json json_t *array = json_parse((struct str){.p = out.p, .n = out.n}, &error);
        const json_t *back = json_array_get(array, 0);
        if (!back || json_string_length(back) != n || memcmp(json_string_value(back), text, n) != 0)
            fail_msg("U+%04X: %s", (unsigned)cp, buf_cstr(&out));
    }
}

static void structures_are_laid_out(void **state)
{
    (void)state;
    cleanup_json json_t *object = json_object();
    json_put_string(object, "b", "x");
    json_put_bool(object, "a", true);
    json_put(object, "none", json_array());
    json_put(object, "nothing", json_object());
    json_t *list = json_array();
    json_array_append_new(list, json_string("one"));
    json_array_append_new(list, json_false());
    json_put(object, "list", list);
    cleanup_buf struct buf out = {0};
    emit_json(&out, object);
    assert_string_equal(buf_cstr(&out),
        "{\n  \"b\": \"x\",\n  \"a\": true,\n  \"none\": [],\n  \"nothing\": {},\n"
        "  \"list\": [\n    \"one\",\n    false\n  ]\n}");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(strings_are_escaped),
        cmocka_unit_test(every_code_point_survives),
        cmocka_unit_test(structures_are_laid_out),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
