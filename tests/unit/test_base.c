/* Names, guesses, views of sources, errors, JSON from strangers. */
#include "testing.h"

#include "base/arena.h"
#include "base/json.h"
#include "base/name.h"
#include "base/source.h"

/* security.md A-3 with the letters design.md allows. */
static void names_that_become_paths_are_checked(void **state)
{
    (void)state;
    static const struct {
        int line;
        const char *name;
        bool is_valid;
    } rows[] = {
        {__LINE__, "web", true},
        {__LINE__, "Web-1.a_b", true},
        {__LINE__, "0", true},
        {__LINE__, "a23456789012345678901234567890123456789012345678901234567890123", true},
        {__LINE__, "a234567890123456789012345678901234567890123456789012345678901234", false},
        {__LINE__, "", false},
        {__LINE__, ".", false},
        {__LINE__, "..", false},
        {__LINE__, ".hidden", false},
        {__LINE__, "-rf", false},
        {__LINE__, "_x", false},
        {__LINE__, "a/b", false},
        {__LINE__, "a b", false},
        {__LINE__, "a,b", false},
        {__LINE__, "a\nb", false},
        {__LINE__, "\xc3\xa4", false},
    };
    for (size_t i = 0; i < ROWS(rows); i++) {
        row_check(&rows[i], name_is_valid(str_view(rows[i].name)) == rows[i].is_valid);
        struct vmm_error *e = NULL;
        const int r = name_check("VM", rows[i].name, &e);
        row_check(&rows[i], (r == 0) == rows[i].is_valid);
        if (e)
            row_check(&rows[i], vmm_error_exit_status(e) == 2);
        vmm_error_free(e);
    }
    assert_false(name_is_valid((struct str){"a\0b", 3}));
}

static void host_and_user_names_are_checked(void **state)
{
    (void)state;
    assert_true(hostname_is_valid(STR("web-1.example.org")));
    assert_false(hostname_is_valid(STR("web_1")));
    assert_false(hostname_is_valid(STR("-web")));
    assert_false(hostname_is_valid(STR("web-")));
    assert_false(hostname_is_valid(STR("a..b")));
    assert_false(hostname_is_valid(STR("a-.b")));
    assert_false(hostname_is_valid(STR(".a")));
    assert_false(hostname_is_valid(STR("a.")));
    assert_false(hostname_is_valid(STR("a\nruncmd: x")));
    assert_true(username_is_valid(STR("_debian-1")));
    assert_false(username_is_valid(STR("1debian")));
    assert_false(username_is_valid(STR("Debian")));
    assert_false(username_is_valid(STR("")));
}

static void a_guess_is_made_only_when_it_is_close(void **state)
{
    (void)state;
    static const char *const known[] = {
        "memory", "vcpus", "disk", "image", "image-url", "ssh", NULL};
    static const struct {
        int line;
        const char *word;
        const char *guess;
    } rows[] = {
        {__LINE__, "memry", "memory"},
        {__LINE__, "mmeory", "memory"},
        {__LINE__, "Memory", "memory"},
        {__LINE__, "imag", "image"},
        {__LINE__, "image-ulr", "image-url"},
        {__LINE__, "shs", "ssh"},
        {__LINE__, "xyz", NULL},
        {__LINE__, "", NULL},
        {__LINE__, "a-word-that-is-much-too-long-to-be-a-slip-of-the-finger", NULL},
    };
    for (size_t i = 0; i < ROWS(rows); i++) {
        const char *guess = suggest(str_view(rows[i].word), known);
        row_check(&rows[i], (guess == NULL) == (rows[i].guess == NULL));
        if (guess)
            row_check(&rows[i], strcmp(guess, rows[i].guess) == 0);
    }
}

static void places_count_characters_and_all_newlines(void **state)
{
    (void)state;
    cleanup_source struct source *s = source_new("x",
        "a\r\n\xc3\xa4 b\x0c"
        "c\xe2\x80\xa8"
        "d",
        13);
    static const struct {
        int test_line;
        size_t offset;
        unsigned line, column;
    } rows[] = {
        {__LINE__, 0, 1, 1},
        {__LINE__, 3, 2, 1},
        {__LINE__, 5, 2, 2},
        {__LINE__, 6, 2, 3},
        {__LINE__, 8, 3, 1},
        {__LINE__, 12, 4, 1},
        {__LINE__, 99, 4, 2},
    };
    for (size_t i = 0; i < ROWS(rows); i++) {
        unsigned line, column;
        source_locate(s, rows[i].offset, &line, &column);
        if (line != rows[i].line || column != rows[i].column)
            fail_msg("row at line %d: got %u:%u", rows[i].test_line, line, column);
    }
    const struct str text = source_line(s, 5);
    assert_true(str_eq(text, STR("\xc3\xa4 b")));
}

static void wrapping_keeps_the_cause_and_its_code(void **state)
{
    (void)state;
    struct vmm_error *e = NULL;
    assert_int_equal(vmm_fail_io(&e, ENOSPC, "write", "/x"), -VMM_E_HOST_NO_SPACE);
    assert_int_equal(
        vmm_wrap(&e, &(struct diag){0}, "could not make VM \"a\""), -VMM_E_HOST_NO_SPACE);
    assert_string_equal(vmm_error_message(e), "could not make VM \"a\"");
    assert_int_equal(vmm_error_errno(e), ENOSPC);
    assert_string_equal(
        vmm_error_message(vmm_error_cause(e)), "could not write \"/x\": No space left on device");
    vmm_error_free(e);
    assert_int_equal(vmm_fail(NULL, &(struct diag){.code = VMM_E_IO}, "nobody listens"), -VMM_E_IO);
}

static void every_code_has_a_name_of_its_own(void **state)
{
    (void)state;
    for (unsigned i = 1; i < VMM_E_COUNT_; i++) {
        const char *name = vmm_error_code_name((enum vmm_code)i);
        assert_int_equal(strncmp(name, "vm_manager::", 12), 0);
        for (unsigned k = 1; k < i; k++)
            assert_string_not_equal(name, vmm_error_code_name((enum vmm_code)k));
    }
}

static void an_arena_refuses_past_its_limit(void **state)
{
    (void)state;
    struct arena a = {.limit_bytes = 1000};
    assert_non_null(arena_alloc(&a, 900));
    assert_null(arena_alloc(&a, 200));
    assert_true(a.is_full);
    assert_null(arena_alloc(&a, SIZE_MAX));
    arena_done(&a);
}

static void json_from_strangers_is_strict(void **state)
{
    (void)state;
    json_error_t e;
    char deep[200];
    memset(deep, '[', sizeof(deep));
    assert_null(json_parse((struct str){deep, sizeof(deep)}, &e));
    assert_null(json_parse(STR("{\"a\":1,\"a\":2}"), &e));
    assert_null(json_parse(STR("{} x"), &e));
    assert_null(json_parse(STR(""), &e));
    cleanup_json json_t *j = json_parse(STR("{\"n\":70000,\"s\":1,\"b\":\"x\"}"), &e);
    assert_int_equal(json_get_integer(j, "n", 0, 65535, -1), -1);
    assert_null(json_get_string(j, "s"));
    assert_true(json_get_bool(j, "b", true));
    cleanup_json json_t *text = json_text("a\xff\0b", 4);
    assert_non_null(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_that_become_paths_are_checked),
        cmocka_unit_test(host_and_user_names_are_checked),
        cmocka_unit_test(a_guess_is_made_only_when_it_is_close),
        cmocka_unit_test(places_count_characters_and_all_newlines),
        cmocka_unit_test(wrapping_keeps_the_cause_and_its_code),
        cmocka_unit_test(every_code_has_a_name_of_its_own),
        cmocka_unit_test(an_arena_refuses_past_its_limit),
        cmocka_unit_test(json_from_strangers_is_strict),
    };
    return cmocka_run_group_tests_name("base", tests, NULL, NULL);
}
