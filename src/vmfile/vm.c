/* The vm block, with network, cloud-init and ssh. */
#include "vmfile/internal.h"

#include "base/cleanup.h"
#include "base/name.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

/* --- image --- */

static void take_image(struct reader *r, const struct kdl_node *node, const struct arg *arg)
{
    if (!arg)
        return;
    r->vm->def.image_kind = VMM_IMAGE_LOCAL;
    r->vm->def.image = arg->text;
    r->vm->image_at = arg->span;
    if (vmfile_is_url(arg->text)) {
        const char *shown = vmfile_shown(r, str_view(arg->text));
        vmfile_complain(r, arg->span, "a URL", vmfile_text(r, "Write `image-url \"%s\"`.", shown),
            "image takes the path of a file, not a URL");
        return;
    }
    vmfile_check_path(r, node, arg, vmfile_check_file);
}

static void take_image_url(struct reader *r, const struct kdl_node *node, const struct arg *arg)
{
    (void)node;
    if (!arg)
        return;
    r->vm->def.image_kind = VMM_IMAGE_URL;
    r->vm->def.image = arg->text;
    r->vm->image_at = arg->span;
    const char *help;
    const char *fault = vmfile_url_fault(arg->text, &help);
    if (fault)
        vmfile_complain(r, arg->span, fault, help, "image-url \"%s\" cannot be used",
            vmfile_shown(r, str_view(arg->text)));
}

/* --- resources --- */

static void take_vcpus(struct reader *r, const struct kdl_node *node, const struct arg *arg)
{
    (void)node;
    if (arg)
        r->vm->def.vcpus = (uint16_t)arg->integer;
}

static void take_memory(struct reader *r, const struct kdl_node *node, const struct arg *arg)
{
    (void)node;
    if (arg)
        r->vm->def.memory_mib = (uint64_t)arg->integer;
}

static void take_disk(struct reader *r, const struct kdl_node *node, const struct arg *arg)
{
    (void)node;
    if (arg)
        r->vm->def.disk_gib = (uint32_t)arg->integer;
}

static void take_accel(struct reader *r, const struct kdl_node *node, const struct arg *arg)
{
    (void)node;
    if (arg)
        r->vm->def.accel = (enum vmm_accel)arg->word;
}

/* --- network --- */

static void take_network(struct reader *r, const struct kdl_node *node, const struct arg *arg)
{
    (void)node;
    if (!arg)
        return;
    r->vm->def.network_kind = (enum vmm_network_kind)arg->word;
    r->vm->def.network_link = arg->word == VMM_NETWORK_TAP ? "br0" : NULL;
}

/* What a Linux bridge or an illumos vnic may be called, and what may stand in a list of QEMU's. */
static bool link_name_is_valid(const char *name)
{
    static const char allowed[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-";
    const size_t n = strlen(name);
    return n > 0 && n <= VMFILE_LINK_NAME_MAX_BYTES && name[strspn(name, allowed)] == '\0' &&
           *name != '-' && *name != '.';
}

static void take_link(struct reader *r, const struct kdl_node *node, const struct arg *arg)
{
    (void)node;
    if (!arg)
        return;
    r->vm->def.network_link = arg->text;
    if (link_name_is_valid(arg->text))
        return;
    const bool is_long = strlen(arg->text) > VMFILE_LINK_NAME_MAX_BYTES;
    vmfile_complain(r, arg->span, is_long ? "longer than 15 characters" : "not such a name",
        "Use at most 15 letters, digits, `.`, `_` and `-`, first a letter, digit or `_`.",
        "\"%s\" cannot be the name of a network interface", vmfile_shown(r, str_view(arg->text)));
}

static void check_vnic(
    struct reader *r, const struct kdl_node *owner, const struct kdl_node *const *seen)
{
    if (!seen[0])
        vmfile_complain(r, kdl_node_name_span(owner), "no name in its block",
            "Write `network \"vnic\" { name \"vnic0\" }`.",
            "network \"vnic\" needs the name of a vnic");
}

/* --- cloud-init --- */

static void take_cloud_init(struct reader *r, const struct kdl_node *node, const struct arg *arg)
{
    (void)node;
    (void)arg;
    r->vm->def.has_cloud_init = true;
}

/* The name with each byte that `allowed` does not hold made a '-'; in `room`. */
static const char *mended(const char *name, const char *allowed, char *room, size_t size)
{
    size_t n = 0;
    for (; name[n] && n + 1 < size; n++) {
        room[n] = '-';
        if (strchr(allowed, name[n]))
            room[n] = name[n];
    }
    room[n] = '\0';
    return room;
}

static void take_hostname(struct reader *r, const struct kdl_node *node, const struct arg *arg)
{
    (void)node;
    if (!arg)
        return;
    r->vm->def.hostname = arg->text;
    if (hostname_is_valid(str_view(arg->text)))
        return;
    char room[254];
    mended(arg->text, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789.-", room,
        sizeof(room));
    const char *help =
        hostname_is_valid(str_view(room))
            ? vmfile_text(r, "Write for example `hostname \"%s\"`.", room)
            : "Use letters, digits and `-` (not first or last), at most 63; dots may join several such names.";
    vmfile_complain(r, arg->span, "not a host name", help, "\"%s\" cannot be the name of a host",
        vmfile_shown(r, str_view(arg->text)));
}

static int check_public_key(const char *what, const char *path, struct vmm_error **errp)
{
    cleanup_free char *line = NULL;
    return vmfile_read_public_key(what, path, &line, errp);
}

static void take_ssh_key(struct reader *r, const struct kdl_node *node, const struct arg *arg)
{
    if (!arg)
        return;
    r->vm->def.ssh_key = arg->text;
    r->vm->ssh_key_at = arg->span;
    vmfile_check_path(r, node, arg, check_public_key);
}

static int check_user_data(const char *what, const char *path, struct vmm_error **errp)
{
    cleanup_buf struct buf text = {0};
    return vmfile_read_user_data(what, path, &text, errp);
}

static void take_user_data(struct reader *r, const struct kdl_node *node, const struct arg *arg)
{
    if (!arg)
        return;
    r->vm->def.user_data = arg->text;
    r->vm->user_data_at = arg->span;
    vmfile_check_path(r, node, arg, check_user_data);
}

enum { CLOUD_HOSTNAME, CLOUD_SSH_KEY, CLOUD_USER_DATA, CLOUD_COUNT_ };

static void check_cloud_init(
    struct reader *r, const struct kdl_node *owner, const struct kdl_node *const *seen)
{
    (void)owner;
    if (seen[CLOUD_SSH_KEY] && seen[CLOUD_USER_DATA])
        vmfile_exclude(r, seen[CLOUD_SSH_KEY], seen[CLOUD_USER_DATA],
            "The user-data file is passed on as it is, so no key would be put into it. "
            "Keep ssh-key, or remove it and write the key into the file.",
            "cloud-init cannot have both ssh-key and user-data");
}

/* --- ssh --- */

static void take_ssh(struct reader *r, const struct kdl_node *node, const struct arg *arg)
{
    (void)node;
    (void)arg;
    r->vm->def.has_ssh = true;
}

static void take_user(struct reader *r, const struct kdl_node *node, const struct arg *arg)
{
    (void)node;
    if (!arg)
        return;
    r->vm->def.ssh_user = arg->text;
    if (!username_is_valid(str_view(arg->text)))
        vmfile_complain(r, arg->span, "not a user name",
            "Use lower-case letters, digits, `_` and `-`, first a letter or `_`, at most 32.",
            "\"%s\" cannot be the name of a user", vmfile_shown(r, str_view(arg->text)));
}

static void take_private_key(struct reader *r, const struct kdl_node *node, const struct arg *arg)
{
    if (!arg)
        return;
    r->vm->def.ssh_private_key = arg->text;
    vmfile_check_path(r, node, arg, vmfile_check_private_key);
}

/* --- vm --- */

static void refuse_second_name(struct reader *r, const struct arg *arg)
{
    if (r->file->vms.n >= VMFILE_VMS_MAX || !report_wants(&r->report, arg->span))
        return;
    const struct vmm_vmdef *other = vmm_vmfile_find(r->file, arg->text);
    if (!other)
        return;
    unsigned line, column;
    source_locate(
        r->file->source, ((const struct vm_entry *)other)->name_at.offset, &line, &column);
    vmfile_complain(r, arg->span, vmfile_text(r, "the first is on line %u", line),
        "Give one of them another name.", "vm \"%s\" is defined twice", arg->text);
}

static void take_name(struct reader *r, const struct arg *arg)
{
    cleanup_error struct vmm_error *error = NULL;
    if (name_check("VM", arg->text, &error) < 0) {
        vmfile_complain(
            r, arg->span, "not a name", vmm_error_help(error), "%s", vmm_error_message(error));
        return;
    }
    refuse_second_name(r, arg);
    r->vm->def.name = arg->text;
    r->vm->name_at = arg->span;
}

static void take_vm(struct reader *r, const struct kdl_node *node, const struct arg *arg)
{
    (void)node;
    struct vm_entry *vm = arena_alloc(&r->file->arena, sizeof(*vm));
    vm->def = (struct vmm_vmdef){.name = "", .image = "", .vcpus = 1, .memory_mib = 1024};
    r->vm = vm;
    r->steps.n = 0;
    if (arg)
        take_name(r, arg);
    if (r->file->vms.n == VMFILE_VMS_MAX)
        vmfile_complain(r, kdl_node_name_span(node), "one too many", "Split the file.",
            "the file defines more than %d VMs", VMFILE_VMS_MAX);
    if (r->file->vms.n <= VMFILE_VMS_MAX)
        vec_push(&r->file->vms, vm); /* NOLINT(bugprone-sizeof-expression): pointers it is */
}

enum {
    VM_IMAGE,
    VM_IMAGE_URL,
    VM_VCPUS,
    VM_MEMORY,
    VM_DISK,
    VM_NETWORK,
    VM_ACCEL,
    VM_CLOUD_INIT,
    VM_SSH,
    VM_PROVISION,
    VM_COUNT_
};
static_assert((int)VM_COUNT_ <= (int)BLOCK_NODES_MAX, "seen[] is too small");

/* Where to point when something is missing in the whole block. */
static struct span head_span(const struct kdl_node *vm)
{
    struct span at = kdl_node_name_span(vm);
    if (vm->n_args) {
        const struct span name = kdl_value_span(&vm->args[0]);
        at.n = name.offset + name.n - at.offset;
    }
    return at;
}

static const char *vm_in_words(struct reader *r)
{
    return *r->vm->def.name ? vmfile_text(r, "vm \"%s\"", r->vm->def.name) : "vm";
}

static void check_image(
    struct reader *r, const struct kdl_node *owner, const struct kdl_node *const *seen)
{
    if (seen[VM_IMAGE] && seen[VM_IMAGE_URL])
        vmfile_exclude(r, seen[VM_IMAGE], seen[VM_IMAGE_URL], "Keep one of them.",
            vmfile_text(r, "%s has both image and image-url", vm_in_words(r)));
    else if (!seen[VM_IMAGE] && !seen[VM_IMAGE_URL])
        vmfile_complain(r, head_span(owner), "no image in its block",
            "Add `image \"PATH\"` or `image-url \"URL\"`.", "%s has no image", vm_in_words(r));
}

/* Provisioners and `vmctl ssh` come in over the network, by SSH. */
static void check_reach(struct reader *r, const struct kdl_node *const *seen)
{
    const struct kdl_node *ssh = seen[VM_SSH], *provision = seen[VM_PROVISION];
    if (r->vm->def.network_kind == VMM_NETWORK_NONE && (ssh || provision)) {
        const struct kdl_node *at = ssh ? ssh : provision;
        vmfile_complain(r, kdl_node_name_span(at), "needs a network",
            vmfile_text(r, "Write `network \"user\"`, or remove %s.",
                ssh && provision ? "the ssh block and the provision blocks"
                : provision      ? "the provision blocks"
                                 : "the ssh block"),
            "%s has network \"none\", so nothing can reach it by SSH", vm_in_words(r));
    } else if (provision && !ssh) {
        vmfile_complain(r, kdl_node_name_span(provision), "runs over SSH",
            "Add an ssh block: `ssh { user \"USER\" }`.", "%s has provision steps but no ssh block",
            vm_in_words(r));
    }
}

static void check_vm(
    struct reader *r, const struct kdl_node *owner, const struct kdl_node *const *seen)
{
    check_image(r, owner, seen);
    check_reach(r, seen);
    struct vmm_vmdef *def = &r->vm->def;
    def->provision_count = r->steps.n;
    if (r->steps.n) {
        const size_t bytes = r->steps.n * sizeof(*r->steps.v);
        def->provisions = memcpy(arena_alloc(&r->file->arena, bytes), r->steps.v, bytes);
    }
}

static void check_top(
    struct reader *r, const struct kdl_node *owner, const struct kdl_node *const *seen)
{
    (void)owner;
    if (!seen[0] && r->report.n == 0)
        vmfile_complain(r, (struct span){0}, "a vm block is expected",
            "Write for example `vm \"dev\" { image \"disk.qcow2\" }`.", "the file defines no VM");
}

/* --- tables --- */

/* clang-format off */
static const struct node_rule tap_nodes[] = {
    {"bridge", "bridge \"br0\"", ARG_TEXT, .take = take_link},
};
static const struct node_rule vnic_nodes[] = {
    {"name", "name \"vnic0\"", ARG_TEXT, .take = take_link},
};
static const struct synonym tap_synonyms[] = {{"name", "bridge"}, {"interface", "bridge"}, {0}};

static const struct block_rule user_block = {"network \"user\"", NULL, 0};
static const struct block_rule tap_block = {"network \"tap\"", tap_nodes, 1, tap_synonyms};
static const struct block_rule vnic_block = {"network \"vnic\"", vnic_nodes, 1, .check = check_vnic};
static const struct block_rule none_block = {"network \"none\"", NULL, 0};

static const struct word_rule network_words[] = {
    {"user", VMM_NETWORK_USER, &user_block},
    {"tap", VMM_NETWORK_TAP, &tap_block},
    {"none", VMM_NETWORK_NONE, &none_block},
    {"vnic", VMM_NETWORK_VNIC, &vnic_block},
    {0},
};

static const struct word_rule accel_words[] = {
    {"auto", VMM_ACCEL_AUTO, NULL},
    {"kvm", VMM_ACCEL_KVM, NULL},
    {"tcg", VMM_ACCEL_TCG, NULL},
    {0},
};

static const struct node_rule cloud_init_nodes[] = {
    [CLOUD_HOSTNAME] = {"hostname", "hostname \"dev\"", ARG_TEXT, .take = take_hostname},
    [CLOUD_SSH_KEY] = {"ssh-key", "ssh-key \"~/.ssh/id_ed25519.pub\"", ARG_TEXT, .take = take_ssh_key},
    [CLOUD_USER_DATA] = {"user-data", "user-data \"cloud-config.yaml\"", ARG_TEXT, .take = take_user_data},
};
static const struct synonym cloud_init_synonyms[] = {{"name", "hostname"}, {"key", "ssh-key"}, {0}};
static const struct block_rule cloud_init_block =
    {"cloud-init", cloud_init_nodes, CLOUD_COUNT_, cloud_init_synonyms, check_cloud_init};

static const struct node_rule ssh_nodes[] = {
    {"user", "user \"ubuntu\"", ARG_TEXT, .take = take_user},
    {"private-key", "private-key \"~/.ssh/id_ed25519\"", ARG_TEXT, .take = take_private_key},
};
static const struct synonym ssh_synonyms[] = {
    {"username", "user"}, {"name", "user"}, {"key", "private-key"}, {"identity", "private-key"}, {0},
};
static const struct block_rule ssh_block = {"ssh", ssh_nodes, 2, ssh_synonyms};

static const struct node_rule vm_nodes[] = {
    [VM_IMAGE] = {"image", "image \"disk.qcow2\"", ARG_TEXT, .take = take_image},
    [VM_IMAGE_URL] = {"image-url", "image-url \"https://example.com/disk.qcow2\"", ARG_TEXT,
        .take = take_image_url},
    [VM_VCPUS] = {"vcpus", "vcpus 2", ARG_INTEGER, .min = 1, .max = VMFILE_VCPUS_MAX,
        .hint = "Write the number of virtual CPUs: `vcpus 2`.", .take = take_vcpus},
    [VM_MEMORY] = {"memory", "memory 2048", ARG_INTEGER, .min = 1, .max = VMFILE_MEMORY_MAX_MIB,
        .unit_shift = 20, .hint = "Write the memory in megabytes: `memory 2048`.", .take = take_memory},
    [VM_DISK] = {"disk", "disk 20", ARG_INTEGER, .min = 1, .max = VMFILE_DISK_MAX_GIB,
        .unit_shift = 30, .hint = "Write the size in gigabytes, `disk 20`, or leave disk out to keep "
        "the size of the image.", .take = take_disk},
    [VM_NETWORK] = {"network", "network \"user\"", ARG_WORD, .words = network_words, .take = take_network},
    [VM_ACCEL] = {"accel", "accel \"auto\"", ARG_WORD, .words = accel_words, .take = take_accel},
    [VM_CLOUD_INIT] = {"cloud-init", "cloud-init { hostname \"dev\" }", ARG_NONE,
        .block = &cloud_init_block, .take = take_cloud_init},
    [VM_SSH] = {"ssh", "ssh { user \"ubuntu\" }", ARG_NONE, .block = &ssh_block, .take = take_ssh},
    [VM_PROVISION] = {"provision", "provision \"shell\" { inline \"uptime\" }", ARG_WORD,
        .may_repeat = true, .words = vmfile_provision_words, .take = vmfile_take_provision},
};
static const struct synonym vm_synonyms[] = {
    {"name", NULL, "The name stands right after vm: `vm \"dev\" { ... }`."},
    {"cpu", "vcpus"}, {"cores", "vcpus"}, {"mem", "memory"}, {"ram", "memory"},
    {"url", "image-url"}, {"net", "network"}, {"storage", "disk"}, {0},
};
static const struct block_rule vm_block = {"vm", vm_nodes, VM_COUNT_, vm_synonyms, check_vm};

static const struct node_rule top_nodes[] = {
    {"vm", "vm \"dev\" { image \"disk.qcow2\" }", ARG_TEXT, .may_repeat = true, .block = &vm_block,
        .take = take_vm},
};
const struct block_rule vmfile_top_block = {"VMFile.kdl", top_nodes, 1, .check = check_top};
/* clang-format on */
