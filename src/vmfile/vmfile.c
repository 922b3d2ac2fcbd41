#include "vmfile/internal.h"

#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/fs.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

void vmm_vmfile_free(struct vmm_vmfile *file)
{
    if (!file)
        return;
    source_unref(file->source);
    arena_done(&file->arena);
    vec_done(&file->vms);
    free(file->path);
    free(file->base_dir);
    free(file);
}

static void vmfile_free_handler(struct vmm_vmfile **file)
{
    vmm_vmfile_free(*file);
}
#define cleanup_vmfile __attribute__((__cleanup__(vmfile_free_handler)))

/* The parser's findings under this room's code: for whoever reads them, the file is a VMFile, not
 * "a KDL document". Everything else of them is kept. */
static void syntax_errors(
    const struct vmm_error *kdl, struct source *source, struct vmm_error **errp)
{
    struct findings findings = {0};
    for (const struct vmm_error *e = kdl; e; e = vmm_error_next(e)) {
        const char *help = vmm_error_help(e);
        struct vmm_place place = {0};
        const bool has_place = vmm_error_place(e, &place);
        findings_add(&findings,
            &(struct diag){
                .code = VMM_E_VMFILE_SYNTAX,
                .sys = vmm_error_errno(e),
                /* Without advice of its own, ours is better than the parser's. */
                .help = help == vmm_error_code_help(VMM_E_KDL) ? NULL : help,
                .label = vmm_error_label(e),
                .reason = vmm_error_reason(e),
                .details = vmm_error_details(e),
                .source = has_place ? source : NULL,
                .span = {.offset = place.offset_bytes, .n = place.length_bytes},
            },
            "%s", vmm_error_message(e));
    }
    findings_finish(&findings, errp);
}

int vmfile_parse_source(struct source *source,
    const char *base_dir,
    bool checks_files,
    struct vmm_vmfile **ret_file,
    struct vmm_error **errp)
{
    cleanup_kdl_doc struct kdl_doc *doc = NULL;
    cleanup_error struct vmm_error *syntax = NULL;
    if (kdl_parse(source, &doc, &syntax) < 0) {
        syntax_errors(syntax, source, errp);
        return -(int)VMM_E_VMFILE_SYNTAX;
    }

    cleanup_vmfile struct vmm_vmfile *file = xcalloc(1, sizeof(*file));
    file->source = source_ref(source);
    file->base_dir = xstrdup(base_dir);
    struct reader r = {.file = file, .checks_files = checks_files};
    vmfile_read_block(&r, &vmfile_top_block, NULL, doc->nodes);
    vec_done(&r.steps);
    arena_done(&r.scratch);
    const int result = report_finish(&r.report, source, errp);
    if (result < 0)
        return result;
    *ret_file = TAKE_PTR(file);
    return 0;
}

static int read_source(const char *path, struct source **ret_source, struct vmm_error **errp)
{
    cleanup_close int fd = vmfile_open(path, errp);
    if (fd < 0)
        return fd;
    cleanup_buf struct buf text = {0};
    const int r = fs_read_all(fd, KDL_TEXT_MAX_BYTES, &text);
    if (r == -EFBIG)
        return vmm_fail(errp,
            &(struct diag){.code = VMM_E_VMFILE_INVALID,
                .sys = EFBIG,
                .help = "Is this the right file? A VMFile is text that describes VMs."},
            "\"%s\" is larger than %d MiB", path, KDL_TEXT_MAX_BYTES >> 20);
    if (r < 0)
        return vmm_fail_io(errp, -r, "read", path);
    *ret_source = source_new(path, buf_cstr(&text), text.n);
    return 0;
}

/* The absolute path of the folder a path's last name is in. The caller owns it. */
static char *folder_of(const char *path)
{
    const char *slash = strrchr(path, '/');
    cleanup_free char *folder = !slash          ? xstrdup(".")
                                : slash == path ? xstrdup("/")
                                                : xstrndup(path, (size_t)(slash - path));
    return realpath(folder, NULL);
}

static int parse(
    const char *path, bool checks_files, struct vmm_vmfile **ret_file, struct vmm_error **errp)
{
    cleanup_source struct source *source = NULL;
    int r = read_source(path, &source, errp);
    if (r < 0)
        return r;
    cleanup_free char *base_dir = folder_of(path);
    if (!base_dir)
        return vmm_fail_io(errp, errno, "find the folder of", path);
    struct vmm_vmfile *file = NULL;
    r = vmfile_parse_source(source, base_dir, checks_files, &file, errp);
    if (r < 0)
        return r;
    const char *slash = strrchr(path, '/');
    file->path = path_join(base_dir, slash ? slash + 1 : path);
    *ret_file = file;
    return 0;
}

int vmm_vmfile_parse(const char *path, struct vmm_vmfile **ret_file, struct vmm_error **errp)
{
    return parse(path, /* checks_files */ true, ret_file, errp);
}

int vmm_vmfile_parse_alone(const char *path, struct vmm_vmfile **ret_file, struct vmm_error **errp)
{
    return parse(path, /* checks_files */ false, ret_file, errp);
}

const char *vmm_vmfile_path(const struct vmm_vmfile *file)
{
    return file->path;
}

const char *vmm_vmfile_base_dir(const struct vmm_vmfile *file)
{
    return file->base_dir;
}

size_t vmm_vmfile_count(const struct vmm_vmfile *file)
{
    return file->vms.n;
}

const struct vmm_vmdef *vmm_vmfile_vm(const struct vmm_vmfile *file, size_t index)
{
    return &file->vms.v[index]->def;
}

const struct vmm_vmdef *vmm_vmfile_find(const struct vmm_vmfile *file, const char *name)
{
    for (size_t i = 0; i < file->vms.n; i++) {
        if (strcmp(file->vms.v[i]->def.name, name) == 0)
            return &file->vms.v[i]->def;
    }
    return NULL;
}
