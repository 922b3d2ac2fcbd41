/* Any bytes as a VMFile. Reaches src/vmfile/{read,arg,report,vm,provision,url,paths}.c and, behind
 * them, src/kdl/. What is accepted must keep the promises the rest of the program builds on, and be
 * the same when read again; what is refused must point into the text. */
#include "base/error.h"
#include "base/name.h"
#include "vmfile/internal.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define MUST(condition)   \
    do {                  \
        if (!(condition)) \
            abort();      \
    } while (0)

static void check_steps(const struct vmm_vmdef *vm)
{
    MUST(!vm->provision_count || (vm->has_ssh && vm->network_kind != VMM_NETWORK_NONE));
    for (size_t i = 0; i < vm->provision_count; i++) {
        const struct vmm_provision_def *p = &vm->provisions[i];
        switch (p->kind) {
        case VMM_PROVISION_SHELL_INLINE:
            MUST(p->command && *p->command && !p->source && !p->destination);
            break;
        case VMM_PROVISION_SHELL_SCRIPT:
            MUST(!p->command && p->source && *p->source && !p->destination);
            break;
        case VMM_PROVISION_FILE:
            MUST(
                !p->command && p->source && *p->source && p->destination && *p->destination == '/');
            break;
        case VMM_PROVISION_COUNT_:
            abort();
        }
    }
}

static void check_network(const struct vmm_vmdef *vm)
{
    const bool has_link =
        vm->network_kind == VMM_NETWORK_TAP || vm->network_kind == VMM_NETWORK_VNIC;
    MUST(vm->network_kind < VMM_NETWORK_COUNT_ && has_link == (vm->network_link != NULL));
    if (has_link)
        MUST(*vm->network_link && strlen(vm->network_link) <= VMFILE_LINK_NAME_MAX_BYTES &&
             !strpbrk(vm->network_link, "/:, \t\n="));
}

static void check_vm(const struct vmm_vmfile *file, const struct vmm_vmdef *vm)
{
    MUST(name_is_valid(str_view(vm->name)) && vmm_vmfile_find(file, vm->name) == vm);
    MUST(vm->image && *vm->image);
    MUST((vm->image_kind == VMM_IMAGE_URL) == vmfile_is_url(vm->image));
    MUST(vm->vcpus >= 1 && vm->vcpus <= VMFILE_VCPUS_MAX);
    MUST(vm->memory_mib >= 1 && vm->memory_mib <= VMFILE_MEMORY_MAX_MIB);
    MUST(vm->disk_gib <= VMFILE_DISK_MAX_GIB && vm->accel < VMM_ACCEL_COUNT_);
    MUST(!vm->hostname || hostname_is_valid(str_view(vm->hostname)));
    MUST(!vm->ssh_user || username_is_valid(str_view(vm->ssh_user)));
    MUST(!vm->ssh_key || !vm->user_data);
    MUST(vm->has_cloud_init || (!vm->hostname && !vm->ssh_key && !vm->user_data));
    MUST(vm->has_ssh || (!vm->ssh_user && !vm->ssh_private_key));
    MUST(!vm->has_ssh || vm->network_kind != VMM_NETWORK_NONE);
    check_network(vm);
    check_steps(vm);
}

/* Without a look at files, nothing but a missing file or a URL can fail after the parse. */
static void check_spec(const struct vmm_vmfile *file, const struct vmm_vmdef *vm)
{
    struct vmm_provision *steps = NULL;
    size_t n = 0;
    MUST(vmm_vmfile_provisions(file, vm, &steps, &n, NULL) == 0 && n == vm->provision_count);
    for (size_t i = 0; i < n; i++) {
        MUST(!steps[i].source || *steps[i].source == '/');
        vmm_provision_done(&steps[i]);
    }
    free(steps);
    if (vm->image_kind == VMM_IMAGE_URL) {
        struct vmm_spec spec = {0};
        MUST(vmm_vmfile_resolve(file, vm, &spec, NULL) == -VMM_E_IMAGE_DOWNLOAD && !spec.name);
    }
}

static void check_errors(const struct vmm_error *first, size_t size)
{
    size_t before = 0, n = 0;
    for (const struct vmm_error *e = first; e; e = vmm_error_next(e), n++) {
        struct vmm_place at;
        MUST(vmm_error_code(e) == vmm_error_code(first) && *vmm_error_message(e));
        MUST(vmm_error_help(e) && *vmm_error_help(e));
        MUST(vmm_error_place(e, &at) && at.line && at.column);
        MUST(at.offset_bytes <= size && at.length_bytes <= size - at.offset_bytes);
        if (vmm_error_code(e) == VMM_E_VMFILE_INVALID) {
            MUST(at.offset_bytes >= before && vmm_error_label(e));
            MUST(!strchr(vmm_error_message(e), '\n'));
            before = at.offset_bytes;
        }
    }
    MUST(n > 0 && n <= FINDINGS_MAX);
}

static int parse(struct source *source, const char *base_dir, bool checks_files, size_t size)
{
    struct vmm_vmfile *file = NULL;
    cleanup_error struct vmm_error *err = NULL;
    const int r = vmfile_parse_source(source, base_dir, checks_files, &file, &err);
    MUST((r == 0) == (file != NULL) && (r == 0) == (err == NULL));
    if (err) {
        const enum vmm_code code = vmm_error_code(err);
        MUST(r == -(int)code && (code == VMM_E_VMFILE_SYNTAX || code == VMM_E_VMFILE_INVALID));
        check_errors(err, size);
        return r;
    }
    MUST(vmm_vmfile_count(file) >= 1 && vmm_vmfile_count(file) <= VMFILE_VMS_MAX);
    for (size_t i = 0; i < vmm_vmfile_count(file); i++) {
        check_vm(file, vmm_vmfile_vm(file, i));
        check_spec(file, vmm_vmfile_vm(file, i));
    }
    vmm_vmfile_free(file);
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    setenv("HOME", "/nonexistent", /* overwrite */ 1);
    cleanup_source struct source *source = source_new("VMFile.kdl", (const char *)data, size);
    const int alone = parse(source, "/nonexistent", /* checks_files */ false, size);
    MUST(parse(source, "/nonexistent", /* checks_files */ false, size) == alone);
    /* With a look at files only where no path can lead out of a folder that is not there. */
    if (!memchr(data, '/', size) && !memchr(data, '\\', size)) {
        const int r = parse(source, "/nonexistent", /* checks_files */ true, size);
        MUST(alone == 0 || r < 0);
    }
    return 0;
}
