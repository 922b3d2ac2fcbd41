/* QEMU's command line: golden files, and names that try to be options (security.md C-1, C-4). */
#include "testing.h"

#include "base/json.h"
#include "hypervisor/draw.h"
#include "hypervisor/qemu/internal.h"

#include <errno.h>

static struct vmm_handle sample(void)
{
    return (struct vmm_handle){
        .id = (char *)"6f0a7c52-1111-4222-8333-444455556666",
        .name = (char *)"web",
        .work_dir = (char *)"/data/vmctl/vms/web",
        .image_path = (char *)"/images/debian.qcow2",
        .overlay_path = (char *)"/data/vmctl/vms/web/overlay.qcow2",
        .seed_iso_path = (char *)"/data/vmctl/vms/web/seed.iso",
        .vcpus = 2,
        .memory_mib = 2048,
        .ssh_host_port = 10042,
        .mac_addr = (char *)"52:54:00:ab:cd:ef",
    };
}

static char *command_line(const struct vmm_handle *vm, enum vmm_accel accel, const char *format)
{
    struct argv argv;
    struct buf out = {0};
    qemu_build_argv(vm, &(struct qemu_features){.accel = accel, .image_format = format}, &argv);
    for (size_t i = 0; i + 1 < argv.args.n; i++)
        buf_addf(&out, "%s\n", argv.args.v[i]);
    argv_done(&argv);
    return buf_steal(&out);
}

/* tests/unit/golden/NAME; VMM_UPDATE=1 accepts what is there now. */
static void compare_golden(const char *name, const char *text)
{
    cleanup_buf struct buf want = {0};
    cleanup_free char *path = xasprintf("%s/%s", GOLDEN_DIR, name);
    if (getenv("VMM_UPDATE"))
        assert_int_equal(fs_write_durable(GOLDEN_DIR, name, text, strlen(text), NULL), 0);
    assert_int_equal(fs_read_file(path, 1 << 20, &want), 0);
    assert_string_equal(text, buf_cstr(&want));
}

static void command_lines_are_golden(void **state)
{
    (void)state;
    struct vmm_handle vm = sample();
    cleanup_free char *user = command_line(&vm, VMM_ACCEL_TCG, "qcow2");
    compare_golden("qemu-user-tcg.txt", user);
    vm.network.kind = VMM_NETWORK_NONE;
    vm.seed_iso_path = NULL;
    cleanup_free char *none = command_line(&vm, VMM_ACCEL_KVM, "raw");
    compare_golden("qemu-none-kvm.txt", none);
}

/* security.md 0.7: no forward without a host address. */
static void forwards_are_bound_to_loopback(void **state)
{
    (void)state;
    const struct vmm_handle vm = sample();
    cleanup_free char *text = command_line(&vm, VMM_ACCEL_TCG, "qcow2");
    assert_non_null(strstr(text, "hostfwd=tcp:127.0.0.1:10042-:22"));
    assert_null(strstr(text, "hostfwd=tcp::"));
    assert_non_null(strstr(text, "127.0.0.1:0,to="));
}

static void awkward_paths_stay_one_value(void **state)
{
    (void)state;
    static const char *const awkward[] = {"/d,logfile=/tmp/injected/web", "/d \"q\" 'x'/web",
        "/d\\n/web", "/json:{}/web", "/\xc3\xa4,,/web"};
    for (size_t i = 0; i < ROWS(awkward); i++) {
        struct vmm_handle vm = sample();
        vm.overlay_path = (char *)awkward[i];
        vm.work_dir = (char *)awkward[i];
        struct argv argv;
        qemu_build_argv(
            &vm, &(struct qemu_features){.accel = VMM_ACCEL_TCG, .image_format = "raw"}, &argv);
        bool found_disk = false, found_secret = false;
        for (size_t k = 0; k + 2 < argv.args.n; k++) {
            if (strcmp(argv.args.v[k], "-blockdev") == 0 && strstr(argv.args.v[k + 1], "disk0")) {
                json_error_t e;
                cleanup_json json_t *j = json_parse(str_view(argv.args.v[k + 1]), &e);
                assert_non_null(j);
                assert_string_equal(
                    json_get_string(json_object_get(j, "file"), "filename"), awkward[i]);
                found_disk = true;
            }
            if (strcmp(argv.args.v[k], "-object") == 0 &&
                strncmp(argv.args.v[k + 1], "secret", 6) == 0) {
                /* Un-double the commas after file= again: the value must be the path, to the end.
                 */
                const char *p = strstr(argv.args.v[k + 1], "file=") + 5;
                cleanup_buf struct buf value = {0};
                for (; *p; p++) {
                    if (*p == ',')
                        assert_int_equal(*++p, ',');
                    buf_addc(&value, *p);
                }
                assert_int_equal(strncmp(buf_cstr(&value), awkward[i], strlen(awkward[i])), 0);
                found_secret = true;
            }
        }
        assert_true(found_disk && found_secret);
        argv_done(&argv);
    }
}

static void ports_are_deterministic_and_reserved_once(void **state)
{
    (void)state;
    struct port_walk a = port_walk_start("web"), b = port_walk_start("web");
    bool seen[101] = {0};
    for (int i = 0; i < 101; i++) {
        const uint16_t port = port_walk_next(&a);
        assert_int_equal(port, port_walk_next(&b));
        assert_in_range(port, 10022, 10122);
        assert_false(seen[port - 10022]);
        seen[port - 10022] = true;
    }
    assert_true(port_walk_next(&a) > 10122);
    while (port_walk_next(&a))
        continue;
    int fd = -EADDRINUSE;
    struct port_walk w = port_walk_start("a test of reservations");
    uint16_t port = 0;
    while (fd == -EADDRINUSE)
        fd = port_reserve(port = port_walk_next(&w));
    assert_true(fd >= 0);
    assert_int_equal(port_reserve(port), -EADDRINUSE);
    assert_false(port_is_free(port));
    close(fd);
    assert_true(port_is_free(port));
}

static void ids_and_addresses_have_their_form(void **state)
{
    (void)state;
    char uuid[37], other[37], mac[18];
    draw_uuid(uuid);
    draw_uuid(other);
    assert_string_not_equal(uuid, other);
    assert_int_equal(strlen(uuid), 36);
    assert_int_equal(uuid[14], '4');
    mac_from_uuid(uuid, mac);
    assert_int_equal(strncmp(mac, "52:54:00:", 9), 0);
    assert_int_equal(strlen(mac), 17);
}

/* A device that is no KVM must be answered for, quickly, whatever it is. */
static void a_probe_of_no_kvm_says_why(void **state)
{
    (void)state;
    cleanup_free char *missing = kvm_probe("/nonexistent/kvm");
    cleanup_free char *null = kvm_probe("/dev/null");
    assert_string_equal(missing, "there is no /dev/kvm");
    assert_string_equal(null, "KVM cannot make a virtual machine");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(command_lines_are_golden),
        cmocka_unit_test(forwards_are_bound_to_loopback),
        cmocka_unit_test(awkward_paths_stay_one_value),
        cmocka_unit_test(ports_are_deterministic_and_reserved_once),
        cmocka_unit_test(ids_and_addresses_have_their_form),
        cmocka_unit_test(a_probe_of_no_kvm_says_why),
    };
    return cmocka_run_group_tests_name("qemu-argv", tests, NULL, NULL);
}
