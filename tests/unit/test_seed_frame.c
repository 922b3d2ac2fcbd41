/* What crosses the border to vmm-seed. */
#include "base/alloc.h"
#include "seed/frame.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static struct str view(const struct buf *b)
{
    return (struct str){.p = buf_cstr(b), .n = b->n};
}

static void files_come_back_equal(void **state)
{
    (void)state;
    const struct frame_file files[] = {
        {STR("meta-data"), STR("{}")},
        {STR("user-data"), STR("bin\0ary\xff")},
        {STR("empty"), {"", 0}},
    };
    for (size_t count = 0; count <= 3; count++) {
        cleanup_buf struct buf bytes = {0};
        frame_encode(&bytes, files, count);
        struct frame_file back[FRAME_FILES_MAX];
        size_t n = 99;
        assert_true(frame_decode(view(&bytes), back, &n));
        assert_int_equal(n, count);
        for (size_t i = 0; i < count; i++) {
            assert_true(str_eq(back[i].name, files[i].name));
            assert_true(str_eq(back[i].data, files[i].data));
        }
    }
}

static void a_cut_or_a_longer_frame_is_refused(void **state)
{
    (void)state;
    const struct frame_file files[] = {{STR("a"), STR("one")}, {STR("b"), STR("two")}};
    cleanup_buf struct buf bytes = {0};
    frame_encode(&bytes, files, 2);
    struct frame_file back[FRAME_FILES_MAX];
    size_t count;
    for (size_t n = 0; n < bytes.n; n++) {
        char *cut = xmalloc(n ? n : 1);
        memcpy(cut, bytes.p, n);
        if (frame_decode((struct str){.p = cut, .n = n}, back, &count))
            fail_msg("accepted when cut at %zu", n);
        free(cut);
    }
    buf_addc(&bytes, 'x');
    assert_false(frame_decode(view(&bytes), back, &count));
}

#define FRAME(bytes) STR("VMMSEED1" bytes)

/* clang-format off */
static const struct {
    int line;
    struct str bytes;
    bool is_sound;
} frames[] = {
    {__LINE__, FRAME("\0\0\0\0"), true},
    {__LINE__, STR("VMMSEED2\0\0\0\0"), false},
    {__LINE__, FRAME("\0\0\0\1" "\0\0\0\1a\0\0\0\0"), true},
    {__LINE__, FRAME("\0\0\0\1" "\0\0\0\0\0\0\0\0"), false},
    {__LINE__, FRAME("\0\0\0\1" "\0\0\0\3a/b\0\0\0\0"), false},
    {__LINE__, FRAME("\0\0\0\1" "\0\0\0\2..\0\0\0\0"), false},
    {__LINE__, FRAME("\0\0\0\1" "\0\0\0\2.a\0\0\0\0"), false},
    {__LINE__, FRAME("\0\0\0\1" "\0\0\0\2a\0\0\0\0\0"), false},
    {__LINE__, FRAME("\0\0\0\1" "\xff\xff\xff\xff" "a\0\0\0\0"), false},
    {__LINE__, FRAME("\0\0\0\1" "\0\0\0\1a\xff\xff\xff\xff"), false},
    {__LINE__, FRAME("\0\0\0\2" "\0\0\0\1a\0\0\0\0" "\0\0\0\1a\0\0\0\0"), false},
    {__LINE__, FRAME("\0\0\0\2" "\0\0\0\1a\0\0\0\0" "\0\0\0\1b\0\0\0\0"), true},
    {__LINE__, FRAME("\0\0\0\2" "\0\0\0\1a\0\0\0\1"), false},
    {__LINE__, FRAME("\0\0\0\x9"), false},
    {__LINE__, FRAME("\xff\xff\xff\xff"), false},
};
/* clang-format on */

static void frames_are_checked(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(frames) / sizeof(*frames); i++) {
        struct frame_file files[FRAME_FILES_MAX];
        size_t count;
        const size_t n = frames[i].bytes.n;
        char *exact = xmalloc(n); /* a sanitizer sees a read past it */
        memcpy(exact, frames[i].bytes.p, n);
        if (frame_decode((struct str){.p = exact, .n = n}, files, &count) != frames[i].is_sound)
            fail_msg("line %d", frames[i].line);
        free(exact);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(files_come_back_equal),
        cmocka_unit_test(a_cut_or_a_longer_frame_is_refused),
        cmocka_unit_test(frames_are_checked),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
