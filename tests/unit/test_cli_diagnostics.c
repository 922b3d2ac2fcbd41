/* Errors in, what people and programs read out. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>

#include "base/error.h"
#include "base/json.h"
#include "cli/diagnostics.h"
#include "cli/output.h"

static const char vmfile[] = "vm \"web\" {\n    memry 512\n    image-url \"x\"\n}\n";

static struct span span_of(const char *text, const char *word)
{
    const char *at = strstr(text, word);
    assert_non_null(at);
    return (struct span){.offset = (size_t)(at - text), .n = strlen(word)};
}

static void check(
    int at, const struct vmm_error *e, const struct diagnostics_style *style, const char *want)
{
    static const struct diagnostics_style plain;
    cleanup_buf struct buf got = {0};
    diagnostics_render(&got, e, style ? style : &plain);
    _assert_string_equal(buf_cstr(&got), want, __FILE__, at);
}

static struct vmm_error *error_at(const char *text, size_t n, struct span span, const char *label)
{
    cleanup_source struct source *source = source_new("VMFile.kdl", text, n);
    struct vmm_error *e = NULL;
    vmm_fail(&e,
        &(struct diag){
            .code = VMM_E_VMFILE_INVALID, .label = label, .source = source, .span = span},
        "no");
    return e;
}

static void a_mistake_is_pointed_at(void **state)
{
    (void)state;
    cleanup_source struct source *source = source_new("VMFile.kdl", vmfile, strlen(vmfile));
    cleanup_error struct vmm_error *e = NULL;
    vmm_fail(&e,
        &(struct diag){
            .code = VMM_E_VMFILE_INVALID,
            .help = "Did you mean \"memory\"?",
            .label = "not a property of vm",
            .source = source,
            .span = span_of(vmfile, "memry"),
        },
        "unknown property \"%s\" in vm \"web\"", "memry");
    check(__LINE__, e, NULL,
        "error[vm_manager::vmfile::validation]: unknown property \"memry\" in vm \"web\"\n"
        "  --> VMFile.kdl:2:5\n"
        "   |\n"
        " 2 |     memry 512\n"
        "   |     ^^^^^ not a property of vm\n"
        "  help: Did you mean \"memory\"?\n");
    check(__LINE__, e, &(struct diagnostics_style){.has_colour = true},
        "\x1b[1;31merror[vm_manager::vmfile::validation]\x1b[0m\x1b[1m: unknown property \"memry\" in "
        "vm \"web\"\x1b[0m\n"
        "  \x1b[34m--> \x1b[0mVMFile.kdl:2:5\n"
        "\x1b[34m   |\x1b[0m\n"
        "\x1b[34m 2 |\x1b[0m     memry 512\n"
        "\x1b[34m   |\x1b[0m     \x1b[1;31m^^^^^ not a property of vm\x1b[0m\n"
        "  \x1b[36mhelp:\x1b[0m Did you mean \"memory\"?\n");
}

static void causes_and_details_follow(void **state)
{
    (void)state;
    cleanup_error struct vmm_error *e = NULL;
    vmm_fail(&e,
        &(struct diag){
            .code = VMM_E_PROVISION,
            .help = "Fix the step.\nThen run `vmctl up`.",
            .details = "E: no package\r\n\n\x1b[31mred\x1b[0m  \nlast",
        },
        "step 2 (shell) ended with status 100");
    vmm_wrap(&e, &(struct diag){0}, "could not provision vm \"web\"");
    check(__LINE__, e, NULL,
        "error[vm_manager::provision::failed]: could not provision vm \"web\"\n"
        "  because: step 2 (shell) ended with status 100\n"
        "  | E: no package\n"
        "  |\n"
        "  | \\x1b[31mred\\x1b[0m\n"
        "  | last\n"
        "  help: Fix the step.\n"
        "        Then run `vmctl up`.\n");
}

static void help_of_the_cause_is_kept_when_it_says_more(void **state)
{
    (void)state;
    cleanup_error struct vmm_error *e = NULL;
    vmm_fail(&e, &(struct diag){.code = VMM_E_VM_BUSY}, "the VM is locked");
    vmm_wrap(
        &e, &(struct diag){.code = VMM_E_VM_STATE, .help = "Stop it first."}, "could not start it");
    check(__LINE__, e, NULL,
        "error[vm_manager::vm::invalid_state]: could not start it\n"
        "  because: the VM is locked\n"
        "  help: Stop it first.\n"
        "  help: Wait for the other command to end, then try again.\n");
}

static void several_findings_are_counted(void **state)
{
    (void)state;
    cleanup_source struct source *source = source_new("VMFile.kdl", vmfile, strlen(vmfile));
    struct findings f = {0};
    struct diag d = {.code = VMM_E_KDL, .help = "h", .source = source};
    d.span = span_of(vmfile, "memry");
    findings_add(&f, &d, "one");
    d.span = span_of(vmfile, "image-url");
    findings_add(&f, &d, "two");
    cleanup_error struct vmm_error *e = NULL;
    findings_finish(&f, &e);
    check(__LINE__, e, NULL,
        "error[vm_manager::kdl::syntax]: one\n  --> VMFile.kdl:2:5\n   |\n 2 |     memry 512\n   |     "
        "^^^^^\n  help: h\n"
        "\n"
        "error[vm_manager::kdl::syntax]: two\n  --> VMFile.kdl:3:5\n   |\n 3 |     image-url \"x\"\n   |  "
        "   ^^^^^^^^^\n  help: h\n"
        "\n"
        "2 mistakes in VMFile.kdl\n");
    cleanup_buf struct buf got = {0};
    diagnostics_render(&got, e, &(struct diagnostics_style){.found = 31});
    assert_non_null(
        strstr(buf_cstr(&got), "\n\n31 mistakes in VMFile.kdl; the first 2 are shown\n"));
}

static void a_full_list_says_there_may_be_more(void **state)
{
    (void)state;
    struct findings f = {0};
    for (int i = 0; i < 25; i++)
        findings_add(&f, &(struct diag){.code = VMM_E_IO}, "number %d", i);
    cleanup_error struct vmm_error *e = NULL;
    findings_finish(&f, &e);
    cleanup_buf struct buf got = {0};
    diagnostics_render(&got, e, &(struct diagnostics_style){0});
    assert_non_null(strstr(buf_cstr(&got), "\n\n20 errors, perhaps more: mend these first\n"));
}

#define TOP "error[vm_manager::vmfile::validation]: no\n  --> VMFile.kdl:"

static void lines_of_all_kinds_are_aligned(void **state)
{
    (void)state;
    static const struct {
        int at;
        const char *text;
        const char *word;
        const char *want;
    } rows[] = {
        {__LINE__, "\tab\tX", "X", TOP "1:5\n   |\n 1 |     ab  X\n   |         ^\n"},
        {__LINE__, "日本 X", "X", TOP "1:4\n   |\n 1 | 日本 X\n   |      ^\n"},
        {__LINE__, "日本 X", "本", TOP "1:2\n   |\n 1 | 日本 X\n   |   ^^\n"},
        {__LINE__, "e\xcc\x81X", "X", TOP "1:3\n   |\n 1 | e\xcc\x81X\n   |  ^\n"},
        {__LINE__, "\x1b[1mX", "X", TOP "1:5\n   |\n 1 | \\x1b[1mX\n   |        ^\n"},
        {__LINE__, "\xff\xfeX", "X", TOP "1:3\n   |\n 1 | \\xff\\xfeX\n   |         ^\n"},
        {__LINE__, "\xe2\x80\xaeX", "X", TOP "1:2\n   |\n 1 | <U+202E>X\n   |         ^\n"},
        /* a span over two lines is underlined to the end of the first */
        {__LINE__, "a bc\nd", "bc\nd", TOP "1:3\n   |\n 1 | a bc\n   |   ^^\n"},
        {__LINE__, "\n\n\n\n\n\n\n\n\nten", "ten", TOP "10:1\n    |\n 10 | ten\n    | ^^^\n"},
        {__LINE__, "ab", "", TOP "1:1\n   |\n 1 | ab\n   | ^\n"},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        cleanup_error struct vmm_error *e =
            error_at(rows[i].text, strlen(rows[i].text), span_of(rows[i].text, rows[i].word), NULL);
        cleanup_buf struct buf want = {0};
        const char *arrow = strstr(rows[i].want, ":10:1"); /* two digits move the arrow */
        buf_adds(&want, rows[i].want);
        if (arrow) {
            buf_clear(&want);
            buf_adds(&want, "error[vm_manager::vmfile::validation]: no\n   --> VMFile.kdl");
            buf_adds(&want, arrow);
        }
        check(rows[i].at, e, NULL, buf_cstr(&want));
    }
}

static void the_end_of_the_file_can_be_pointed_at(void **state)
{
    (void)state;
    cleanup_error struct vmm_error *e =
        error_at("vm {", 4, (struct span){.offset = 4}, "expected }");
    check(__LINE__, e, NULL, TOP "1:5\n   |\n 1 | vm {\n   |     ^ expected }\n");
    cleanup_error struct vmm_error *past =
        error_at("vm {", 4, (struct span){.offset = 99, .n = 9}, NULL);
    check(__LINE__, past, NULL, TOP "1:5\n   |\n 1 | vm {\n   |     ^\n");
    cleanup_error struct vmm_error *empty = error_at("", 0, (struct span){0}, NULL);
    check(__LINE__, empty, NULL, TOP "1:1\n   |\n 1 |\n   | ^\n");
}

/* The line of source in rendered text, without its gutter. */
static struct str source_line_of(const struct buf *rendered)
{
    const char *from = strstr(buf_cstr(rendered), " 1 | ");
    assert_non_null(from);
    from += 5;
    return (struct str){.p = from, .n = strcspn(from, "\n")};
}

static void long_lines_show_a_window(void **state)
{
    (void)state;
    static char text[3 * 1024 * 1024];
    memset(text, 'a', sizeof(text));
    memset(text + sizeof(text) / 2, 'X', 5);
    static const struct {
        int at;
        size_t offset;
        size_t n;
        unsigned width;
    } rows[] = {
        {__LINE__, 0, 1, 0},
        {__LINE__, sizeof(text) / 2, 5, 0},
        {__LINE__, sizeof(text) / 2, 5, 80},
        {__LINE__, sizeof(text) / 2, 5, 10},
        {__LINE__, sizeof(text) / 2, 500000, 0},
        {__LINE__, sizeof(text) - 1, 1, 0},
        {__LINE__, sizeof(text), 0, 120},
        {__LINE__, 196, 1, 0},
        {__LINE__, 197, 1, 0},
        {__LINE__, 199, 1, 0},
        {__LINE__, 200, 1, 0},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        cleanup_error struct vmm_error *e = error_at(
            text, sizeof(text), (struct span){.offset = rows[i].offset, .n = rows[i].n}, NULL);
        cleanup_buf struct buf got = {0};
        diagnostics_render(&got, e, &(struct diagnostics_style){.width = rows[i].width});
        const struct str line = source_line_of(&got);
        const size_t limit = rows[i].width == 0    ? 200
                             : rows[i].width == 10 ? 40
                                                   : rows[i].width - 5;
        if (line.n > limit)
            _fail(__FILE__, rows[i].at);
        const char *caret = strchr(line.p, '^');
        if (!caret)
            _fail(__FILE__, rows[i].at);
        const size_t column = (size_t)(caret - (line.p + line.n + 1)) - 5;
        const size_t carets = strspn(caret, "^");
        if (column + carets > limit)
            _fail(__FILE__, rows[i].at);
        /* What stands over the first caret is what was meant. */
        const char over = column < line.n ? line.p[column] : '$';
        const char want = rows[i].offset == sizeof(text)       ? '$'
                          : rows[i].offset == sizeof(text) / 2 ? 'X'
                                                               : 'a';
        _assert_int_equal(over, want, __FILE__, rows[i].at);
    }
}

static void messages_stay_one_line_and_harmless(void **state)
{
    (void)state;
    cleanup_error struct vmm_error *e = NULL;
    vmm_fail(&e, &(struct diag){.code = VMM_E_GUEST_FAILED, .help = "do \x07 this"},
        "guest said \"%s\"", "a\nerror[fake]: b\x1b]0;t\x07\xe2\x80\xae");
    check(__LINE__, e, NULL,
        "error[vm_manager::guest::failed]: guest said \"a error[fake]: b\\x1b]0;t\\x07<U+202E>\"\n"
        "  help: do \\x07 this\n");
}

static void json_has_every_field(void **state)
{
    (void)state;
    cleanup_source struct source *source = source_new("VMFile.kdl", vmfile, strlen(vmfile));
    cleanup_error struct vmm_error *e = NULL;
    vmm_fail(&e,
        &(struct diag){
            .code = VMM_E_WAIT_TIMEOUT,
            .sys = ETIMEDOUT,
            .label = "l",
            .reason = "kernel",
            .details = "console\n\xff\x9b\x7f\n",
            .source = source,
            .span = span_of(vmfile, "memry"),
        },
        "no answer");
    vmm_wrap(&e, &(struct diag){.code = VMM_E_VM_STATE}, "could not wait");
    cleanup_json json_t *j = cli_error_json(e);
    cleanup_buf struct buf got = {0};
    output_json_to(&got, j, /* is_indented */ false);
    assert_string_equal(buf_cstr(&got),
        "[{\"code\":\"vm_manager::vm::invalid_state\",\"message\":\"could not wait\","
        "\"cause\":{\"code\":\"vm_manager::wait::timed_out\",\"message\":\"no answer\","
        "\"label\":\"l\",\"reason\":\"kernel\","
        "\"details\":\"console\\n\xef\xbf\xbd\xef\xbf\xbd\\u007F\\n\",\"errno\":110,"
        "\"place\":{\"file\":\"VMFile.kdl\",\"line\":2,\"column\":5,\"offset_bytes\":15,"
        "\"length_bytes\":5}}}]\n");
}

static void json_text_is_safe_on_a_terminal_and_the_same_json(void **state)
{
    (void)state;
    const char hostile[] = "a\xc2\x9b[2J\xe2\x80\xae\x7f\x1b\xe2\x80\xa8\xc3\xa9";
    cleanup_json json_t *j = json_stringn(hostile, sizeof(hostile) - 1);
    cleanup_buf struct buf got = {0};
    output_json_to(&got, j, /* is_indented */ true);
    assert_string_equal(buf_cstr(&got), "\"a\\u009B[2J\\u202E\\u007F\\u001B\\u2028\xc3\xa9\"\n");
    cleanup_json json_t *back = json_loads(buf_cstr(&got), JSON_DECODE_ANY, NULL);
    assert_true(json_equal(j, back));
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_mistake_is_pointed_at),
        cmocka_unit_test(causes_and_details_follow),
        cmocka_unit_test(help_of_the_cause_is_kept_when_it_says_more),
        cmocka_unit_test(several_findings_are_counted),
        cmocka_unit_test(a_full_list_says_there_may_be_more),
        cmocka_unit_test(lines_of_all_kinds_are_aligned),
        cmocka_unit_test(the_end_of_the_file_can_be_pointed_at),
        cmocka_unit_test(long_lines_show_a_window),
        cmocka_unit_test(messages_stay_one_line_and_harmless),
        cmocka_unit_test(json_has_every_field),
        cmocka_unit_test(json_text_is_safe_on_a_terminal_and_the_same_json),
    };
    if (argc > 1)
        cmocka_set_test_filter(argv[1]);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
