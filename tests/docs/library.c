/* A program of somebody else's: reads a VMFile with libvmm, prints the names in it, and lets the
 * first VM live for a moment under the backend that starts nothing. tests/docs/install.sh compiles
 * it against an installed library, as C and as C++. usage: library VMFILE DATA_FOLDER */
#include <vmm/hypervisor.h>
#include <vmm/vmfile.h>

#include <stdio.h>

/* Every mistake of a run, with its place. */
static int complain(struct vmm_error *errors)
{
    for (const struct vmm_error *e = errors; e; e = vmm_error_next(e)) {
        struct vmm_place place;
        if (vmm_error_place(e, &place))
            fprintf(stderr, "%s:%u:%u: ", place.file, place.line, place.column);
        fprintf(stderr, "%s [%s]\n", vmm_error_message(e), vmm_error_code_name(vmm_error_code(e)));
        if (vmm_error_help(e))
            fprintf(stderr, "  %s\n", vmm_error_help(e));
    }
    vmm_error_free(errors);
    return 1;
}

static int live(
    struct vmm_hypervisor *hypervisor, const struct vmm_spec *spec, struct vmm_error **errp)
{
    struct vmm_handle *vm = NULL;
    enum vmm_state state = VMM_STATE_FAILED;
    int r = vmm_hypervisor_prepare(hypervisor, spec, &vm, errp);
    if (r == 0)
        r = vmm_hypervisor_start(hypervisor, vm, errp);
    if (r == 0)
        r = vmm_hypervisor_state(hypervisor, vm, &state, errp);
    if (r == 0)
        printf("%s is %s in %s\n", vm->name, vmm_state_name(state), vm->work_dir);
    if (r == 0)
        r = vmm_hypervisor_stop(hypervisor, vm, 1000, errp);
    if (r == 0)
        r = vmm_hypervisor_destroy(hypervisor, vm, errp);
    if (r == 0)
        printf("%s is %s\n", vm->name, vmm_state_name(vm->recorded_state));
    vmm_handle_free(vm);
    return r;
}

int main(int argc, char **argv)
{
    struct vmm_error *error = NULL;
    struct vmm_vmfile *file = NULL;
    if (argc != 3)
        return 2;
    if (vmm_vmfile_parse(argv[1], &file, &error) < 0)
        return complain(error);
    for (size_t i = 0; i < vmm_vmfile_count(file); i++) {
        const struct vmm_vmdef *def = vmm_vmfile_vm(file, i);
        printf(
            "%s: %u CPUs, %llu MB\n", def->name, def->vcpus, (unsigned long long)def->memory_mib);
    }

    struct vmm_spec spec;
    struct vmm_hypervisor *hypervisor = NULL;
    struct vmm_hypervisor_opts opts;
    opts.data_dir = argv[2];
    opts.noop_only = true;
    int r = vmm_vmfile_resolve(file, vmm_vmfile_vm(file, 0), &spec, &error);
    vmm_vmfile_free(file);
    if (r == 0) {
        r = vmm_hypervisor_new(&opts, &hypervisor, &error);
        if (r == 0)
            r = live(hypervisor, &spec, &error);
        vmm_hypervisor_free(hypervisor);
        vmm_spec_done(&spec);
    }
    return r < 0 ? complain(error) : 0;
}
