#include "vmfile/internal.h"

#include "base/alloc.h"
#include "base/cleanup.h"
#include "image/image.h"

#include <stdlib.h>
#include <string.h>

/* Places of a definition in its file; all zero for one that is a copy. */
static struct vm_entry places_of(const struct vmm_vmfile *file, const struct vmm_vmdef *def)
{
    for (size_t i = 0; i < file->vms.n; i++) {
        if (&file->vms.v[i]->def == def)
            return *file->vms.v[i];
    }
    return (struct vm_entry){0};
}

/* Gives *errp, which has none, a place. Returns its code. */
static int add_place(const struct vmm_vmfile *file, struct span at, struct vmm_error **errp)
{
    if (!errp)
        return -(int)VMM_E_VMFILE_INVALID;
    cleanup_error struct vmm_error *bare = TAKE_PTR(*errp);
    return vmm_fail(errp,
        &(struct diag){
            .code = vmm_error_code(bare),
            .sys = vmm_error_errno(bare),
            .label = vmm_error_label(bare),
            .help = vmm_error_help(bare),
            .reason = vmm_error_reason(bare),
            .details = vmm_error_details(bare),
            .source = at.n ? file->source : NULL,
            .span = at,
        },
        "%s", vmm_error_message(bare));
}

static int resolve_image(const struct vmm_vmfile *file,
    const struct vmm_vmdef *def,
    struct span at,
    char **ret_path,
    struct vmm_error **errp)
{
    /* The one place that stands between image-url and a download: the next step of the project puts
     * the image cache here. */
    if (def->image_kind == VMM_IMAGE_URL)
        return vmm_fail(errp,
            &(struct diag){
                .code = VMM_E_IMAGE_DOWNLOAD,
                .label = "not downloaded",
                .help = "Fetch the image yourself and name the file with `image` for now.",
                .source = at.n ? file->source : NULL,
                .span = at,
            },
            "this version does not download images (VM \"%s\")", def->name);
    cleanup_free char *path = vmm_resolve_path(def->image, file->base_dir);
    struct image_info info;
    int r = vmfile_check_file("image", path, errp);
    if (r == 0)
        r = image_inspect(path, NULL, &info, errp);
    if (r == 0 && def->disk_gib)
        r = image_check_size(path, info.virtual_bytes, (uint64_t)def->disk_gib << 30, errp);
    if (r < 0)
        return add_place(file, at, errp);
    *ret_path = TAKE_PTR(path);
    return 0;
}

static int resolve_cloud_init(const struct vmm_vmfile *file,
    const struct vmm_vmdef *def,
    const struct vm_entry *places,
    struct vmm_spec *spec,
    struct vmm_error **errp)
{
    spec->has_cloud_init = def->has_cloud_init;
    spec->cloud_init.hostname = xstrdup_or_null(def->hostname);
    if (def->user_data) {
        cleanup_free char *path = vmm_resolve_path(def->user_data, file->base_dir);
        cleanup_buf struct buf text = {0};
        if (vmfile_read_user_data("user-data", path, &text, errp) < 0)
            return add_place(file, places->user_data_at, errp);
        spec->cloud_init.user_data_bytes = text.n;
        spec->cloud_init.user_data = buf_steal(&text);
    }
    if (def->ssh_key) {
        cleanup_free char *path = vmm_resolve_path(def->ssh_key, file->base_dir);
        if (vmfile_read_public_key("ssh-key", path, &spec->ssh.public_key, errp) < 0)
            return add_place(file, places->ssh_key_at, errp);
    }
    return 0;
}

int vmm_vmfile_resolve(const struct vmm_vmfile *file,
    const struct vmm_vmdef *def,
    struct vmm_spec *ret_spec,
    struct vmm_error **errp)
{
    const struct vm_entry places = places_of(file, def);
    __attribute__((__cleanup__(vmm_spec_done))) struct vmm_spec spec = {
        .name = xstrdup(def->name),
        .vcpus = def->vcpus,
        .memory_mib = def->memory_mib,
        .disk_gib = def->disk_gib,
        .network = {.kind = def->network_kind, .link = xstrdup_or_null(def->network_link)},
        .has_ssh = def->has_ssh,
        .accel = def->accel,
    };
    int r = resolve_image(file, def, places.image_at, &spec.image_path, errp);
    if (r == 0)
        r = resolve_cloud_init(file, def, &places, &spec, errp);
    if (r < 0)
        return r;
    spec.ssh.user = xstrdup_or_null(def->ssh_user);
    if (def->ssh_private_key)
        spec.ssh.private_key_path = vmm_resolve_path(def->ssh_private_key, file->base_dir);
    *ret_spec = spec;
    spec = (struct vmm_spec){0};
    return 0;
}

int vmm_vmfile_provisions(const struct vmm_vmfile *file,
    const struct vmm_vmdef *def,
    struct vmm_provision **ret_provisions,
    size_t *ret_count,
    struct vmm_error **errp)
{
    (void)errp; /* nothing can fail yet; downloads of scripts would */
    struct vmm_provision *steps =
        def->provision_count ? xcalloc(def->provision_count, sizeof(*steps)) : NULL;
    for (size_t i = 0; i < def->provision_count; i++) {
        const struct vmm_provision_def *step = &def->provisions[i];
        steps[i].kind = step->kind;
        steps[i].command = xstrdup_or_null(step->command);
        steps[i].source = step->source ? vmm_resolve_path(step->source, file->base_dir) : NULL;
        steps[i].destination = xstrdup_or_null(step->destination);
    }
    *ret_provisions = steps;
    *ret_count = def->provision_count;
    return 0;
}
