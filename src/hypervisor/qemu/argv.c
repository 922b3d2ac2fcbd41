/* The one writer of QEMU's command line (security.md C-1, C-4). Values that a person chose go in as
 * JSON or with commas doubled; nothing ever passes a shell. */
#include "hypervisor/qemu/internal.h"

#include "base/alloc.h"
#include "base/buf.h"
#include "base/cleanup.h"
#include "base/fs.h"
#include "base/json.h"

#include <stdlib.h>
#include <string.h>

char *argv_escape(const char *value)
{
    struct buf out = {0};
    for (; *value; value++) {
        buf_addc(&out, *value);
        if (*value == ',')
            buf_addc(&out, ',');
    }
    return buf_steal(&out);
}

void argv_finish(struct argv *a)
{
    vec_push(&a->args, NULL);
}

void argv_done(struct argv *a)
{
    for (size_t i = 0; i < a->args.n; i++)
        free(a->args.v[i]);
    vec_done(&a->args);
}

static void add(struct argv *a, const char *option)
{
    vec_push(&a->args, xstrdup(option));
}

/* Takes `value`. */
static void add_value(struct argv *a, const char *option, char *value)
{
    add(a, option);
    vec_push(&a->args, value);
}

/* Takes `object`. */
static void add_json(struct argv *a, const char *option, json_t *object)
{
    add_value(a, option, json_dumps(object, JSON_COMPACT));
    json_decref(object);
}

const char *qemu_socket_name(enum qemu_socket s)
{
    static const char *const names[QEMU_SOCKET_COUNT_] = {WORKDIR_QMP, WORKDIR_TOOL_MONITOR,
        WORKDIR_KEEPER_MONITOR, WORKDIR_SERIAL, WORKDIR_FIRMWARE};
    return names[s];
}

static void add_socket(struct argv *a, const char *id, enum qemu_socket s)
{
    add_value(a, "-chardev",
        xasprintf("socket,id=%s,fd=%d,server=on,wait=off", id, QEMU_FIRST_FD + (int)s));
}

static void add_monitor(struct argv *a, const char *id, enum qemu_socket s)
{
    add_socket(a, id, s);
    add_value(a, "-mon", xasprintf("chardev=%s,mode=control", id));
}

static json_t *file_node(const char *path, bool read_only)
{
    json_t *file = json_object();
    json_put_string(file, "driver", "file");
    json_put_string(file, "filename", path);
    if (read_only)
        json_put_bool(file, "read-only", true);
    return file;
}

/* Every format is said, the backing file's as well: QEMU is never left to guess what an image is,
 * and what the overlay's header says about its backing file is not used (security.md E-2, E-3). */
static void add_disk(struct argv *a, const struct vmm_handle *vm, const char *base_format)
{
    json_t *backing = json_object();
    json_put_string(backing, "driver", base_format);
    json_put_bool(backing, "read-only", true);
    json_put(backing, "file", file_node(vm->image_path, true));

    json_t *disk = json_object();
    json_put_string(disk, "node-name", "disk0");
    json_put_string(disk, "driver", "qcow2");
    json_put_string(disk, "discard", "unmap");
    json_t *file = file_node(vm->overlay_path, false);
    json_put_string(file, "discard", "unmap");
    json_put(disk, "file", file);
    json_put(disk, "backing", backing);
    add_json(a, "-blockdev", disk);

    /* A full host disk pauses the guest instead of handing it I/O errors (security.md 3.7). */
    json_t *device = json_object();
    json_put_string(device, "driver", "virtio-blk-pci");
    json_put_string(device, "id", "virtio-disk0");
    json_put_string(device, "drive", "disk0");
    json_put_integer(device, "bootindex", 0);
    json_put_string(device, "werror", "stop");
    json_put_string(device, "rerror", "stop");
    add_json(a, "-device", device);
}

/* The seed is a second virtio disk, not a CD-ROM: Debian's cloud kernel has virtio drivers only (no
 * AHCI, so a CD-ROM of a q35 machine does not exist for it), cloud-init finds the volume by its
 * label on any block device, and the root stays the first virtio disk, where Ubuntu's initramfs
 * expects it. */
static void add_seed(struct argv *a, const char *path)
{
    json_t *seed = json_object();
    json_put_string(seed, "node-name", "seed0");
    json_put_string(seed, "driver", "raw");
    json_put_bool(seed, "read-only", true);
    json_put(seed, "file", file_node(path, true));
    add_json(a, "-blockdev", seed);

    json_t *device = json_object();
    json_put_string(device, "driver", "virtio-blk-pci");
    json_put_string(device, "id", "virtio-seed0");
    json_put_string(device, "drive", "seed0");
    add_json(a, "-device", device);
}

static void add_network(struct argv *a, const struct vmm_handle *vm)
{
    add_value(a, "-nic", xstrdup("none"));
    if (vm->network.kind != VMM_NETWORK_USER)
        return;
    /* The host address is always said: without one QEMU listens on every interface (security.md
     * 0.7). */
    add_value(a, "-netdev",
        vm->ssh_host_port
            ? xasprintf("user,id=net0,hostfwd=tcp:127.0.0.1:%u-:22", vm->ssh_host_port)
            : xstrdup("user,id=net0"));
    /* No boot ROM: nobody boots these from the network, and loading one costs time at every boot.
     */
    add_value(a, "-device", xasprintf("virtio-net-pci,netdev=net0,mac=%s,romfile=", vm->mac_addr));
}

/* A display for VNC. Any local user can reach a port on 127.0.0.1, so it asks for a password, which
 * QEMU reads from a file in the VM's own folder. */
static void add_display(struct argv *a, const struct vmm_handle *vm)
{
    cleanup_free char *file = path_join(vm->work_dir, WORKDIR_VNC_PASSWORD);
    cleanup_free char *escaped = argv_escape(file);
    add_value(a, "-object", xasprintf("secret,id=vnc-password,file=%s", escaped));
    add_value(a, "-display", xstrdup("none"));
    add_value(a, "-vga", xstrdup("std"));
    add_value(a, "-vnc", xstrdup("127.0.0.1:0,to=199,password-secret=vnc-password"));
}

void qemu_build_argv(
    const struct vmm_handle *vm, const struct qemu_features *features, struct argv *ret_argv)
{
    struct argv a = {0};
    const bool is_kvm = features->accel == VMM_ACCEL_KVM;
    add(&a, "qemu-system-x86_64");
    add(&a, "-nodefaults");
    add(&a, "-no-user-config");
    add_value(&a, "-name", xasprintf("%s,debug-threads=on", vm->name));
    add_value(&a, "-uuid", xstrdup(vm->id));
    add_value(&a, "-sandbox",
        xstrdup("on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny"));
    add_value(&a, "-machine", xasprintf("q35,accel=%s", is_kvm ? "kvm" : "tcg"));
    /* TCG's `max` has five-level paging, which makes every page walk of the guest longer. */
    add_value(&a, "-cpu", xstrdup(is_kvm ? "host" : "max,la57=off"));
    add_value(&a, "-smp", xasprintf("%u", vm->vcpus));
    add_value(&a, "-m", xasprintf("%llu", (unsigned long long)vm->memory_mib));
    add_value(&a, "-boot", xstrdup("menu=off,strict=on"));
    add_monitor(&a, "qmp", QEMU_SOCKET_QMP);
    add_monitor(&a, "tool", QEMU_SOCKET_TOOL);
    add_monitor(&a, "keeper", QEMU_SOCKET_KEEPER);
    add_socket(&a, "serial0", QEMU_SOCKET_SERIAL);
    add_value(&a, "-serial", xstrdup("chardev:serial0"));
    /* SeaBIOS and OVMF tell their troubles on this port: "No bootable device" is seen at once. */
    add_socket(&a, "firmware", QEMU_SOCKET_FIRMWARE);
    add_value(&a, "-device", xstrdup("isa-debugcon,iobase=0x402,chardev=firmware"));
    add_disk(&a, vm, features->image_format);
    if (vm->seed_iso_path)
        add_seed(&a, vm->seed_iso_path);
    add_network(&a, vm);
    add_value(&a, "-object", xstrdup("rng-builtin,id=rng0"));
    add_value(&a, "-device", xstrdup("virtio-rng-pci,rng=rng0"));
    add_display(&a, vm);
    cleanup_free char *pidfile = path_join(vm->work_dir, WORKDIR_PIDFILE);
    add_value(&a, "-pidfile", xstrdup(pidfile));
    /* Paused: the keeper first listens to the serial port, then lets it go, so no byte is missed.
     */
    add(&a, "-S");
    argv_finish(&a);
    *ret_argv = a;
}
