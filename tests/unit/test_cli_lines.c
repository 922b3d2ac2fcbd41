/* Byte streams from guests in, lines fit for a terminal out. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "base/utf8.h"
#include "cli/lines.h"

/* Lines joined by `|`. */
static void join(void *arg, struct str line)
{
    struct buf *out = arg;
    buf_addstr(out, line);
    buf_addc(out, '|');
}

#define ROW(in, want)           \
    {                           \
        __LINE__, STR(in), want \
    }

static const struct {
    int at;
    struct str in;
    const char *want;
} rows[] = {
    ROW("", ""),
    ROW("a\nb\n", "a|b|"),
    ROW("a\r\nb\r\n", "a|b|"),
    ROW("a\r\r\nb", "a|b|"),
    ROW("\n\n", "||"),
    ROW("no end", "no end|"),
    ROW("10%\r20%\r100%\ndone\n", "100%|done|"),
    ROW("10%\r20%\r", "20%|"),
    ROW("\rfirst\n", "first|"),
    ROW("\x1b[32mgreen\x1b[0m\x1b[K\n", "green|"),
    ROW("\x1b[1;38:5:9mx\x1b[m\n", "x|"),
    ROW("\x1b[2Jx\n", "\\x1b[2Jx|"),
    ROW("\x1b]0;title\x07\n", "\\x1b]0;title\\x07|"),
    ROW("\x1b[", "\\x1b[|"),
    ROW("\x1b", "\\x1b|"),
    ROW("\x1b[3", "\\x1b[3|"),
    ROW("a\tb\n", "a\tb|"),
    ROW("a\0b\n", "a\\x00b|"),
    ROW("\xff\xc3\n", "\\xff\\xc3|"),
    ROW("\xc3\xa9\xe6\x97\xa5\n", "\xc3\xa9\xe6\x97\xa5|"),
    ROW("\xe2\x80\xaex\n", "<U+202E>x|"),
    ROW("\xc2\x9b"
        "2J\n",
        "\\xc2\\x9b2J|"),
};

/* However the stream is cut, the lines are the same. */
static void lines_do_not_depend_on_the_pieces(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        for (size_t piece = 1; piece <= rows[i].in.n + 1; piece++) {
            cleanup_lines struct lines l = {0};
            cleanup_buf struct buf got = {0};
            for (size_t at = 0; at < rows[i].in.n; at += piece) {
                const size_t left = rows[i].in.n - at;
                lines_feed(&l, rows[i].in.p + at, left < piece ? left : piece, join, &got);
            }
            lines_finish(&l, join, &got);
            _assert_string_equal(buf_cstr(&got), rows[i].want, __FILE__, rows[i].at);
        }
    }
}

struct sizes {
    size_t lines;
    size_t longest;
    size_t total;
};

static void measure(void *arg, struct str line)
{
    struct sizes *s = arg;
    s->lines++;
    s->total += line.n;
    s->longest = line.n > s->longest ? line.n : s->longest;
}

static void long_lines_come_in_pieces(void **state)
{
    (void)state;
    static char text[100000];
    memset(text, 'x', sizeof(text));
    cleanup_lines struct lines l = {0};
    struct sizes s = {0};
    lines_feed(&l, text, sizeof(text), measure, &s);
    lines_finish(&l, measure, &s);
    assert_int_equal(s.total, sizeof(text));
    assert_int_equal(s.longest, LINE_PIECE_MAX);
    assert_int_equal(s.lines, (sizeof(text) + LINE_PIECE_MAX - 1) / LINE_PIECE_MAX);

    text[sizeof(text) - 1] = '\n'; /* also when the whole line comes at once */
    s = (struct sizes){0};
    lines_feed(&l, text, sizeof(text), measure, &s);
    assert_int_equal(s.total, sizeof(text) - 1);
    assert_int_equal(s.longest, LINE_PIECE_MAX);

    text[LINE_PIECE_MAX] = '\n'; /* exactly the limit is one line */
    s = (struct sizes){0};
    for (size_t i = 0; i <= LINE_PIECE_MAX; i++)
        lines_feed(&l, text + i, 1, measure, &s);
    assert_int_equal(s.lines, 1);
    assert_int_equal(s.longest, LINE_PIECE_MAX);
}

static void refuse_torn(void *arg, struct str line)
{
    ++*(size_t *)arg;
    assert_null(memmem(line.p, line.n, "\\x", 2));
}

static void pieces_do_not_tear_characters(void **state)
{
    (void)state;
    static const char *const characters[] = {"\xc3\xa9", "\xe6\x97\xa5", "\xf0\x9f\x98\x80"};
    for (size_t c = 0; c < 3; c++) {
        for (size_t shift = 0; shift < 4; shift++) {
            cleanup_buf struct buf text = {0};
            buf_add(&text, "xxxx", shift);
            while (text.n < 3 * LINE_PIECE_MAX)
                buf_adds(&text, characters[c]);
            cleanup_lines struct lines l = {0};
            size_t count = 0;
            lines_feed(&l, text.p, text.n, refuse_torn, &count);
            lines_finish(&l, refuse_torn, &count);
            assert_true(count >= 3);
        }
    }
}

static void an_endless_progress_bar_stays_one_line(void **state)
{
    (void)state;
    cleanup_lines struct lines l = {0};
    cleanup_buf struct buf got = {0};
    for (int i = 0; i < 20000; i++)
        lines_feed(&l, "\r 5% [=>      ]", 15, join, &got);
    lines_feed(&l, "\r100%\n", 6, join, &got);
    assert_string_equal(buf_cstr(&got), "100%|");
    static char crs[50000];
    memset(crs, '\r', sizeof(crs));
    lines_feed(&l, crs, sizeof(crs), join, &got);
    lines_feed(&l, "x\n", 2, join, &got);
    assert_string_equal(buf_cstr(&got), "100%|x|");
}

static uint64_t random_state;
static uint32_t random_next(void)
{
    random_state = random_state * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(random_state >> 33);
}

static void refuse_controls(void *arg, struct str line)
{
    (void)arg;
    assert_true(line.n <= LINE_PIECE_MAX * 8);
    for (size_t at = 0; at < line.n;) {
        uint32_t cp = 0;
        const size_t n = utf8_decode(line.p + at, line.n - at, &cp);
        if (n == 0 || (cp < 0x20 && cp != '\t') || (cp >= 0x7f && cp < 0xa0) ||
            utf8_is_bidi_control(cp))
            fail_msg("byte %02x came through", (unsigned char)line.p[at]);
        at += n;
    }
}

static void garbage_never_yields_control_bytes(void **state)
{
    (void)state;
    static const char *const favourites[] = {
        "\x1b[", "\x1b[3", "\r", "\n", "m", "\xe2\x80", "\xae", "\xc2", "\x9b"};
    for (unsigned seed = 0; seed < 200; seed++) {
        random_state = seed;
        cleanup_lines struct lines l = {0};
        for (int round = 0; round < 40; round++) {
            char bytes[600];
            size_t n = 0;
            while (n < sizeof(bytes) - 8) {
                if (random_next() % 4 == 0) {
                    const char *s = favourites[random_next() % 9];
                    memcpy(bytes + n, s, strlen(s));
                    n += strlen(s);
                } else {
                    /* few newlines, so that lines reach the limit, too */
                    const char c = (char)random_next();
                    bytes[n++] = c == '\n' && seed % 2 ? 'x' : c;
                }
            }
            lines_feed(&l, bytes, random_next() % n, refuse_controls, NULL);
            assert_true(l.partial.n <= LINE_PIECE_MAX);
        }
        lines_finish(&l, refuse_controls, NULL);
    }
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lines_do_not_depend_on_the_pieces),
        cmocka_unit_test(long_lines_come_in_pieces),
        cmocka_unit_test(pieces_do_not_tear_characters),
        cmocka_unit_test(an_endless_progress_bar_stays_one_line),
        cmocka_unit_test(garbage_never_yields_control_bytes),
    };
    if (argc > 1)
        cmocka_set_test_filter(argv[1]);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
