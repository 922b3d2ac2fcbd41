/* KDL 2: what a document means (its canonical form), what a mistake looks like to a person, the
 * tree, and the limits. The official suite runs besides this: tests/kdl-suite.sh. */
#include "base/alloc.h"
#include "base/buf.h"
#include "base/error.h"
#include "kdl/kdl.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

/* Tables keep one case a line: the line is the name of the case. */
/* clang-format off */

struct text_case {
    int line;
    const char *in;
    size_t n;
    const char *want;
};

#define CASE(text, wanted)                                                      \
    {                                                                           \
        .line = __LINE__, .in = (text), .n = sizeof(text) - 1, .want = (wanted) \
    }
#define COUNT(table) (sizeof(table) / sizeof(*(table)))

/* The canonical form, or one line for each mistake: "line:column: message (label)". */
static void run(const char *in, size_t n, struct buf *out)
{
    cleanup_source struct source *src = source_new("t.kdl", in, n);
    cleanup_kdl_doc struct kdl_doc *doc = NULL;
    cleanup_error struct vmm_error *err = NULL;
    const int r = kdl_parse(src, &doc, &err);
    assert_int_equal(r < 0, err != NULL);
    assert_int_equal(r < 0, doc == NULL);
    if (doc)
        kdl_print(doc, out);
    for (const struct vmm_error *e = err; e; e = vmm_error_next(e)) {
        struct vmm_place at;
        assert_int_equal(vmm_error_code(e), VMM_E_KDL);
        assert_true(vmm_error_place(e, &at));
        assert_true(at.offset_bytes + at.length_bytes <= n);
        buf_addf(out, "%u:%u: %s", at.line, at.column, vmm_error_message(e));
        if (vmm_error_label(e))
            buf_addf(out, " (%s)", vmm_error_label(e));
        buf_addc(out, '\n');
    }
}

static void check_table(const struct text_case *cases, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        cleanup_buf struct buf got = {0};
        run(cases[i].in, cases[i].n, &got);
        if (strcmp(buf_cstr(&got), cases[i].want) != 0)
            fail_msg(
                "%s:%d: got\n%s\nwant\n%s", __FILE__, cases[i].line, buf_cstr(&got), cases[i].want);
    }
}

static void nodes_and_blocks(void **state)
{
    (void)state;
    static const struct text_case cases[] = {
        CASE("", "\n"),
        CASE("\xef\xbb\xbf", "\n"),
        CASE("\xef\xbb\xbf"
             "a",
            "a\n"),
        CASE("a", "a\n"),
        CASE("a;", "a\n"),
        CASE("a;b", "a\nb\n"),
        CASE("a {}", "a\n"),
        CASE("a{b}", "a {\n    b\n}\n"),
        CASE("a{b;c}", "a {\n    b\n    c\n}\n"),
        CASE("a {\n b {\n c\n }\n};d", "a {\n    b {\n        c\n    }\n}\nd\n"),
        CASE("\"\" \"a b\"", "\"\" \"a b\"\n"),
        CASE("#\"x y\"# 1", "\"x y\" 1\n"),
        CASE("\"\"\"\nx\n\"\"\" 1", "x 1\n"),
        CASE("a b c=d 1 c=2 e", "a b 1 e c=2\n"),
        CASE("a z=1 b=2 \"\"=3 z=4 \"x y\"=5 Z=6", "a \"\"=3 Z=6 b=2 \"x y\"=5 z=4\n"),
        CASE("a x = 1 y =2 z= 3", "a x=1 y=2 z=3\n"),
        CASE("a x \\\n = \\\n 1", "a x=1\n"),
        CASE("a x /* c */ = /* c */ 1", "a x=1\n"),
        CASE("a \"x\"=1 #\"y\"#=2", "a x=1 y=2\n"),
        CASE("/- kdl-version 2\na", "a\n"),
        CASE("\xef\xbb\xbf/- kdl-version 1\r\na", "a\n"),
        CASE("a b\r\nc\rd\x0b"
             "e\x0c"
             "f\xc2\x85g\xe2\x80\xa8h\xe2\x80\xa9i",
            "a b\nc\nd\ne\nf\ng\nh\ni\n"),
        CASE("a\xc2\xa0"
             "b\xe1\x9a\x80"
             "c\xe2\x80\x80"
             "d\xe2\x80\x8a"
             "e\xe2\x80\xaf"
             "f\xe2\x81\x9fg\xe3\x80\x80h",
            "a b c d e f g h\n"),
        CASE("a\xe2\x80\x8b"
             "b",
            "a\xe2\x80\x8b"
            "b\n"), /* zero width space is no space */
    };
    check_table(cases, COUNT(cases));
    static const struct text_case wrong[] = {
        CASE("\n\n a \n\n;", "5:1: expected the name of a node (not a name)\n"),
    };
    check_table(wrong, COUNT(wrong));
}

static void comments_and_continuations(void **state)
{
    (void)state;
    static const struct text_case cases[] = {
        CASE("// c", "\n"),
        CASE("//", "\n"),
        CASE("a // c\nb", "a\nb\n"),
        CASE("a//c\nb", "a\nb\n"),
        CASE("a /* 1 \n 2 */ 3", "a 3\n"),
        CASE("a/**/3", "a 3\n"),
        CASE("a /* /* x */ ** / */ b", "a b\n"),
        CASE("/*/**/*/a", "a\n"),
        CASE("a \\\n b", "a b\n"),
        CASE("a\\\nb", "a b\n"),
        CASE("a \\ // c\n b", "a b\n"),
        CASE("a \\ /* c */ // c\n\\\n b", "a b\n"),
        CASE("a \\", "a\n"),
        CASE("a \\  ", "a\n"),
        CASE("a \\ //", "a\n"),
        CASE("a \\\n\nb", "a\nb\n"),
        CASE("\\\na", "a\n"),
        CASE("a; \\\nb", "a\nb\n"),
        CASE("a \\\n{ \\\n b \\\n }", "a {\n    b\n}\n"),
    };
    check_table(cases, COUNT(cases));
}

static void slashdash(void **state)
{
    (void)state;
    static const struct text_case cases[] = {
        CASE("/-a\nb", "b\n"),
        CASE("/-a", "\n"),
        CASE("/- a 1 {\n b\n}\nc", "c\n"),
        CASE("/-\n\n// c\n/* c */ \\\n a\nb", "b\n"),
        CASE("/-(t)a\nb", "b\n"),
        CASE("/- a /- 1\nb", "b\n"),
        CASE("a { /- b; c }", "a {\n    c\n}\n"),
        CASE("a { /- b }", "a\n"),
        CASE("a /-1 2", "a 2\n"),
        CASE("a 1/-2", "a 1\n"),
        CASE("a \"x\"/-k=1", "a x\n"),
        CASE("a /-(t)1 (t)2", "a (t)2\n"),
        CASE("a /- k=1 k=2 /- k=3", "a k=2\n"),
        CASE("a k=1 /- k = (t)2", "a k=1\n"),
        CASE("a 1 /- // c\n2 3", "a 1 3\n"),
        CASE("a 1 /-\nnot-a-node 3", "a 1 3\n"),
        CASE("a /--1.0 2.0", "a 2.0\n"),
        CASE("a /-{b} {c} /-{d} /-{e}", "a {\n    c\n}\n"),
        CASE("a/-{b}{c}/-{d}", "a {\n    c\n}\n"),
        CASE("a 1 /-\n{\n b\n}", "a 1\n"),
        CASE("a /-{} \\\n {}", "a\n"),
    };
    check_table(cases, COUNT(cases));
    static const struct text_case wrong[] = {
        CASE("/-", "1:3: expected the name of a node (the text ends here)\n"),
        CASE("a /-", "1:5: nothing follows \"/-\" (nothing to comment out)\n"),
        CASE("a /-; b", "1:5: nothing follows \"/-\" (nothing to comment out)\n"),
        CASE("a { /- }", "1:8: expected the name of a node (not a name)\n"),
        CASE("a { b /- }", "1:10: nothing follows \"/-\" (nothing to comment out)\n"),
        CASE("/- /- a", "1:4: expected the name of a node (not a name)\n"),
        CASE("a /- /- 1", "1:6: \"/-\" after \"/-\" (already commented out)\n"),
        CASE("(t)/-a", "1:4: \"/-\" after a type annotation (must stand before the type)\n"),
        CASE("a (t)/-1", "1:6: \"/-\" after a type annotation (must stand before the type)\n"),
        CASE("(/-t)a",
            "1:2: \"/-\" cannot comment out a type annotation (not inside a type annotation)\n"),
        CASE("a k=/-1",
            "1:5: \"/-\" cannot comment out only the value of a property (must stand before the name)\n"),
        CASE("a k /- = 1", "1:8: expected a value (not the beginning of a value)\n"),
        CASE("a /-{b} 1",
            "1:9: only a newline or \";\" may follow a block (after a children block)\n"),
        CASE("a /-{b} /-1",
            "1:11: only a newline or \";\" may follow a block (after a children block)\n"),
        CASE("a {b} /-{c} {d}", "1:13: node has two children blocks (a second block)\n"),
        CASE("a {b} /-",
            "1:9: only a newline or \";\" may follow a block (after a children block)\n"),
    };
    check_table(wrong, COUNT(wrong));
}

static void types(void **state)
{
    (void)state;
    static const struct text_case cases[] = {
        CASE("(t)a (u8)1 k=(s)x", "(t)a (u8)1 k=(s)x\n"),
        CASE("( t ) a ( u8\\\n) 1 k = ( s ) x", "(t)a (u8)1 k=(s)x\n"),
        CASE("(/*c*/t/*c*/)/*c*/a", "(t)a\n"),
        CASE("(\"\")a (\"x y\")1 (#\"r\"#)2", "(\"\")a (\"x y\")1 (r)2\n"),
        CASE("\\\n(t)a (t)#true (t)#null (t)\"s\"", "(t)a (t)#true (t)#null (t)s\n"),
    };
    check_table(cases, COUNT(cases));
    static const struct text_case wrong[] = {
        CASE("()a", "1:1: type annotation is empty (a name belongs between these)\n"),
        CASE("a ( )1", "1:3: type annotation is empty (a name belongs between these)\n"),
        CASE("(1)a", "1:2: type annotation needs a name (a name belongs here)\n"),
        CASE("(t u)a", "1:4: type annotation is not closed (expected \")\")\n"),
        CASE("(t", "1:3: type annotation is not closed (expected \")\")\n"),
        CASE("(true)a", "1:2: \"true\" is not a value in KDL 2 (write #true)\n"),
        CASE("(t)", "1:4: expected the name of a node (the text ends here)\n"),
        CASE("a (t)", "1:6: expected a value (the text ends here)\n"),
        CASE("a k=(t)", "1:8: expected a value (the text ends here)\n"),
        CASE("a (t)\nb", "1:6: expected a value (not the beginning of a value)\n"),
        CASE("a (t)k=1",
            "1:3: type annotation before the name of a property (belongs to the value)\n"),
        CASE("a (t)(u)1", "1:6: expected a value (not the beginning of a value)\n"),
        CASE("a(t)1", "1:2: space is missing before a type annotation (not here)\n"),
    };
    check_table(wrong, COUNT(wrong));
}

static void identifiers(void **state)
{
    (void)state;
    static const struct text_case cases[] = {
        CASE("- + -- -a +a .a . -.a +. -.", "- + -- -a +a .a . -.a +. -.\n"),
        CASE("foo123~!@$%^&*.:'|?+<>,`-_", "foo123~!@$%^&*.:'|?+<>,`-_\n"),
        CASE("a true_ falsey nullx -infinity infx nano _1 ?1 a1 r r1",
            "a true_ falsey nullx -infinity infx nano _1 ?1 a1 r r1\n"),
        CASE("\xf0\x9f\x98\x80 \xe3\x83\x8e=\xe0\xb8\x85^\xef\xbb\x8c",
            "\xf0\x9f\x98\x80 \xe3\x83\x8e=\xe0\xb8\x85^\xef\xbb\x8c\n"),
        CASE("a \"true\" \"-inf\" \"1\" \"-1\" \".1\" \"+.1\" \"a=b\" \"a#\" \"-a\"",
            "a \"true\" \"-inf\" \"1\" \"-1\" \".1\" \"+.1\" \"a=b\" \"a#\" -a\n"),
    };
    check_table(cases, COUNT(cases));
    static const struct text_case wrong[] = {
        CASE("a true k=false", "1:3: \"true\" is not a value in KDL 2 (write #true)\n"
                               "1:10: \"false\" is not a value in KDL 2 (write #false)\n"),
        CASE("a null inf -inf nan", "1:3: \"null\" is not a value in KDL 2 (write #null)\n"
                                    "1:8: \"inf\" is not a value in KDL 2 (write #inf)\n"
                                    "1:12: \"-inf\" is not a value in KDL 2 (write #-inf)\n"
                                    "1:17: \"nan\" is not a value in KDL 2 (write #nan)\n"),
        CASE("null\ntrue=1",
            "1:1: \"null\" is not a value in KDL 2 (write #null)\n"
            "2:1: \"true\" is not a value in KDL 2 (write #true)\n"
            "2:5: \"=\" may only stand between a property's name and value (not here)\n"),
        CASE("a r\"x\" b\nb r##\"a\"#\nb\"## 1\nc",
            "1:3: this is a raw string of KDL 1 (raw strings have no r in KDL 2)\n"
            "2:3: this is a raw string of KDL 1 (raw strings have no r in KDL 2)\n"),
        CASE("r\"x\" 1", "1:1: this is a raw string of KDL 1 (raw strings have no r in KDL 2)\n"),
        CASE("a .1 +.1x", "1:3: \".1\" is not a number (a digit is missing before the point)\n"
                          "1:6: \"+.1x\" is not a number (a digit is missing before the point)\n"),
        CASE("foo(bar)", "1:4: space is missing before a type annotation (not here)\n"),
        CASE("foo[bar]", "1:4: \"[\" may not stand outside a string (not here)\n"),
        CASE("a#b", "1:2: \"#\" may not stand inside a word (not here)\n"),
        CASE("a/b", "1:2: \"/\" may not stand inside a word (not here)\n"),
        CASE("a\"b\"", "1:2: values must be separated by space (space is missing before this)\n"),
        CASE("a \"b\"c", "1:6: values must be separated by space (space is missing before this)\n"),
        CASE("a \"b\"1", "1:6: values must be separated by space (space is missing before this)\n"),
        CASE("a k=\"v\"b=5",
            "1:8: values must be separated by space (space is missing before this)\n"),
        CASE("a\\b c",
            "1:2: \"\\\" must be the last thing on its line (the line goes on after this)\n"),
        CASE("1 a", "1:1: expected the name of a node (a name cannot begin like a number)\n"),
        CASE("#true", "1:1: expected the name of a node (not a name)\n"),
        CASE("a 1=2 #true=3", "1:3: name of a property must be a string (not a name)\n"
                              "1:7: name of a property must be a string (not a name)\n"),
        CASE("memory = 512", "1:8: expected a value (not the beginning of a value)\n"),
        CASE("a k=\nb", "1:5: expected a value (not the beginning of a value)\n"),
        CASE("a ,[1]", "1:4: \"[\" may not stand outside a string (not here)\n"),
    };
    check_table(wrong, COUNT(wrong));
}

static void quoted_strings(void **state)
{
    (void)state;
    static const struct text_case cases[] = {
        CASE("a \"\" \"b\" \"b c\"", "a \"\" b \"b c\"\n"),
        CASE("a \"\\n\\r\\t\\\\\\\"\\b\\f\\s\"", "a \"\\n\\r\\t\\\\\\\"\\b\\f \"\n"),
        CASE("a \"\\u{e9}\\u{1F600}\\u{000041}\"", "a \xc3\xa9\xf0\x9f\x98\x80"
                                                   "A\n"),
        CASE("a \"\\u{10FFFF}\\u{0}\\u{7f}\\u{85}\\u{202e}\\u{feff}\\u{2028}\\u{b}\\u{a0}\"",
            "a \"\xf4\x8f\xbf\xbf\\u{0}\\u{7f}\\u{85}\\u{202e}\\u{feff}\\u{2028}\\u{b}\xc2\xa0\"\n"),
        CASE("a \"b\\   c\" \"b\\\n   \r\n\tc\" \"\\\n\"", "a bc bc \"\"\n"),
        CASE("a \"b\\ \xe3\x80\x80\xc2\x85 \\nc\"", "a \"b\\nc\"\n"),
        CASE("a \"tab\there\"", "a \"tab\\there\"\n"),
        CASE("a \"\xe2\x82\xac\xc2\xa9\"", "a \xe2\x82\xac\xc2\xa9\n"),
        CASE("a \"// no /* comment */ /- {\"", "a \"// no /* comment */ /- {\"\n"),
    };
    check_table(cases, COUNT(cases));
    static const struct text_case wrong[] = {
        CASE("a \"b\nc \"d\"", "1:3: missing closing quote (not closed on its line)\n"),
        CASE("a \"b", "1:3: missing closing quote (not closed on its line)\n"),
        CASE("a \"b\\", "1:3: missing closing quote (not closed on its line)\n"),
        CASE("a \"\\/ \\q\\\xc3\xa9 x\" 1",
            "1:4: unknown escape \"\\/\" in a string (not an escape)\n"
            "1:7: unknown escape \"\\q\" in a string (not an escape)\n"
            "1:9: unknown escape \"\\\xc3\xa9\" in a string (not an escape)\n"),
        CASE("a \"\\u{110000}\\u{D800}\\u{dfff}\"",
            "1:4: U+110000 is not a Unicode scalar value (no such character)\n"
            "1:14: U+D800 is not a Unicode scalar value (no such character)\n"
            "1:22: U+DFFF is not a Unicode scalar value (no such character)\n"),
        CASE("a \"\\u{}\\u{0000041}\\u{g}\\u41\"",
            "1:4: escape \\u{...} is malformed (not one to six hex digits)\n"
            "1:8: escape \\u{...} is malformed (not one to six hex digits)\n"
            "1:19: escape \\u{...} is malformed (not one to six hex digits)\n"
            "1:24: escape \\u has no braces (\"{\" must follow)\n"),
    };
    check_table(wrong, COUNT(wrong));
}

static void raw_strings(void **state)
{
    (void)state;
    static const struct text_case cases[] = {
        CASE("a #\"\"# #\"\\n\"# ##\"x\"#y\"##", "a \"\" \"\\\\n\" \"x\\\"#y\"\n"),
        CASE("a #\"\\\"# #\"#\"# ###\"\"#\"##\"###", "a \"\\\\\" \"#\" \"\\\"#\\\"##\"\n"),
        CASE("a #\"a\"b\"# #\"\"a\"#", "a \"a\\\"b\" \"\\\"a\"\n"),
        CASE("a #\"\"\"\n\"\"\"#", "a \"\"\n"),
        CASE("a #\"\"\"\n  b\n   \\c\n  \"\"\"#", "a \"b\\n \\\\c\"\n"),
        CASE("a ##\"\"\"\n\"\"\"x\"\"\"\n\"##\n\"\"\"#\n\"\"\"##",
            "a \"\\\"\\\"\\\"x\\\"\\\"\\\"\\n\\\"##\\n\\\"\\\"\\\"#\"\n"),
    };
    check_table(cases, COUNT(cases));
    static const struct text_case wrong[] = {
        CASE("a ##\"b\"#\nc", "1:3: missing closing quote (not closed on its line)\n"),
        CASE("a #\"b\nc\"#",
            "1:3: missing closing quote (not closed on its line)\n"
            "2:2: values must be separated by space (space is missing before this)\n"),
        CASE("a #\"b\"##", "1:8: \"#\" may not stand inside a word (not here)\n"),
        CASE("a #\"\"\"#",
            "1:3: multi-line string begins on the line of its quotes (a newline must follow)\n"),
        CASE("a #\"\"\"b\"\"\"# 1",
            "1:3: multi-line string begins on the line of its quotes (a newline must follow)\n"),
        CASE("a #\"\"\"\nb\"\"\"#",
            "2:2: closing quotes of a multi-line string do not begin their line (only space may stand before these)\n"),
        CASE("a {\n b #\"\"\"\nb\n\"\"\"",
            "2:4: missing closing quotes (this string is never closed)\n"),
        CASE("a # #x ##true #-nan", "1:3: unknown keyword (not a keyword)\n"
                                    "1:5: unknown keyword (not a keyword)\n"
                                    "1:8: unknown keyword (not a keyword)\n"
                                    "1:15: unknown keyword (not a keyword)\n"),
    };
    check_table(wrong, COUNT(wrong));
}

static void multiline_strings(void **state)
{
    (void)state;
    static const struct text_case cases[] = {
        CASE("a \"\"\"\n\"\"\"", "a \"\"\n"),
        CASE("a \"\"\"\n\t \"\"\"", "a \"\"\n"),
        CASE("a \"\"\"\r\nb\r\n\r\nc\r\n\"\"\"", "a \"b\\n\\nc\"\n"),
        CASE("a \"\"\"\n\\r\\n\n b\n\"\"\"", "a \"\\r\\n\\n b\"\n"),
        CASE("a \"\"\"\n    b\n\n  \n    \tc\n    \"\"\"", "a \"b\\n\\n\\n\\tc\"\n"),
        CASE("a \"\"\"\n  b\nXc\n\"\"\"", "a \"  b\\nXc\"\n"),
        CASE("a \"\"\"\n\"b\" \"\"c\"\n\"\"\"", "a \"\\\"b\\\" \\\"\\\"c\\\"\"\n"),
        CASE("a \"\"\"\n\\\"\"\"\n\"\"\\\"\n\"\"\"", "a \"\\\"\\\"\\\"\\n\\\"\\\"\\\"\"\n"),
        CASE("a \"\"\"\n  b \\\nc\n  \\   \"\"\"", "a \"b c\"\n"),
        CASE("a \"\"\"\n  b \\\nc\n\\   \"\"\"", "a \"  b c\"\n"),
        CASE("a \"\"\"\n  b\n\\\n  \"\"\"", "a \"  b\"\n"),
        CASE("a \"\"\"\n  b\n  \\\n\n  \"\"\"", "a b\n"),
        CASE("a \"\"\"\n \t \\\n     \n \t \"\"\"", "a \"\"\n"),
        CASE("a \"\"\"\n  \\s\n  \"\"\"", "a \" \"\n"),
        CASE("a \"\"\"\n  \\\n  b\n  \"\"\"", "a b\n"),
        CASE("a \"\"\"\n\xe3\x80\x80 b\n\xe3\x80\x80 \"\"\"", "a b\n"),
        CASE("a \"\"\"\xe2\x80\xa8"
             "b\xc2\x85"
             "c\x0b\"\"\"",
            "a \"b\\nc\"\n"),
        CASE("a \"\"\"\n\n\n\"\"\"", "a \"\\n\"\n"),
    };
    check_table(cases, COUNT(cases));
    static const struct text_case wrong[] = {
        CASE("a \"\"\"b\"\"\" 1",
            "1:3: multi-line string begins on the line of its quotes (a newline must follow)\n"),
        CASE("a \"\"\" \nb\n\"\"\" 1",
            "1:3: multi-line string begins on the line of its quotes (a newline must follow)\n"),
        CASE("a \"\"\"\nb\"\"\"",
            "2:2: closing quotes of a multi-line string do not begin their line (only space may stand before these)\n"),
        CASE("a \"\"\"\n b\\\n \"\"\"",
            "3:2: closing quotes of a multi-line string do not begin their line (only space may stand before these)\n"),
        CASE("a \"\"\"\n\tb\n  c\n\t\"\"\"",
            "3:1: line of a multi-line string is not indented like its last (does not begin with the space that is before the closing quotes)\n"),
        CASE("a \"\"\"\n \\ b\n  \"\"\"",
            "2:1: line of a multi-line string is not indented like its last (does not begin with the space that is before the closing quotes)\n"),
        CASE("a \"\"\"\nb\n  \"\"\"",
            "2:1: line of a multi-line string is not indented like its last (does not begin with the space that is before the closing quotes)\n"),
        CASE("a \"\"\"\n\\s b\n  \"\"\"",
            "2:1: line of a multi-line string is not indented like its last (does not begin with the space that is before the closing quotes)\n"),
        CASE("a {\n b \"\"\"\nb\n", "2:4: missing closing quotes (this string is never closed)\n"),
        CASE(
            "a \"\"\"\nb\n\\\"\"\"", "1:3: missing closing quotes (this string is never closed)\n"),
        CASE("a \"\"\"\nx\\q\n\"\"\"", "2:2: unknown escape \"\\q\" in a string (not an escape)\n"),
    };
    check_table(wrong, COUNT(wrong));
}

static void numbers(void **state)
{
    (void)state;
    static const struct text_case cases[] = {
        CASE("a 0 -0 +0 00 1 +1 -1 011 1_0 1__ 1_000_000", "a 0 0 0 0 1 1 -1 11 10 1 1000000\n"),
        CASE("a 0x10 -0xfF +0x0_ 0o17 0o7_ -0b1_01 0b0", "a 16 -255 0 15 7 -5 0\n"),
        CASE("a 9223372036854775807 -9223372036854775808 0x7fffffffffffffff -0x8000000000000000",
            "a 9223372036854775807 -9223372036854775808 9223372036854775807 -9223372036854775808\n"),
        CASE("a 9223372036854775808 -9223372036854775809 0xffffffffffffffff",
            "a 9223372036854775808 -9223372036854775809 18446744073709551615\n"),
        CASE("a 0xABCDEF0123456789abcdef -0x1_0000000000000000",
            "a 207698809136909011942886895 -18446744073709551616\n"),
        CASE("a 0o7777777777777777777777777 0b1"
             "0000000000000000000000000000000000000000000000000000000000000000",
            "a 37778931862957161709567 18446744073709551616\n"),
        CASE("a 00012345678901234567890_", "a 12345678901234567890\n"),
        CASE("a 1.0 -1.50 +0.0 00.10 1_0.0_1_", "a 1.0 -1.50 0.0 0.10 10.01\n"),
        CASE("a 1e10 1E10 1e+10 1e-10 1.5e1_0 1e007 -1.0E0",
            "a 1E+10 1E+10 1E+10 1E-10 1.5E+10 1E+7 -1.0E+0\n"),
        CASE("a 1.23E+1000 1.23E-1000 1.0e-10_0", "a 1.23E+1000 1.23E-1000 1.0E-100\n"),
        CASE("a 3.141592653589793238462643383279502884",
            "a 3.141592653589793238462643383279502884\n"),
        CASE("a #inf #-inf #nan k=#nan #true #false #null",
            "a #inf #-inf #nan #true #false #null k=#nan\n"),
    };
    check_table(cases, COUNT(cases));
    static const struct text_case wrong[] = {
        CASE("a 1x", "1:4: \"1x\" is not a number (does not belong to a number)\n"),
        CASE("a 1\xc3\xa9", "1:4: \"1\xc3\xa9\" is not a number (does not belong to a number)\n"),
        CASE("a 0X10", "1:4: \"0X10\" is not a number (does not belong to a number)\n"),
        CASE("a 0x", "1:5: \"0x\" is not a number (a digit is missing here)\n"),
        CASE("a 0x_1", "1:5: \"0x_1\" is not a number (a digit must come before \"_\")\n"),
        CASE("a 0x1g", "1:6: \"0x1g\" is not a number (not a hexadecimal digit)\n"),
        CASE("a 0o8", "1:5: \"0o8\" is not a number (a digit is missing here)\n"),
        CASE("a 0o18", "1:6: \"0o18\" is not a number (not an octal digit)\n"),
        CASE("a 0b12", "1:6: \"0b12\" is not a number (not a binary digit)\n"),
        CASE("a 0x1.5", "1:6: \"0x1.5\" is not a number (not a hexadecimal digit)\n"),
        CASE("a 1.", "1:5: \"1.\" is not a number (a digit is missing here)\n"),
        CASE("a 1._5", "1:5: \"1._5\" is not a number (a digit must come before \"_\")\n"),
        CASE("a 1.e5", "1:5: \"1.e5\" is not a number (a digit is missing here)\n"),
        CASE("a 1.0.0", "1:6: \"1.0.0\" is not a number (does not belong to a number)\n"),
        CASE("a 1e", "1:5: \"1e\" is not a number (a digit is missing here)\n"),
        CASE("a 1e+", "1:6: \"1e+\" is not a number (a digit is missing here)\n"),
        CASE("a 1e5e5", "1:6: \"1e5e5\" is not a number (does not belong to a number)\n"),
        CASE("a +1-2", "1:5: \"+1-2\" is not a number (does not belong to a number)\n"),
        CASE("a 1\"x\"", "1:4: values must be separated by space (space is missing before this)\n"),
    };
    check_table(wrong, COUNT(wrong));
}

static void forbidden_text(void **state)
{
    (void)state;
    static const struct text_case wrong[] = {
        CASE("a \0b", "1:3: byte 2 is NUL (NUL byte)\n"),
        CASE("a\n \xff", "2:2: byte 3 (0xff) is not valid UTF-8 (not UTF-8)\n"),
        CASE("a \xc0\xaf", "1:3: byte 2 (0xc0) is not valid UTF-8 (not UTF-8)\n"),
        CASE("a \xed\xa0\x80", "1:3: byte 2 (0xed) is not valid UTF-8 (not UTF-8)\n"),
        CASE("a \xf4\x90\x80\x80", "1:3: byte 2 (0xf4) is not valid UTF-8 (not UTF-8)\n"),
        CASE("a \xe2\x80", "1:3: byte 2 (0xe2) is not valid UTF-8 (not UTF-8)\n"),
        CASE("a\x01", "1:2: character U+0001 may not stand in a document (control character)\n"),
        CASE("// \x7f", "1:4: character U+007F may not stand in a document (control character)\n"),
        CASE("a \"\xe2\x80\xae\"",
            "1:4: character U+202E may not stand in a document (this makes text read in another direction than it is stored)\n"),
        CASE("a \xef\xbb\xbf",
            "1:3: character U+FEFF may not stand in a document (a byte order mark may only be the first character)\n"),
        CASE("\xef\xbb\xbf\xef\xbb\xbf"
             "a",
            "1:2: character U+FEFF may not stand in a document (a byte order mark may only be the first character)\n"),
        /* In the order of the text, and each once. */
        CASE("a true \x02"
             "x\nb false",
            "1:3: \"true\" is not a value in KDL 2 (write #true)\n"
            "1:8: character U+0002 may not stand in a document (control character)\n"
            "2:3: \"false\" is not a value in KDL 2 (write #false)\n"),
    };
    check_table(wrong, COUNT(wrong));
}

static void one_typo_one_message(void **state)
{
    (void)state;
    static const struct text_case wrong[] = {
        CASE("vm web {\n  image = \"x\"\n  cpus 2\n}\nvm db { cpus 2 }\n",
            "2:9: expected a value (not the beginning of a value)\n"),
        CASE("vm web {\n  disk \"a\n  cpus 2\n}\n",
            "2:8: missing closing quote (not closed on its line)\n"),
        CASE("vm [a] {\n  b true\n}\n", "1:4: expected a value (not the beginning of a value)\n"
                                        "2:5: \"true\" is not a value in KDL 2 (write #true)\n"),
        CASE("vm web {\n  net {\n    x\n", "2:7: missing \"}\" (this block is never closed)\n"),
        CASE("a\n}\nb true", "2:1: \"}\" without \"{\" (closes nothing)\n"
                             "3:3: \"true\" is not a value in KDL 2 (write #true)\n"),
        CASE("{\n a true\n}\nb", "1:1: expected the name of a node (not a name)\n"
                                 "2:4: \"true\" is not a value in KDL 2 (write #true)\n"),
        CASE("a [ \"}\" #\"}\"# /* } */ // }\nb",
            "1:3: expected a value (not the beginning of a value)\n"),
        CASE("a \"\n b = c\n\" 1\nc #\" \n\"\n\"# true",
            "1:3: a string of several lines needs three quotes (runs over several lines)\n"
            "4:3: a string of several lines needs three quotes (runs over several lines)\n"
            "6:4: \"true\" is not a value in KDL 2 (write #true)\n"),
        CASE("a [ \\\n ] } ", "1:3: expected a value (not the beginning of a value)\n"
                              "2:4: \"}\" without \"{\" (closes nothing)\n"),
        CASE("a { b } c",
            "1:9: only a newline or \";\" may follow a block (after a children block)\n"),
        CASE("a { /* x", "1:5: missing \"*/\" (this comment is never closed)\n"),
        CASE("a {} {b true}", "1:6: node has two children blocks (a second block)\n"
                              "1:9: \"true\" is not a value in KDL 2 (write #true)\n"),
    };
    check_table(wrong, COUNT(wrong));
}

static const char *help_of(const char *text, struct vmm_error **err)
{
    cleanup_source struct source *src = source_new("t.kdl", text, strlen(text));
    struct kdl_doc *doc = NULL;
    assert_int_equal(kdl_parse(src, &doc, err), -VMM_E_KDL);
    return vmm_error_help(*err);
}

static void help_says_what_to_type(void **state)
{
    (void)state;
    static const struct {
        int line;
        const char *in, *want;
    } cases[] = {
        {__LINE__, "a true",
            "Write #true for the value (KDL 1 had no #), or \"true\" in quotes for the text."},
        {__LINE__, "a inf", "Write #inf for the number, or \"inf\" in quotes for the text."},
        {__LINE__, "a r\"x\"", "Write #\"...\"# for r\"...\"."},
        {__LINE__, "a r#\"x\"#", "Take the r away: #\"...\"#."},
        {__LINE__, "a r#\"x\ny\"#",
            "Write #\"\"\" and \"\"\"# on lines of their own around the text."},
        {__LINE__, "a \"\\/\"", "KDL 2 has no \\/: write / alone."},
        {__LINE__, "a = 1",
            "A node takes values after spaces, without =: memory 512. A property is name=value."},
        {__LINE__, "a [1]",
            "KDL has no lists: write the values one after the other, or a block of nodes."},
        {__LINE__, "a 1.0v2", "Put it in quotes if it is meant as text."},
        {__LINE__, "a \xe2\x80\xae", "Remove it, or write \\u{202e} in a quoted string."},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        cleanup_error struct vmm_error *err = NULL;
        const char *const got = help_of(cases[i].in, &err);
        if (strcmp(got, cases[i].want) != 0)
            fail_msg("%s:%d: got\n%s\nwant\n%s", __FILE__, cases[i].line, got, cases[i].want);
    }
}

/* --- the tree --- */

static struct kdl_doc *parse_ok(const char *text)
{
    cleanup_source struct source *src = source_new("t.kdl", text, strlen(text));
    struct kdl_doc *doc = NULL;
    struct vmm_error *err = NULL;
    if (kdl_parse(src, &doc, &err) < 0)
        fail_msg("%s", vmm_error_message(err));
    return doc;
}

static void assert_span(const struct kdl_doc *doc, struct span at, const char *want)
{
    const struct str got = {.p = source_text(doc->source).p + at.offset, .n = at.n};
    if (!str_is(got, want))
        fail_msg("span holds '%.*s', want '%s'", (int)got.n, got.p, want);
}

static void tree_has_kinds_and_places(void **state)
{
    (void)state;
    cleanup_kdl_doc struct kdl_doc *doc = parse_ok(
        "(t)\"a b\" \"x\\n\" -5 (u8) 2.50 0xffffffffffffffffff #true #null #-inf k=1 /-k=9 k = (u)\"two\" {}  // c\n"
        "b {\n  c\n}\n");
    const struct kdl_node *const a = doc->nodes;
    assert_true(str_is(a->name, "a b"));
    assert_true(str_is(a->type->name, "t"));
    assert_span(doc, a->type->span, "(t)");
    assert_span(doc, kdl_node_name_span(a), "\"a b\"");
    assert_span(doc, kdl_node_span(a),
        "(t)\"a b\" \"x\\n\" -5 (u8) 2.50 0xffffffffffffffffff #true #null #-inf k=1 /-k=9 k = (u)\"two\" {}");
    assert_int_equal(a->n_args, 7);
    const struct kdl_value *v = a->args;
    assert_int_equal(v->kind, KDL_KIND_STRING);
    assert_true(str_is(v->as.string, "x\n"));
    assert_null(v->type);
    assert_span(doc, kdl_value_span(v++), "\"x\\n\"");
    assert_int_equal(v->kind, KDL_KIND_INTEGER);
    assert_int_equal(v->as.integer, -5);
    assert_span(doc, kdl_value_span(v++), "-5");
    assert_int_equal(v->kind, KDL_KIND_FLOAT);
    assert_true(v->as.number.value == 2.5);
    assert_string_equal(v->as.number.text, "2.50");
    assert_true(str_is(v->type->name, "u8"));
    assert_span(doc, kdl_value_span(v++), "2.50");
    assert_int_equal(v->kind, KDL_KIND_BIG_INTEGER);
    assert_string_equal(v->as.big_integer, "4722366482869645213695");
    v++;
    assert_int_equal(v->kind, KDL_KIND_BOOL);
    assert_true(v->as.boolean);
    assert_span(doc, kdl_value_span(v++), "#true");
    assert_int_equal(v->kind, KDL_KIND_NULL);
    v++;
    assert_int_equal(v->kind, KDL_KIND_FLOAT);
    assert_true(isinf(v->as.number.value) && v->as.number.value < 0);
    assert_int_equal(a->n_props, 2);
    assert_int_equal(a->props[0].value.as.integer, 1);
    const struct kdl_prop *const k = kdl_node_prop(a, "k");
    assert_true(str_is(k->value.as.string, "two"));
    assert_span(doc, kdl_prop_name_span(k), "k");
    assert_span(doc, kdl_value_span(&k->value), "\"two\"");
    assert_null(kdl_node_prop(a, "kk"));
    assert_true(a->has_children);
    assert_null(a->children);
    const struct kdl_node *const b = a->next;
    assert_true(str_is(b->name, "b"));
    assert_null(b->type);
    assert_span(doc, kdl_node_span(b), "b {\n  c\n}");
    assert_true(str_is(b->children->name, "c"));
    assert_false(b->children->has_children);
    assert_null(b->children->next);
    assert_null(b->next);
}

static void a_document_keeps_its_source(void **state)
{
    (void)state;
    struct source *const src = source_new("t.kdl", "a", 1);
    cleanup_kdl_doc struct kdl_doc *doc = NULL;
    assert_int_equal(kdl_parse(src, &doc, NULL), 0);
    source_unref(src);
    assert_true(str_is(doc->nodes->name, "a"));
    kdl_doc_free(NULL);
}

static void errp_may_be_null(void **state)
{
    (void)state;
    cleanup_source struct source *src = source_new("t.kdl", "a true", 6);
    struct kdl_doc *doc = NULL;
    assert_int_equal(kdl_parse(src, &doc, NULL), -VMM_E_KDL);
    assert_null(doc);
}

/* --- limits --- */

/* `head`, then `unit` until the text is n bytes long, then `tail`. */
static void fill(struct buf *out, const char *head, const char *unit, size_t n, const char *tail)
{
    buf_adds(out, head);
    const size_t len = strlen(unit);
    while (out->n + len <= n)
        buf_add(out, unit, len);
    buf_adds(out, tail);
}

static void assert_first_line(const struct buf *text, const char *want)
{
    cleanup_buf struct buf got = {0};
    run(text->p, text->n, &got);
    char *const end = strchr(got.p, '\n');
    *end = '\0';
    assert_string_equal(got.p, want);
}

static void limits_have_names(void **state)
{
    (void)state;
    static const struct {
        const char *head, *unit;
        size_t n;
        const char *tail, *want;
    } cases[] = {
        {"", "// \n", 4 << 20, "", NULL},
        {"", "// \n", 4 << 20, "b", "1:1: document of 4194305 bytes is larger than 4 MiB"},
        {"a ", "x", (4 << 10) + 2, "", NULL},
        {"a ", "x", (4 << 10) + 3, "",
            "1:3: identifier of 4097 bytes is longer than 4 KiB (this word)"},
        {"a \"", "x", (1 << 20) + 3, "\"", NULL},
        {"a \"", "x", (1 << 20) + 4, "\"",
            "1:3: string of 1048577 bytes is longer than 1 MiB (this string)"},
        {"a \"\\n", "x", (1 << 20) + 5, "\"",
            "1:3: string of 1048577 bytes is longer than 1 MiB (this string)"},
        {"a #\"", "x", (1 << 20) + 5, "\"#",
            "1:3: string of 1048577 bytes is longer than 1 MiB (this string)"},
        {"a \"\"\"\n", "x", (1 << 20) + 7, "\n\"\"\"",
            "1:3: string of 1048577 bytes is longer than 1 MiB (this string)"},
        {"a ", "1", (4 << 10) + 2, "", NULL},
        {"a ", "1", (4 << 10) + 3, "",
            "1:3: number of 4097 bytes is longer than 4 KiB (this number)"},
        {"a 0x", "f", (1 << 10) + 4, "", NULL},
        {"a 0x", "f", (1 << 10) + 5, "",
            "1:3: number of 1025 digits is longer than 1024 (this number)"},
        {"a", " 1", (KDL_ITEMS_MAX - 1) * 2 + 1, "", NULL},
        {"a", " 1", KDL_ITEMS_MAX * 2 + 1, "",
            "1:2000001: document has more than 1000000 nodes, arguments and properties (reached here)"},
        {"", "a{", KDL_DEPTH_MAX * 2, "", "1:256: missing \"}\" (this block is never closed)"},
        {"", "a{", KDL_DEPTH_MAX * 2 + 2, "",
            "1:258: blocks are nested deeper than 128 (one block too deep)"},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        cleanup_buf struct buf text = {0};
        fill(&text, cases[i].head, cases[i].unit, cases[i].n, cases[i].tail);
        if (cases[i].want) {
            assert_first_line(&text, cases[i].want);
        } else {
            cleanup_source struct source *src = source_new("t.kdl", text.p, text.n);
            cleanup_kdl_doc struct kdl_doc *doc = NULL;
            if (kdl_parse(src, &doc, NULL) != 0)
                fail_msg("case %zu refused", i);
        }
    }
}

static size_t count_lines(const struct buf *text)
{
    size_t lines = 0;
    for (size_t i = 0; i < text->n; i++)
        lines += text->p[i] == '\n';
    return lines;
}

static void at_most_twenty_findings(void **state)
{
    (void)state;
    cleanup_buf struct buf text = {0};
    fill(&text, "", "a true\n", 7 * 1000, "");
    cleanup_buf struct buf got = {0};
    run(text.p, text.n, &got);
    assert_int_equal(count_lines(&got), FINDINGS_MAX);
}

/* Once looped for ever: the twentieth finding ended the parse, and the number's reader then put the
 * cursor back to where it had been. */
static void the_twentieth_finding_ends_the_parse(void **state)
{
    (void)state;
    cleanup_buf struct buf text = {0};
    fill(&text, "a ", "\x01", 22, " 1x}}\nb");
    cleanup_buf struct buf got = {0};
    run(text.p, text.n, &got);
    assert_int_equal(count_lines(&got), FINDINGS_MAX);
}

/* 4 MiB of what makes careless parsers quadratic. Two seconds is the promise, also with the
 * sanitizers on; a quadratic step takes hours, so the clock need not be exact. */
static void hostile_text_takes_linear_time(void **state)
{
    (void)state;
    static const struct {
        const char *head, *unit, *tail;
    } cases[] = {
        {"", "{", ""},
        {"", "}", ""},
        {"", "a{", ""},
        {"", "a{\n", ""},
        {"", "a {}", ""},
        {"a ", "#", ""},
        {"a ", "#\"", ""},
        {"a ", "r#", ""},
        {"a ", "r#\"", ""},
        {"a ", "r#\"\n", ""},
        {"a ####################\"", "\"###################", ""},
        {"a #\"\"\"\n", "\"\"\"", ""},
        {"a ##\"\"\"\n", "\"\"\"#\n", ""},
        {"a ", "\"\"\"\n", ""},
        {"a ", "\"\"\"", ""},
        {"a ", "\"\n", ""},
        {"a ", "\"", ""},
        {"a \"\"\"\n", "\\\n", "\"\"\""},
        {"a \"\"\"\n", "\n", "\"\"\""},
        {"a \"\"\"\n", " ", "\n\"\"\""},
        {"a \"\"\"\n", " x\n", " \"\"\""},
        {"a \"\"\"\n", "x\n", " \"\"\""},
        {"a \"\"\"\n", " \\\n", "x\n \"\"\""},
        {"a \"", "\\n", "\""},
        {"a \"", "\\u{41}", "\""},
        {"a \"", "\\q", "\""},
        {"a \"", "\\ ", "\""},
        {"a ", "\\\n", ""},
        {"a ", "\\", ""},
        {"a ", "\\ ", ""},
        {"a ", "\\\n/-", ""},
        {"", "/-", ""},
        {"a ", "/-1 ", ""},
        {"", "/-\n", ""},
        {"", "/*", ""},
        {"", "/**/", ""},
        {"", "*/", ""},
        {"a ", "/* */ ", "= 1"},
        {"", "(", ""},
        {"", "()", ""},
        {"", "(a)", ""},
        {"", "a (", ""},
        {"", "a\n", ""},
        {"", "a b=c\n", ""},
        {"a ", "b=", ""},
        {"a ", "b = ", ""},
        {"a ", "b ", ""},
        {"a ", "=", ""},
        {"a ", "x=1 ", ""},
        {"", ";", ""},
        {"", "a;", ""},
        {"a ", "1", ""},
        {"a ", "0x1 ", ""},
        {"", "\x01", ""},
        {"", "\xe2\x80\xae", ""},
        {"a ", "1.", ""},
        {"a ", "true ", ""},
        {"", "[\n", ""},
        {"", "\xc2\x85", ""},
        {"", "\r", ""},
        {"", "a { b\n", ""},
        {"", "a /-{}\n", ""},
        {"a ", "\xe3\x80\x80", ""},
        {"", "//", ""},
        {"", "//\n", ""},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        cleanup_buf struct buf text = {0};
        fill(&text, cases[i].head, cases[i].unit, KDL_TEXT_MAX_BYTES - strlen(cases[i].tail),
            cases[i].tail);
        cleanup_buf struct buf got = {0};
        struct timespec from, to;
        clock_gettime(CLOCK_MONOTONIC, &from);
        run(text.p, text.n, &got);
        clock_gettime(CLOCK_MONOTONIC, &to);
        const double took =
            (double)(to.tv_sec - from.tv_sec) + (double)(to.tv_nsec - from.tv_nsec) / 1e9;
        if (getenv("KDL_TIMES"))
            print_message("%6.3f s  case %zu  %s%s%s\n", took, i, cases[i].head, cases[i].unit,
                cases[i].tail);
        if (took > 2.0)
            fail_msg("case %zu took %.1f s", i, took);
    }
}

/* The number that costs most for its length, as often as fits. */
static void long_numbers_take_linear_time(void **state)
{
    (void)state;
    cleanup_buf struct buf unit = {0};
    fill(&unit, " 0x", "f", 1 << 10, "");
    cleanup_buf struct buf text = {0};
    fill(&text, "a", unit.p, KDL_TEXT_MAX_BYTES, "");
    cleanup_buf struct buf got = {0};
    const clock_t from = clock();
    run(text.p, text.n, &got);
    assert_true((double)(clock() - from) / CLOCKS_PER_SEC < 2.0);
    assert_int_equal(got.p[0], 'a');
}

int main(int argc, char **argv)
{
    if (argc > 1)
        cmocka_set_test_filter(argv[1]);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nodes_and_blocks),
        cmocka_unit_test(comments_and_continuations),
        cmocka_unit_test(slashdash),
        cmocka_unit_test(types),
        cmocka_unit_test(identifiers),
        cmocka_unit_test(quoted_strings),
        cmocka_unit_test(raw_strings),
        cmocka_unit_test(multiline_strings),
        cmocka_unit_test(numbers),
        cmocka_unit_test(forbidden_text),
        cmocka_unit_test(one_typo_one_message),
        cmocka_unit_test(help_says_what_to_type),
        cmocka_unit_test(tree_has_kinds_and_places),
        cmocka_unit_test(a_document_keeps_its_source),
        cmocka_unit_test(errp_may_be_null),
        cmocka_unit_test(limits_have_names),
        cmocka_unit_test(at_most_twenty_findings),
        cmocka_unit_test(the_twentieth_finding_ends_the_parse),
        cmocka_unit_test(hostile_text_takes_linear_time),
        cmocka_unit_test(long_numbers_take_linear_time),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
