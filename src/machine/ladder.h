/* How far a booting guest has come, from what its console, its firmware and QEMU say. Pure: bytes
 * in, a rung out; the waiting is in wait.c.
 *
 *   process   QEMU runs
 *   firmware  SeaBIOS or OVMF speaks            -> "No bootable device" ends it
 *   loader    a boot loader speaks              -> a rescue prompt ends it
 *   kernel    the kernel prints                 -> a panic or an initramfs shell ends it
 *   userspace init has taken over               -> emergency mode ends it
 *   network   the guest has an address
 *   port      something answers on port 22 (ssh says so, not the console)
 *   login     ... a key exchange succeeded, now the user must be let in
 *   ready     logged in
 *
 * A guest that reboots falls back to firmware. */
#pragma once

#include "base/buf.h"
#include "base/json.h"

#include <stdbool.h>
#include <stdint.h>

enum rung {
    RUNG_PROCESS,
    RUNG_FIRMWARE,
    RUNG_LOADER,
    RUNG_KERNEL,
    RUNG_USERSPACE,
    RUNG_NETWORK,
    RUNG_PORT,
    RUNG_LOGIN,
    RUNG_READY,
    RUNG_COUNT_
};

struct ladder {
    enum rung rung;
    uint64_t console_bytes;
    unsigned sshd_signs;    /* lines that speak of sshd or a login: a good moment to try */
    struct buf line;        /* the one being printed */
    struct buf tail;        /* the last complete lines */
    const char *dead;       /* a reason word once the guest cannot go on; constant */
    const char *dead_words; /* the sentence for it; constant */
    bool dead_by_event;     /* QEMU or the firmware said so: only a reset takes that back */
    struct buf dead_line;   /* what gave it away */
};

/* A word for machines, a phrase for "waiting for ...". */
const char *rung_name(enum rung rung);
const char *rung_phrase(enum rung rung);
/* What to try when a guest stays on this rung. */
const char *rung_advice(enum rung rung);

void ladder_done(struct ladder *l);
void ladder_console(struct ladder *l, const char *p, size_t n);
/* A line of events.log. */
void ladder_event(struct ladder *l, const json_t *event);
/* From outside: never down. */
void ladder_reach(struct ladder *l, enum rung rung);
/* Appends the last `lines` lines the console printed, sanitized. */
void ladder_tail(const struct ladder *l, unsigned lines, struct buf *out);
