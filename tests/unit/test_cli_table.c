/* Tables, facts, widths and what a terminal is. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <pty.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>

#include "base/cleanup.h"
#include "cli/table.h"
#include "cli/terminal.h"
#include "cli/text.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

static const struct table_column columns[] = {
    {.title = "NAME"},
    {.title = "MEM", .is_right = true},
    {.title = "SSH"},
};

static void tables_are_aligned(void **state)
{
    (void)state;
    cleanup_table struct table *t = table_new(columns, COUNT(columns));
    table_add(t, "web");
    table_addf(t, "%d", 2048);
    table_add(t, "10042");
    table_add(t, "日本");
    table_addf(t, "%d", 512);
    table_add(t, NULL);
    table_add(t, "a\nb\tc\x1b[1m");
    table_add(t, "");
    table_add(t, "x");
    assert_int_equal(table_rows(t), 3);
    cleanup_buf struct buf got = {0};
    table_render(t, /* with_header */ true, &got);
    assert_string_equal(buf_cstr(&got), "NAME           MEM  SSH\n"
                                        "web           2048  10042\n"
                                        "日本           512  -\n"
                                        "a b c\\x1b[1m     -  x\n");
    buf_clear(&got);
    table_render(t, /* with_header */ false, &got);
    assert_non_null(strstr(buf_cstr(&got), "web           2048  10042\n"));
    assert_null(strstr(buf_cstr(&got), "NAME"));
}

static void an_empty_table_is_its_header(void **state)
{
    (void)state;
    cleanup_table struct table *t = table_new(columns, COUNT(columns));
    cleanup_buf struct buf got = {0};
    table_render(t, /* with_header */ true, &got);
    assert_string_equal(buf_cstr(&got), "NAME  MEM  SSH\n");
}

static void facts_are_aligned(void **state)
{
    (void)state;
    cleanup_facts struct facts *f = facts_new();
    facts_add(f, "Name", "web");
    facts_addf(f, "Memory", "%d MiB", 512);
    facts_add(f, "MAC", NULL);
    facts_add(f, "Ports", "8080 -> 80\n\n2222 -> 22\n");
    facts_add(f, "Disk", "");
    cleanup_buf struct buf got = {0};
    facts_render(f, &got);
    assert_string_equal(buf_cstr(&got), "Name:    web\n"
                                        "Memory:  512 MiB\n"
                                        "Ports:   8080 -> 80\n"
                                        "\n"
                                        "         2222 -> 22\n"
                                        "Disk:    -\n");
}

static void widths(void **state)
{
    (void)state;
    static const struct {
        int at;
        const char *text;
        size_t want;
    } rows[] = {
        {__LINE__, "", 0},
        {__LINE__, "abc", 3},
        {__LINE__, "é", 1},
        {__LINE__, "e\xcc\x81", 1},
        {__LINE__, "日本", 4},
        {__LINE__, "\xf0\x9f\x98\x80", 2},         /* a face */
        {__LINE__, "\xe2\x80\x8b", 0},             /* zero width space */
        {__LINE__, "\xef\xbc\xa1", 2},             /* full-width A */
        {__LINE__, "\xe1\x84\x80\xe1\x85\xa1", 2}, /* Hangul in parts */
        {__LINE__, "\xff", 1},
    };
    for (size_t i = 0; i < COUNT(rows); i++)
        _assert_int_equal(text_width(str_view(rows[i].text)), rows[i].want, __FILE__, rows[i].at);
}

static void cutting(void **state)
{
    (void)state;
    static const struct {
        int at;
        const char *text;
        size_t columns;
        const char *want;
        size_t used;
    } rows[] = {
        {__LINE__, "abc", 3, "abc", 3},
        {__LINE__, "abcd", 3, "ab~", 3},
        {__LINE__, "日本", 3, "日~", 3},
        {__LINE__, "日本", 2, "~", 1},
        {__LINE__, "abc", 1, "~", 1},
        {__LINE__, "abc", 0, "", 0},
        {__LINE__, "e\xcc\x81", 1, "e\xcc\x81", 1},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        cleanup_buf struct buf got = {0};
        const size_t used = text_add_cut(&got, str_view(rows[i].text), rows[i].columns, "~");
        _assert_string_equal(buf_cstr(&got), rows[i].want, __FILE__, rows[i].at);
        _assert_int_equal(used, rows[i].used, __FILE__, rows[i].at);
    }
}

static void durations(void **state)
{
    (void)state;
    static const struct {
        int at;
        int64_t seconds;
        const char *want;
    } rows[] = {
        {__LINE__, -3, "0 s"},
        {__LINE__, 0, "0 s"},
        {__LINE__, 59, "59 s"},
        {__LINE__, 60, "1 min 00 s"},
        {__LINE__, 3599, "59 min 59 s"},
        {__LINE__, 3600, "1 h 00 min"},
        {__LINE__, 90000, "25 h 00 min"},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        cleanup_buf struct buf got = {0};
        text_add_duration(&got, rows[i].seconds);
        _assert_string_equal(buf_cstr(&got), rows[i].want, __FILE__, rows[i].at);
    }
}

/* The environment of the row under test: "NAME=value NAME=value". */
static const char *environment;

static const char *fake_getenv(const char *name)
{
    static char value[64];
    const size_t n = strlen(name);
    for (const char *p = environment; *p; p += strcspn(p, " "), p += *p == ' ') {
        if (strncmp(p, name, n) == 0 && p[n] == '=') {
            snprintf(value, sizeof(value), "%.*s", (int)strcspn(p + n + 1, " "), p + n + 1);
            return value;
        }
    }
    return NULL;
}

static void what_a_terminal_can(void **state)
{
    (void)state;
    int master = -1, slave = -1;
    struct winsize size = {.ws_col = 33, .ws_row = 7};
    assert_int_equal(openpty(&master, &slave, NULL, NULL, &size), 0);
    cleanup_close int null = open("/dev/null", O_WRONLY | O_CLOEXEC);
    const struct {
        int at;
        int fd;
        const char *environment;
        bool has_colour;
        bool is_live;
        bool has_utf8;
    } rows[] = {
        {__LINE__, slave, "TERM=xterm LANG=de_DE.UTF-8", true, true, true},
        {__LINE__, slave, "TERM=xterm LANG=C", true, true, false},
        {__LINE__, slave, "TERM=xterm LANG=de_DE.utf8 LC_ALL=C", true, true, false},
        {__LINE__, slave, "TERM=xterm LANG=C LC_CTYPE=C.UTF-8", true, true, true},
        {__LINE__, slave, "TERM=linux LANG=C.UTF-8", true, true, false},
        {__LINE__, slave, "TERM=dumb", false, false, false},
        {__LINE__, slave, "", false, false, false},
        {__LINE__, slave, "TERM=xterm NO_COLOR=1", false, true, false},
        {__LINE__, slave, "TERM=xterm NO_COLOR=", true, true, false},
        {__LINE__, slave, "TERM=xterm NO_COLOR=1 CLICOLOR_FORCE=1", false, true, false},
        {__LINE__, slave, "TERM=xterm CI=true", true, false, false},
        {__LINE__, slave, "TERM=xterm CI=false", true, true, false},
        {__LINE__, null, "TERM=xterm", false, false, false},
        {__LINE__, null, "TERM=xterm CLICOLOR_FORCE=1", true, false, false},
        {__LINE__, null, "TERM=xterm CLICOLOR_FORCE=0", false, false, false},
        {__LINE__, -1, "TERM=xterm", false, false, false},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        environment = rows[i].environment;
        const struct terminal t = terminal_inspect(rows[i].fd, fake_getenv);
        _assert_int_equal(t.is_terminal, rows[i].fd == slave, __FILE__, rows[i].at);
        _assert_int_equal(t.has_colour, rows[i].has_colour, __FILE__, rows[i].at);
        _assert_int_equal(t.is_live, rows[i].is_live, __FILE__, rows[i].at);
        _assert_int_equal(t.has_utf8, rows[i].has_utf8, __FILE__, rows[i].at);
        _assert_int_equal(t.width, rows[i].fd == slave ? 33 : 80, __FILE__, rows[i].at);
        _assert_int_equal(t.height, rows[i].fd == slave ? 7 : 24, __FILE__, rows[i].at);
    }
    close(slave);
    close(master);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tables_are_aligned),
        cmocka_unit_test(an_empty_table_is_its_header),
        cmocka_unit_test(facts_are_aligned),
        cmocka_unit_test(widths),
        cmocka_unit_test(cutting),
        cmocka_unit_test(durations),
        cmocka_unit_test(what_a_terminal_can),
    };
    if (argc > 1)
        cmocka_set_test_filter(argv[1]);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
