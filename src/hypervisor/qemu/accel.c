/* Which accelerator a VM gets. The verdict on KVM holds for one boot of the host and is remembered.
 */
#include "hypervisor/qemu/internal.h"

#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/error.h"
#include "base/fs.h"
#include "base/json.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#define VERDICT_FILE ".kvm-verdict.json"
#define KVM_DEVICE "/dev/kvm"

static void read_boot_id(struct buf *out)
{
    if (fs_read_file("/proc/sys/kernel/random/boot_id", 64, out) < 0)
        buf_clear(out);
    while (out->n && out->p[out->n - 1] == '\n')
        out->p[--out->n] = '\0';
}

/* True when this boot's verdict is on file. `*ret_why` is NULL for a working KVM. */
static bool recall_verdict(const char *dir, const char *boot_id, char **ret_why)
{
    cleanup_free char *path = path_join(dir, VERDICT_FILE);
    cleanup_buf struct buf text = {0};
    json_error_t ignored;
    if (fs_read_file(path, 4096, &text) < 0)
        return false;
    cleanup_json json_t *verdict = json_parse((struct str){text.p, text.n}, &ignored);
    const char *of = json_get_string(verdict, "boot_id");
    if (!of || strcmp(of, boot_id) != 0)
        return false;
    *ret_why = xstrdup_or_null(json_get_string(verdict, "why_not"));
    return true;
}

static void remember_verdict(const char *dir, const char *boot_id, const char *why)
{
    cleanup_json json_t *verdict = json_object();
    json_put_string(verdict, "boot_id", boot_id);
    json_put_bool(verdict, "kvm_works", why == NULL);
    json_put_string(verdict, "why_not", why);
    cleanup_free char *text = json_dumps(verdict, JSON_COMPACT);
    /* Only a memory: without it the next start asks again. */
    (void)fs_write_durable(dir, VERDICT_FILE, text, strlen(text), NULL);
}

/* NULL: KVM works. `*ret_is_news`: nobody was told yet in this boot. */
static char *kvm_verdict(struct vmm_hypervisor *h, bool *ret_is_news)
{
    cleanup_buf struct buf boot_id = {0};
    char *why = NULL;
    /* Whether it may be opened can change any time (a group joined, a module loaded): asked anew.
     * Only what the test guest itself showed is remembered. */
    cleanup_close int device = open(KVM_DEVICE, O_RDWR | O_CLOEXEC);
    if (device < 0) {
        *ret_is_news = true;
        return errno == ENOENT ? xstrdup("there is no " KVM_DEVICE)
                               : xasprintf(KVM_DEVICE " cannot be opened: %s", strerror(errno));
    }
    pthread_mutex_lock(&h->lock);
    read_boot_id(&boot_id);
    *ret_is_news = !recall_verdict(h->data_dir, buf_cstr(&boot_id), &why);
    if (*ret_is_news) {
        why = kvm_probe(KVM_DEVICE);
        remember_verdict(h->data_dir, buf_cstr(&boot_id), why);
    }
    pthread_mutex_unlock(&h->lock);
    return why;
}

int accel_choose(struct vmm_hypervisor *h,
    enum vmm_accel asked,
    enum vmm_accel *ret_accel,
    struct vmm_error **errp)
{
    const char *env = getenv("VMCTL_ACCEL");
    if (env && *env) {
        if (strcmp(env, "kvm") == 0)
            asked = VMM_ACCEL_KVM;
        else if (strcmp(env, "tcg") == 0)
            asked = VMM_ACCEL_TCG;
        else if (strcmp(env, "auto") != 0)
            return vmm_fail(errp,
                &(struct diag){.code = VMM_E_USAGE, .help = "Use auto, kvm or tcg."},
                "VMCTL_ACCEL is \"%s\", which is no accelerator", env);
    }
    if (asked == VMM_ACCEL_TCG) {
        *ret_accel = VMM_ACCEL_TCG;
        return 0;
    }
    bool is_news;
    cleanup_free char *why = kvm_verdict(h, &is_news);
    if (why && asked == VMM_ACCEL_KVM)
        return vmm_fail(errp,
            &(struct diag){.code = VMM_E_HOST_ACCEL,
                .help =
                    "Take back `accel \"kvm\"` or VMCTL_ACCEL=kvm to run under emulation (TCG)."},
            "KVM was asked for but does not work here: %s", why);
    if (why && is_news)
        hypervisor_put_note(
            h, xasprintf("%s; VMs run under emulation (TCG), which is slower", why));
    *ret_accel = why ? VMM_ACCEL_TCG : VMM_ACCEL_KVM;
    return 0;
}
