/* What image_inspect says about files: images that qemu-img made, disks of other kinds, archives,
 * web pages, text, and things that are no files at all. */
#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/error.h"
#include "base/fs.h"
#include "base/process.h"
#include "image/foreign.h"
#include "image/image.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

static char folder[] = "/tmp/test_image_inspect.XXXXXX";

static int make_folder(void **state)
{
    (void)state;
    return mkdtemp(folder) ? 0 : -1;
}

static int remove_folder(void **state)
{
    (void)state;
    return fs_remove_tree(folder, NULL);
}

static char *in_folder(const char *name)
{
    return path_join(folder, name);
}

static void write_file(const char *path, const void *bytes, size_t n)
{
    cleanup_close int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(fs_write_all(fd, bytes, n), 0);
}

/* `arguments` are those of qemu-img, split at spaces. */
static void qemu_img(const char *arguments)
{
    cleanup_free char *copy = xstrdup(arguments);
    const char *argv[24] = {"qemu-img"};
    size_t n = 1;
    for (char *word = strtok(copy, " "); word && n < 23; word = strtok(NULL, " "))
        argv[n++] = word;
    cleanup_buf struct buf err = {0};
    const int r = process_run(argv, deadline_in_ms(60000), 0, NULL, &err);
    if (r != 0)
        fail_msg("qemu-img %s: %d: %s", arguments, r, buf_cstr(&err));
}

struct made {
    int line;
    const char *create; /* %s is the folder */
    const char *then;   /* another run, or NULL */
    enum vmm_code code;
    const char *reason;
    enum image_format format;
    uint64_t virtual_bytes;
    bool has_snapshots;
};

/* clang-format off */
static const struct made made[] = {
    {__LINE__, "create -q -f qcow2 %1$s/i 10M", NULL, VMM_E_NONE, NULL, IMAGE_FORMAT_QCOW2, 10 << 20, false},
    {__LINE__, "create -q -f qcow2 -o compat=0.10 %1$s/i 10M", NULL, VMM_E_NONE, NULL, IMAGE_FORMAT_QCOW2, 10 << 20, false},
    {__LINE__, "create -q -f qcow2 -o lazy_refcounts=on %1$s/i 1G", NULL, VMM_E_NONE, NULL, IMAGE_FORMAT_QCOW2, 1 << 30, false},
    {__LINE__, "create -q -f qcow2 -o extended_l2=on %1$s/i 1G", NULL, VMM_E_NONE, NULL, IMAGE_FORMAT_QCOW2, 1 << 30, false},
    {__LINE__, "create -q -f qcow2 -o compression_type=zstd %1$s/i 1G", NULL, VMM_E_NONE, NULL, IMAGE_FORMAT_QCOW2, 1 << 30, false},
    {__LINE__, "create -q -f qcow2 -o cluster_size=2M %1$s/i 20G", NULL, VMM_E_NONE, NULL, IMAGE_FORMAT_QCOW2, (uint64_t)20 << 30, false},
    {__LINE__, "create -q -f qcow2 -o cluster_size=512 %1$s/i 1M", NULL, VMM_E_NONE, NULL, IMAGE_FORMAT_QCOW2, 1 << 20, false},
    {__LINE__, "create -q -f qcow2 -o preallocation=metadata %1$s/i 100M", NULL, VMM_E_NONE, NULL, IMAGE_FORMAT_QCOW2, 100 << 20, false},
    {__LINE__, "create -q -f qcow2 -o refcount_bits=1 %1$s/i 100M", NULL, VMM_E_NONE, NULL, IMAGE_FORMAT_QCOW2, 100 << 20, false},
    {__LINE__, "create -q -f qcow2 %1$s/i 2T", NULL, VMM_E_NONE, NULL, IMAGE_FORMAT_QCOW2, (uint64_t)2 << 40, false},
    {__LINE__, "create -q -f qcow2 %1$s/i 3T", NULL, VMM_E_IMAGE_REFUSED, "too-large", 0, 0, false},
    {__LINE__, "create -q -f qcow2 %1$s/i 10M", "snapshot -c one %1$s/i", VMM_E_NONE, NULL, IMAGE_FORMAT_QCOW2, 10 << 20, true},
    {__LINE__, "create -q -f raw %1$s/r 3M", "convert -c -f raw -O qcow2 %1$s/r %1$s/i", VMM_E_NONE, NULL, IMAGE_FORMAT_QCOW2, 3 << 20, false},
    {__LINE__, "create -q -f qcow2 -u -F raw -b /etc/shadow %1$s/i 1M", NULL, VMM_E_IMAGE_REFUSED, "backing-file", 0, 0, false},
    {__LINE__, "create -q -f qcow2 -u -F raw -b json:{\"driver\":\"file\",\"filename\":\"/etc/shadow\"} %1$s/i 1M", NULL, VMM_E_IMAGE_REFUSED, "backing-file", 0, 0, false},
    {__LINE__, "create -q -f qcow2 -o data_file=%1$s/d %1$s/i 1M", NULL, VMM_E_IMAGE_REFUSED, "data-file", 0, 0, false},
    {__LINE__, "create -q -f qcow2 -o data_file=%1$s/d,data_file_raw=on %1$s/i 1M", NULL, VMM_E_IMAGE_REFUSED, "data-file", 0, 0, false},
    /* Not LUKS: its set-up times the processor, which takes seconds and fails on a busy machine. A header
     * with LUKS is in test_image_qcow2.c. */
    {__LINE__, "create -q -f qcow2 --object secret,id=s,data=abc -o encrypt.format=aes,encrypt.key-secret=s %1$s/i 1M", NULL, VMM_E_IMAGE_REFUSED, "encrypted", 0, 0, false},
    {__LINE__, "create -q -f raw %1$s/i 1M", NULL, VMM_E_NONE, NULL, IMAGE_FORMAT_RAW, 1 << 20, false},
    {__LINE__, "create -q -f raw %1$s/i 3T", NULL, VMM_E_IMAGE_REFUSED, "too-large", 0, 0, false},
    {__LINE__, "create -q -f vmdk %1$s/i 1M", NULL, VMM_E_IMAGE_FORMAT, "foreign", 0, 0, false},
    {__LINE__, "create -q -f vdi %1$s/i 1M", NULL, VMM_E_IMAGE_FORMAT, "foreign", 0, 0, false},
    {__LINE__, "create -q -f vhdx %1$s/i 8M", NULL, VMM_E_IMAGE_FORMAT, "foreign", 0, 0, false},
    {__LINE__, "create -q -f vpc %1$s/i 8M", NULL, VMM_E_IMAGE_FORMAT, "foreign", 0, 0, false},
    {__LINE__, "create -q -f vpc -o subformat=fixed %1$s/i 8M", NULL, VMM_E_IMAGE_FORMAT, "foreign", 0, 0, false},
    {__LINE__, "create -q -f qed %1$s/i 8M", NULL, VMM_E_IMAGE_FORMAT, "foreign", 0, 0, false},
    {__LINE__, "create -q -f parallels %1$s/i 8M", NULL, VMM_E_IMAGE_FORMAT, "foreign", 0, 0, false},
    {__LINE__, "create -q -f qcow %1$s/i 8M", NULL, VMM_E_IMAGE_FORMAT, "foreign", 0, 0, false},
};
/* clang-format on */

/* The one place that takes a format from a table: each has a %1$s only. */
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
static void run_made(const char *format)
{
    cleanup_free char *arguments = xasprintf(format, folder);
    qemu_img(arguments);
}
#pragma GCC diagnostic pop

static void check_made(const struct made *m)
{
    cleanup_free char *path = in_folder("i");
    unlink(path);
    run_made(m->create);
    if (m->then)
        run_made(m->then);
    struct image_info info = {0};
    struct vmm_error *e = NULL;
    const int r = image_inspect(path, NULL, &info, &e);
    if (r != -(int)m->code)
        fail_msg("line %d: %s", m->line, e ? vmm_error_message(e) : "accepted");
    if (r < 0 && strcmp(vmm_error_reason(e), m->reason) != 0)
        fail_msg("line %d: reason %s", m->line, vmm_error_reason(e));
    if (r == 0 && (info.format != m->format || info.virtual_bytes != m->virtual_bytes ||
                      info.has_snapshots != m->has_snapshots || info.is_dirty || info.has_backing))
        fail_msg(
            "line %d: wrong facts (%llu bytes)", m->line, (unsigned long long)info.virtual_bytes);
    vmm_error_free(e);
}

static void images_of_qemu_img_are_told_apart(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(made) / sizeof(*made); i++)
        check_made(&made[i]);
}

/* Sets a byte of the incompatible features of a fresh image. */
static int inspect_with_features(char features, struct image_info *ret, struct vmm_error **errp)
{
    cleanup_free char *path = in_folder("i");
    unlink(path);
    run_made("create -q -f qcow2 %1$s/i 10M");
    cleanup_close int fd = open(path, O_RDWR | O_CLOEXEC);
    assert_int_equal(pwrite(fd, &features, 1, 79), 1);
    return image_inspect(path, NULL, ret, errp);
}

static void dirty_is_reported_and_corrupt_refused(void **state)
{
    (void)state;
    struct image_info info = {0};
    assert_int_equal(inspect_with_features(1, &info, NULL), 0);
    assert_true(info.is_dirty);
    struct vmm_error *e = NULL;
    assert_int_equal(inspect_with_features(2, &info, &e), -VMM_E_IMAGE_REFUSED);
    assert_string_equal(vmm_error_reason(e), "corrupt");
    vmm_error_free(e);
}

/* Its last bytes are the L1 table, so no cut goes unseen. */
static void a_real_image_cut_anywhere_is_refused(void **state)
{
    (void)state;
    cleanup_free char *path = in_folder("i");
    unlink(path);
    run_made("create -q -f qcow2 -o cluster_size=512 %1$s/i 1M");
    struct image_info info;
    assert_int_equal(image_inspect(path, NULL, &info, NULL), 0);
    for (off_t n = (off_t)info.file_bytes - 1; n >= 0; n--) {
        assert_int_equal(truncate(path, n), 0);
        struct vmm_error *e = NULL;
        if (image_inspect(path, NULL, &info, &e) != -VMM_E_IMAGE_FORMAT)
            fail_msg("cut at %lld: %s", (long long)n, e ? vmm_error_message(e) : "accepted");
        vmm_error_free(e);
    }
}

static const struct {
    int line;
    struct str start;  /* the rest is zeros unless `is_whole` */
    const char *words; /* in the message; NULL: a raw disk */
    bool is_whole;
} others[] = {
    {__LINE__, STR(""), NULL, false},
    {__LINE__, STR("\xeb\x63\x90\x10\x8e\xd0"), NULL, false}, /* GRUB's first bytes */
    {__LINE__, STR("QFI\xfb\0\0\0\1"), "version 1", false},
    {__LINE__, STR("KDMV\1\0\0\0"), "VMDK", false},
    {__LINE__, STR("# Disk DescriptorFile\nversion=1\n"), "VMDK", true},
    {__LINE__, STR("LUKS\xba\xbe\0\2"), "LUKS", false},
    {__LINE__, STR("Bochs Virtual HD Image"), "Bochs", false},
    {__LINE__, STR("\x1f\x8b\x08\0\0\0\0\0"), "gzip", false},
    {__LINE__,
        STR("\xfd"
            "7zXZ\0\0\4"),
        "xz", false},
    {__LINE__, STR("\x28\xb5\x2f\xfd\x24"), "zstd", false},
    {__LINE__, STR("BZh91AY&SY"), "bzip2", false},
    {__LINE__, STR("PK\x03\x04\x14\0"), "zip", false},
    {__LINE__,
        STR("\x7f"
            "ELF\2\1\1"),
        "program", false},
    {__LINE__, STR("<!DOCTYPE HTML><html><body>404"), "web page", true},
    {__LINE__, STR("\n\n  <HTML>\n<head>"), "web page", true},
    {__LINE__, STR("\xef\xbb\xbf<!doctype html>"), "web page", true},
    {__LINE__, STR("<html>"), "web page", false}, /* also when the rest is no text */
    {__LINE__, STR("<?xml version=\"1.0\"?>\n<Error><Code>NoSuchKey"), "web page", true},
    {__LINE__, STR("404: Not Found"), "text", true},
    {__LINE__, STR("#cloud-config\nusers: []\n"), "text", true},
    {__LINE__, STR("gr\xc3\xbc\xc3\x9f dich\n"), "text", true},
    {__LINE__, STR("{\"errors\":[]}"), "text", true},
    {__LINE__, STR("version https://git-lfs.github.com/spec/v1\noid sha256:1\n"), "git lfs", true},
    {__LINE__, STR("\x01\x02"), "less than one sector", true},
    {__LINE__, STR(""), "empty", true},
};

static void other_files_are_named(void **state)
{
    (void)state;
    cleanup_free char *path = in_folder("other");
    for (size_t i = 0; i < sizeof(others) / sizeof(*others); i++) {
        char bytes[8192] = {0};
        memcpy(bytes, others[i].start.p, others[i].start.n);
        write_file(path, bytes, others[i].is_whole ? others[i].start.n : sizeof(bytes));
        struct image_info info;
        struct vmm_error *e = NULL;
        const int r = image_inspect(path, NULL, &info, &e);
        if (!others[i].words ? r != 0 || info.format != IMAGE_FORMAT_RAW : r == 0)
            fail_msg("line %d: %s", others[i].line, e ? vmm_error_message(e) : "accepted");
        if (others[i].words && !strcasestr(vmm_error_message(e), others[i].words) &&
            !strcasestr(vmm_error_help(e), others[i].words))
            fail_msg("line %d: %s", others[i].line, vmm_error_message(e));
        vmm_error_free(e);
    }
}

/* UTF-8 cut by the end of what is looked at is still text. */
static void long_text_is_text(void **state)
{
    (void)state;
    char text[FOREIGN_HEAD_BYTES + 1000];
    for (size_t shift = 0; shift < 4; shift++) {
        memset(text, 'a', sizeof(text));
        for (size_t i = shift; i + 4 <= sizeof(text); i += 4)
            memcpy(text + i, "\xf0\x9f\x98\x80", 4);
        assert_non_null(
            foreign_recognize((struct str){.p = text, .n = FOREIGN_HEAD_BYTES}, (struct str){0}));
    }
}

static void raw_sizes_are_whole_sectors(void **state)
{
    (void)state;
    cleanup_free char *path = in_folder("raw");
    static const struct {
        size_t bytes;
        uint64_t virtual_bytes;
    } cases[] = {{512, 512}, {513, 1024}, {1 << 20, 1 << 20}};
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        write_file(path, "", 0);
        assert_int_equal(truncate(path, (off_t)cases[i].bytes), 0);
        struct image_info info;
        assert_int_equal(image_inspect(path, NULL, &info, NULL), 0);
        assert_int_equal(info.virtual_bytes, cases[i].virtual_bytes);
        assert_int_equal(info.file_bytes, cases[i].bytes);
    }
}

/* An ISO begins with 32 KiB of zeros and is a raw disk. */
static void an_iso_is_raw(void **state)
{
    (void)state;
    cleanup_free char *path = in_folder("cd.iso");
    static char bytes[65536];
    memcpy(bytes + 32769, "CD001", 5);
    write_file(path, bytes, sizeof(bytes));
    struct image_info info;
    assert_int_equal(image_inspect(path, NULL, &info, NULL), 0);
    assert_int_equal(info.format, IMAGE_FORMAT_RAW);
}

static void expect_failure(const char *path, enum vmm_code code, const char *words)
{
    struct image_info info;
    struct vmm_error *e = NULL;
    const int r = image_inspect(path, NULL, &info, &e);
    if (r != -(int)code || !strstr(vmm_error_message(e), words))
        fail_msg("%s: %s", path, e ? vmm_error_message(e) : "accepted");
    vmm_error_free(e);
}

static void what_is_no_file_is_said(void **state)
{
    (void)state;
    cleanup_free char *fifo = in_folder("fifo");
    cleanup_free char *missing = in_folder("missing");
    cleanup_free char *below = in_folder("fifo/below");
    cleanup_free char *loop = in_folder("loop");
    assert_int_equal(mkfifo(fifo, 0600), 0);
    assert_int_equal(symlink("loop", loop), 0);
    expect_failure(folder, VMM_E_IMAGE_FORMAT, "a folder");
    expect_failure(fifo, VMM_E_IMAGE_FORMAT, "no regular file");
    expect_failure("/dev/zero", VMM_E_IMAGE_FORMAT, "no regular file");
    expect_failure(missing, VMM_E_IMAGE_FORMAT, "there is no image");
    expect_failure(below, VMM_E_IMAGE_FORMAT, "there is no image");
    expect_failure("", VMM_E_IMAGE_FORMAT, "there is no image");
    expect_failure(loop, VMM_E_IO, "could not open the image");
}

static void an_unreadable_file_is_an_io_error(void **state)
{
    (void)state;
    cleanup_free char *path = in_folder("secret");
    write_file(path, "x", 1);
    assert_int_equal(chmod(path, 0), 0);
    if (geteuid() == 0) { /* root reads everything: look as somebody else, in a child */
        assert_int_equal(chmod(folder, 0711), 0);
        assert_int_equal(seteuid(65534), 0);
    }
    expect_failure(path, VMM_E_IO, "ermission denied");
    if (getuid() == 0)
        assert_int_equal(seteuid(0), 0);
}

static void help_has_the_command_to_type(void **state)
{
    (void)state;
    cleanup_free char *plain = in_folder("disk.img.gz");
    cleanup_free char *odd = in_folder("disk; rm x");
    write_file(plain, "\x1f\x8b\x08", 3);
    write_file(odd, "\x1f\x8b\x08", 3);
    struct image_info info;
    struct vmm_error *e = NULL;
    image_inspect(plain, NULL, &info, &e);
    cleanup_free char *want = xasprintf("Unpack it first: `gunzip -k %s`.", plain);
    assert_string_equal(vmm_error_help(e), want);
    vmm_error_free(e);
    e = NULL;
    image_inspect(odd, NULL, &info, &e);
    assert_string_equal(vmm_error_help(e), "Unpack it first: `gunzip -k FILE`.");
    vmm_error_free(e);
}

static void resolve_follows_links(void **state)
{
    (void)state;
    cleanup_free char *target = in_folder("target");
    cleanup_free char *link = in_folder("link");
    write_file(target, "x", 1);
    assert_int_equal(symlink("target", link), 0);
    cleanup_free char *path = NULL;
    assert_int_equal(image_resolve(link, &path, NULL), 0);
    assert_string_equal(path, target);
    struct vmm_error *e = NULL;
    cleanup_free char *none = NULL;
    assert_int_equal(image_resolve("/nowhere/at/all", &none, &e), -VMM_E_IMAGE_FORMAT);
    vmm_error_free(e);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(images_of_qemu_img_are_told_apart),
        cmocka_unit_test(dirty_is_reported_and_corrupt_refused),
        cmocka_unit_test(a_real_image_cut_anywhere_is_refused),
        cmocka_unit_test(other_files_are_named),
        cmocka_unit_test(long_text_is_text),
        cmocka_unit_test(raw_sizes_are_whole_sectors),
        cmocka_unit_test(an_iso_is_raw),
        cmocka_unit_test(what_is_no_file_is_said),
        cmocka_unit_test(an_unreadable_file_is_an_io_error),
        cmocka_unit_test(help_has_the_command_to_type),
        cmocka_unit_test(resolve_follows_links),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
