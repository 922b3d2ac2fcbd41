/* vms.json: written by many at once, older, newer, tampered with, damaged. */
#include "testing.h"

#include "base/json.h"
#include "machine/record.h"
#include "machine/store.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/wait.h>

static struct home home_in(const char *dir)
{
    struct home home = {
        .root = xstrdup(dir), .vms = path_join(dir, "vms"), .store = path_join(dir, "vms.json")};
    return home;
}

static void put_text(const char *dir, const char *text)
{
    assert_int_equal(fs_write_durable(dir, "vms.json", text, strlen(text), NULL), 0);
}

static char *text_of(const char *path)
{
    struct buf text = {0};
    assert_int_equal(fs_read_file(path, 1 << 20, &text), 0);
    return buf_steal(&text);
}

/* security.md 0.10: without the lock, 5 to 9 of 32 survive. */
static void thirty_two_writers_at_once_lose_nothing(void **state)
{
    (void)state;
    char *dir = test_folder();
    struct home home = home_in(dir);
    enum { WRITERS = 32 };
    for (int i = 0; i < WRITERS; i++) {
        if (fork() == 0) {
            char name[16];
            snprintf(name, sizeof(name), "vm-%d", i);
            const struct vmm_handle vm = {.name = name, .id = name, .vcpus = 1};
            _exit(store_put(&home, &vm, NULL) == 0 ? 0 : 1);
        }
    }
    for (int i = 0; i < WRITERS; i++) {
        int status;
        assert_true(wait(&status) > 0);
        assert_int_equal(status, 0);
    }
    struct store_snapshot s;
    assert_int_equal(store_read(&home, &s, NULL), 0);
    assert_int_equal(s.count, WRITERS);
    store_snapshot_done(&s);
    home_done(&home);
    test_folder_done(dir);
}

static void a_record_of_the_reference_is_read(void **state)
{
    (void)state;
    char *dir = test_folder();
    struct home home = home_in(dir);
    put_text(dir,
        "{\"myvm\": {\"id\": \"abc123\", \"name\": \"myvm\", \"backend\": \"qemu\","
        "\"work_dir\": \"/etc\", \"overlay_path\": \"/etc/passwd\", \"pid\": 12345, \"vcpus\": 2,"
        "\"memory_mb\": 2048, \"disk_gb\": 20, \"network\": {\"type\": \"Tap\", \"bridge\": \"br7\"},"
        "\"ssh_host_port\": 10042, \"mac_addr\": \"52:54:00:ab:cd:ef\", \"from_the_future\": [1]},"
        " \"old\": {}, \"../evil\": {\"id\": \"x\"}, \"odd\": 7}");
    struct store_snapshot s;
    assert_int_equal(store_read(&home, &s, NULL), 0);
    assert_int_equal(s.count, 2); /* what is no name or no object is no VM */
    const struct vmm_handle *vm = s.vms[0];
    assert_string_equal(vm->name, "myvm");
    assert_int_equal(vm->vcpus, 2);
    assert_int_equal(vm->network.kind, VMM_NETWORK_TAP);
    assert_string_equal(vm->network.link, "br7");
    assert_int_equal(vm->ssh_host_port, 10042);
    /* security.md A-5: paths come from the name, not from the file. */
    cleanup_free char *work_dir = path_join(home.vms, "myvm");
    assert_string_equal(vm->work_dir, work_dir);
    assert_int_equal(strncmp(vm->overlay_path, work_dir, strlen(work_dir)), 0);
    assert_int_equal(s.vms[1]->vcpus, 1);
    assert_int_equal(s.vms[1]->memory_mib, 1024);
    /* A field of a newer version survives our writing. */
    cleanup_json json_t *again = record_encode(vm);
    assert_int_equal(json_array_size(json_object_get(again, "from_the_future")), 1);
    store_snapshot_done(&s);
    home_done(&home);
    test_folder_done(dir);
}

static void a_damaged_registry_is_reported_and_never_overwritten(void **state)
{
    (void)state;
    static const char *const damaged[] = {
        "", "{\"a\": {", "garbage", "[]", "{\"a\":{},\"a\":{}}", "\x00\xff"};
    for (size_t i = 0; i < ROWS(damaged); i++) {
        char *dir = test_folder();
        struct home home = home_in(dir);
        const struct vmm_handle first = {.name = (char *)"first",
            .id = (char *)"1",
            .vcpus = 1,
            .recorded_state = VMM_STATE_STOPPED};
        const struct vmm_handle second = {.name = (char *)"second", .id = (char *)"2", .vcpus = 1};
        assert_int_equal(store_put(&home, &first, NULL), 0);
        assert_int_equal(store_put(&home, &second, NULL), 0);
        put_text(dir, damaged[i]);
        struct vmm_error *e = NULL;
        assert_int_equal(store_put(&home, &first, &e), -VMM_E_STORE_CORRUPT);
        assert_non_null(strstr(vmm_error_message(e), home.store));
        assert_non_null(strstr(vmm_error_help(e), ".bak"));
        vmm_error_free(e);
        cleanup_free char *still = text_of(home.store);
        assert_string_equal(still, damaged[i]);
        /* Looking goes on, from the copy, with a warning. */
        struct store_snapshot s;
        assert_int_equal(store_read(&home, &s, NULL), 0);
        assert_int_equal(s.count, 1);
        assert_string_equal(s.vms[0]->name, "first");
        assert_int_equal(vmm_error_code(s.warning), VMM_E_STORE_CORRUPT);
        store_snapshot_done(&s);
        home_done(&home);
        test_folder_done(dir);
    }
}

static void a_missing_vm_is_named_and_guessed(void **state)
{
    (void)state;
    char *dir = test_folder();
    struct home home = home_in(dir);
    const struct vmm_handle vm = {.name = (char *)"webserver", .id = (char *)"1", .vcpus = 1};
    assert_int_equal(store_put(&home, &vm, NULL), 0);
    struct vmm_error *e = NULL;
    struct vmm_handle *found;
    assert_int_equal(store_find(&home, "websrever", &found, &e), -VMM_E_VM_NOT_FOUND);
    assert_non_null(strstr(vmm_error_help(e), "\"webserver\""));
    vmm_error_free(e);
    home_done(&home);
    test_folder_done(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(thirty_two_writers_at_once_lose_nothing),
        cmocka_unit_test(a_record_of_the_reference_is_read),
        cmocka_unit_test(a_damaged_registry_is_reported_and_never_overwritten),
        cmocka_unit_test(a_missing_vm_is_named_and_guessed),
    };
    return cmocka_run_group_tests_name("store", tests, NULL, NULL);
}
