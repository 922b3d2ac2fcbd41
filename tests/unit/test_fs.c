/* Files that must survive, locks, and deletion that stays where it is told to. */
#include "testing.h"

#include "base/ring_log.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/wait.h>

static char *in(const char *dir, const char *name)
{
    return path_join(dir, name);
}

static void put(const char *dir, const char *name, const char *text)
{
    struct vmm_error *e = NULL;
    assert_int_equal(fs_write_durable(dir, name, text, strlen(text), &e), 0);
}

static void a_durable_write_replaces_whole_and_private(void **state)
{
    (void)state;
    char *dir = test_folder();
    cleanup_free char *path = in(dir, "f");
    put(dir, "f", "one");
    put(dir, "f", "two");
    cleanup_buf struct buf text = {0};
    struct stat st;
    assert_int_equal(fs_read_file(path, 100, &text), 0);
    assert_string_equal(buf_cstr(&text), "two");
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    test_folder_done(dir);
}

static void a_failed_durable_write_leaves_nothing_behind(void **state)
{
    (void)state;
    char *dir = test_folder();
    cleanup_free char *path = in(dir, "f");
    assert_int_equal(mkdir(path, 0700), 0); /* rename over a folder fails */
    struct vmm_error *e = NULL;
    assert_int_not_equal(fs_write_durable(dir, "f", "x", 1, &e), 0);
    assert_non_null(strstr(vmm_error_message(e), path));
    vmm_error_free(e);
    assert_int_equal(rmdir(path), 0);
    assert_int_equal(rmdir(dir), 0); /* no temporary file was left */
    free(dir);
}

/* security.md A-4. */
static void opening_beneath_never_leaves_or_follows(void **state)
{
    (void)state;
    char *dir = test_folder();
    put(dir, "inside", "x");
    cleanup_free char *link = in(dir, "link");
    cleanup_free char *fifo = in(dir, "fifo");
    assert_int_equal(symlink("/etc/passwd", link), 0);
    assert_int_equal(mkfifo(fifo, 0600), 0);
    cleanup_close int dirfd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    cleanup_close int good = fs_open_beneath(dirfd, "inside", O_RDONLY);
    assert_true(good >= 0);
    assert_int_equal(fs_open_beneath(dirfd, "link", O_RDONLY), -ELOOP);
    assert_int_equal(fs_open_beneath(dirfd, "../etc/passwd", O_RDONLY), -EXDEV);
    assert_int_equal(fs_open_beneath(dirfd, "/etc/passwd", O_RDONLY), -EXDEV);
    assert_int_equal(fs_open_beneath(dirfd, "fifo", O_RDONLY), -EINVAL);
    assert_int_equal(fs_open_beneath(dirfd, "missing", O_RDONLY), -ENOENT);
    test_folder_done(dir);
}

static void user_files_are_regular_and_bounded(void **state)
{
    (void)state;
    char *dir = test_folder();
    cleanup_free char *fifo = in(dir, "fifo");
    cleanup_free char *path = in(dir, "f");
    assert_int_equal(mkfifo(fifo, 0600), 0);
    put(dir, "f", "12345");
    cleanup_buf struct buf text = {0};
    assert_int_equal(fs_open_regular(dir), -EISDIR);
    assert_int_equal(fs_open_regular(fifo), -EINVAL); /* and does not wait for a writer */
    assert_int_equal(fs_read_file(path, 4, &text), -EFBIG);
    test_folder_done(dir);
}

/* security.md A-5. */
static void removing_a_tree_does_not_follow_links(void **state)
{
    (void)state;
    char *kept = test_folder();
    char *dir = test_folder();
    put(kept, "precious", "x");
    cleanup_free char *tree = in(dir, "tree");
    cleanup_free char *sub = in(tree, "sub");
    cleanup_free char *link = in(sub, "link");
    assert_int_equal(mkdir(tree, 0700), 0);
    assert_int_equal(mkdir(sub, 0700), 0);
    assert_int_equal(symlink(kept, link), 0);
    put(sub, "f", "x");
    assert_int_equal(fs_remove_tree(tree, NULL), 0);
    assert_int_equal(access(tree, F_OK), -1);
    cleanup_free char *precious = in(kept, "precious");
    assert_int_equal(access(precious, F_OK), 0);
    assert_int_equal(fs_remove_tree(tree, NULL), 0); /* gone already */
    test_folder_done(kept);
    test_folder_done(dir);
}

/* security.md A-1: as root, another owner is made; the modes are refused for anybody. */
static void a_folder_open_to_others_is_refused_and_left_alone(void **state)
{
    (void)state;
    char *dir = test_folder();
    struct vmm_error *e = NULL;
    struct stat st;
    assert_int_equal(chmod(dir, 0755), 0);
    assert_int_equal(fs_make_private_dir(dir, &e), -VMM_E_IO);
    assert_non_null(strstr(vmm_error_help(e), "chmod 700"));
    vmm_error_free(e);
    assert_int_equal(stat(dir, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0755);
    assert_int_equal(chmod(dir, 0700), 0);
    assert_int_equal(fs_make_private_dir(dir, NULL), 0);
    if (geteuid() == 0) {
        assert_int_equal(chown(dir, 12345, 12345), 0);
        assert_int_equal(fs_make_private_dir(dir, NULL), -VMM_E_IO);
    }
    test_folder_done(dir);
}

static void a_lock_is_exclusive_names_its_holder_and_dies_with_it(void **state)
{
    (void)state;
    char *dir = test_folder();
    cleanup_free char *path = in(dir, "lock");
    int ready[2];
    assert_int_equal(pipe(ready), 0);
    const pid_t child = fork();
    if (child == 0) {
        if (fs_lock(path, deadline_in_ms(1000), NULL) < 0 || write(ready[1], "", 1) < 0)
            _exit(1);
        for (;;)
            pause();
    }
    char byte;
    assert_int_equal(read(ready[0], &byte, 1), 1);
    pid_t holder = 0;
    assert_int_equal(fs_lock(path, deadline_in_ms(20), &holder), -ETIMEDOUT);
    assert_int_equal(holder, child);
    assert_int_equal(kill(child, SIGKILL), 0);
    assert_int_equal(waitpid(child, NULL, 0), child);
    const int fd = fs_lock(path, deadline_in_ms(1000), NULL);
    assert_true(fd >= 0);
    fs_unlock_and_remove(fd, path);
    assert_int_equal(access(path, F_OK), -1);
    close(ready[0]);
    close(ready[1]);
    test_folder_done(dir);
}

/* security.md D-2: a guest that prints for ever fills two files and no more. */
static void a_ring_log_stays_within_its_bound(void **state)
{
    (void)state;
    char *dir = test_folder();
    cleanup_close int dirfd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    struct ring_log log;
    ring_log_open(&log, dirfd, "c.log", 1000, RING_LOG_FRESH);
    for (int i = 0; i < 1000; i++)
        ring_log_write(&log, "0123456789", 10);
    ring_log_close(&log);
    struct stat now, older;
    assert_int_equal(fstatat(dirfd, "c.log", &now, 0), 0);
    assert_int_equal(fstatat(dirfd, "c.log.1", &older, 0), 0);
    assert_true(now.st_size + older.st_size <= 2000);
    ring_log_open(&log, dirfd, "c.log", 1000, RING_LOG_FRESH); /* a new boot begins a new file */
    assert_int_equal(log.size_bytes, 0);
    ring_log_close(&log);
    test_folder_done(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_durable_write_replaces_whole_and_private),
        cmocka_unit_test(a_failed_durable_write_leaves_nothing_behind),
        cmocka_unit_test(opening_beneath_never_leaves_or_follows),
        cmocka_unit_test(user_files_are_regular_and_bounded),
        cmocka_unit_test(removing_a_tree_does_not_follow_links),
        cmocka_unit_test(a_folder_open_to_others_is_refused_and_left_alone),
        cmocka_unit_test(a_lock_is_exclusive_names_its_holder_and_dies_with_it),
        cmocka_unit_test(a_ring_log_stays_within_its_bound),
    };
    return cmocka_run_group_tests_name("fs", tests, NULL, NULL);
}
