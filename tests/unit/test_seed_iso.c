/* The ISO, made by vmm-seed and read back by a small reader of this file's own (not libarchive).
 * The helper has to be there: VMM_LIBEXEC names its folder. */
#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/error.h"
#include "base/fs.h"
#include "seed/seed.h"

#include <dirent.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include <cmocka.h>

enum { SECTOR = 2048, PRIMARY = 16, JOLIET = 17 };

static char folder[] = "/tmp/test_seed_iso.XXXXXX";

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

static void fill(struct seed_documents *d, const char *user_data, const char *vendor_data)
{
    buf_adds(&d->meta_data, "{\"instance-id\": \"x\"}\n");
    buf_adds(&d->user_data, user_data);
    buf_adds(&d->vendor_data, vendor_data);
}

static void write_iso(const struct seed_documents *d, const char *path)
{
    struct vmm_error *e = NULL;
    if (seed_write_iso(d, path, &e) < 0)
        fail_msg("%s\n%s", vmm_error_message(e), vmm_error_details(e));
}

static void read_file(const char *path, struct buf *out)
{
    assert_int_equal(fs_read_file(path, 64 << 20, out), 0);
}

static uint32_t le32(const char *p)
{
    const unsigned char *u = (const unsigned char *)p;
    return (uint32_t)u[3] << 24 | (uint32_t)u[2] << 16 | (uint32_t)u[1] << 8 | u[0];
}

/* The Rock Ridge name of a directory record; false when it has none. */
static bool rock_ridge_name(const char *record, char *ret_name, size_t size)
{
    const size_t length = (unsigned char)record[0];
    const size_t id = (unsigned char)record[32];
    for (size_t at = 33 + id + (id % 2 == 0); at + 5 < length;) {
        const size_t n = (unsigned char)record[at + 2];
        if (memcmp(record + at, "NM", 2) == 0 && n - 5 < size) {
            memcpy(ret_name, record + at + 5, n - 5);
            ret_name[n - 5] = '\0';
            return true;
        }
        if (n < 4)
            break;
        at += n;
    }
    return false;
}

/* Joliet's name: UCS-2, most significant byte first, here ASCII only. */
static bool joliet_name(const char *record, char *ret_name, size_t size)
{
    const size_t n = (unsigned char)record[32] / 2;
    if (n == 0 || n >= size)
        return false;
    for (size_t i = 0; i < n; i++)
        ret_name[i] = record[33 + i * 2 + 1];
    ret_name[n] = '\0';
    return true;
}

/* The content of a file in the root, by the descriptor in that sector. */
static bool find_file(const struct buf *iso, unsigned descriptor, const char *name, struct str *ret)
{
    const char *root = iso->p + (size_t)descriptor * SECTOR + 156;
    const char *directory = iso->p + (size_t)le32(root + 2) * SECTOR;
    for (size_t at = 0; at < le32(root + 10) && directory[at]; at += (unsigned char)directory[at]) {
        const char *record = directory + at;
        char found[256];
        const bool has_name = descriptor == PRIMARY ? rock_ridge_name(record, found, sizeof(found))
                                                    : joliet_name(record, found, sizeof(found));
        if (has_name && strcmp(found, name) == 0) {
            *ret = (struct str){iso->p + (size_t)le32(record + 2) * SECTOR, le32(record + 10)};
            return true;
        }
    }
    return false;
}

static void expect_file(const struct buf *iso, const char *name, const struct buf *want)
{
    static const unsigned descriptors[] = {PRIMARY, JOLIET};
    for (size_t i = 0; i < 2; i++) {
        struct str have;
        if (!find_file(iso, descriptors[i], name, &have))
            fail_msg("no %s by descriptor %u", name, descriptors[i]);
        assert_true(str_eq(have, (struct str){.p = buf_cstr(want), .n = want->n}));
    }
}

static void documents_are_found_in_both_trees(void **state)
{
    (void)state;
    cleanup_free char *path = path_join(folder, "both.iso");
    cleanup_seed_documents struct seed_documents d = {0};
    fill(&d, "#cloud-config\n{}\n", "#cloud-config\n{\"a\": true}\n");
    write_iso(&d, path);
    cleanup_buf struct buf iso = {0};
    read_file(path, &iso);
    assert_int_equal(iso.n % SECTOR, 0);
    expect_file(&iso, "meta-data", &d.meta_data);
    expect_file(&iso, "user-data", &d.user_data);
    expect_file(&iso, "vendor-data", &d.vendor_data);
    const char *primary = iso.p + PRIMARY * SECTOR;
    assert_memory_equal(primary, "\1CD001\1", 7);
    assert_memory_equal(primary + 40, "cidata                          ", 32);
    assert_memory_equal(primary + SECTOR + 40, "\0c\0i\0d\0a\0t\0a\0 ", 14);
    assert_memory_equal(primary + 813, "2000010100000000", 17);
}

static void without_vendor_data_there_is_no_such_file(void **state)
{
    (void)state;
    cleanup_free char *path = path_join(folder, "two.iso");
    cleanup_seed_documents struct seed_documents d = {0};
    fill(&d, "", "");
    write_iso(&d, path);
    cleanup_buf struct buf iso = {0};
    read_file(path, &iso);
    expect_file(&iso, "user-data", &d.user_data); /* empty, yet there */
    struct str none;
    assert_false(find_file(&iso, PRIMARY, "vendor-data", &none));
}

static void large_documents_are_whole(void **state)
{
    (void)state;
    static const size_t sizes[] = {1, 2047, 2048, 2049, 65536, 1000000, SEED_USER_DATA_MAX_BYTES};
    cleanup_free char *path = path_join(folder, "large.iso");
    for (size_t i = 0; i < sizeof(sizes) / sizeof(*sizes); i++) {
        cleanup_seed_documents struct seed_documents d = {0};
        fill(&d, "", "v");
        for (size_t n = 0; n < sizes[i]; n++)
            buf_addc(&d.user_data, (char)(n * 31 >> 3));
        write_iso(&d, path);
        cleanup_buf struct buf iso = {0};
        read_file(path, &iso);
        expect_file(&iso, "user-data", &d.user_data);
        expect_file(&iso, "vendor-data", &d.vendor_data);
    }
}

static void only_we_can_read_it(void **state)
{
    (void)state;
    cleanup_free char *path = path_join(folder, "mode.iso");
    cleanup_seed_documents struct seed_documents d = {0};
    fill(&d, "u", "");
    const mode_t before = umask(0);
    write_iso(&d, path);
    umask(before);
    struct stat st;
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0600);
}

/* The writer stamps seconds: two more have to pass for a difference to show. */
static void wait_two_seconds(void)
{
    const time_t start = time(NULL);
    while (time(NULL) < start + 2)
        nanosleep(&(struct timespec){.tv_nsec = 20000000}, NULL);
}

static void bytes_depend_on_the_documents_alone(void **state)
{
    (void)state;
    cleanup_free char *one = path_join(folder, "one.iso");
    cleanup_free char *two = path_join(folder, "two.iso");
    cleanup_seed_documents struct seed_documents d = {0};
    fill(&d, "#cloud-config\n", "v");
    write_iso(&d, one);
    wait_two_seconds();
    setenv("TZ", "Asia/Tokyo", 1);
    setenv("LC_ALL", "C.UTF-8", 1);
    write_iso(&d, two);
    unsetenv("TZ");
    unsetenv("LC_ALL");
    cleanup_buf struct buf a = {0}, b = {0};
    read_file(one, &a);
    read_file(two, &b);
    assert_int_equal(a.n, b.n);
    assert_memory_equal(a.p, b.p, a.n);
}

static ino_t inode_of(const char *path)
{
    struct stat st;
    assert_int_equal(lstat(path, &st), 0);
    return st.st_ino;
}

static void an_equal_file_is_not_touched(void **state)
{
    (void)state;
    cleanup_free char *path = path_join(folder, "same.iso");
    cleanup_free char *link = path_join(folder, "link.iso");
    cleanup_seed_documents struct seed_documents d = {0};
    fill(&d, "one", "");
    write_iso(&d, path);
    const ino_t first = inode_of(path);
    write_iso(&d, path);
    assert_int_equal(inode_of(path), first);
    assert_int_equal(chmod(path, 0644), 0); /* readable by others: made anew */
    write_iso(&d, path);
    assert_int_not_equal(inode_of(path), first);
    const ino_t second = inode_of(path);
    buf_adds(&d.user_data, "x"); /* same length of the image */
    write_iso(&d, path);
    assert_int_not_equal(inode_of(path), second);
    assert_int_equal(symlink("same.iso", link), 0); /* a link is replaced, not followed */
    write_iso(&d, link);
    struct stat st;
    assert_int_equal(lstat(link, &st), 0);
    assert_true(S_ISREG(st.st_mode));
}

static void nothing_is_left_behind(void **state)
{
    (void)state;
    DIR *dir = opendir(folder);
    for (struct dirent *e; (e = readdir(dir));) {
        if (e->d_name[0] != '.' && !strstr(e->d_name, ".iso"))
            fail_msg("%s", e->d_name);
        if (strstr(e->d_name, ".tmp"))
            fail_msg("%s", e->d_name);
    }
    closedir(dir);
}

static void relative_paths_work(void **state)
{
    (void)state;
    cleanup_seed_documents struct seed_documents d = {0};
    fill(&d, "u", "");
    assert_int_equal(chdir(folder), 0);
    write_iso(&d, "-relative, odd\nname.iso");
    assert_int_equal(access("-relative, odd\nname.iso", R_OK), 0);
    assert_int_equal(chdir("/"), 0);
}

static void expect_failure(const char *path, enum vmm_code code, const char *words)
{
    cleanup_seed_documents struct seed_documents d = {0};
    fill(&d, "u", "");
    struct vmm_error *e = NULL;
    const int r = seed_write_iso(&d, path, &e);
    if (r != -(int)code || !strstr(vmm_error_message(e), words))
        fail_msg("%d: %s", r, e ? vmm_error_message(e) : "written");
    vmm_error_free(e);
    assert_int_equal(access(path, F_OK), -1);
}

/* The helper runs in another folder than we do. */
static void a_relative_libexec_works(void **state)
{
    (void)state;
    const char *set = getenv("VMM_LIBEXEC");
    if (!set || set[0] != '/')
        return; /* found beside the program, or relative as it is */
    cleanup_free char *before = xstrdup(set);
    assert_int_equal(chdir("/"), 0);
    setenv("VMM_LIBEXEC", before + 1, 1);
    cleanup_free char *path = path_join(folder, "relative-helper.iso");
    cleanup_seed_documents struct seed_documents d = {0};
    fill(&d, "u", "");
    write_iso(&d, path);
    setenv("VMM_LIBEXEC", before, 1);
}

/* A script in the helper's place. */
static void stand_in(const char *script)
{
    cleanup_free char *path = path_join(folder, "vmm-seed");
    unlink(path);
    cleanup_close int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0700);
    cleanup_free char *text = xasprintf("#!/bin/sh\n%s\n", script);
    assert_int_equal(fs_write_all(fd, text, strlen(text)), 0);
}

static void failures_of_the_helper_are_told(void **state)
{
    (void)state;
    cleanup_free char *before = xstrdup_or_null(getenv("VMM_LIBEXEC"));
    cleanup_free char *path = path_join(folder, "failed.iso");
    cleanup_free char *script = path_join(folder, "vmm-seed");
    setenv("VMM_LIBEXEC", "/nowhere", 1);
    expect_failure(path, VMM_E_HELPER, "the helper vmm-seed is nowhere");
    setenv("VMM_LIBEXEC", folder, 1);
    stand_in("exit 3");
    expect_failure(path, VMM_E_CLOUDINIT_ISO, "vmm-seed failed (3)");
    stand_in("kill -9 $$");
    expect_failure(path, VMM_E_CLOUDINIT_ISO, "killed by signal 9");
    stand_in("echo 'x: No space left on device' >&2; exit 1");
    expect_failure(path, VMM_E_HOST_NO_SPACE, "the disk is full");
    unlink(script);
    before ? setenv("VMM_LIBEXEC", before, 1) : unsetenv("VMM_LIBEXEC");
    expect_failure("/nowhere/x.iso", VMM_E_IO, "could not open the folder");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(documents_are_found_in_both_trees),
        cmocka_unit_test(without_vendor_data_there_is_no_such_file),
        cmocka_unit_test(large_documents_are_whole),
        cmocka_unit_test(only_we_can_read_it),
        cmocka_unit_test(bytes_depend_on_the_documents_alone),
        cmocka_unit_test(an_equal_file_is_not_touched),
        cmocka_unit_test(relative_paths_work),
        cmocka_unit_test(a_relative_libexec_works),
        cmocka_unit_test(failures_of_the_helper_are_told),
        cmocka_unit_test(nothing_is_left_behind),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
