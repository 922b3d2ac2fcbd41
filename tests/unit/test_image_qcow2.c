/* The qcow2 header reader against headers made by hand: one sound header and, row by row, one thing
 * wrong with it. */
#include "base/alloc.h"
#include "base/error.h"
#include "image/image.h"
#include "image/qcow2.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum {
    CLUSTER = 512, /* the least; keeps the sound image small */
    REFCOUNT_TABLE = CLUSTER,
    L1_TABLE = 3 * CLUSTER,
    L1_COUNT = 32, /* an entry covers 32 KiB here: 1 MiB */
    FILE_BYTES = L1_TABLE + L1_COUNT * 8,
};

static void put(char *image, size_t at, unsigned width, uint64_t value)
{
    for (unsigned i = 0; i < width; i++)
        image[at + i] = (char)(value >> (8 * (width - 1 - i)));
}

static void make_sound(char image[FILE_BYTES])
{
    memset(image, 0, FILE_BYTES);
    put(image, 0, 4, 0x514649fb);
    put(image, 4, 4, 3);
    put(image, 20, 4, 9);
    put(image, 24, 8, 1 << 20);
    put(image, 36, 4, L1_COUNT);
    put(image, 40, 8, L1_TABLE);
    put(image, 48, 8, REFCOUNT_TABLE);
    put(image, 56, 4, 1);
    put(image, 96, 4, 4);
    put(image, 100, 4, 112);
}

struct patch {
    size_t at;
    unsigned width;
    uint64_t value;
};

struct row {
    int line;
    const char *what;
    struct patch patches[5];
    enum vmm_code code; /* VMM_E_NONE: accepted */
    const char *reason;
};

#define BROKEN VMM_E_IMAGE_FORMAT, "broken"
#define REFUSED(why) VMM_E_IMAGE_REFUSED, why

/* clang-format off */
static const struct row rows[] = {
    {__LINE__, "sound", {{0}}, VMM_E_NONE, NULL},
    {__LINE__, "version 2", {{4, 4, 2}, {72, 8, 0}, {100, 4, 0}}, VMM_E_NONE, NULL},
    {__LINE__, "version 2 has no features", {{4, 4, 2}, {72, 8, 0}, {80, 8, 99}}, VMM_E_NONE, NULL},
    {__LINE__, "version 4", {{4, 4, 4}}, REFUSED("features")},
    {__LINE__, "version 1 is another format", {{4, 4, 1}}, BROKEN},
    {__LINE__, "other magic", {{0, 4, 0x514649fc}}, BROKEN},
    {__LINE__, "header length below its fields", {{100, 4, 96}}, BROKEN},
    {__LINE__, "header length 104", {{100, 4, 104}}, VMM_E_NONE, NULL},
    {__LINE__, "header length not of 8", {{100, 4, 109}}, BROKEN},
    {__LINE__, "header length past the cluster", {{100, 4, 520}}, BROKEN},
    {__LINE__, "header length huge", {{100, 4, 0xfffffff8}}, BROKEN},
    {__LINE__, "header length is the cluster", {{100, 4, 512}}, VMM_E_NONE, NULL},
    {__LINE__, "cluster bits 8", {{20, 4, 8}}, BROKEN},
    {__LINE__, "cluster bits 22", {{20, 4, 22}}, BROKEN},
    {__LINE__, "cluster bits 0", {{20, 4, 0}}, BROKEN},
    {__LINE__, "cluster bits huge", {{20, 4, 0xffffffff}}, BROKEN},
    {__LINE__, "cluster larger than the file", {{20, 4, 16}}, BROKEN},
    {__LINE__, "extensions to a cluster's end that is not there", {{20, 4, 16}, {112, 4, 0x12345678}, {116, 4, 1000}}, BROKEN},
    {__LINE__, "refcount order 6", {{96, 4, 6}}, VMM_E_NONE, NULL},
    {__LINE__, "refcount order 7", {{96, 4, 7}}, BROKEN},
    {__LINE__, "size 0", {{24, 8, 0}}, BROKEN},
    {__LINE__, "size past the limit", {{24, 8, ((uint64_t)2 << 40) + 1}}, REFUSED("too-large")},
    {__LINE__, "size all ones", {{24, 8, UINT64_MAX}}, REFUSED("too-large")},
    {__LINE__, "size needs more L1", {{24, 8, (1 << 20) + 1}}, BROKEN},
    {__LINE__, "size smaller than L1 allows", {{24, 8, 512}}, VMM_E_NONE, NULL},
    {__LINE__, "AES", {{32, 4, 1}}, REFUSED("encrypted")},
    {__LINE__, "LUKS", {{32, 4, 2}}, REFUSED("encrypted")},
    {__LINE__, "unknown encryption", {{32, 4, 77}}, REFUSED("encrypted")},
    {__LINE__, "encryption in version 2", {{4, 4, 2}, {32, 4, 1}}, REFUSED("encrypted")},
    {__LINE__, "encryption extension only", {{112, 4, 0x0537be77}, {116, 4, 16}}, REFUSED("encrypted")},
    {__LINE__, "dirty", {{72, 8, 1}}, VMM_E_NONE, NULL},
    {__LINE__, "corrupt", {{72, 8, 2}}, REFUSED("corrupt")},
    {__LINE__, "dirty and corrupt", {{72, 8, 3}}, REFUSED("corrupt")},
    {__LINE__, "data file", {{72, 8, 4}}, REFUSED("data-file")},
    {__LINE__, "data file name only", {{112, 4, 0x44415441}, {116, 4, 4}, {120, 4, 0x2f657463}}, REFUSED("data-file")},
    {__LINE__, "zstd", {{72, 8, 8}, {104, 1, 1}}, VMM_E_NONE, NULL},
    {__LINE__, "zstd without its bit", {{104, 1, 1}}, BROKEN},
    {__LINE__, "zstd bit without its type", {{72, 8, 8}}, BROKEN},
    {__LINE__, "zstd bit without its field", {{72, 8, 8}, {100, 4, 104}, {104, 1, 0}}, BROKEN},
    {__LINE__, "unknown compression", {{72, 8, 8}, {104, 1, 2}}, REFUSED("features")},
    {__LINE__, "extended L2 in small clusters", {{72, 8, 16}}, BROKEN},
    {__LINE__, "unknown feature", {{72, 8, 32}}, REFUSED("features")},
    {__LINE__, "highest feature", {{72, 8, (uint64_t)1 << 63}}, REFUSED("features")},
    {__LINE__, "compatible features do not matter", {{80, 8, UINT64_MAX}}, VMM_E_NONE, NULL},
    {__LINE__, "autoclear features do not matter", {{88, 8, UINT64_MAX}}, VMM_E_NONE, NULL},
    {__LINE__, "backing file", {{8, 8, 400}, {16, 4, 11}, {400, 8, 0x2f6574632f736861}}, REFUSED("backing-file")},
    {__LINE__, "backing file in version 2", {{4, 4, 2}, {8, 8, 400}, {16, 4, 1}}, REFUSED("backing-file")},
    {__LINE__, "backing file right after the header", {{8, 8, 112}, {16, 4, 1}}, REFUSED("backing-file")},
    {__LINE__, "backing name within the header", {{8, 8, 100}, {16, 4, 8}}, BROKEN},
    {__LINE__, "backing name of 0 bytes", {{8, 8, 400}, {16, 4, 0}}, BROKEN},
    {__LINE__, "backing name past the cluster", {{8, 8, 500}, {16, 4, 13}}, BROKEN},
    {__LINE__, "backing name in another cluster", {{8, 8, 1024}, {16, 4, 4}}, BROKEN},
    {__LINE__, "backing name length huge", {{8, 8, 400}, {16, 4, 0xffffffff}}, BROKEN},
    {__LINE__, "backing offset huge", {{8, 8, UINT64_MAX}, {16, 4, 4}}, BROKEN},
    {__LINE__, "backing length without offset is nothing", {{16, 4, 4}}, VMM_E_NONE, NULL},
    {__LINE__, "backing format without a file is nothing", {{112, 4, 0xe2792aca}, {116, 4, 3}, {120, 3, 0x726177}}, VMM_E_NONE, NULL},
    {__LINE__, "unknown extension is skipped", {{112, 4, 0x12345678}, {116, 4, 100}}, VMM_E_NONE, NULL},
    {__LINE__, "extension past the cluster", {{112, 4, 0x12345678}, {116, 4, 393}}, BROKEN},
    {__LINE__, "extension to the cluster's end", {{112, 4, 0x12345678}, {116, 4, 392}}, VMM_E_NONE, NULL},
    {__LINE__, "extension length huge", {{112, 4, 0x12345678}, {116, 4, 0xffffffff}}, BROKEN},
    {__LINE__, "extension length wraps when padded", {{112, 4, 0x12345678}, {116, 4, 0xfffffff9}}, BROKEN},
    {__LINE__, "L1 at 0", {{40, 8, 0}}, BROKEN},
    {__LINE__, "L1 not on a cluster", {{40, 8, L1_TABLE - 8}}, BROKEN},
    {__LINE__, "L1 past the file", {{40, 8, 4 * CLUSTER}}, BROKEN},
    {__LINE__, "L1 far away", {{40, 8, UINT64_MAX - 511}}, BROKEN},
    {__LINE__, "L1 one entry too long for the file", {{36, 4, L1_COUNT + 1}}, BROKEN},
    {__LINE__, "L1 of no entries", {{36, 4, 0}}, BROKEN},
    {__LINE__, "L1 huge", {{36, 4, 0xffffffff}}, BROKEN},
    {__LINE__, "refcount table at 0", {{48, 8, 0}}, BROKEN},
    {__LINE__, "refcount table not on a cluster", {{48, 8, 513}}, BROKEN},
    {__LINE__, "refcount table past the file", {{48, 8, 4 * CLUSTER}}, BROKEN},
    {__LINE__, "refcount table longer than the file", {{56, 4, 3}}, BROKEN},
    {__LINE__, "refcount table of no clusters", {{56, 4, 0}}, BROKEN},
    {__LINE__, "refcount table huge", {{56, 4, 0xffffffff}}, BROKEN},
    {__LINE__, "snapshots", {{60, 4, 6}, {64, 8, 2 * CLUSTER}}, VMM_E_NONE, NULL},
    {__LINE__, "snapshots longer than the file", {{60, 4, 20}, {64, 8, 2 * CLUSTER}}, BROKEN},
    {__LINE__, "snapshots at 0", {{60, 4, 1}, {64, 8, 0}}, BROKEN},
    {__LINE__, "snapshots not on a cluster", {{60, 4, 1}, {64, 8, 1025}}, BROKEN},
    {__LINE__, "snapshots far away", {{60, 4, 1}, {64, 8, UINT64_MAX - 511}}, BROKEN},
    {__LINE__, "snapshots too many", {{60, 4, 65537}, {64, 8, 2 * CLUSTER}}, BROKEN},
    {__LINE__, "no snapshots, any place", {{60, 4, 0}, {64, 8, UINT64_MAX}}, VMM_E_NONE, NULL},
};
/* clang-format on */

static int decode(const char *image,
    size_t n,
    const struct qcow2_backing *expected,
    struct qcow2_header *ret,
    struct vmm_error **errp)
{
    static const struct qcow2_backing none;
    const size_t head = n < CLUSTER ? n : CLUSTER;
    return qcow2_decode(
        "/x/disk", (struct str){.p = image, .n = head}, n, expected ? expected : &none, ret, errp);
}

/* Also with a head of its exact size on the heap, so that a sanitizer sees a read past it. */
static int decode_on_heap(const char *image, size_t n, struct vmm_error **errp)
{
    const size_t head = n < CLUSTER ? n : CLUSTER;
    char *copy = xmalloc(head ? head : 1);
    memcpy(copy, image, head);
    struct qcow2_header h;
    const int r = decode(copy, n, NULL, &h, errp);
    free(copy);
    return r;
}

static void check_row(const struct row *row)
{
    char image[FILE_BYTES];
    make_sound(image);
    for (const struct patch *p = row->patches; p->width; p++)
        put(image, p->at, p->width, p->value);
    struct vmm_error *e = NULL;
    const int r = decode_on_heap(image, sizeof(image), &e);
    if (r != -(int)row->code)
        fail_msg("line %d, %s: %s", row->line, row->what, e ? vmm_error_message(e) : "accepted");
    if (r < 0 && strcmp(vmm_error_reason(e), row->reason) != 0)
        fail_msg("line %d, %s: reason %s", row->line, row->what, vmm_error_reason(e));
    vmm_error_free(e);
}

static void every_field_is_checked(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++)
        check_row(&rows[i]);
}

static void decoded_fields_are_those_of_the_header(void **state)
{
    (void)state;
    char image[FILE_BYTES];
    make_sound(image);
    put(image, 72, 8, 1);
    put(image, 60, 4, 2);
    put(image, 64, 8, 2 * CLUSTER);
    struct qcow2_header h;
    assert_int_equal(decode(image, sizeof(image), NULL, &h, NULL), 0);
    assert_int_equal(h.version, 3);
    assert_int_equal(h.cluster_bits, 9);
    assert_int_equal(h.header_length, 112);
    assert_int_equal(h.virtual_bytes, 1 << 20);
    assert_int_equal(h.l1_offset, L1_TABLE);
    assert_int_equal(h.l1_count, L1_COUNT);
    assert_int_equal(h.refcount_table_offset, REFCOUNT_TABLE);
    assert_int_equal(h.refcount_table_clusters, 1);
    assert_int_equal(h.snapshot_count, 2);
    assert_true(h.is_dirty);
    assert_false(h.has_zstd);
    assert_int_equal(h.backing_name.n, 0);
}

static void an_image_cut_at_any_byte_is_refused(void **state)
{
    (void)state;
    char image[FILE_BYTES];
    make_sound(image);
    for (size_t n = 0; n < sizeof(image); n++) {
        struct vmm_error *e = NULL;
        if (decode_on_heap(image, n, &e) == 0)
            fail_msg("accepted when cut at %zu", n);
        if (vmm_error_code(e) != VMM_E_IMAGE_FORMAT)
            fail_msg("cut at %zu: %s", n, vmm_error_message(e));
        vmm_error_free(e);
    }
}

static void failure_touches_no_result(void **state)
{
    (void)state;
    char image[FILE_BYTES];
    make_sound(image);
    put(image, 72, 8, 2);
    struct qcow2_header h, before;
    memset(&h, 0x5a, sizeof(h));
    memcpy(&before, &h, sizeof(h));
    assert_int_equal(decode(image, sizeof(image), NULL, &h, NULL), -VMM_E_IMAGE_REFUSED);
    assert_memory_equal(&h, &before, sizeof(h));
}

static void many_extensions_are_refused(void **state)
{
    (void)state;
    enum { BIG = 65536 };
    static char image[4 * BIG];
    memset(image, 0, sizeof(image));
    make_sound(image);
    put(image, 20, 4, 16);
    put(image, 36, 4, 1);
    put(image, 40, 8, 3 * BIG);
    put(image, 48, 8, BIG);
    for (unsigned i = 0; i < QCOW2_EXTENSIONS_MAX + 1; i++)
        put(image, 112 + (size_t)i * 8, 8, (uint64_t)0x12345678 << 32);
    static const struct qcow2_backing none;
    struct qcow2_header h;
    const struct str head = {.p = image, .n = BIG};
    assert_int_equal(qcow2_decode("/x", head, sizeof(image), &none, &h, NULL), -VMM_E_IMAGE_FORMAT);
    put(image, 112 + (size_t)QCOW2_EXTENSIONS_MAX * 8, 8, 0);
    assert_int_equal(qcow2_decode("/x", head, sizeof(image), &none, &h, NULL), 0);
}

/* In a file that is large enough for them. */
static void many_snapshots_are_refused(void **state)
{
    (void)state;
    char image[FILE_BYTES];
    make_sound(image);
    put(image, 64, 8, 2 * CLUSTER);
    static const struct qcow2_backing none;
    struct qcow2_header h;
    const struct str head = {.p = image, .n = CLUSTER};
    put(image, 60, 4, QCOW2_SNAPSHOTS_MAX);
    assert_int_equal(qcow2_decode("/x", head, 1 << 30, &none, &h, NULL), 0);
    put(image, 60, 4, QCOW2_SNAPSHOTS_MAX + 1);
    assert_int_equal(qcow2_decode("/x", head, 1 << 30, &none, &h, NULL), -VMM_E_IMAGE_FORMAT);
}

/* Our overlay over "/b,a:s e" in raw. */
static void make_overlay(char image[FILE_BYTES])
{
    make_sound(image);
    put(image, 8, 8, 400);
    put(image, 16, 4, 8);
    memcpy(image + 400, "/b,a:s e", 8);
    put(image, 112, 4, 0xe2792aca);
    put(image, 116, 4, 3);
    memcpy(image + 120, "raw", 3);
}

static void an_overlay_of_ours_names_exactly_its_base(void **state)
{
    (void)state;
    /* clang-format off */
    static const struct {
        int line;
        struct qcow2_backing expected;
        struct patch patch;
        enum vmm_code code;
    } cases[] = {
        {__LINE__, {STR("/b,a:s e"), STR("raw")}, {0}, VMM_E_NONE},
        {__LINE__, {STR("/b,a:s e"), STR("qcow2")}, {0}, VMM_E_IMAGE_REFUSED},
        {__LINE__, {STR("/b,a:s f"), STR("raw")}, {0}, VMM_E_IMAGE_REFUSED},
        {__LINE__, {STR("/b,a:s "), STR("raw")}, {0}, VMM_E_IMAGE_REFUSED},
        {__LINE__, {STR("/b,a:s ee"), STR("raw")}, {0}, VMM_E_IMAGE_REFUSED},
        {__LINE__, {{0}, {0}}, {0}, VMM_E_IMAGE_REFUSED},
        {__LINE__, {STR("/b,a:s e"), STR("raw")}, {8, 8, 0}, VMM_E_IMAGE_REFUSED},   /* name gone */
        {__LINE__, {STR("/b,a:s e"), STR("raw")}, {112, 4, 1}, VMM_E_IMAGE_REFUSED}, /* format gone */
        {__LINE__, {STR("/b,a:s e"), STR("raw")}, {401, 1, 'c'}, VMM_E_IMAGE_REFUSED},
        {__LINE__, {STR("/b,a:s e"), STR("raw")}, {72, 8, 4}, VMM_E_IMAGE_REFUSED},  /* data file */
    };
    /* clang-format on */
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        char image[FILE_BYTES];
        make_overlay(image);
        put(image, cases[i].patch.at, cases[i].patch.width, cases[i].patch.value);
        struct qcow2_header h;
        struct vmm_error *e = NULL;
        if (decode(image, sizeof(image), &cases[i].expected, &h, &e) != -(int)cases[i].code)
            fail_msg("line %d: %s", cases[i].line, e ? vmm_error_message(e) : "accepted");
        vmm_error_free(e);
    }
}

static void hostile_names_are_shown_harmless(void **state)
{
    (void)state;
    char image[FILE_BYTES];
    make_overlay(image);
    memcpy(image + 400, "/\033[J\n\t\xffx", 8);
    struct vmm_error *e = NULL;
    struct qcow2_header h;
    assert_int_equal(decode(image, sizeof(image), NULL, &h, &e), -VMM_E_IMAGE_REFUSED);
    assert_null(strchr(vmm_error_message(e), '\033'));
    assert_non_null(strstr(vmm_error_message(e), "it reads from another file"));
    assert_non_null(strstr(vmm_error_message(e), "(\"/\\x1b[J\\n\\t\\xffx\")"));
    assert_null(strchr(vmm_error_message(e), '\n'));
    vmm_error_free(e);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_field_is_checked),
        cmocka_unit_test(decoded_fields_are_those_of_the_header),
        cmocka_unit_test(an_image_cut_at_any_byte_is_refused),
        cmocka_unit_test(failure_touches_no_result),
        cmocka_unit_test(many_extensions_are_refused),
        cmocka_unit_test(many_snapshots_are_refused),
        cmocka_unit_test(an_overlay_of_ours_names_exactly_its_base),
        cmocka_unit_test(hostile_names_are_shown_harmless),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
