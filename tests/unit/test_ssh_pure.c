/* The parts of src/ssh/ that need no process and no network: frames and messages, keys and
 * known_hosts, banners, SFTP as a machine, and quoting, which is put to real shells. */
#include "base/alloc.h"
#include "base/buf.h"
#include "base/cleanup.h"
#include "base/error.h"
#include "base/fs.h"
#include "base/process.h"
#include "ssh/keys.h"
#include "ssh/probe.h"
#include "ssh/proto.h"
#include "ssh/ssh.h"
#include "ssh/transfer.h"
#include "ssh/wire.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
/* cmocka wants these above */
#include <cmocka.h>

/* ---- Frames -------------------------------------------------------------------------------- */

static void frame_lengths_are_checked_before_they_are_believed(void **state)
{
    (void)state;
    struct wire_frame f;
    size_t used;
    assert_int_equal(wire_parse((struct str){"\0\0\0", 3}, &f, &used), 0);
    assert_int_equal(wire_parse((struct str){"\0\0\0\0", 4}, &f, &used), -EPROTO);
    assert_int_equal(wire_parse((struct str){"\0\1\0\1", 4}, &f, &used), -EPROTO);
    assert_int_equal(wire_parse((struct str){"\377\377\377\377", 4}, &f, &used), -EPROTO);
    assert_int_equal(wire_parse((struct str){"\0\1\0\0", 4}, &f, &used), 0);
    assert_int_equal(wire_parse((struct str){"\0\0\0\3Xab!", 8}, &f, &used), 1);
    assert_int_equal(used, 7);
    assert_int_equal(f.type, 'X');
    assert_true(str_is(f.body, "ab"));
    assert_int_equal(wire_parse((struct str){"\0\0\0\1X", 5}, &f, &used), 1);
    assert_int_equal(f.body.n, 0);
}

static void frames_and_descriptors_cross_a_socket(void **state)
{
    (void)state;
    int ends[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
    struct wire a, b;
    wire_init(&a, ends[0], false);
    wire_init(&b, ends[1], true);
    cleanup_free char *big = xcalloc(1, 1000000);
    for (size_t i = 0; i < 1000000; i++)
        big[i] = (char)(i * 7);
    wire_put_all(&a, 'B', big, 1000000);
    assert_int_equal(wire_put_fd(&a, 'F', "x", 1, STDERR_FILENO), 0);
    assert_int_equal(wire_put_fd(&a, 'F', "x", 1, STDERR_FILENO), -EBUSY);
    wire_put_secret(&a, 'K', "secret", 6);
    size_t at = 0;
    bool is_done = false;
    while (!is_done) {
        assert_int_equal(wire_flush(&a), 0);
        const int filled = wire_fill(&b);
        assert_true(filled >= 0);
        struct wire_frame f;
        while (wire_next(&b, &f) > 0) {
            if (f.type == 'B') {
                assert_memory_equal(f.body.p, big + at, f.body.n);
                at += f.body.n;
            } else if (f.type == 'F') {
                assert_int_equal(at, 1000000);
                cleanup_close int fd = wire_take_fd(&b);
                assert_true(fd >= 0);
                assert_int_equal(wire_take_fd(&b), -1);
            } else {
                assert_true(str_is(f.body, "secret"));
                wire_wipe(&f);
                is_done = true;
            }
        }
    }
    assert_int_equal(wire_queued(&a), 0);
    wire_done(&a);
    assert_int_equal(wire_fill(&b), -EPIPE);
    wire_done(&b);
}

static void library_takes_no_descriptors(void **state)
{
    (void)state;
    int ends[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
    struct wire helper, library;
    wire_init(&helper, ends[0], true);
    wire_init(&library, ends[1], false);
    const int before = dup(STDERR_FILENO);
    close(before);
    assert_int_equal(wire_put_fd(&helper, 'o', "x", 1, STDERR_FILENO), 0);
    assert_int_equal(wire_flush(&helper), 0);
    assert_int_equal(wire_fill(&library), 1);
    const int after = dup(STDERR_FILENO);
    close(after);
    assert_int_equal(before, after);
    assert_int_equal(wire_take_fd(&library), -1);
    wire_done(&helper);
    wire_done(&library);
}

static void messages_out_of_bounds_are_none(void **state)
{
    (void)state;
    struct msg_start start;
    struct msg_exit end;
    struct msg_number number;
    struct msg_keygen keygen;
    struct msg_transfer transfer;
    assert_false(msg_start_decode(STR("{}"), &start));
    assert_false(msg_start_decode(STR("[]"), &start));
    assert_false(msg_start_decode(
        STR("{\"user\":\"u\",\"host_key_types\":\"\",\"kex_ms\":0,\"auth_ms\":1,\"keepalive_ms\":1}"),
        &start));
    assert_true(msg_start_decode(
        STR("{\"user\":\"u\",\"host_key_types\":\"\",\"kex_ms\":1,\"auth_ms\":1,\"keepalive_ms\":1}"),
        &start));
    json_decref(start.json);
    assert_false(msg_exit_decode(STR("{\"status\":3}"), &end));
    assert_true(msg_exit_decode(STR("{\"status\":300,\"signal\":\"\"}"), &end));
    assert_int_equal(end.status, -1);
    json_decref(end.json);
    assert_false(msg_number_decode(STR("{\"value\":-1}"), &number));
    assert_false(msg_number_decode(STR("{\"value\":1.5}"), &number));
    assert_false(msg_keygen_decode(STR("{\"comments\":[]}"), &keygen));
    assert_false(msg_keygen_decode(STR("{\"comments\":[\"a\",1]}"), &keygen));
    assert_false(msg_transfer_decode(STR("{\"mode\":4096,\"limit\":1}"), &transfer));
}

/* ---- Keys ---------------------------------------------------------------------------------- */

/* ssh-keygen -l -f says so of it. */
#define KEY_A "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAII+OCPKB05ufkVTKCyNSwjV5oPxak5NBMPo7qItYCftf"
#define PRINT_A "SHA256:F9/tn7WibHvHifjBu5q3lUD1Qt6pkiiTTF5An9ecVEg"
#define KEY_B "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOSfN8MiaFkX/ujinvSRoYgVA9YmBWJQ31xxcB60uCd/"

static void public_keys_are_what_they_say(void **state)
{
    (void)state;
    static const struct {
        const char *line;
        bool is_good;
    } rows[] = {
        {KEY_A, true},
        {KEY_A " a comment with words\n", true},
        {"  " KEY_A, true},
        {"ssh-rsa AAAAC3NzaC1lZDI1NTE5AAAAII+OCPKB05ufkVTKCyNSwjV5oPxak5NBMPo7qItYCftf", false},
        {"ssh-dss AAAAB3NzaC1kc3M=", false},
        {"ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAII+OCPKB05ufkVTKCyNSwjV5oPxak5NBMPo7qItYCft", false},
        {"ssh-ed25519 AAAA", false},
        {"ssh-ed25519 ////////", false},
        {"ssh-ed25519", false},
        {"", false},
        {KEY_A "\nssh-ed25519 x", false},
        {"ssh-ed25519 AAAAC3NzaC1lZDI1NTE5*AAAII+OCPKB05ufkVTKCyNSwjV5oPxak5NBMPo7qItYCftf", false},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
        struct public_key key;
        if (public_key_parse(str_view(rows[i].line), &key) != rows[i].is_good)
            fail_msg("row %zu: %s", i, rows[i].line);
    }
    char *print;
    assert_int_equal(ssh_key_fingerprint(KEY_A " x", &print, NULL), 0);
    assert_string_equal(print, PRINT_A);
    free(print);
    struct vmm_error *e = NULL;
    assert_int_equal(ssh_key_fingerprint("ssh-ed25519 x", &print, &e), -VMM_E_SSH_KEYGEN);
    vmm_error_free(e);
}

static void base64_has_one_spelling(void **state)
{
    (void)state;
    static const struct {
        const char *text, *want;
    } rows[] = {{"", ""}, {"YQ==", "a"}, {"YWI=", "ab"}, {"YWJj", "abc"}, {"YWJjZA==", "abcd"},
        {"YR==", NULL}, {"YWJ=", NULL}, {"YQ=", NULL}, {"YQ", NULL}, {"Y===", NULL}, {"====", NULL},
        {"YQ==YQ==", NULL}, {"YW J", NULL}};
    for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
        cleanup_buf struct buf out = {0};
        const bool is_good = base64_decode(str_view(rows[i].text), &out);
        if (is_good != (rows[i].want != NULL) ||
            (is_good && strcmp(buf_cstr(&out), rows[i].want) != 0))
            fail_msg("row %zu: %s", i, rows[i].text);
    }
}

static void known_hosts_lines_are_found_and_judged(void **state)
{
    (void)state;
    struct public_key a, b;
    assert_true(public_key_parse(STR(KEY_A), &a));
    assert_true(public_key_parse(STR(KEY_B), &b));
    static const struct {
        const char *text, *name;
        enum known_hosts_verdict want;
    } rows[] = {
        {"", "h", KNOWN_HOSTS_ABSENT},
        {"h " KEY_A "\n", "h", KNOWN_HOSTS_MATCH},
        {"h " KEY_A, "h", KNOWN_HOSTS_MATCH},
        {"h " KEY_B "\n", "h", KNOWN_HOSTS_DIFFERS},
        {"h " KEY_B "\nh " KEY_A "\n", "h", KNOWN_HOSTS_MATCH},
        {"h " KEY_A "\nh " KEY_B "\n", "h", KNOWN_HOSTS_MATCH},
        {"x,h,y " KEY_A "\n", "h", KNOWN_HOSTS_MATCH},
        {"hh " KEY_A "\n", "h", KNOWN_HOSTS_ABSENT},
        {"[h]:22 " KEY_A "\n", "[h]:22", KNOWN_HOSTS_MATCH},
        {"# h " KEY_A "\n", "h", KNOWN_HOSTS_ABSENT},
        {"@revoked h " KEY_A "\nh " KEY_A "\n", "h", KNOWN_HOSTS_DIFFERS},
        {"@revoked h " KEY_B "\nh " KEY_A "\n", "h", KNOWN_HOSTS_MATCH},
        {"@cert-authority h " KEY_A "\n", "h", KNOWN_HOSTS_ABSENT},
        {"h ssh-ed25519 broken\n", "h", KNOWN_HOSTS_ABSENT},
        {"* " KEY_A "\n", "h", KNOWN_HOSTS_ABSENT},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
        cleanup_buf struct buf pinned = {0};
        if (known_hosts_check(str_view(rows[i].text), rows[i].name, &a, &pinned) != rows[i].want)
            fail_msg("row %zu: %s", i, rows[i].text);
    }
    cleanup_buf struct buf pinned = {0};
    known_hosts_check(STR("h " KEY_A "\n"), "h", &b, &pinned);
    assert_string_equal(buf_cstr(&pinned), PRINT_A);
    cleanup_buf struct buf types = {0};
    known_hosts_types(STR("h " KEY_A "\n@revoked h " KEY_B "\nother " KEY_B), "h", &types);
    assert_string_equal(buf_cstr(&types), "ssh-ed25519");
    char *line;
    assert_int_equal(ssh_known_hosts_line("127.0.0.1", 10022, KEY_A " me@here", &line, NULL), 0);
    assert_string_equal(line, "[127.0.0.1]:10022 " KEY_A "\n");
    free(line);
    assert_int_equal(ssh_known_hosts_line("vm", 0, KEY_A, &line, NULL), 0);
    assert_string_equal(line, "vm " KEY_A "\n");
    free(line);
}

static void banners_are_found_in_what_was_peeked(void **state)
{
    (void)state;
    char flood[5000];
    memset(flood, 'x', sizeof(flood));
    size_t at = 99;
    assert_int_equal(probe_find_banner(STR("SSH-2.0-OpenSSH_9.2p1\r\n"), &at), 23);
    assert_int_equal(at, 0);
    assert_int_equal(probe_find_banner(STR("hello\r\nSSH-2.0-x\nmore"), &at), 10);
    assert_int_equal(at, 7);
    assert_int_equal(probe_find_banner(STR("SSH-1.99-x\n"), &at), 11);
    assert_int_equal(probe_find_banner(STR("SSH-1.5-x\n"), &at), -1);
    assert_int_equal(probe_find_banner(STR("SSH-2.0-x"), &at), 0);
    assert_int_equal(probe_find_banner(STR("SS"), &at), 0);
    assert_int_equal(probe_find_banner(STR("HTTP/1.1 400\r\n"), &at), 0);
    assert_int_equal(probe_find_banner((struct str){flood, sizeof(flood)}, &at), -1);
    memcpy(flood, "SSH-2.0-", 8);
    assert_int_equal(probe_find_banner((struct str){flood, 300}, &at), -1);
    assert_int_equal(probe_find_banner((struct str){flood, 200}, &at), 0);
}

/* ---- SFTP ---------------------------------------------------------------------------------- */

static void answers_in_any_order_make_the_same_file(void **state)
{
    (void)state;
    char name[] = "/tmp/vmm-test-ssh-XXXXXX";
    cleanup_close int fd = mkstemp(name);
    unlink(name);
    struct transfer *t =
        transfer_new(&(struct transfer_opts){.fd = fd, .path = "x", .limit_bytes = 1 << 20});
    static const char hello[] = "\0\0\0\5\2\0\0\0\3";
    static const char handle[] = "\0\0\0\12\146\0\0\0\0\0\0\0\1h";
    static const char size[] = "\0\0\0\21\151\0\0\0\1\0\0\0\1\0\0\0\0\0\0\200\5"; /* 32773 */
    for (size_t i = 0; i < sizeof(hello) - 1; i++)                                /* byte by byte */
        transfer_feed(t, hello + i, 1);
    transfer_feed(t, handle, sizeof(handle) - 1);
    transfer_feed(t, size, sizeof(size) - 1);
    assert_int_equal(transfer_status(t).total_bytes, 32773);
    transfer_pump(t); /* asks for 0 and 32768: ids 2 and 3 */
    /* The second first: five bytes, of which the rest is then asked for: id 4. */
    transfer_feed(t, "\0\0\0\16\147\0\0\0\3\0\0\0\5tail!", 18);
    /* The end of it is the end. */
    transfer_feed(t, "\0\0\0\21\145\0\0\0\4\0\0\0\1\0\0\0\0\0\0\0\0", 21);
    cleanup_buf struct buf data = {0};
    buf_add(&data, "\0\0\200\11\147\0\0\0\2\0\0\200\0", 13);
    char bytes[32768];
    memset(bytes, 'b', sizeof(bytes));
    buf_add(&data, bytes, sizeof(bytes));
    transfer_feed(t, data.p, data.n);
    transfer_pump(t); /* CLOSE: id 5 */
    transfer_feed(t, "\0\0\0\21\145\0\0\0\5\0\0\0\0\0\0\0\0\0\0\0\0", 21);
    const struct transfer_status s = transfer_status(t);
    if (s.state != TRANSFER_DONE)
        fail_msg("%s: %s", s.reason ? s.reason : "going", s.message ? s.message : "-");
    assert_int_equal(s.done_bytes, 32773);
    char tail[5];
    assert_int_equal(pread(fd, tail, 5, 32768), 5);
    assert_memory_equal(tail, "tail!", 5);
    transfer_free(t);
}

static void more_than_was_asked_for_is_refused(void **state)
{
    (void)state;
    for (uint32_t length = 1001; length <= 1002;
         length++) { /* asked for: one more than the limit */
        char name[] = "/tmp/vmm-test-ssh-XXXXXX";
        cleanup_close int fd = mkstemp(name);
        unlink(name);
        struct transfer *t =
            transfer_new(&(struct transfer_opts){.fd = fd, .path = "x", .limit_bytes = 1000});
        transfer_feed(t, "\0\0\0\5\2\0\0\0\3", 9);
        transfer_feed(t, "\0\0\0\12\146\0\0\0\0\0\0\0\1h", 14);
        transfer_feed(t, "\0\0\0\21\151\0\0\0\1\0\0\0\1\0\0\0\0\0\0\0\1", 21);
        transfer_pump(t);
        char data[1100] = "\0\0\0\0\147\0\0\0\2\0\0";
        data[2] = (char)((length + 9) >> 8);
        data[3] = (char)(length + 9);
        data[11] = (char)(length >> 8);
        data[12] = (char)length;
        transfer_feed(t, data, 13 + length);
        const struct transfer_status s = transfer_status(t);
        assert_int_equal(s.state, TRANSFER_FAILED);
        assert_string_equal(s.reason, length == 1001 ? "too-large" : "protocol");
        struct stat st;
        assert_int_equal(fstat(fd, &st), 0);
        assert_int_equal(st.st_size, 0);
        transfer_free(t);
    }
}

/* ---- Quoting ------------------------------------------------------------------------------- */

static uint32_t seed = 12345; /* the same strings each time */

static uint32_t next_random(void)
{
    seed = seed * 1664525 + 1013904223;
    return seed >> 8;
}

enum { STRINGS_PER_RUN = 2000, RUNS = 13, LENGTH_MAX = 24 };

/* What a shell makes of 2000 quoted strings must be the strings. Half of the bytes are those that
 * mean something to shells. */
static void check_shell(const char *const *shell, const char *folder)
{
    static const char special[] = "'\"\\`$ \n\t*?[]{}()<>|&;#~!=%^-\r\x7f\x80\xff\xc3";
    cleanup_buf struct buf script = {0};
    cleanup_buf struct buf want = {0};
    for (unsigned i = 0; i < STRINGS_PER_RUN; i++) {
        char text[LENGTH_MAX];
        const size_t n = next_random() % (LENGTH_MAX + 1);
        for (size_t k = 0; k < n; k++)
            text[k] = next_random() & 1 ? special[next_random() % (sizeof(special) - 1)]
                                        : (char)(next_random() % 255 + 1);
        buf_adds(&script, "printf '%s\\000' ");
        ssh_quote(&script, (struct str){text, n});
        buf_addc(&script, '\n');
        buf_add(&want, text, n);
        buf_addc(&want, '\0');
    }
    assert_int_equal(fs_write_durable(folder, "script", script.p, script.n, NULL), 0);
    cleanup_free char *path = path_join(folder, "script");
    const char *argv[4] = {shell[0], shell[1] ? shell[1] : path, shell[1] ? path : NULL, NULL};
    cleanup_buf struct buf out = {0};
    const int status = process_run(argv, deadline_in_ms(60000), 0, &out, NULL);
    if (status != 0 || out.n != want.n || memcmp(out.p, want.p, want.n) != 0)
        fail_msg("%s ended with %d and %zu bytes of %zu", shell[0], status, out.n, want.n);
}

static void quoted_strings_survive_every_shell(void **state)
{
    (void)state;
    static const char *const shells[][2] = {
        {"sh", NULL}, {"dash", NULL}, {"bash", NULL}, {"busybox", "sh"}};
    char folder[] = "/tmp/vmm-test-ssh-XXXXXX";
    assert_non_null(mkdtemp(folder));
    unsigned checked = 0;
    for (size_t i = 0; i < sizeof(shells) / sizeof(*shells); i++) {
        cleanup_free char *program = process_find_program(shells[i][0]);
        if (!program) {
            print_message("no %s here\n", shells[i][0]);
            continue;
        }
        for (unsigned run = 0; run < RUNS; run++)
            check_shell(shells[i], folder);
        checked += RUNS * STRINGS_PER_RUN;
    }
    print_message("%u strings\n", checked);
    assert_true(checked >= RUNS * STRINGS_PER_RUN);
    fs_remove_tree(folder, NULL);
    cleanup_buf struct buf out = {0};
    ssh_quote(&out, STR("it's"));
    assert_string_equal(buf_cstr(&out), "'it'\\''s'");
    buf_clear(&out);
    ssh_quote(&out, (struct str){0});
    assert_string_equal(buf_cstr(&out), "''");
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(frame_lengths_are_checked_before_they_are_believed),
        cmocka_unit_test(frames_and_descriptors_cross_a_socket),
        cmocka_unit_test(library_takes_no_descriptors),
        cmocka_unit_test(messages_out_of_bounds_are_none),
        cmocka_unit_test(public_keys_are_what_they_say),
        cmocka_unit_test(base64_has_one_spelling),
        cmocka_unit_test(known_hosts_lines_are_found_and_judged),
        cmocka_unit_test(banners_are_found_in_what_was_peeked),
        cmocka_unit_test(answers_in_any_order_make_the_same_file),
        cmocka_unit_test(more_than_was_asked_for_is_refused),
        cmocka_unit_test(quoted_strings_survive_every_shell),
    };
    if (argc > 1)
        cmocka_set_test_filter(argv[1]);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
