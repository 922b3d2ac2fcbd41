#include "machine/ladder.h"
#include "base/utf8.h"

#include <string.h>

enum {
    LINE_MAX_BYTES = 1024, /* longer lines are judged and shown by their beginning */
    TAIL_MAX_BYTES = 16 << 10,
};

static const struct {
    const char *name;
    const char *phrase;
    const char *advice;
} rungs[RUNG_COUNT_] = {
    [RUNG_PROCESS] = {"process", "the firmware",
        "QEMU runs but the machine shows no sign of life; try VMCTL_ACCEL=tcg."},
    [RUNG_FIRMWARE] = {"firmware", "the kernel",
        "The firmware ran, and nothing came after it on the serial port: the image may not boot on "
        "this firmware, or its kernel may not use console=ttyS0."},
    [RUNG_LOADER] = {"loader", "the kernel",
        "The boot loader did not start a kernel; see the lines above."},
    [RUNG_KERNEL] = {"kernel", "the kernel to start userspace",
        "The kernel started but init did not; see the lines above for a missing root disk or driver."},
    [RUNG_USERSPACE] = {"userspace", "sshd",
        "The guest boots but its sshd does not answer: look for failed units above, and see that the "
        "image has sshd and a DHCP client enabled."},
    [RUNG_NETWORK] = {"network", "sshd",
        "The guest has an address but nothing answers on port 22: see that sshd is installed and enabled."},
    [RUNG_PORT] = {"port", "sshd to answer",
        "Port 22 takes connections but no ssh server speaks: sshd may be hanging or still making keys."},
    [RUNG_LOGIN] = {"login", "the login",
        "sshd answers but refuses the login: see that `user` is the one the image or cloud-init makes, "
        "and that the key is the right one."},
    [RUNG_READY] = {"ready", "nothing", ""},
};

const char *rung_name(enum rung rung)
{
    return rungs[rung].name;
}

const char *rung_phrase(enum rung rung)
{
    return rungs[rung].phrase;
}

const char *rung_advice(enum rung rung)
{
    return rungs[rung].advice;
}

/* What shows that a rung is reached. */
static const struct {
    const char *text;
    enum rung rung;
} signs[] = {
    {"SeaBIOS (version", RUNG_FIRMWARE},
    {"BdsDxe:", RUNG_FIRMWARE},
    {"GRUB", RUNG_LOADER},
    {"Booting `", RUNG_LOADER},
    {"SYSLINUX", RUNG_LOADER},
    {"Loading Linux", RUNG_LOADER},
    {"Linux version ", RUNG_KERNEL},
    {"[    0.000000]", RUNG_KERNEL},
    {"Decompressing Linux", RUNG_KERNEL},
    {"SunOS Release", RUNG_KERNEL},
    {"Copyright (c) 1992-", RUNG_KERNEL}, /* FreeBSD */
    {"systemd[1]:", RUNG_USERSPACE},
    {"Welcome to ", RUNG_USERSPACE},
    {"userspace up", RUNG_USERSPACE},
    {"OpenRC ", RUNG_USERSPACE},
    {"INIT: version", RUNG_USERSPACE},
    {"ci-info: |", RUNG_NETWORK},
    {"lease of ", RUNG_NETWORK}, /* udhcpc: "lease of 10.0.2.15 obtained" */
    {"bound to ", RUNG_NETWORK}, /* dhclient: "bound to 10.0.2.15 -- renewal in" */
    {"Reached target Network is Online", RUNG_NETWORK},
    {"Reached target network-online.target", RUNG_NETWORK},
};

/* What shows that it will never go on by itself. */
static const struct {
    const char *text;
    const char *reason;
    const char *words;
    bool is_prompt; /* only at the start of a line: a log may speak of it */
} ends[] = {
    {"Kernel panic - not syncing", "panic", "its kernel panicked"},
    {"(initramfs)", "initramfs", "it dropped to an initramfs shell: the root disk was not found",
        true},
    {"Dropping to a shell!", "initramfs",
        "it dropped to an initramfs shell: the root disk was not found"},
    {"dracut:/#", "initramfs", "it dropped to a dracut shell: the root disk was not found", true},
    {"You are in emergency mode", "emergency", "it went into emergency mode"},
    {"Cannot open access to console, the root account is locked", "emergency",
        "it went into emergency mode"},
    {"No bootable device", "no-boot-disk", "its firmware found no bootable disk"},
    {"No bootable option or device was found", "no-boot-disk",
        "its firmware found no bootable disk"},
    {"grub rescue>", "boot-loader", "its boot loader stopped at a rescue prompt", true},
    {"Failed to execute /init", "no-init", "its kernel found no init"},
};

/* Lines that come when sshd does. */
static const char *const sshd_signs[] = {
    "sshd", "ssh.service", "dropbear", "OpenSSH", "OpenBSD Secure Shell"};

static bool holds(const struct buf *line, const char *text)
{
    return line->n && memmem(line->p, line->n, text, strlen(text));
}

static bool starts(const struct buf *line, const char *text)
{
    return line->n >= strlen(text) && memcmp(line->p, text, strlen(text)) == 0;
}

void ladder_reach(struct ladder *l, enum rung rung)
{
    if (rung > l->rung)
        l->rung = rung;
}

/* A sign of life: what looked like the end was not. */
static void take_back(struct ladder *l)
{
    l->dead = NULL;
    l->dead_words = NULL;
    l->dead_by_event = false;
    buf_clear(&l->dead_line);
}

/* The console may be read after the events although it was printed before them. */
static void take_back_by_console(struct ladder *l)
{
    if (!l->dead_by_event)
        take_back(l);
}

/* Only a whole line tells a rung ("Welcome to GRUB!" is no "Welcome to Debian"). */
static void judge_line(struct ladder *l, const struct buf *line)
{
    if (holds(line, "Linux version "))
        take_back_by_console(l); /* it has rebooted by itself */
    const bool is_loader = holds(line, "GRUB");
    for (size_t i = 0; i < sizeof(signs) / sizeof(*signs); i++) {
        if (signs[i].rung > l->rung && holds(line, signs[i].text) &&
            (!is_loader || signs[i].rung <= RUNG_LOADER))
            l->rung = signs[i].rung;
    }
    for (size_t i = 0; i < sizeof(sshd_signs) / sizeof(*sshd_signs); i++)
        l->sshd_signs += holds(line, sshd_signs[i]);
}

/* Prompts have no newline, so these are looked for in what there is of a line. */
static void judge_prompt(struct ladder *l, const struct buf *line)
{
    if (holds(line, " login:")) {
        ladder_reach(l, RUNG_USERSPACE);
        take_back_by_console(l);
    }
    for (size_t i = 0; !l->dead && i < sizeof(ends) / sizeof(*ends); i++) {
        if (ends[i].is_prompt ? starts(line, ends[i].text) : holds(line, ends[i].text)) {
            l->dead = ends[i].reason;
            l->dead_words = ends[i].words;
            buf_add(&l->dead_line, line->p, line->n);
        }
    }
}

static void keep_line(struct ladder *l)
{
    buf_add(&l->tail, l->line.p, l->line.n);
    buf_addc(&l->tail, '\n');
    if (l->tail.n > 2 * TAIL_MAX_BYTES)
        buf_drop(&l->tail, l->tail.n - TAIL_MAX_BYTES);
}

void ladder_console(struct ladder *l, const char *p, size_t n)
{
    l->console_bytes += n;
    for (size_t i = 0; i < n; i++) {
        if (p[i] == '\n') {
            judge_line(l, &l->line);
            judge_prompt(l, &l->line);
            if (l->line.n)
                keep_line(l);
            buf_clear(&l->line);
        } else if (p[i] != '\r' && l->line.n < LINE_MAX_BYTES) {
            buf_addc(&l->line, p[i]);
        }
    }
    judge_prompt(l, &l->line);
}

void ladder_event(struct ladder *l, const json_t *event)
{
    const char *kind = json_get_string(event, "event");
    const char *text = json_get_string(event, "text");
    const char *name = json_get_string(event, "name");
    const bool was_dead = l->dead;
    if (!kind)
        return;
    if (strcmp(kind, "firmware") == 0 && text) {
        ladder_reach(l, RUNG_FIRMWARE);
        const struct buf line = {.p = (char *)text, .n = strlen(text)};
        judge_line(l, &line);
        judge_prompt(l, &line);
    }
    if (strcmp(kind, "qmp") == 0 && name && strcmp(name, "RESET") == 0 && l->rung > RUNG_FIRMWARE) {
        l->rung = RUNG_FIRMWARE;
        take_back(l);
    }
    if (strcmp(kind, "qmp") == 0 && name && strcmp(name, "GUEST_PANICKED") == 0 && !l->dead) {
        l->dead = "panic";
        l->dead_words = "its kernel panicked";
    }
    if (l->dead && !was_dead)
        l->dead_by_event = true;
}

void ladder_tail(const struct ladder *l, unsigned lines, struct buf *out)
{
    size_t from = l->tail.n;
    if (l->line.n && lines)
        lines--;
    while (from > 0 && lines > 0) {
        from--; /* over the newline that ends this line */
        while (from > 0 && l->tail.p[from - 1] != '\n')
            from--;
        lines--;
    }
    if (from < l->tail.n)
        utf8_sanitize(out, l->tail.p + from, l->tail.n - from);
    if (l->line.n) {
        utf8_sanitize(out, l->line.p, l->line.n);
        buf_addc(out, '\n');
    }
}

void ladder_done(struct ladder *l)
{
    buf_done(&l->line);
    buf_done(&l->tail);
    buf_done(&l->dead_line);
    *l = (struct ladder){0};
}
