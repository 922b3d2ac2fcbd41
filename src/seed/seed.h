/* Cloud-init documents and the NoCloud ISO that carries them into a guest.
 *
 * Compose first (pure: same input, same bytes), then write. A document is JSON, which every YAML
 * reader takes, by one emitter (emit.h): no value of anybody's is ever printed into YAML
 * (security.md 0.8, K-7).
 *
 * How to attach the ISO: as the second virtio-blk disk, read-only, raw. Not as a CD-ROM: q35's is
 * on SATA, and Debian's cloud kernel has no AHCI driver, so the guest would never see it. Second,
 * because Ubuntu's images find their root as the first virtio disk (/dev/vda). Which disk it is
 * does not matter to cloud-init: blkid finds the label "cidata" on any of them. */
#pragma once

#include "base/buf.h"
#include "base/str.h"
#include "vmm/error.h"

#include <stdbool.h>
#include <stddef.h>

enum {
    SEED_USER_DATA_MAX_BYTES = 4 << 20, /* people embed files; more belongs on a disk */
    SEED_KEYS_MAX = 64,
    SEED_KEY_MAX_BYTES = 16384, /* RSA of 16384 bits takes 2.8 kB */
    SEED_INSTANCE_ID_BYTES = 32,
};

/* All borrowed. */
struct seed_input {
    const char *hostname; /* RFC 1123; dots make it a full name */
    /* The VM's uuid: two VMs of the same content are still two instances. */
    const char *salt;
    /* For generated user-data. */
    const char *user;
    const char *const *ssh_public_keys;
    size_t ssh_public_key_count;
    /* The guest's own Ed25519 host key, so that the first connection is already pinned (security.md
     * K-1): OpenSSH's PEM text and the line of its .pub file. Both or none. */
    const char *host_key_private;
    const char *host_key_public;
    /* A whole user-data document, passed byte for byte; p NULL: one is generated. The host key then
     * travels in vendor-data, which cloud-init merges below user-data: a user-data with `ssh_keys`
     * of its own wins, and so do one with `vendor_data: {enabled: false}` and a guest without
     * cloud-init. */
    struct str user_data;
};

/* Zeroed is empty. Holds a private key: seed_documents_done wipes it. */
struct seed_documents {
    struct buf meta_data;
    struct buf user_data;
    struct buf vendor_data; /* empty: there is none */
    char instance_id[SEED_INSTANCE_ID_BYTES];
};

void seed_documents_done(struct seed_documents *d);
#define cleanup_seed_documents __attribute__((__cleanup__(seed_documents_done)))

/* Checks every value and makes the documents. The instance-id changes exactly when anything in them
 * does: cloud-init then runs its once-per-instance steps again. VMM_E_VMFILE_INVALID says which
 * value is wrong; no error holds more of a key than its type. */
int seed_compose(
    const struct seed_input *input, struct seed_documents *ret, struct vmm_error **errp);

/* Whether cloud-init knows what to do with user-data that begins so. It ignores anything else
 * with one line in a log inside the guest: worth a warning on the host. */
bool seed_user_data_is_recognized(struct str user_data);

/* Writes the ISO (0600, durably) by the helper vmm-seed. Same documents, same bytes; a file that
 * already holds them is not touched. VMM_E_HELPER: the helper is missing. */
int seed_write_iso(
    const struct seed_documents *documents, const char *path, struct vmm_error **errp);
