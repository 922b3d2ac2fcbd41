/* What went wrong, whole: a code that scripts may rely on, one line for people, what to do about
 * it, the place in a file if there is one, and the cause underneath.
 *
 * Every function that can fail takes `struct vmm_error **errp` last and returns 0 or a negative
 * code. On success *errp and nothing else about errors is touched and every ret_ parameter is set;
 * on failure *errp holds a new error, owned by the caller, and no ret_ parameter is touched. errp
 * may be NULL when only yes or no matters; otherwise *errp must be NULL at the call.
 *
 * An error is immutable and may be handed from thread to thread, not shared between two. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__)
#define VMM_EXPORT __attribute__((visibility("default")))
#else
#define VMM_EXPORT
#endif

/* Constant, stable name, default help. A name, once released, is kept. The first twenty are those
 * of the reference manual. */
#define VMM_ERRORS(X)                                                                            \
    X(QEMU_SPAWN, "vm_manager::qemu::spawn_failed",                                              \
        "Ensure qemu-system-x86_64 is installed and in PATH.")                                   \
    X(QMP_CONNECT, "vm_manager::qemu::qmp_connect_failed",                                       \
        "QEMU may have ended before its QMP socket was ready; see qemu.log in the VM's folder.") \
    X(QMP_COMMAND, "vm_manager::qemu::qmp_command_failed", NULL)                                 \
    X(IMAGE_OVERLAY, "vm_manager::image::overlay_creation_failed",                               \
        "Ensure qemu-img is installed and the base image exists and is readable.")               \
    X(NETWORK_IP, "vm_manager::network::ip_discovery_timeout",                                   \
        "The guest may not have a DHCP lease; check the network block and cloud-init.")          \
    X(PROPOLIS, "vm_manager::propolis::unreachable", "Ensure propolis-server is running.")       \
    X(CLOUDINIT_ISO, "vm_manager::cloudinit::iso_failed", NULL)                                  \
    X(SSH, "vm_manager::ssh::failed",                                                            \
        "Check the SSH key, that the guest is reachable and that sshd runs in it.")              \
    X(SSH_KEYGEN, "vm_manager::ssh::keygen_failed",                                              \
        "This is an internal error; please report it.")                                          \
    X(IMAGE_DOWNLOAD, "vm_manager::image::download_failed", "Check the network and the URL.")    \
    X(IMAGE_FORMAT, "vm_manager::image::format_detection_failed",                                \
        "The file must be a qcow2 or raw disk image.")                                           \
    X(IMAGE_CONVERT, "vm_manager::image::conversion_failed",                                     \
        "Ensure qemu-img is installed and there is enough disk space.")                          \
    X(VM_NOT_FOUND, "vm_manager::vm::not_found", "Run `vmctl list` to see the VMs there are.")   \
    X(VM_STATE, "vm_manager::vm::invalid_state", NULL)                                           \
    X(BACKEND, "vm_manager::backend::not_available",                                             \
        "This backend is not supported on this platform.")                                       \
    X(VMFILE_NOT_FOUND, "vm_manager::vmfile::not_found",                                         \
        "Create VMFile.kdl in the current directory or name a file with --file.")                \
    X(VMFILE_SYNTAX, "vm_manager::vmfile::parse_failed",                                         \
        "VMFile.kdl is written in KDL 2; see https://kdl.dev")                                   \
    X(VMFILE_INVALID, "vm_manager::vmfile::validation", NULL)                                    \
    X(PROVISION, "vm_manager::provision::failed",                                                \
        "Read `vmctl log NAME --provision`, mend the step and run `vmctl up` again.")            \
    X(IO, "vm_manager::io", NULL)                                                                \
    X(USAGE, "vm_manager::usage", NULL)                                                          \
    X(VM_NAME, "vm_manager::vm::invalid_name",                                                   \
        "Use letters, digits, `.`, `_` and `-`, first a letter or digit, at most 63.")           \
    X(VM_EXISTS, "vm_manager::vm::already_exists", NULL)                                         \
    X(VM_BUSY, "vm_manager::vm::busy", "Wait for the other command to end, then try again.")     \
    X(STORE_CORRUPT, "vm_manager::store::corrupt", NULL)                                         \
    X(IMAGE_REFUSED, "vm_manager::image::refused", NULL)                                         \
    X(IMAGE_TOO_SMALL, "vm_manager::image::disk_too_small", NULL)                                \
    X(HOST_NO_SPACE, "vm_manager::host::no_space", "Free some space and run the command again.") \
    X(HOST_PATH_LONG, "vm_manager::host::path_too_long",                                         \
        "Set XDG_DATA_HOME to a shorter path or give the VM a shorter name.")                    \
    X(HOST_PORT, "vm_manager::host::port_unavailable", NULL)                                     \
    X(HOST_ACCEL, "vm_manager::host::accel_unavailable", NULL)                                   \
    X(GUEST_FAILED, "vm_manager::guest::failed", NULL)                                           \
    X(WAIT_TIMEOUT, "vm_manager::wait::timed_out", NULL)                                         \
    X(CLOUDINIT_FAILED, "vm_manager::cloudinit::failed",                                         \
        "Enter the guest with `vmctl ssh` and read /var/log/cloud-init.log.")                    \
    X(SSH_HOST_KEY, "vm_manager::ssh::host_key_mismatch", NULL)                                  \
    X(SSH_AUTH, "vm_manager::ssh::login_refused", NULL)                                          \
    X(INTERRUPTED, "vm_manager::interrupted", NULL)                                              \
    X(HELPER, "vm_manager::helper_failed",                                                       \
        "Reinstall: a helper of this program is missing or broken.")                             \
    X(KDL, "vm_manager::kdl::syntax", "See https://kdl.dev")

enum vmm_code {
    VMM_E_NONE,
#define X(constant, name, help) VMM_E_##constant,
    VMM_ERRORS(X)
#undef X
        VMM_E_COUNT_
};

struct vmm_error; /* opaque */

/* Where in a file. Lines and columns count from 1; columns count characters, not bytes. */
struct vmm_place {
    const char *file;
    unsigned line;
    unsigned column;
    size_t offset_bytes;
    size_t length_bytes;
};

VMM_EXPORT enum vmm_code vmm_error_code(const struct vmm_error *e);
VMM_EXPORT const char *vmm_error_code_name(enum vmm_code code);
/* NULL when the code has no help of its own. */
VMM_EXPORT const char *vmm_error_code_help(enum vmm_code code);
/* One line, lower case, no full stop. Borrowed. */
VMM_EXPORT const char *vmm_error_message(const struct vmm_error *e);
/* What to do, or NULL. Borrowed. */
VMM_EXPORT const char *vmm_error_help(const struct vmm_error *e);
/* The words to put under the place, or NULL. Borrowed. */
VMM_EXPORT const char *vmm_error_label(const struct vmm_error *e);
/* A short machine word that narrows the code ("kernel", "initramfs" ...), or NULL. Borrowed. */
VMM_EXPORT const char *vmm_error_reason(const struct vmm_error *e);
/* Lines that explain it (the end of a console or a log), or NULL. Borrowed. */
VMM_EXPORT const char *vmm_error_details(const struct vmm_error *e);
/* The errno behind it, or 0. */
VMM_EXPORT int vmm_error_errno(const struct vmm_error *e);
/* False when it is about no file. The strings stay the error's. */
VMM_EXPORT bool vmm_error_place(const struct vmm_error *e, struct vmm_place *ret_place);
/* The line of the file the place is on, without its newline, or NULL. Not NUL-terminated. */
VMM_EXPORT const char *vmm_error_source_line(const struct vmm_error *e, size_t *ret_length);
/* What lies underneath, or NULL. Borrowed. */
VMM_EXPORT const struct vmm_error *vmm_error_cause(const struct vmm_error *e);
/* The next finding of the same run (a file may have many mistakes), or NULL. Borrowed. */
VMM_EXPORT const struct vmm_error *vmm_error_next(const struct vmm_error *e);
/* What a tool should exit with: 1 failed, 2 asked wrongly, 124 timed out, 130 interrupted. */
VMM_EXPORT int vmm_error_exit_status(const struct vmm_error *e);
/* Takes the whole chain, causes and further findings included; NULL is fine. */
VMM_EXPORT void vmm_error_free(struct vmm_error *e);

#ifdef __cplusplus
}
#endif
