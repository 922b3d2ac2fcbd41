/* What consoles tell: replayed pieces of real boots. */
#include "testing.h"

#include "machine/ladder.h"

static const struct {
    int line;
    const char *console;
    enum rung rung;
    const char *dead;
} rows[] = {
    {__LINE__, "", RUNG_PROCESS, NULL},
    {__LINE__, "SeaBIOS (version 1.16.2-debian-1.16.2-1)\r\n", RUNG_FIRMWARE, NULL},
    {__LINE__, "BdsDxe: loading Boot0001 \"UEFI Misc Device\"\r\n", RUNG_FIRMWARE, NULL},
    {__LINE__, "GRUB loading.\r\nWelcome to GRUB!\r\n", RUNG_LOADER, NULL},
    {__LINE__, "error: no such partition.\r\nEntering rescue mode...\r\ngrub rescue> ",
        RUNG_PROCESS, "boot-loader"},
    {__LINE__, "[    0.000000] Linux version 6.1.0-18-cloud-amd64\r\n", RUNG_KERNEL, NULL},
    {__LINE__,
        "[    1.2] VFS: Unable to mount root fs on unknown-block(0,0)\r\n"
        "[    1.3] Kernel panic - not syncing: VFS: Unable to mount root fs on unknown-block(0,0)\r\n",
        RUNG_PROCESS, "panic"},
    {__LINE__,
        "Linux version 6\r\nGave up waiting for root file system device.  Common problems:\r\n"
        "ALERT!  /dev/vda9 does not exist.  Dropping to a shell!\r\n",
        RUNG_KERNEL, "initramfs"},
    {__LINE__, "\r\n(initramfs) ", RUNG_PROCESS, "initramfs"},
    {__LINE__, "[    2.0] systemd[1]: Detected architecture x86-64.\r\n", RUNG_USERSPACE, NULL},
    {__LINE__, "You are in emergency mode. After logging in, type ...", RUNG_PROCESS, "emergency"},
    {__LINE__, "\r\nDebian GNU/Linux 12 web ttyS0\r\n\r\nweb login: ", RUNG_USERSPACE, NULL},
    {__LINE__, "udhcpc: lease of 10.0.2.15 obtained from 10.0.2.2\r\n", RUNG_NETWORK, NULL},
};

/* Every row, fed whole and byte by byte: a prompt has no newline, a read may end anywhere. */
static void consoles_are_read(void **state)
{
    (void)state;
    for (size_t i = 0; i < ROWS(rows); i++) {
        for (size_t step = 1; step <= 4096; step *= 4096) {
            struct ladder l = {0};
            const size_t n = strlen(rows[i].console);
            for (size_t at = 0; at < n; at += step)
                ladder_console(&l, rows[i].console + at, n - at < step ? n - at : step);
            if (l.rung != rows[i].rung)
                fail_msg("row at line %d: rung %s", rows[i].line, rung_name(l.rung));
            row_check(&rows[i], (l.dead == NULL) == (rows[i].dead == NULL));
            if (l.dead)
                row_check(&rows[i], strcmp(l.dead, rows[i].dead) == 0);
            ladder_done(&l);
        }
    }
}

static void tell(struct ladder *l, const char *event)
{
    json_error_t ignored;
    cleanup_json json_t *j = json_parse(str_view(event), &ignored);
    assert_non_null(j);
    ladder_event(l, j);
}

static void events_are_read(void **state)
{
    (void)state;
    struct ladder l = {0};
    tell(&l, "{\"event\":\"firmware\",\"text\":\"SeaBIOS (version 1.16)\"}");
    assert_int_equal(l.rung, RUNG_FIRMWARE);
    ladder_console(&l, "Linux version 6\n", 16);
    tell(&l, "{\"event\":\"qmp\",\"name\":\"RESET\",\"data\":{\"guest\":true}}");
    assert_int_equal(l.rung, RUNG_FIRMWARE); /* it reboots */
    tell(&l, "{\"event\":\"firmware\",\"text\":\"No bootable device.  Retrying in 60 seconds.\"}");
    assert_string_equal(l.dead, "no-boot-disk");
    ladder_done(&l);
    struct ladder panicked = {0};
    tell(&panicked, "{\"event\":\"qmp\",\"name\":\"GUEST_PANICKED\"}");
    assert_string_equal(panicked.dead, "panic");
    tell(&panicked, "{\"event\":7}");
    tell(&panicked, "{}");
    ladder_done(&panicked);
}

/* security.md D-3: what is shown of a console cannot steer a terminal. */
static void the_tail_is_safe_and_bounded(void **state)
{
    (void)state;
    struct ladder l = {0};
    for (int i = 0; i < 100000; i++)
        ladder_console(&l, "\x1b]0;owned\x07line\xff\n", 16);
    ladder_console(&l, "last, without newline", 21);
    assert_true(l.tail.cap < 1 << 20);
    cleanup_buf struct buf out = {0};
    ladder_tail(&l, 3, &out);
    int lines = 0;
    for (size_t i = 0; i < out.n; i++) {
        assert_true(out.p[i] == '\n' || (unsigned char)out.p[i] >= 0x20);
        lines += out.p[i] == '\n';
    }
    assert_int_equal(lines, 3);
    assert_non_null(strstr(buf_cstr(&out), "last, without newline"));
    ladder_done(&l);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(consoles_are_read),
        cmocka_unit_test(events_are_read),
        cmocka_unit_test(the_tail_is_safe_and_bounded),
    };
    return cmocka_run_group_tests_name("ladder", tests, NULL, NULL);
}
