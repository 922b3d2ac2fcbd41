/* What a VM should be (vmm_spec), and what it is once prepared (vmm_handle). Plain data: strings
 * are heap-owned by the struct that holds them unless a comment says otherwise; a zeroed struct is
 * valid and empty; the _done and _free functions tolerate it. Memory is in MiB, disks in GiB. */
#pragma once

#include "vmm/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

enum vmm_backend { VMM_BACKEND_QEMU, VMM_BACKEND_PROPOLIS, VMM_BACKEND_NOOP, VMM_BACKEND_COUNT_ };

enum vmm_state {
    VMM_STATE_PREPARING, /* resources are being made */
    VMM_STATE_PREPARED,  /* made, never booted */
    VMM_STATE_RUNNING,
    VMM_STATE_SUSPENDED, /* in memory, virtual CPUs paused */
    VMM_STATE_STOPPED,
    VMM_STATE_FAILED, /* the hypervisor holds it, but it cannot go on (panic, I/O error) */
    VMM_STATE_DESTROYED,
    VMM_STATE_COUNT_
};

enum vmm_network_kind {
    VMM_NETWORK_USER, /* QEMU's user-mode network; ssh by a forward on 127.0.0.1 */
    VMM_NETWORK_TAP,
    VMM_NETWORK_VNIC,
    VMM_NETWORK_NONE,
    VMM_NETWORK_COUNT_
};

struct vmm_network {
    enum vmm_network_kind kind;
    char *link; /* tap: the bridge; vnic: the vnic; otherwise NULL */
};

enum vmm_accel { VMM_ACCEL_AUTO, VMM_ACCEL_KVM, VMM_ACCEL_TCG, VMM_ACCEL_COUNT_ };

/* First-boot configuration by cloud-init's NoCloud source. */
struct vmm_cloud_init {
    char *hostname;  /* NULL: the VM's name */
    char *user_data; /* passed byte for byte; NULL: generated from `ssh` */
    size_t user_data_bytes;
};

struct vmm_ssh_config {
    char *user;             /* NULL: "vm" */
    char *public_key;       /* one line; NULL: a key pair of the VM's own is made */
    char *private_key_path; /* NULL: the VM's own, then the standard ones in ~/.ssh */
};

/* What to make. */
struct vmm_spec {
    char *name;
    char *image_path; /* absolute */
    uint16_t vcpus;
    uint64_t memory_mib;
    uint32_t disk_gib; /* 0: as large as the image */
    struct vmm_network network;
    bool has_cloud_init;
    struct vmm_cloud_init cloud_init;
    bool has_ssh;
    struct vmm_ssh_config ssh;
    enum vmm_accel accel;
};

/* What was made. Kept in vms.json under the VM's name. */
struct vmm_handle {
    char *id; /* a random UUID; also QEMU's -uuid */
    char *name;
    enum vmm_backend backend;
    enum vmm_state recorded_state; /* the last one written down; ask vmm_hypervisor_state */
    char *work_dir;
    char *image_path;
    char *image_format; /* "qcow2" or "raw" */
    char *overlay_path;
    char *seed_iso_path; /* NULL: no cloud-init */
    int64_t pid;         /* 0: not running */
    uint64_t pid_start_ticks;
    char *boot_id;
    char *qmp_socket;
    char *console_socket;
    char *vnc_addr; /* host:port */
    uint16_t vcpus;
    uint64_t memory_mib;
    uint32_t disk_gib;
    struct vmm_network network;
    uint16_t ssh_host_port; /* 0: none */
    char *mac_addr;
    enum vmm_accel accel;      /* asked for */
    enum vmm_accel accel_used; /* at the last start; AUTO: never started */
    bool has_ssh;
    char *ssh_user;
    char *ssh_private_key_path; /* absolute; NULL: see vmm_ssh_config */
    bool host_key_is_seeded;    /* the guest was given a host key that known_hosts pins */
    char *vmfile_path;          /* the file that defines it; NULL: none */
    bool setup_pending; /* `up` has not yet run all its steps in it: the next `up` goes on */
    char *extra_json;   /* fields a newer version wrote, kept as they are */
};

enum vmm_provision_kind {
    VMM_PROVISION_SHELL_INLINE,
    VMM_PROVISION_SHELL_SCRIPT,
    VMM_PROVISION_FILE,
    VMM_PROVISION_COUNT_
};

/* One step run in the guest after boot. */
struct vmm_provision {
    enum vmm_provision_kind kind;
    char *command;     /* inline: the shell text */
    char *source;      /* script, file: absolute path on the host */
    char *destination; /* file: absolute path in the guest */
};

/* "qemu", "running", "user", "tcg" ...; never NULL. */
VMM_EXPORT const char *vmm_backend_name(enum vmm_backend backend);
VMM_EXPORT const char *vmm_state_name(enum vmm_state state);
VMM_EXPORT const char *vmm_network_name(enum vmm_network_kind kind);
VMM_EXPORT const char *vmm_accel_name(enum vmm_accel accel);

/* Frees what the struct holds and zeroes it. */
VMM_EXPORT void vmm_spec_done(struct vmm_spec *spec);
VMM_EXPORT void vmm_provision_done(struct vmm_provision *provision);
/* NULL is fine. */
VMM_EXPORT void vmm_handle_free(struct vmm_handle *vm);
/* A deep copy, owned by the caller. */
VMM_EXPORT struct vmm_handle *vmm_handle_copy(const struct vmm_handle *vm);

#ifdef __cplusplus
}
#endif
