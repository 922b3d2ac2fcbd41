/* The QMP client against each misdeed of the fake QEMU, and the fake against what QEMU does. */
#include "vm.h"

#include "base/buf.h"
#include "base/json.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/inotify.h>

/* Enough to start and greet, also under sanitizers on a busy machine. */
enum { START_MS = 600 };

static void each_misdeed_is_told_in_time(void **state)
{
    (void)state;
    static const struct {
        const char *script;
        int64_t ms;
        enum vmm_code code; /* VMM_E_QMP_CONNECT: it shows while connecting */
        const char *reason; /* NULL: goes well */
        const char *words;
    } rows[] = {
        /* clang-format off */
        {"", LONG_MS, VMM_E_NONE, NULL, NULL},
        {"no-greeting", SHORT_MS, VMM_E_QMP_CONNECT, "timeout", "QEMU sent no QMP greeting within "},
        {"hang:qmp_capabilities", START_MS, VMM_E_QMP_CONNECT, "timeout", "\"qmp_capabilities\" within "},
        {"error:qmp_capabilities:GenericError:no", LONG_MS, VMM_E_QMP_CONNECT, "GenericError",
            "QEMU refused \"qmp_capabilities\": no (GenericError)"},
        {"garbage:qmp_capabilities", LONG_MS, VMM_E_QMP_CONNECT, "protocol", "no JSON"},
        {"stop-self:qmp_capabilities", START_MS, VMM_E_QMP_CONNECT, "timeout", "\"qmp_capabilities\""},
        {"hang:query-status", SHORT_MS, VMM_E_QMP_COMMAND, "timeout",
            "QEMU did not answer \"query-status\" within "},
        {"stop-self:query-status", SHORT_MS, VMM_E_QMP_COMMAND, "timeout", "\"query-status\""},
        {"slow:query-status:20", LONG_MS, VMM_E_NONE, NULL, NULL},
        {"slow:query-status:100000", SHORT_MS, VMM_E_QMP_COMMAND, "timeout", "\"query-status\""},
        {"die-mid-reply:query-status", LONG_MS, VMM_E_QMP_COMMAND, "closed",
            "QEMU closed its QMP connection before it answered \"query-status\""},
        {"wrong-id:query-status", LONG_MS, VMM_E_NONE, NULL, NULL},
        {"wrong-id:query-status:only", SHORT_MS, VMM_E_QMP_COMMAND, "timeout", "\"query-status\""},
        {"garbage:query-status", LONG_MS, VMM_E_QMP_COMMAND, "protocol",
            "QEMU sent what is no QMP: a line that is no JSON"},
        {"huge-line:query-status", LONG_MS, VMM_E_QMP_COMMAND, "protocol",
            "QEMU sent what is no QMP: a line that is too long"},
        {"huge-line:query-status:16000000", LONG_MS, VMM_E_QMP_COMMAND, "protocol",
            "QEMU answered \"query-status\" without a status"},
        {"event-flood:query-status", LONG_MS, VMM_E_NONE, NULL, NULL},
        {"event-flood:query-status:forever", SHORT_MS, VMM_E_QMP_COMMAND, "timeout", "\"query-status\""},
        {"error:query-status:GenericError:the disk: is gone", LONG_MS, VMM_E_QMP_COMMAND, "GenericError",
            "QEMU refused \"query-status\": the disk: is gone (GenericError)"},
        /* clang-format on */
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
        struct vm vm = vm_start(fake_path(), rows[i].script);
        struct vmm_error *e = NULL;
        const bool fails_early = rows[i].code == VMM_E_QMP_CONNECT;
        const int64_t ms = rows[i].ms;
        int64_t start = clock_ms();
        int r = qmp_connect(vm.socket_path, in(fails_early ? ms : LONG_MS), &vm.q, &e);
        struct qmp_status status = {0};
        if (!fails_early) {
            assert_ok(r, e);
            start = clock_ms();
            r = qmp_query_status(vm.q, in(ms), &status, &e);
        }
        const int64_t took_ms = clock_ms() - start;
        print_message("# %-50s %5lld ms\n", rows[i].script, (long long)took_ms);
        assert_true(took_ms < ms + LATE_MS);
        assert_int_equal(r, -(int)rows[i].code);
        if (rows[i].reason) {
            assert_error(&e, rows[i].code, rows[i].reason, rows[i].words);
        } else {
            assert_ok(r, e);
            assert_int_equal(status.state, QMP_RUN_STATE_PRELAUNCH);
        }
        vm_done(&vm);
    }
}

static void hung_command_leaves_the_others_alone(void **state)
{
    (void)state;
    struct vm vm = vm_start(fake_path(), "slow:query-vnc:600\nhang:stop");
    vm_connect(&vm);
    struct vmm_error *e = NULL;
    char *address = NULL;
    assert_true(qmp_query_vnc(vm.q, in(SHORT_MS), &address, &e) < 0);
    assert_error(&e, VMM_E_QMP_COMMAND, "timeout", "\"query-vnc\"");
    assert_true(qmp_stop(vm.q, in(SHORT_MS), &e) < 0);
    assert_error(&e, VMM_E_QMP_COMMAND, "timeout", "\"stop\"");
    char uuid[QMP_UUID_SIZE];
    assert_ok(qmp_query_uuid(vm.q, in(LONG_MS), uuid, &e), e);
    assert_string_equal(uuid, VM_UUID);
    vm_done(&vm);
}

static void flood_keeps_the_newest_events(void **state)
{
    (void)state;
    struct vm vm = vm_start(fake_path(), "event-flood:query-status:1500");
    vm_connect(&vm);
    struct vmm_error *e = NULL;
    struct qmp_status status;
    assert_ok(qmp_query_status(vm.q, in(LONG_MS), &status, &e), e);
    assert_int_equal(qmp_events_dropped(vm.q), 500);
    int64_t offset = 500;
    struct qmp_event event;
    while (qmp_next_event(vm.q, &event)) {
        assert_int_equal(json_get_integer(event.data, "offset", 0, 100000, -1), offset++);
        qmp_event_done(&event);
    }
    assert_int_equal(offset, 1500);
    vm_done(&vm);
}

static void second_client_waits_for_the_first_to_leave(void **state)
{
    (void)state;
    struct vm vm = vm_start(fake_path(), "");
    vm_connect(&vm);
    struct qmp *second = NULL;
    struct vmm_error *e = NULL;
    assert_int_equal(qmp_connect(vm.socket_path, in(SHORT_MS), &second, &e), -VMM_E_QMP_CONNECT);
    assert_non_null(strstr(vmm_error_message(e), vm.socket_path));
    assert_error(&e, VMM_E_QMP_CONNECT, "timeout", "QEMU sent no QMP greeting");
    qmp_close(TAKE_PTR(vm.q));
    vm_connect(&vm);
    vm_done(&vm);
}

static void connecting_to_nobody_says_why(void **state)
{
    (void)state;
    struct vm vm = vm_new("");
    struct qmp *q = NULL;
    struct vmm_error *e = NULL;
    assert_int_equal(qmp_connect(vm.socket_path, in(LONG_MS), &q, &e), -VMM_E_QMP_CONNECT);
    assert_int_equal(vmm_error_errno(e), ENOENT);
    assert_error(&e, VMM_E_QMP_CONNECT, "-", "could not connect to QMP socket \"");

    cleanup_close int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    snprintf(address.sun_path, sizeof(address.sun_path), "%s", vm.socket_path);
    assert_int_equal(bind(fd, (const struct sockaddr *)&address, sizeof(address)), 0);
    assert_true(qmp_connect(vm.socket_path, in(LONG_MS), &q, &e) < 0);
    assert_int_equal(vmm_error_errno(e), ECONNREFUSED);
    assert_error(&e, VMM_E_QMP_CONNECT, "-", "could not connect to QMP socket \"");

    /* A full queue of clients that nobody takes: connect() itself has to wait. */
    assert_int_equal(listen(fd, 0), 0);
    cleanup_close int first = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(connect(first, (const struct sockaddr *)&address, sizeof(address)), 0);
    const int64_t start = clock_ms();
    assert_true(qmp_connect(vm.socket_path, in(SHORT_MS), &q, &e) < 0);
    assert_true(clock_ms() - start < SHORT_MS + LATE_MS);
    assert_int_equal(vmm_error_errno(e), ETIMEDOUT);
    assert_error(&e, VMM_E_QMP_CONNECT, "timeout", "could not connect to QMP socket \"");

    char long_path[200];
    snprintf(long_path, sizeof(long_path), "/%0*d", 120, 0);
    assert_int_equal(qmp_connect(long_path, in(LONG_MS), &q, &e), -VMM_E_HOST_PATH_LONG);
    assert_error(&e, VMM_E_HOST_PATH_LONG, "-", "121 bytes");
    vm_done(&vm);
}

/* ---- the fake as QEMU ---- */

/* Whatever is written to it, to be read after the writer has ended. */
static int scratch_file(const struct vm *vm, char **ret_path)
{
    *ret_path = path_join(vm->dir, "stderr");
    return open(*ret_path, O_RDWR | O_CREAT | O_CLOEXEC | O_APPEND, 0600);
}

/* Runs to its end. The exit status; what it complained about in `err`. */
static int run_fake(struct vm *vm, const char *const *argv, struct buf *err)
{
    cleanup_free char *path = NULL;
    cleanup_close int fd = scratch_file(vm, &path);
    vm_spawn(vm, argv, -1, fd);
    const int status = vm_wait(vm);
    buf_clear(err);
    assert_int_equal(fs_read_file(path, 65536, err), 0);
    assert_int_equal(unlink(path), 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

/* Connects as the product has to: to a socket that appears some time. */
static void connect_when_there(struct vm *vm)
{
    cleanup_close int watch = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
    assert_true(inotify_add_watch(watch, vm->dir, IN_CREATE) >= 0);
    const struct deadline deadline = in(LONG_MS);
    for (;;) {
        struct vmm_error *e = NULL;
        if (qmp_connect(vm->socket_path, deadline, &vm->q, &e) == 0)
            return;
        const int sys = vmm_error_errno(e);
        if (deadline_passed(deadline) || (sys != ENOENT && sys != ECONNREFUSED))
            fail_msg("%s", vmm_error_message(e));
        vmm_error_free(e);
        char events[4096];
        /* Between bind() and listen() there is nothing to wait for, hence the short time. */
        poll(&(struct pollfd){.fd = watch, .events = POLLIN}, 1, 2);
        while (read(watch, events, sizeof(events)) > 0)
            continue;
    }
}

static int connect_path(const char *path)
{
    const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
    assert_int_equal(connect(fd, (const struct sockaddr *)&address, sizeof(address)), 0);
    return fd;
}

static void expect(int fd, const char *want)
{
    cleanup_buf struct buf got = {0};
    const struct deadline deadline = in(LONG_MS);
    while (!strstr(buf_cstr(&got), want)) {
        struct pollfd pfd = {.fd = fd, .events = POLLIN};
        if (poll(&pfd, 1, deadline_left_ms(deadline)) != 1)
            fail_msg("`%s` did not come, but `%s`", want, buf_cstr(&got));
        const ssize_t n = recv(fd, buf_reserve(&got, 4096), 4096, 0);
        assert_true(n > 0);
        got.n += (size_t)n;
        got.p[got.n] = '\0';
    }
}

/* A TCP port that is taken for as long as the returned socket is open. */
static int taken_port(int *ret_port)
{
    const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof(address);
    assert_int_equal(bind(fd, (const struct sockaddr *)&address, size), 0);
    assert_int_equal(listen(fd, 1), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &size), 0);
    *ret_port = ntohs(address.sin_port);
    return fd;
}

/* A whole life over paths, with two monitors and a serial port, as the product has it. */
static void life_with_paths_from_prelaunch_to_powerdown(void **state)
{
    (void)state;
    struct vm vm = vm_new("");
    /* A comma in a path is doubled in an option. */
    cleanup_free char *serial_path = path_join(vm.dir, "ser,ial");
    cleanup_free char *keeper_path = path_join(vm.dir, "keeper.sock");
    cleanup_free char *pidfile = path_join(vm.dir, "pid");
    char chardev[300], keeper[300], qmp[300];
    snprintf(chardev, sizeof(chardev), "socket,id=ser,path=%s/ser,,ial,server=on,wait=off", vm.dir);
    snprintf(keeper, sizeof(keeper), "socket,id=k,path=%s,server=on,wait=off", keeper_path);
    snprintf(qmp, sizeof(qmp), "unix:%s,server=on,wait=off", vm.socket_path);
    const char *const argv[] = {fake_path(), "-name", "guest=a,,b", "-machine", "q35",
        "-nodefaults", "-chardev", chardev, "-device", "isa-serial,chardev=ser", "-chardev", keeper,
        "-mon", "chardev=k,mode=control", "-qmp", qmp, "-pidfile", pidfile, "-S", NULL};
    vm_spawn(&vm, argv, -1, -1);
    connect_when_there(&vm);
    struct qmp *other = NULL;
    struct vmm_error *e = NULL;
    assert_ok(qmp_connect(keeper_path, in(LONG_MS), &other, &e), e);
    cleanup_close int serial = connect_path(serial_path);
    cleanup_buf struct buf pid = {0};
    assert_int_equal(fs_read_file(pidfile, 100, &pid), 0);
    assert_int_equal(atoi(pid.p), vm.pid);

    assert_ok(qmp_cont(vm.q, in(LONG_MS), &e), e);
    expect(serial, "fake: hello\r\nfake: a machine without parts\r\nfake login: ");
    assert_int_equal(fs_write_all(serial, "root\r", 5), 0);
    expect(serial, "root\r");
    assert_ok(qmp_system_powerdown(other, in(LONG_MS), &e), e);
    vm_await_event(&vm, "POWERDOWN");
    vm_await_event(&vm, "SHUTDOWN");
    qmp_close(other);
    assert_int_equal(vm_wait(&vm), 0);
    assert_int_equal(access(vm.socket_path, F_OK), -1);
    assert_int_equal(access(serial_path, F_OK), -1);
    assert_int_equal(access(pidfile, F_OK), -1);
    vm_done(&vm);
}

static void start_that_fails_complains_as_qemu_does(void **state)
{
    (void)state;
    int port;
    const int taken = taken_port(&port);
    struct vm vm = vm_new("exit-before-socket:3:could not find a machine");
    char qmp[300], netdev[100], want[300];
    snprintf(qmp, sizeof(qmp), "unix:%s,server=on,wait=off", vm.socket_path);
    snprintf(netdev, sizeof(netdev), "user,id=n0,hostfwd=tcp:127.0.0.1:%d-:22", port);
    const char *const argv[] = {fake_path(), "-qmp", qmp, "-netdev", netdev, NULL};
    cleanup_buf struct buf err = {0};
    assert_int_equal(run_fake(&vm, argv, &err), 3);
    assert_string_equal(buf_cstr(&err), "qemu-system-x86_64: could not find a machine\n");
    assert_int_equal(access(vm.socket_path, F_OK), -1);

    cleanup_free char *script = path_join(vm.dir, "fake-qemu.script");
    assert_int_equal(unlink(script), 0);
    assert_int_equal(run_fake(&vm, argv, &err), 1);
    snprintf(want, sizeof(want),
        "qemu-system-x86_64: -netdev %s: Could not set up host forwarding rule 'tcp:127.0.0.1:%d-:22'\n",
        netdev, port);
    assert_string_equal(buf_cstr(&err), want);
    assert_int_equal(access(vm.socket_path, F_OK), 0); /* QEMU leaves it, too */

    const char *const nowhere[] = {
        fake_path(), "-qmp", "unix:/nonexistent/x,server=on,wait=off", NULL};
    assert_int_equal(run_fake(&vm, nowhere, &err), 1);
    assert_string_equal(buf_cstr(&err),
        "qemu-system-x86_64: -qmp unix:/nonexistent/x,server=on,wait=off: Failed to bind socket to "
        "/nonexistent/x: No such file or directory\n");
    close(taken);
    vm_done(&vm);
}

static void free_port_is_held_until_the_end(void **state)
{
    (void)state;
    int port;
    close(taken_port(&port));
    struct vm vm = vm_new("");
    char qmp[300], netdev[100];
    snprintf(qmp, sizeof(qmp), "unix:%s,server=on,wait=off", vm.socket_path);
    snprintf(netdev, sizeof(netdev), "user,id=n0,hostfwd=tcp:127.0.0.1:%d-:22", port);
    const char *const argv[] = {fake_path(), "-qmp", qmp, "-netdev", netdev, NULL};
    vm_spawn(&vm, argv, -1, -1);
    connect_when_there(&vm);
    cleanup_close int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in address = {.sin_family = AF_INET,
        .sin_port = htons((uint16_t)port),
        .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    assert_int_equal(connect(fd, (const struct sockaddr *)&address, sizeof(address)), 0);
    struct qmp_status status;
    struct vmm_error *e = NULL;
    assert_ok(qmp_query_status(vm.q, in(LONG_MS), &status, &e), e);
    assert_int_equal(status.state, QMP_RUN_STATE_RUNNING); /* without -S */
    vm_done(&vm);
}

static void sigterm_ends_it_unless_told_otherwise(void **state)
{
    (void)state;
    struct vm vm = vm_start(fake_path(), "");
    vm_connect(&vm);
    kill(vm.pid, SIGTERM);
    vm_await_event(&vm, "SHUTDOWN");
    assert_int_equal(vm_wait(&vm), 0);
    vm_done(&vm);

    vm = vm_start(fake_path(), "# stubborn\nignore-sigterm\nignore-powerdown\n");
    vm_connect(&vm);
    struct vmm_error *e = NULL;
    assert_ok(qmp_cont(vm.q, in(LONG_MS), &e), e);
    kill(vm.pid, SIGTERM);
    assert_ok(qmp_system_powerdown(vm.q, in(LONG_MS), &e), e);
    struct qmp_status status;
    assert_ok(qmp_query_status(vm.q, in(LONG_MS), &status, &e), e);
    assert_true(status.running);
    int ended;
    assert_int_equal(process_wait(vm.pid, in(SHORT_MS), &ended), -ETIMEDOUT);
    assert_ok(qmp_quit(vm.q, in(LONG_MS), &e), e);
    assert_int_equal(vm_wait(&vm), 0);
    vm_done(&vm);
}

static void guest_panics_and_plays_its_console(void **state)
{
    (void)state;
    struct vm vm = vm_new("");
    cleanup_free char *serial_path = path_join(vm.dir, "serial.sock");
    cleanup_free char *console_path = path_join(vm.dir, "console.txt");
    struct vmm_error *e = NULL;
    static const char console[] = "[    0.0] Linux\r\nKernel panic - not syncing\r\n";
    assert_ok(fs_write_durable(vm.dir, "console.txt", console, strlen(console), &e), e);
    char script[300], chardev[300], qmp[300];
    snprintf(script, sizeof(script), "console:%s\npanic\n", console_path);
    assert_ok(fs_write_durable(vm.dir, "fake-qemu.script", script, strlen(script), &e), e);
    snprintf(chardev, sizeof(chardev), "socket,id=ser,path=%s,server=on,wait=off", serial_path);
    snprintf(qmp, sizeof(qmp), "unix:%s,server,nowait", vm.socket_path);
    const char *const argv[] = {
        fake_path(), "-chardev", chardev, "-serial", "chardev:ser", "-qmp", qmp, "-S", NULL};
    vm_spawn(&vm, argv, -1, -1);
    connect_when_there(&vm);
    cleanup_close int serial = connect_path(serial_path);
    assert_ok(qmp_cont(vm.q, in(LONG_MS), &e), e);
    expect(serial, console);
    vm_await_event(&vm, "GUEST_PANICKED");
    struct qmp_status status;
    assert_ok(qmp_query_status(vm.q, in(LONG_MS), &status, &e), e);
    assert_int_equal(status.state, QMP_RUN_STATE_GUEST_PANICKED);
    assert_false(status.running);
    vm_done(&vm);
}

int main(void)
{
    /* Nobody's own script may have a say here. */
    unsetenv("HOME");
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_misdeed_is_told_in_time),
        cmocka_unit_test(hung_command_leaves_the_others_alone),
        cmocka_unit_test(flood_keeps_the_newest_events),
        cmocka_unit_test(second_client_waits_for_the_first_to_leave),
        cmocka_unit_test(connecting_to_nobody_says_why),
        cmocka_unit_test(life_with_paths_from_prelaunch_to_powerdown),
        cmocka_unit_test(start_that_fails_complains_as_qemu_does),
        cmocka_unit_test(free_port_is_held_until_the_end),
        cmocka_unit_test(sigterm_ends_it_unless_told_otherwise),
        cmocka_unit_test(guest_panics_and_plays_its_console),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
