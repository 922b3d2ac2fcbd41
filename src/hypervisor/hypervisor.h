/* The backends behind vmm/hypervisor.h and what the rooms above need beyond it: reservations made
 * before a VM is prepared, and the names of the files in a VM's work folder. */
#pragma once

#include "base/clock.h"
#include "vmm/hypervisor.h"

/* What the registry has already promised to a VM. */
struct hypervisor_reservation {
    const char *id; /* a UUID */
    const char *mac_addr;
    uint16_t ssh_host_port; /* 0: none */
};

/* A backend is a row of functions; NULL where an operation is not supported. */
struct hypervisor_backend {
    enum vmm_backend tag;
    int (*prepare)(struct vmm_hypervisor *h,
        const struct vmm_spec *spec,
        const struct hypervisor_reservation *reservation,
        struct vmm_handle **ret_vm,
        struct vmm_error **errp);
    int (*start)(struct vmm_hypervisor *h, struct vmm_handle *vm, struct vmm_error **errp);
    int (*stop)(struct vmm_hypervisor *h,
        struct vmm_handle *vm,
        int64_t timeout_ms,
        struct vmm_error **errp);
    int (*suspend)(struct vmm_hypervisor *h, struct vmm_handle *vm, struct vmm_error **errp);
    int (*resume)(struct vmm_hypervisor *h, struct vmm_handle *vm, struct vmm_error **errp);
    int (*destroy)(struct vmm_hypervisor *h, struct vmm_handle *vm, struct vmm_error **errp);
    int (*state)(struct vmm_hypervisor *h,
        const struct vmm_handle *vm,
        enum vmm_state *ret_state,
        struct vmm_error **errp);
    int (*guest_ip)(struct vmm_hypervisor *h,
        const struct vmm_handle *vm,
        char **ret_ip,
        struct vmm_error **errp);
    int (*console)(struct vmm_hypervisor *h,
        const struct vmm_handle *vm,
        struct vmm_console *ret_console,
        struct vmm_error **errp);
    /* Which process runs the VM, 0 for none: cheap, asks no monitor. */
    int64_t (*live_pid)(struct vmm_hypervisor *h, const struct vmm_handle *vm);
};

extern const struct hypervisor_backend qemu_backend;
extern const struct hypervisor_backend noop_backend;

/* As vmm_hypervisor_prepare, with what was reserved; NULL: all is chosen here. */
int hypervisor_prepare(struct vmm_hypervisor *h,
    const struct vmm_spec *spec,
    const struct hypervisor_reservation *reservation,
    struct vmm_handle **ret_vm,
    struct vmm_error **errp);

/* 0 when it does not run. A VM whose keeper is gone gets a new one on the way. */
int64_t hypervisor_live_pid(struct vmm_hypervisor *h, const struct vmm_handle *vm);

/* The backend new VMs get, and whether they take an ssh port on this host. */
enum vmm_backend hypervisor_default_backend(const struct vmm_hypervisor *h);

/* What people should be told once about this host ("KVM does not work here, using TCG"): NULL or a
 * string the caller owns. Each note is handed out once. */
char *hypervisor_take_note(struct vmm_hypervisor *h);

/* Readable: whoever waits in here gives up (VMM_E_INTERRUPTED). 0 or less: none. Set before threads
 * use the hypervisor. */
void hypervisor_set_cancel_fd(struct vmm_hypervisor *h, int fd);

/* How many times longer than on working hardware virtualization things may take. */
unsigned hypervisor_patience(const struct vmm_handle *vm);

/* Files in a VM's work folder. */
#define WORKDIR_OVERLAY "overlay.qcow2"
#define WORKDIR_SEED "seed.iso"
#define WORKDIR_QMP "qmp.sock"         /* for people */
#define WORKDIR_CONSOLE "console.sock" /* the keeper's: any number of viewers */
#define WORKDIR_CONSOLE_LOG "console.log"
#define WORKDIR_EVENTS_LOG "events.log"
#define WORKDIR_PROVISION_LOG "provision.log"
#define WORKDIR_QEMU_LOG "qemu.log" /* what QEMU said on stderr */
#define WORKDIR_ENDED "ended.json"  /* how the last run ended */
#define WORKDIR_PIDFILE "pidfile"
#define WORKDIR_KEY "id_ed25519_generated"
#define WORKDIR_KNOWN_HOSTS "known_hosts"
#define WORKDIR_HOST_KEY_PUB "host_key.pub"
#define WORKDIR_VNC_PASSWORD "vnc-password"
