/* Overlays, made by the real qemu-img; its failures by a stand-in that is first in PATH. */
#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/error.h"
#include "base/fs.h"
#include "base/process.h"
#include "image/image.h"

#include <dirent.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

#define GIB ((uint64_t)1 << 30)

static char folder[] = "/tmp/test_image_overlay.XXXXXX";
static char *path_before; /* $PATH */

static int make_folder(void **state)
{
    (void)state;
    path_before = xstrdup(getenv("PATH"));
    return mkdtemp(folder) ? 0 : -1;
}

static int remove_folder(void **state)
{
    (void)state;
    free(path_before);
    return fs_remove_tree(folder, NULL);
}

static int restore_path(void **state)
{
    (void)state;
    return setenv("PATH", path_before, 1);
}

static char *in_folder(const char *name)
{
    return path_join(folder, name);
}

static int run(const char *const *argv, struct buf *out)
{
    cleanup_buf struct buf err = {0};
    return process_run(argv, deadline_in_ms(60000), 0, out, &err);
}

/* A raw base of 1 MiB whose first sector is 0x5a. */
static void make_raw(const char *path)
{
    cleanup_close int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    char sector[512];
    memset(sector, 0x5a, sizeof(sector));
    assert_int_equal(fs_write_all(fd, sector, sizeof(sector)), 0);
    assert_int_equal(ftruncate(fd, 1 << 20), 0);
}

static void make_qcow2(const char *path, const char *size)
{
    const char *const argv[] = {"qemu-img", "create", "-q", "-f", "qcow2", path, size, NULL};
    assert_int_equal(run(argv, NULL), 0);
}

/* An independent look: does QEMU itself read the base through the overlay? */
static bool qemu_reads_base_through(const char *overlay)
{
    const char *const argv[] = {
        "qemu-io", "-r", "-f", "qcow2", "-c", "read -P 0x5a 0 512", overlay, NULL};
    cleanup_buf struct buf out = {0};
    return run(argv, &out) == 0 && !strstr(buf_cstr(&out), "failed") &&
           strstr(buf_cstr(&out), "read 512/512");
}

static bool has_leftovers(const char *dir_path)
{
    DIR *dir = opendir(dir_path);
    bool found = false;
    for (struct dirent *e; (e = readdir(dir));)
        found |= strstr(e->d_name, ".tmp") != NULL;
    closedir(dir);
    return found;
}

static void check_overlay(const char *base, const char *format, const char *overlay, uint64_t size)
{
    const struct image_inspect_opts opts = {.allow_backing = base, .backing_format = format};
    struct image_info info;
    struct vmm_error *e = NULL;
    if (image_inspect(overlay, &opts, &info, &e) < 0)
        fail_msg("%s: %s", overlay, vmm_error_message(e));
    assert_true(info.has_backing);
    assert_int_equal(info.virtual_bytes, size);
    struct stat st;
    assert_int_equal(stat(overlay, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0600);
}

static void sizes_are_the_bases_or_larger(void **state)
{
    (void)state;
    static const struct {
        int line;
        uint64_t asked;
        uint64_t got;
    } cases[] = {
        {__LINE__, 0, 1 << 20},
        {__LINE__, 1 << 20, 1 << 20},
        {__LINE__, 20 * GIB, 20 * GIB},
        {__LINE__, IMAGE_VIRTUAL_MAX_BYTES, IMAGE_VIRTUAL_MAX_BYTES},
    };
    cleanup_free char *base = in_folder("base.raw");
    cleanup_free char *overlay = in_folder("overlay.qcow2");
    make_raw(base);
    umask(022); /* the mode must not hang on it */
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        unlink(overlay);
        struct vmm_error *e = NULL;
        if (image_create_overlay(base, "raw", overlay, cases[i].asked, 0, &e) < 0)
            fail_msg("line %d: %s", cases[i].line, vmm_error_message(e));
        check_overlay(base, "raw", overlay, cases[i].got);
        assert_true(qemu_reads_base_through(overlay));
        assert_false(has_leftovers(folder));
    }
}

static void odd_names_work(void **state)
{
    (void)state;
    static const char *const names[] = {"plain", "a,b=c,,d", "with space", "new\nline",
        "quo\"te'`$x", "-dash", "--help", "json:{\"driver\":\"null-co\"}", "nbd:localhost:10809",
        "file:x", "per%cent%s", "back\\slash", "\xff\xfe not utf-8", "b\xc3\xa4r", "tab\there",
        "*?[x]", "#hash", "host_device:x", "x:y,z"};
    for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++) {
        cleanup_free char *dir = in_folder(names[i]);
        cleanup_free char *base = xasprintf("%s/%s.raw", dir, names[i]);
        cleanup_free char *overlay = xasprintf("%s/%s.overlay", dir, names[i]);
        assert_int_equal(mkdir(dir, 0700), 0);
        make_raw(base);
        struct vmm_error *e = NULL;
        if (image_create_overlay(base, "raw", overlay, 0, 0, &e) < 0)
            fail_msg("%s: %s", names[i], vmm_error_message(e));
        check_overlay(base, "raw", overlay, 1 << 20);
        if (!qemu_reads_base_through(overlay))
            fail_msg("QEMU does not read %s", overlay);
    }
}

/* The path of the overlay may be relative; the base's may not. */
static void relative_paths(void **state)
{
    (void)state;
    cleanup_free char *base = in_folder("rel.raw");
    make_raw(base);
    assert_int_equal(chdir(folder), 0);
    assert_int_equal(image_create_overlay(base, "raw", "-rel.qcow2", 0, 0, NULL), 0);
    check_overlay(base, "raw", "-rel.qcow2", 1 << 20);
    struct vmm_error *e = NULL;
    assert_int_equal(
        image_create_overlay("rel.raw", "raw", "rel2.qcow2", 0, 0, &e), -VMM_E_IMAGE_OVERLAY);
    assert_non_null(strstr(vmm_error_message(e), "not absolute"));
    vmm_error_free(e);
    assert_int_equal(chdir("/"), 0);
}

static void a_smaller_disk_is_refused_with_numbers(void **state)
{
    (void)state;
    static const struct {
        int line;
        const char *base;
        uint64_t asked;
        const char *message;
        const char *help;
    } cases[] = {
        {__LINE__, "3584M", 2 * GIB, "a disk of 2 GiB is smaller", "Use `disk 4` or more"},
        {__LINE__, "3584M", 2 * GIB, "which has 3.50 GiB", "Use `disk 4` or more"},
        {__LINE__, "20G", 20 * GIB - 512, "which has 20 GiB", "Use `disk 20` or more"},
        {__LINE__, "10M", 1 << 20, "a disk of 1 MiB is smaller", "Use `disk 1` or more"},
    };
    cleanup_free char *base = in_folder("big.qcow2");
    cleanup_free char *overlay = in_folder("small.qcow2");
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        unlink(base);
        make_qcow2(base, cases[i].base);
        struct vmm_error *e = NULL;
        assert_int_equal(image_create_overlay(base, "qcow2", overlay, cases[i].asked, 0, &e),
            -VMM_E_IMAGE_TOO_SMALL);
        if (!strstr(vmm_error_message(e), cases[i].message) ||
            !strstr(vmm_error_help(e), cases[i].help))
            fail_msg("line %d: %s / %s", cases[i].line, vmm_error_message(e), vmm_error_help(e));
        vmm_error_free(e);
    }
    assert_int_equal(access(overlay, F_OK), -1);
}

static void expect_failure(const char *base,
    const char *format,
    const char *overlay,
    uint64_t size,
    enum vmm_code code,
    const char *words)
{
    struct vmm_error *e = NULL;
    const int r = image_create_overlay(base, format, overlay, size, 0, &e);
    if (r != -(int)code || !strstr(vmm_error_message(e), words))
        fail_msg("%s: %d: %s", overlay, r, e ? vmm_error_message(e) : "made");
    vmm_error_free(e);
    assert_false(has_leftovers(folder));
}

static void what_cannot_be_is_said(void **state)
{
    (void)state;
    cleanup_free char *base = in_folder("b.raw");
    cleanup_free char *overlay = in_folder("o.qcow2");
    cleanup_free char *nowhere = in_folder("no/where/o.qcow2");
    cleanup_free char *missing = in_folder("missing.raw");
    cleanup_free char *evil = in_folder("evil.qcow2");
    make_raw(base);
    const char *const argv[] = {"qemu-img", "create", "-q", "-u", "-f", "qcow2", "-F", "raw", "-b",
        "/etc/passwd", evil, "1M", NULL};
    assert_int_equal(run(argv, NULL), 0);
    expect_failure(evil, "qcow2", overlay, 0, VMM_E_IMAGE_REFUSED, "reads from another file");
    expect_failure(base, "qcow2", overlay, 0, VMM_E_IMAGE_REFUSED, "it is raw, not qcow2");
    expect_failure(missing, "raw", overlay, 0, VMM_E_IMAGE_FORMAT, "there is no image");
    expect_failure(base, "raw", nowhere, 0, VMM_E_IO, "could not open the folder");
    expect_failure(base, "raw", overlay, 3000 * GIB, VMM_E_IMAGE_OVERLAY, "2 TiB is the most");
    char deep[1100];
    memset(deep, 'd', sizeof(deep));
    deep[0] = '/';
    deep[sizeof(deep) - 1] = '\0';
    expect_failure(deep, "raw", overlay, 0, VMM_E_HOST_PATH_LONG, "longer than");
}

static void an_existing_file_is_kept(void **state)
{
    (void)state;
    cleanup_free char *base = in_folder("keep.raw");
    cleanup_free char *overlay = in_folder("kept.qcow2");
    make_raw(base);
    assert_int_equal(fs_write_durable(folder, "kept.qcow2", "precious", 8, NULL), 0);
    expect_failure(base, "raw", overlay, 0, VMM_E_IMAGE_OVERLAY, "the file exists");
    cleanup_buf struct buf bytes = {0};
    assert_int_equal(fs_read_file(overlay, 100, &bytes), 0);
    assert_string_equal(buf_cstr(&bytes), "precious");
    unlink(overlay);
    assert_int_equal(symlink("/nowhere", overlay), 0);
    expect_failure(base, "raw", overlay, 0, VMM_E_IMAGE_OVERLAY, "the file exists");
}

/* Puts a script in qemu-img's place. */
static void stand_in(const char *script)
{
    cleanup_free char *bin = in_folder("bin");
    cleanup_free char *path = in_folder("bin/qemu-img");
    mkdir(bin, 0700);
    unlink(path);
    cleanup_close int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0700);
    cleanup_free char *text = xasprintf("#!/bin/sh\n%s\n", script);
    assert_int_equal(fs_write_all(fd, text, strlen(text)), 0);
    assert_int_equal(setenv("PATH", bin, 1), 0);
}

static void failures_of_qemu_img_are_told(void **state)
{
    (void)state;
    cleanup_free char *base = in_folder("f.raw");
    cleanup_free char *overlay = in_folder("f.qcow2");
    cleanup_free char *empty = in_folder("nothing-here");
    make_raw(base);
    setenv("PATH", empty, 1);
    expect_failure(base, "raw", overlay, 0, VMM_E_IMAGE_OVERLAY, "there is no qemu-img");
    stand_in("echo 'qemu-img: x: Could not write: No space left on device' >&2; exit 1");
    expect_failure(base, "raw", overlay, 0, VMM_E_HOST_NO_SPACE, "the disk is full");
    stand_in("exit 3");
    expect_failure(base, "raw", overlay, 0, VMM_E_IMAGE_OVERLAY, "qemu-img failed");
    stand_in("exit 0"); /* says it is done, and did nothing */
    expect_failure(base, "raw", overlay, 0, VMM_E_IMAGE_OVERLAY, "wrote something else");
    stand_in("printf 'bad \\033[31mred\\nsecond\\n' >&2; exit 1");
    struct vmm_error *e = NULL;
    assert_int_equal(image_create_overlay(base, "raw", overlay, 0, 0, &e), -VMM_E_IMAGE_OVERLAY);
    assert_string_equal(vmm_error_details(e), "bad \\x1b[31mred\nsecond\n");
    vmm_error_free(e);
}

/* The argument list is the whole conversation: no shell, every format said, the base never opened.
 */
static void qemu_img_is_told_every_format(void **state)
{
    (void)state;
    cleanup_free char *base = in_folder("a b.raw");
    cleanup_free char *overlay = in_folder("args.qcow2");
    cleanup_free char *seen = in_folder("seen");
    make_raw(base);
    cleanup_free char *script = xasprintf("for a; do echo \"$a\"; done > %s; exit 1", seen);
    stand_in(script);
    image_create_overlay(base, "raw", overlay, 0, 0, NULL);
    cleanup_buf struct buf args = {0};
    assert_int_equal(fs_read_file(seen, 4096, &args), 0);
    cleanup_free char *want =
        xasprintf("create\n-q\n-u\n-f\nqcow2\n-F\nraw\n-b\n%s\n--\n%s/.overlay.", base, folder);
    assert_memory_equal(args.p, want, strlen(want));
    assert_non_null(strstr(args.p, ".tmp\n1048576\n"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sizes_are_the_bases_or_larger),
        cmocka_unit_test(odd_names_work),
        cmocka_unit_test(relative_paths),
        cmocka_unit_test(a_smaller_disk_is_refused_with_numbers),
        cmocka_unit_test(what_cannot_be_is_said),
        cmocka_unit_test(an_existing_file_is_kept),
        cmocka_unit_test_teardown(failures_of_qemu_img_are_told, restore_path),
        cmocka_unit_test_teardown(qemu_img_is_told_every_format, restore_path),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
