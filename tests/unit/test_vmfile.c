/* VMFile.kdl: what a file means, and what each mistake in one looks like to a person. The tables
 * hold a file and what is to come of it: one line for each definition, or one for each mistake. */
#include "base/alloc.h"
#include "base/buf.h"
#include "base/cleanup.h"
#include "base/error.h"
#include "base/fs.h"
#include "vmfile/internal.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <cmocka.h>

/* --- the folder the files are in --- */

static char top[] = "/tmp/test-vmfile-XXXXXX";
static const char public_key[] =
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl me@here";

static void put(const char *name, const char *text, size_t n)
{
    cleanup_close int fd = open(name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(fs_write_all(fd, text, n), 0);
}

static void puts_to(const char *name, const char *text)
{
    put(name, text, strlen(text));
}

static int make_folder(void **state)
{
    (void)state;
    static char large[VMFILE_USER_DATA_MAX_BYTES + 1];
    memset(large, '\n', sizeof(large));
    if (!mkdtemp(top) || chdir(top) < 0 || mkdir("dir", 0700) < 0 || mkdir("home", 0700) < 0 ||
        mkdir("home/.ssh", 0700) < 0 || mkfifo("fifo", 0600) < 0)
        return -1;
    cleanup_free char *home = path_join(top, "home");
    setenv("HOME", home, /* overwrite */ 1);
    static const char disk[1024]; /* zeros: a raw image, the smallest there is */
    put("i", disk, sizeof(disk));
    puts_to("s.sh", "true\n");
    puts_to("user.yaml", "#cloud-config\n{}\n");
    puts_to("key", "-----BEGIN OPENSSH PRIVATE KEY-----\n-----END OPENSSH PRIVATE KEY-----\n");
    puts_to("two.pub", "ssh-rsa A\nssh-rsa B\n");
    cleanup_free char *line = xasprintf("%s\r\n", public_key);
    puts_to("key.pub", line);
    puts_to("home/.ssh/id_ed25519.pub", line);
    puts_to("home/.ssh/id_ed25519", "-----BEGIN OPENSSH PRIVATE KEY-----\n");
    put("large", large, sizeof(large));
    return 0;
}

static int remove_folder(void **state)
{
    (void)state;
    return chdir("/") < 0 || fs_remove_tree(top, NULL) < 0 ? -1 : 0;
}

/* --- showing what came out --- */

/* The folder's name differs from run to run. */
static void add_plain(struct buf *out, const char *s)
{
    for (const char *hit; (hit = strstr(s, top)); s = hit + strlen(top)) {
        buf_add(out, s, (size_t)(hit - s));
        buf_adds(out, "$D");
    }
    buf_adds(out, s);
}

/* "line:column code message | label | help" */
static void add_errors(struct buf *out, const struct vmm_error *e, size_t text_bytes)
{
    for (; e; e = vmm_error_next(e)) {
        struct vmm_place at = {0};
        if (vmm_error_place(e, &at))
            assert_true(at.offset_bytes + at.length_bytes <= text_bytes);
        buf_addf(out, "%u:%u %s ", at.line, at.column,
            strrchr(vmm_error_code_name(vmm_error_code(e)), ':') + 1);
        add_plain(out, vmm_error_message(e));
        buf_adds(out, " | ");
        add_plain(out, vmm_error_label(e) ? vmm_error_label(e) : "-");
        buf_adds(out, " | ");
        add_plain(out, vmm_error_help(e) ? vmm_error_help(e) : "-");
        buf_addc(out, '\n');
    }
}

static void add_field(struct buf *out, const char *name, const char *value)
{
    if (value)
        buf_addf(out, " %s=%s", name, value);
}

/* Everything that is not as it would be had nothing been written. */
static void add_vm(struct buf *out, const struct vmm_vmdef *d)
{
    buf_addf(out, "%s %s:%s %u/%llu", d->name, d->image_kind == VMM_IMAGE_URL ? "url" : "file",
        d->image, (unsigned)d->vcpus, (unsigned long long)d->memory_mib);
    if (d->disk_gib)
        buf_addf(out, " disk=%u", (unsigned)d->disk_gib);
    if (d->network_kind != VMM_NETWORK_USER)
        add_field(out, "net", vmm_network_name(d->network_kind));
    add_field(out, "link", d->network_link);
    if (d->accel != VMM_ACCEL_AUTO)
        add_field(out, "accel", vmm_accel_name(d->accel));
    buf_adds(out, d->has_cloud_init ? " cloud-init" : "");
    add_field(out, "hostname", d->hostname);
    add_field(out, "ssh-key", d->ssh_key);
    add_field(out, "user-data", d->user_data);
    buf_adds(out, d->has_ssh ? " ssh" : "");
    add_field(out, "user", d->ssh_user);
    add_field(out, "private-key", d->ssh_private_key);
    for (size_t i = 0; i < d->provision_count; i++) {
        const struct vmm_provision_def *p = &d->provisions[i];
        if (p->kind == VMM_PROVISION_FILE)
            buf_addf(out, " file(%s>%s)", p->source, p->destination);
        else
            buf_addf(out, " %s(%s)", p->command ? "inline" : "script",
                p->command ? p->command : p->source);
    }
    buf_addc(out, '\n');
}

struct file_case {
    int line;
    const char *in;
    size_t n;
    const char *want;
};

#define CASE(text, wanted)                           \
    {                                                \
        __LINE__, (text), sizeof(text) - 1, (wanted) \
    }
/* Within a VM that is otherwise fine; its text begins on line 2. */
#define IN_VM(text, wanted) CASE("vm a { image i\n" text "\n}", wanted)
#define COUNT(table) (sizeof(table) / sizeof(*(table)))
#define BAD " validation "

static void check_table(const struct file_case *cases, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        cleanup_source struct source *source = source_new("VMFile.kdl", cases[i].in, cases[i].n);
        cleanup_buf struct buf got = {0};
        cleanup_error struct vmm_error *err = NULL;
        struct vmm_vmfile *file = NULL;
        const int r = vmfile_parse_source(source, top, /* checks_files */ true, &file, &err);
        assert_int_equal(r < 0, err != NULL);
        assert_int_equal(r < 0, file == NULL);
        add_errors(&got, err, cases[i].n);
        for (size_t k = 0; file && k < vmm_vmfile_count(file); k++)
            add_vm(&got, vmm_vmfile_vm(file, k));
        vmm_vmfile_free(file);
        if (strcmp(buf_cstr(&got), cases[i].want) != 0)
            fail_msg(
                "%s:%d: got\n%s\nwant\n%s", __FILE__, cases[i].line, buf_cstr(&got), cases[i].want);
    }
}

/* --- tables --- */

/* clang-format off */
#define KNOWN_IN_VM "vm may hold `image`, `image-url`, `vcpus`, `memory`, `disk`, `network`, `accel`, " \
    "`cloud-init`, `ssh`, `provision`."
#define PUT_THERE "Put the file there or correct the path; a relative path starts at the folder of the VMFile."
#define VCPUS_HINT "Write the number of virtual CPUs: `vcpus 2`."
#define MEMORY_HINT "Write the memory in megabytes: `memory 2048`."
#define DISK_HINT "Write the size in gigabytes, `disk 20`, or leave disk out to keep the size of the image."

static void good_files(void **state)
{
    (void)state;
    static const struct file_case cases[] = {
        CASE("vm a { image i; }", "a file:i 1/1024\n"),
        CASE("vm \"a.b_c-D9\" { image-url \"https://x.org/i.img\"; }", "a.b_c-D9 url:https://x.org/i.img 1/1024\n"),
        CASE("vm a { image i; }\nvm b { image i; }\n", "a file:i 1/1024\nb file:i 1/1024\n"),
        CASE("// c\n/- vm x\nvm a { /- memory no; image i; vcpus 2 /- 3; }", "a file:i 2/1024\n"),
        IN_VM("vcpus 288; memory 16777216; disk 2048", "a file:i 288/16777216 disk=2048\n"),
        IN_VM("vcpus 0x2; memory 2_048; disk 1", "a file:i 2/2048 disk=1\n"),
        IN_VM("network user", "a file:i 1/1024\n"),
        IN_VM("network user {}", "a file:i 1/1024\n"),
        IN_VM("network tap", "a file:i 1/1024 net=tap link=br0\n"),
        IN_VM("network tap { bridge virbr0.1; }", "a file:i 1/1024 net=tap link=virbr0.1\n"),
        IN_VM("network none", "a file:i 1/1024 net=none\n"),
        IN_VM("network vnic { name vnic0; }", "a file:i 1/1024 net=vnic link=vnic0\n"),
        IN_VM("accel auto", "a file:i 1/1024\n"),
        IN_VM("accel kvm", "a file:i 1/1024 accel=kvm\n"),
        IN_VM("accel tcg", "a file:i 1/1024 accel=tcg\n"),
        IN_VM("cloud-init", "a file:i 1/1024 cloud-init\n"),
        IN_VM("cloud-init {}", "a file:i 1/1024 cloud-init\n"),
        IN_VM("cloud-init { hostname \"a.example.org\"; ssh-key \"key.pub\"; }",
            "a file:i 1/1024 cloud-init hostname=a.example.org ssh-key=key.pub\n"),
        IN_VM("cloud-init { ssh-key \"~/.ssh/id_ed25519.pub\"; }",
            "a file:i 1/1024 cloud-init ssh-key=~/.ssh/id_ed25519.pub\n"),
        IN_VM("cloud-init { user-data user.yaml; }", "a file:i 1/1024 cloud-init user-data=user.yaml\n"),
        IN_VM("network none\ncloud-init", "a file:i 1/1024 net=none cloud-init\n"),
        IN_VM("ssh", "a file:i 1/1024 ssh\n"),
        IN_VM("ssh { user _x; private-key \"./key\"; }", "a file:i 1/1024 ssh user=_x private-key=./key\n"),
        IN_VM("ssh\nprovision shell { inline \"a\\nb\"; }\nprovision shell { script s.sh; }\n"
            "provision file { source s.sh; destination \"/tmp/s\"; }",
            "a file:i 1/1024 ssh inline(a\nb) script(s.sh) file(s.sh>/tmp/s)\n"),
        IN_VM("provision shell { inline a; }\nssh", "a file:i 1/1024 ssh inline(a)\n"),
        CASE("vm a { image-url \"file:///srv/i\"; }", "a url:file:///srv/i 1/1024\n"),
        CASE("vm a { image-url \"oci://ghcr.io/o/i:tag\"; }", "a url:oci://ghcr.io/o/i:tag 1/1024\n"),
        CASE("vm a { image-url \"HTTP://[::1]:80/i?q\"; }", "a url:HTTP://[::1]:80/i?q 1/1024\n"),
        CASE("vm a { image-url \"https://me@h:8443\"; }", "a url:https://me@h:8443 1/1024\n"),
    };
    check_table(cases, COUNT(cases));
}

static void names_and_blocks(void **state)
{
    (void)state;
    static const struct file_case cases[] = {
        CASE("", "1:1" BAD "the file defines no VM | a vm block is expected | Write for example `vm \"dev\" { image \"disk.qcow2\" }`.\n"),
        CASE("// nothing\n", "1:1" BAD "the file defines no VM | a vm block is expected | Write for example `vm \"dev\" { image \"disk.qcow2\" }`.\n"),
        CASE("vn web { image i; }", "1:1" BAD "unknown node \"vn\" at the top of the file | not known here | did you mean \"vm\"?\n"),
        CASE("image i", "1:1" BAD "unknown node \"image\" at the top of the file | not known here | `image` belongs inside vm.\n"),
        CASE("include \"x.kdl\"", "1:1" BAD "unknown node \"include\" at the top of the file | not known here | VMFile.kdl may hold `vm`.\n"),
        CASE("vm { image i; }", "1:1" BAD "vm needs a string after it | a string is missing | Write for example `vm \"dev\" { image \"disk.qcow2\" }`.\n"),
        CASE("vm 5 { image i; }", "1:4" BAD "vm takes a string, not a number | a number | Write `vm \"5\"`.\n"),
        CASE("vm #true { image i; }", "1:4" BAD "vm takes a string, not #true | #true | Write for example `vm \"dev\" { image \"disk.qcow2\" }`.\n"),
        CASE("vm a b c { image i; }", "1:6" BAD "vm takes one argument | one too many | Write for example `vm \"dev\" { image \"disk.qcow2\" }`.\n"),
        CASE("vm \"\" { image i; }", "1:4" BAD "\"\" cannot be the name of a VM: it is empty | not a name | Use letters, digits, `.`, `_` and `-`, first a letter or digit, at most 63.\n"),
        CASE("vm \"../x\" { image i; }", "1:4" BAD "\"../x\" cannot be the name of a VM: it does not begin with a letter or digit | not a name | Use letters, digits, `.`, `_` and `-`, first a letter or digit, at most 63.\n"),
        CASE("vm \"a b\" { image i; }", "1:4" BAD "\"a b\" cannot be the name of a VM: it has a character that is not allowed | not a name | Use letters, digits, `.`, `_` and `-`, first a letter or digit, at most 63.\n"),
        CASE("vm \"a\\u{0}b\" { image i; }", "1:4" BAD "vm holds a character that is not allowed in it | holds a NUL character | Remove it.\n"),
        CASE("vm a { image i; }\n\nvm b { image i; }\nvm a { image i; }", "4:4" BAD "vm \"a\" is defined twice | the first is on line 1 | Give one of them another name.\n"),
        CASE("vm a memory=512 { image i; }", "1:6" BAD "unknown property \"memory\" of vm | nodes here have no properties | Write it as a line inside the block: `memory 512`.\n"),
        CASE("vm a size=(u8)5 { image i; }", "1:6" BAD "unknown property \"size\" of vm | nodes here have no properties | Write for example `vm \"dev\" { image \"disk.qcow2\" }`.\n"),
        CASE("(t)vm a { image i; }", "1:1" BAD "type annotation \"t\" has no meaning here | remove this | Values here need no type annotation: each node takes one kind of value.\n"),
        CASE("vm (t)a { image i; }", "1:4" BAD "type annotation \"t\" has no meaning here | remove this | Values here need no type annotation: each node takes one kind of value.\n"),
        CASE("vm a { image i; vm b { image i; }; }", "1:17" BAD "unknown node \"vm\" in vm \"a\" | not known here | Blocks of vm stand beside each other at the top of the file.\n"),
        IN_VM("memry 512", "2:1" BAD "unknown node \"memry\" in vm \"a\" | not known here | did you mean \"memory\"?\n"),
        IN_VM("MEMORY 512", "2:1" BAD "unknown node \"MEMORY\" in vm \"a\" | not known here | did you mean \"memory\"?\n"),
        IN_VM("ram 512", "2:1" BAD "unknown node \"ram\" in vm \"a\" | not known here | did you mean \"memory\"?\n"),
        IN_VM("name web", "2:1" BAD "unknown node \"name\" in vm \"a\" | not known here | The name stands right after vm: `vm \"dev\" { ... }`.\n"),
        IN_VM("firmware uefi", "2:1" BAD "unknown node \"firmware\" in vm \"a\" | not known here | " KNOWN_IN_VM "\n"),
        IN_VM("hostname web", "2:1" BAD "unknown node \"hostname\" in vm \"a\" | not known here | `hostname` belongs inside cloud-init.\n"),
        IN_VM("bridge br0", "2:1" BAD "unknown node \"bridge\" in vm \"a\" | not known here | `bridge` belongs inside network \"tap\".\n"),
        IN_VM("\"a\\n\\u{1b}[31m\\u{202e}\" 1", "2:1" BAD "unknown node \"a \\x1b[31m<U+202E>\" in vm \"a\" | not known here | " KNOWN_IN_VM "\n"),
        CASE("vm \"?\" { memry 1; image i; }", "1:4" BAD "\"?\" cannot be the name of a VM: it does not begin with a letter or digit | not a name | Use letters, digits, `.`, `_` and `-`, first a letter or digit, at most 63.\n"
            "1:10" BAD "unknown node \"memry\" in vm | not known here | did you mean \"memory\"?\n"),
        IN_VM("memory 1\nmemory 2", "3:1" BAD "memory is given twice | the first is on line 2 | Keep one of them.\n"),
        IN_VM("image i", "2:1" BAD "image is given twice | the first is on line 1 | Keep one of them.\n"),
        IN_VM("ssh\nssh {}", "3:1" BAD "ssh is given twice | the first is on line 2 | Keep one of them.\n"),
        IN_VM("cloud-init\ncloud-init", "3:1" BAD "cloud-init is given twice | the first is on line 2 | Keep one of them.\n"),
        IN_VM("cloud-init {\nhostname a\nhostname b\n}", "4:1" BAD "hostname is given twice | the first is on line 3 | Keep one of them.\n"),
        IN_VM("network user\nnetwork none", "3:1" BAD "network is given twice | the first is on line 2 | Keep one of them.\n"),
        IN_VM("memory 1 { x; }", "2:12" BAD "memory takes no block | inside a block | Remove the block: `memory 2048` stands alone.\n"),
        IN_VM("accel kvm {}", "2:1" BAD "accel takes no block | this block | Remove the block: `accel \"auto\"` stands alone.\n"),
        IN_VM("ssh ubuntu", "2:5" BAD "ssh takes no argument | not expected | Write for example `ssh { user \"ubuntu\" }`.\n"),
        IN_VM("ssh user=ubuntu", "2:5" BAD "unknown property \"user\" of ssh | nodes here have no properties | Write it as a line inside the block: `user ubuntu`.\n"),
        IN_VM("network tap bridge=\"br1\"", "2:13" BAD "unknown property \"bridge\" of network | nodes here have no properties | Write it as a line inside the block: `bridge \"br1\"`.\n"),
    };
    check_table(cases, COUNT(cases));
}

static void images(void **state)
{
    (void)state;
#define USE_SCHEME "Begin it with http://, https://, file:// or oci://, or use `image` for a file."
#define URL_CASE(url, label, help) CASE("vm a { image-url \"" url "\"; }", \
    "1:18" BAD "image-url \"" url "\" cannot be used | " label " | " help "\n")
    static const struct file_case cases[] = {
        CASE("vm web", "1:1" BAD "vm \"web\" has no image | no image in its block | Add `image \"PATH\"` or `image-url \"URL\"`.\n"),
        CASE("vm web {\n vcpus 1\n}", "1:1" BAD "vm \"web\" has no image | no image in its block | Add `image \"PATH\"` or `image-url \"URL\"`.\n"),
        CASE("vm web { imge i; }", "1:10" BAD "unknown node \"imge\" in vm \"web\" | not known here | did you mean \"image\"?\n"),
        CASE("vm web { imge i; image i; }", "1:10" BAD "unknown node \"imge\" in vm \"web\" | not known here | did you mean \"image\"?\n"),
        CASE("vm a {\n image i\n image-url \"http://x/\"\n}", "3:2" BAD "vm \"a\" has both image and image-url | image is given on line 2 | Keep one of them.\n"),
        CASE("vm a {\n image-url \"http://x/\"\n image i\n}", "3:2" BAD "vm \"a\" has both image and image-url | image-url is given on line 2 | Keep one of them.\n"),
        CASE("vm a { image \"no.img\"; }", "1:14" BAD "image \"$D/no.img\" does not exist | no such file | " PUT_THERE "\n"),
        CASE("vm a { image \"~/no.img\"; }", "1:14" BAD "image \"$D/home/no.img\" does not exist | no such file | " PUT_THERE "\n"),
        CASE("vm a { image \".//./../no.img\"; }", "1:14" BAD "image \"$D/../no.img\" does not exist | no such file | " PUT_THERE "\n"),
        CASE("vm a { image \"/nowhere/x\"; }", "1:14" BAD "image \"/nowhere/x\" does not exist | no such file | " PUT_THERE "\n"),
        CASE("vm a { image dir; }", "1:14" BAD "image \"$D/dir\" is a folder | a folder | Name a file.\n"),
        CASE("vm a { image fifo; }", "1:14" BAD "image \"$D/fifo\" is not a regular file | not a regular file | Devices, pipes and sockets cannot be used here.\n"),
        CASE("vm a { image \"i/x\"; }", "1:14" BAD "image \"$D/i/x\" cannot be read: Not a directory | cannot be read | See who may read it: ls -l \"$D/i/x\"\n"),
        CASE("vm a { image \"\"; }", "1:14" BAD "image is empty | empty | Write the path of a file.\n"),
        CASE("vm a { image \"~bob/i\"; }", "1:14" BAD "image \"~bob/i\" cannot be understood | `~` with a user's name is not expanded | Write the path in full, from the folder of the VMFile, or from your own home with `~/`.\n"),
        CASE("vm a { image \"$HOME/i\"; }", "1:14" BAD "image \"$HOME/i\" cannot be understood | variables are not expanded | Write the path in full, from the folder of the VMFile, or from your own home with `~/`.\n"),
        CASE("vm a { image \"a\\nb\"; }", "1:14" BAD "image holds a character that is not allowed in it | holds a line break | Remove it.\n"),
        CASE("vm a { image \"a\\u{7f}b\"; }", "1:14" BAD "image holds a character that is not allowed in it | holds the control character U+007F | Remove it.\n"),
        CASE("vm a { image 5; }", "1:14" BAD "image takes a string, not a number | a number | Write `image \"5\"`.\n"),
        CASE("vm a { image #null; }", "1:14" BAD "image takes a string, not #null | #null | Write for example `image \"disk.qcow2\"`.\n"),
        CASE("vm a { image; }", "1:8" BAD "image needs a string after it | a string is missing | Write for example `image \"disk.qcow2\"`.\n"),
        CASE("vm a { image i i; }", "1:16" BAD "image takes one argument | one too many | Write for example `image \"disk.qcow2\"`.\n"),
        CASE("vm a { image \"https://x/i\"; }", "1:14" BAD "image takes the path of a file, not a URL | a URL | Write `image-url \"https://x/i\"`.\n"),
        URL_CASE("./i.img", "not a URL", USE_SCHEME),
        URL_CASE("ftp://x/i", "images do not come this way", USE_SCHEME),
        URL_CASE("http:/x/i", "not a URL", USE_SCHEME),
        URL_CASE("https://x/a b", "has a character that no URL may have", "Write a space as %20 and a backslash as %5C."),
        CASE("vm a { image-url \"https://x\\\\i\"; }", "1:18" BAD "image-url \"https://x\\i\" cannot be used | has a character that no URL may have | Write a space as %20 and a backslash as %5C.\n"),
        URL_CASE("https:///i", "the name of the server is not right", "A URL looks like \"https://example.com/image.qcow2\"."),
        URL_CASE("https://x:0/i", "the name of the server is not right", "A URL looks like \"https://example.com/image.qcow2\"."),
        URL_CASE("https://x:65536/i", "the name of the server is not right", "A URL looks like \"https://example.com/image.qcow2\"."),
        URL_CASE("https://[::1/i", "the name of the server is not right", "A URL looks like \"https://example.com/image.qcow2\"."),
        URL_CASE("file://srv/i", "not an absolute path", "Three slashes and the whole path: file:///srv/image.qcow2"),
        URL_CASE("oci://ghcr.io", "the name of the image is missing", "An image in a registry looks like \"oci://ghcr.io/owner/image:tag\"."),
    };
    check_table(cases, COUNT(cases));
}

static void resources(void **state)
{
    (void)state;
    static const struct file_case cases[] = {
        IN_VM("vcpus", "2:1" BAD "vcpus needs a number after it | a number is missing | Write for example `vcpus 2`.\n"),
        IN_VM("vcpus \"2\"", "2:7" BAD "vcpus takes a whole number, not a string | a string | Write `vcpus 2`.\n"),
        IN_VM("vcpus two", "2:7" BAD "vcpus takes a whole number, not a string | a string | " VCPUS_HINT "\n"),
        IN_VM("vcpus \"2G\"", "2:7" BAD "vcpus takes a whole number, not a string | a string | " VCPUS_HINT "\n"),
        IN_VM("vcpus #true", "2:7" BAD "vcpus takes a whole number, not #true | #true | " VCPUS_HINT "\n"),
        IN_VM("vcpus 2.0", "2:7" BAD "vcpus takes a whole number, not 2.0 | not a whole number | " VCPUS_HINT "\n"),
        IN_VM("vcpus 0", "2:7" BAD "vcpus must be a number from 1 to 288, not 0 | too small | " VCPUS_HINT "\n"),
        IN_VM("vcpus -1", "2:7" BAD "vcpus must be a number from 1 to 288, not -1 | too small | " VCPUS_HINT "\n"),
        IN_VM("vcpus 289", "2:7" BAD "vcpus must be a number from 1 to 288, not 289 | too large | " VCPUS_HINT "\n"),
        IN_VM("vcpus 99999999999999999999", "2:7" BAD "vcpus must be a number from 1 to 288, not 99999999999999999999 | too large | " VCPUS_HINT "\n"),
        IN_VM("vcpus -99999999999999999999", "2:7" BAD "vcpus must be a number from 1 to 288, not -99999999999999999999 | too small | " VCPUS_HINT "\n"),
        IN_VM("vcpus 2 3", "2:9" BAD "vcpus takes one argument | one too many | Write for example `vcpus 2`.\n"),
        IN_VM("vcpus (u8)2", "2:7" BAD "type annotation \"u8\" has no meaning here | remove this | Values here need no type annotation: each node takes one kind of value.\n"),
        IN_VM("memory 2.5", "2:8" BAD "memory takes a whole number, not 2.5 | not a whole number | " MEMORY_HINT "\n"),
        IN_VM("memory #inf", "2:8" BAD "memory takes a whole number, not #inf | not a whole number | " MEMORY_HINT "\n"),
        IN_VM("memory \"2G\"", "2:8" BAD "memory takes a whole number, not a string | a string | Write `memory 2048`.\n"),
        IN_VM("memory \"512 MiB\"", "2:8" BAD "memory takes a whole number, not a string | a string | Write `memory 512`.\n"),
        IN_VM("memory \"1k\"", "2:8" BAD "memory takes a whole number, not a string | a string | " MEMORY_HINT "\n"),
        IN_VM("memory \"64T\"", "2:8" BAD "memory takes a whole number, not a string | a string | " MEMORY_HINT "\n"),
        IN_VM("memory 0", "2:8" BAD "memory must be a number from 1 to 16777216, not 0 | too small | " MEMORY_HINT "\n"),
        IN_VM("memory 2147483648", "2:8" BAD "memory must be a number from 1 to 16777216, not 2147483648 | too large | " MEMORY_HINT "\n"),
        IN_VM("disk 0", "2:6" BAD "disk must be a number from 1 to 2048, not 0 | too small | " DISK_HINT "\n"),
        IN_VM("disk 2049", "2:6" BAD "disk must be a number from 1 to 2048, not 2049 | too large | " DISK_HINT "\n"),
        IN_VM("disk \"20gb\"", "2:6" BAD "disk takes a whole number, not a string | a string | Write `disk 20`.\n"),
        IN_VM("disk \"512M\"", "2:6" BAD "disk takes a whole number, not a string | a string | " DISK_HINT "\n"),
        IN_VM("accel hvf", "2:7" BAD "unknown accel \"hvf\" | not a kind of accel | Write \"auto\", \"kvm\" or \"tcg\".\n"),
        IN_VM("accel kvn", "2:7" BAD "unknown accel \"kvn\" | not a kind of accel | did you mean \"kvm\"?\n"),
        IN_VM("accel #true", "2:7" BAD "accel takes a string, not #true | #true | Write for example `accel \"auto\"`.\n"),
    };
    check_table(cases, COUNT(cases));
}

static void networks(void **state)
{
    (void)state;
#define LINK_HELP "Use at most 15 letters, digits, `.`, `_` and `-`, first a letter, digit or `_`."
    static const struct file_case cases[] = {
        IN_VM("network", "2:1" BAD "network needs a string after it | a string is missing | Write for example `network \"user\"`.\n"),
        IN_VM("network bridged { bridge br0; }", "2:9" BAD "unknown network \"bridged\" | not a kind of network | Write \"user\", \"tap\", \"none\" or \"vnic\".\n"),
        IN_VM("network usr", "2:9" BAD "unknown network \"usr\" | not a kind of network | did you mean \"user\"?\n"),
        IN_VM("network user { bridge br0; }", "2:16" BAD "unknown node \"bridge\" in network \"user\" of vm \"a\" | not known here | `bridge` belongs inside network \"tap\".\n"),
        IN_VM("network none { mtu 1500; }", "2:16" BAD "unknown node \"mtu\" in network \"none\" of vm \"a\" | not known here | network \"none\" has no nodes in it: remove this.\n"),
        IN_VM("network tap { name br0; }", "2:15" BAD "unknown node \"name\" in network \"tap\" of vm \"a\" | not known here | did you mean \"bridge\"?\n"),
        IN_VM("network tap { bridge \"br 0\"; }", "2:22" BAD "\"br 0\" cannot be the name of a network interface | not such a name | " LINK_HELP "\n"),
        IN_VM("network tap { bridge \"br0,x=y\"; }", "2:22" BAD "\"br0,x=y\" cannot be the name of a network interface | not such a name | " LINK_HELP "\n"),
        IN_VM("network tap { bridge \"..\"; }", "2:22" BAD "\"..\" cannot be the name of a network interface | not such a name | " LINK_HELP "\n"),
        IN_VM("network tap { bridge \"\"; }", "2:22" BAD "\"\" cannot be the name of a network interface | not such a name | " LINK_HELP "\n"),
        IN_VM("network tap { bridge a234567890123456; }", "2:22" BAD "\"a234567890123456\" cannot be the name of a network interface | longer than 15 characters | " LINK_HELP "\n"),
        IN_VM("network tap {\nbridge a\nbridge b\n}", "4:1" BAD "bridge is given twice | the first is on line 3 | Keep one of them.\n"),
        IN_VM("network vnic", "2:1" BAD "network \"vnic\" needs the name of a vnic | no name in its block | Write `network \"vnic\" { name \"vnic0\" }`.\n"),
        IN_VM("network none\nssh", "3:1" BAD "vm \"a\" has network \"none\", so nothing can reach it by SSH | needs a network | Write `network \"user\"`, or remove the ssh block.\n"),
        IN_VM("network none\nssh\nprovision shell { inline x; }", "3:1" BAD "vm \"a\" has network \"none\", so nothing can reach it by SSH | needs a network | Write `network \"user\"`, or remove the ssh block and the provision blocks.\n"),
        IN_VM("network none\nprovision shell { inline x; }", "3:1" BAD "vm \"a\" has network \"none\", so nothing can reach it by SSH | needs a network | Write `network \"user\"`, or remove the provision blocks.\n"),
    };
    check_table(cases, COUNT(cases));
}

static void cloud_init_and_ssh(void **state)
{
    (void)state;
#define CLOUD(text, wanted) IN_VM("cloud-init { " text "; }", wanted)
#define SSH(text, wanted) IN_VM("ssh { " text "; }", wanted)
#define USER_HELP "Use lower-case letters, digits, `_` and `-`, first a letter or `_`, at most 32."
    static const struct file_case cases[] = {
        CLOUD("hostname \"my_host\"", "2:23" BAD "\"my_host\" cannot be the name of a host | not a host name | Write for example `hostname \"my-host\"`.\n"),
        CLOUD("hostname \"-\"", "2:23" BAD "\"-\" cannot be the name of a host | not a host name | Use letters, digits and `-` (not first or last), at most 63; dots may join several such names.\n"),
        CLOUD("hostname 5", "2:23" BAD "hostname takes a string, not a number | a number | Write `hostname \"5\"`.\n"),
        CLOUD("hostnam x", "2:14" BAD "unknown node \"hostnam\" in cloud-init of vm \"a\" | not known here | did you mean \"hostname\"?\n"),
        CLOUD("packages x", "2:14" BAD "unknown node \"packages\" in cloud-init of vm \"a\" | not known here | cloud-init may hold `hostname`, `ssh-key`, `user-data`.\n"),
        CLOUD("user x", "2:14" BAD "unknown node \"user\" in cloud-init of vm \"a\" | not known here | `user` belongs inside ssh.\n"),
        CLOUD("ssh-key \"no.pub\"", "2:22" BAD "ssh-key \"$D/no.pub\" does not exist | no such file | " PUT_THERE "\n"),
        CLOUD("ssh-key key", "2:22" BAD "ssh-key \"$D/key\" is a private key, which must not leave this machine | a private key | Name the public half: it is usually \"$D/key.pub\".\n"),
        CLOUD("ssh-key s.sh", "2:22" BAD "ssh-key \"$D/s.sh\" is not an SSH public key | not a public key | Name the .pub file that ssh-keygen made, for example \"~/.ssh/id_ed25519.pub\".\n"),
        CLOUD("ssh-key i", "2:22" BAD "ssh-key \"$D/i\" is not an SSH public key | not a public key | Name the .pub file that ssh-keygen made, for example \"~/.ssh/id_ed25519.pub\".\n"),
        CLOUD("ssh-key two.pub", "2:22" BAD "ssh-key \"$D/two.pub\" holds more than one line | more than one line | Name a file that holds one public key.\n"),
        CLOUD("ssh-key large", "2:22" BAD "ssh-key \"$D/large\" is larger than 64 KiB | too large | Is this the right file?\n"),
        CLOUD("user-data no.yaml", "2:24" BAD "user-data \"$D/no.yaml\" does not exist | no such file | " PUT_THERE "\n"),
        CLOUD("user-data large", "2:24" BAD "user-data \"$D/large\" is larger than 1024 KiB | too large | Is this the right file?\n"),
        IN_VM("cloud-init {\nssh-key key.pub\nuser-data user.yaml\n}", "4:1" BAD "cloud-init cannot have both ssh-key and user-data | ssh-key is given on line 3 | The user-data file is passed on as it is, so no key would be put into it. Keep ssh-key, or remove it and write the key into the file.\n"),
        SSH("user Ubuntu", "2:12" BAD "\"Ubuntu\" cannot be the name of a user | not a user name | " USER_HELP "\n"),
        SSH("user \"\"", "2:12" BAD "\"\" cannot be the name of a user | not a user name | " USER_HELP "\n"),
        SSH("user \"-oProxyCommand=x\"", "2:12" BAD "\"-oProxyCommand=x\" cannot be the name of a user | not a user name | " USER_HELP "\n"),
        SSH("user", "2:7" BAD "user needs a string after it | a string is missing | Write for example `user \"ubuntu\"`.\n"),
        SSH("private-key nokey", "2:19" BAD "private-key \"$D/nokey\" does not exist | no such file | " PUT_THERE "\n"),
        SSH("private-key key.pub", "2:19" BAD "private-key \"$D/key.pub\" is a public key | a public key | Name the file without .pub: the private half.\n"),
        SSH("private-key dir", "2:19" BAD "private-key \"$D/dir\" is a folder | a folder | Name a file.\n"),
        SSH("key key", "2:7" BAD "unknown node \"key\" in ssh of vm \"a\" | not known here | did you mean \"private-key\"?\n"),
        SSH("port 22", "2:7" BAD "unknown node \"port\" in ssh of vm \"a\" | not known here | ssh may hold `user`, `private-key`.\n"),
    };
    check_table(cases, COUNT(cases));
}

static void provisions(void **state)
{
    (void)state;
#define STEP(text, wanted) IN_VM("ssh; " text, wanted)
    static const struct file_case cases[] = {
        IN_VM("provision shell { inline x; }\nprovision shell { inline y; }", "2:1" BAD "vm \"a\" has provision steps but no ssh block | runs over SSH | Add an ssh block: `ssh { user \"USER\" }`.\n"),
        STEP("provision", "2:6" BAD "provision needs a string after it | a string is missing | Write for example `provision \"shell\" { inline \"uptime\" }`.\n"),
        STEP("provision shel { inline x; }", "2:16" BAD "unknown provision \"shel\" | not a kind of provision | did you mean \"shell\"?\n"),
        STEP("provision ansible { playbook x; }", "2:16" BAD "unknown provision \"ansible\" | not a kind of provision | Write \"shell\" or \"file\".\n"),
        STEP("provision shell", "2:6" BAD "provision \"shell\" has neither inline nor script | nothing to run | Add `inline \"COMMAND\"` or `script \"FILE\"` in its block.\n"),
        STEP("provision shell {\ninline x\nscript s.sh\n}", "4:1" BAD "provision \"shell\" has both inline and script | inline is given on line 3 | Keep one of them, or write two provision blocks: they run in their order.\n"),
        STEP("provision shell { inline \" \\n\"; }", "2:31" BAD "inline is empty | no command in it | Write the command to run: `inline \"sudo apt-get update\"`.\n"),
        STEP("provision shell { inline \"a\\u{0}b\"; }", "2:31" BAD "inline holds a character that is not allowed in it | holds a NUL character | Remove it.\n"),
        STEP("provision shell { inline 5; }", "2:31" BAD "inline takes a string, not a number | a number | Write for example `inline \"sudo apt-get update\"`.\n"),
        STEP("provision shell { script no.sh; }", "2:31" BAD "script \"$D/no.sh\" does not exist | no such file | " PUT_THERE "\n"),
        STEP("provision shell { source s.sh; }", "2:6" BAD "provision \"shell\" has neither inline nor script | nothing to run | Add `inline \"COMMAND\"` or `script \"FILE\"` in its block.\n"
            "2:24" BAD "unknown node \"source\" in provision \"shell\" of vm \"a\" | not known here | `source` belongs inside provision \"file\".\n"),
        STEP("provision shell { cmd x; }", "2:24" BAD "unknown node \"cmd\" in provision \"shell\" of vm \"a\" | not known here | did you mean \"inline\"?\n"),
        STEP("provision shell inline=x", "2:22" BAD "unknown property \"inline\" of provision | nodes here have no properties | Write it as a line inside the block: `inline x`.\n"),
        STEP("provision file", "2:6" BAD "provision \"file\" has no source and destination | source and destination missing | Add `source \"FILE\"` and `destination \"/PATH/IN/GUEST\"` in its block.\n"),
        STEP("provision file { source s.sh; }", "2:6" BAD "provision \"file\" has no destination | destination missing | Add `destination \"/PATH/IN/GUEST\"` in its block.\n"),
        STEP("provision file { destination \"/x\"; }", "2:6" BAD "provision \"file\" has no source | source missing | Add `source \"FILE\"` in its block.\n"),
        STEP("provision file { source dir; destination \"/x\"; }", "2:30" BAD "source \"$D/dir\" is a folder | a folder | Name a file.\n"),
        STEP("provision file { source s.sh; destination x; }", "2:48" BAD "destination \"x\" is not an absolute path in the guest | not an absolute path | Begin it with /, also for a home folder: `destination \"/home/USER/file\"`.\n"),
        STEP("provision file { source s.sh; destination \"/etc/\"; }", "2:48" BAD "destination \"/etc/\" names a folder | a folder | Add the name the file is to have there.\n"),
        STEP("provision file { src s.sh; dest \"/etc/x\"; }", "2:23" BAD "unknown node \"src\" in provision \"file\" of vm \"a\" | not known here | did you mean \"source\"?\n"
            "2:33" BAD "unknown node \"dest\" in provision \"file\" of vm \"a\" | not known here | did you mean \"destination\"?\n"),
    };
    check_table(cases, COUNT(cases));
}

static void several_mistakes_in_the_order_of_the_file(void **state)
{
    (void)state;
    static const struct file_case cases[] = {
        CASE("vm web {\n  memry 512\n  vcpus \"2\"\n}\n\nvm web {\n  image \"no.img\"\n  provision \"shell\"\n}\nvms\n",
            "1:1" BAD "vm \"web\" has no image | no image in its block | Add `image \"PATH\"` or `image-url \"URL\"`.\n"
            "2:3" BAD "unknown node \"memry\" in vm \"web\" | not known here | did you mean \"memory\"?\n"
            "3:9" BAD "vcpus takes a whole number, not a string | a string | Write `vcpus 2`.\n"
            "6:4" BAD "vm \"web\" is defined twice | the first is on line 1 | Give one of them another name.\n"
            "7:9" BAD "image \"$D/no.img\" does not exist | no such file | " PUT_THERE "\n"
            "8:3" BAD "provision \"shell\" has neither inline nor script | nothing to run | Add `inline \"COMMAND\"` or `script \"FILE\"` in its block.\n"
            "8:3" BAD "vm \"web\" has provision steps but no ssh block | runs over SSH | Add an ssh block: `ssh { user \"USER\" }`.\n"
            "10:1" BAD "unknown node \"vms\" at the top of the file | not known here | did you mean \"vm\"?\n"),
    };
    check_table(cases, COUNT(cases));
}
/* clang-format on */

static void expect_same(const char *got, const char *want)
{
    assert_int_equal(got != NULL, want != NULL);
    if (got)
        assert_string_equal(got, want);
}

/* Only these are told: what the rest of the file means is not known yet. */
static void syntax_errors_keep_what_the_parser_said(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        size_t n;
    } files[] = {
#define TEXT(literal) {literal, sizeof(literal) - 1}
        TEXT("vm web {\n  memry 512\n  vcpus = 2\n  image true\n  image \"x\n"),
        TEXT("vm a\0"),
        TEXT("vm a /-"),
        TEXT("vm \xff"),
    };
    for (size_t i = 0; i < COUNT(files); i++) {
        cleanup_source struct source *s = source_new("VMFile.kdl", files[i].text, files[i].n);
        cleanup_error struct vmm_error *kdl = NULL, *ours = NULL;
        struct kdl_doc *doc = NULL;
        struct vmm_vmfile *file = NULL;
        assert_int_equal(kdl_parse(s, &doc, &kdl), -VMM_E_KDL);
        assert_int_equal(vmfile_parse_source(s, top, /* checks_files */ true, &file, &ours),
            -VMM_E_VMFILE_SYNTAX);
        const struct vmm_error *a = ours, *b = kdl;
        for (; a && b; a = vmm_error_next(a), b = vmm_error_next(b)) {
            struct vmm_place at, want;
            assert_int_equal(vmm_error_code(a), VMM_E_VMFILE_SYNTAX);
            assert_true(vmm_error_place(a, &at) && vmm_error_place(b, &want));
            assert_int_equal(at.offset_bytes, want.offset_bytes);
            assert_int_equal(at.length_bytes, want.length_bytes);
            assert_string_equal(vmm_error_message(a), vmm_error_message(b));
            expect_same(vmm_error_label(a), vmm_error_label(b));
            const char *help = vmm_error_help(b);
            expect_same(vmm_error_help(a), help == vmm_error_code_help(VMM_E_KDL)
                                               ? vmm_error_code_help(VMM_E_VMFILE_SYNTAX)
                                               : help);
        }
        assert_true(!a && !b);
    }
}

/* --- limits --- */

static void check_text(const char *text,
    size_t n,
    bool checks_files,
    struct vmm_vmfile **ret_file,
    struct vmm_error **errp)
{
    cleanup_source struct source *source = source_new("VMFile.kdl", text, n);
    vmfile_parse_source(source, top, checks_files, ret_file, errp);
}

static void first_twenty_mistakes_are_kept(void **state)
{
    (void)state;
    cleanup_buf struct buf text = {0};
    for (int i = 0; i < 1000; i++)
        buf_addf(&text, "vm a%d { vcpus 0; }\n", i);
    cleanup_error struct vmm_error *err = NULL;
    check_text(text.p, text.n, /* checks_files */ true, NULL, &err);
    unsigned n = 0;
    struct vmm_place at = {0};
    for (const struct vmm_error *e = err; e; e = vmm_error_next(e), n++)
        assert_true(vmm_error_place(e, &at));
    assert_int_equal(n, 20);
    assert_int_equal(at.line, 10); /* two in each */
}

static void too_many_vms(void **state)
{
    (void)state;
    cleanup_buf struct buf text = {0};
    for (int i = 0; i < VMFILE_VMS_MAX + 2; i++)
        buf_addf(&text, "vm a%d { image i; }\n", i);
    cleanup_error struct vmm_error *err = NULL;
    check_text(text.p, text.n, /* checks_files */ false, NULL, &err);
    cleanup_buf struct buf got = {0};
    add_errors(&got, err, text.n);
    assert_string_equal(buf_cstr(&got),
        "1025:1 validation the file defines more than 1024 VMs | one too many | Split the file.\n");
}

static void long_words_are_cut(void **state)
{
    (void)state;
    cleanup_buf struct buf text = {0};
    buf_adds(&text, "vm a { image i; \"a");
    for (int i = 0; i < 1000; i++)
        buf_adds(&text, "\xc3\xa4"); /* the cut falls into one of them */
    buf_adds(&text, "\"; }");
    cleanup_error struct vmm_error *err = NULL;
    check_text(text.p, text.n, /* checks_files */ false, NULL, &err);
    assert_true(strlen(vmm_error_message(err)) < 120);
    assert_non_null(strstr(vmm_error_message(err), "\xc3\xa4..."));
    assert_null(strstr(vmm_error_message(err), "\\x"));
}

/* A VM can be stopped when the image it was made from is gone. */
static void files_are_not_looked_at_when_not_asked(void **state)
{
    (void)state;
    puts_to("VMFile.kdl", "vm a { image \"gone\"; ssh { private-key \"gone\"; }; }");
    struct vmm_vmfile *file = NULL;
    assert_int_equal(vmm_vmfile_parse_alone("VMFile.kdl", &file, NULL), 0);
    struct vmm_spec spec = {0};
    assert_int_equal(
        vmm_vmfile_resolve(file, vmm_vmfile_vm(file, 0), &spec, NULL), -VMM_E_VMFILE_INVALID);
    assert_null(spec.name);
    vmm_vmfile_free(file);
    file = NULL;
    assert_int_equal(vmm_vmfile_parse("VMFile.kdl", &file, NULL), -VMM_E_VMFILE_INVALID);
    assert_null(file);
    unlink("VMFile.kdl");
}

/* --- finding the file --- */

static void expect_refused(const char *path, const char *want)
{
    for (int explicitly = 0; explicitly < 2; explicitly++) {
        cleanup_error struct vmm_error *err = NULL;
        char *found = NULL;
        struct vmm_vmfile *file = NULL;
        int r = 0;
        if (!explicitly)
            r = vmm_vmfile_discover(path, &found, &err);
        if (r == 0) /* what discover lets pass (its size) */
            r = vmm_vmfile_parse(path ? path : "VMFile.kdl", &file, err ? NULL : &err);
        free(found);
        assert_int_equal(r, -(int)vmm_error_code(err));
        cleanup_buf struct buf got = {0};
        add_errors(&got, err, 0);
        assert_string_equal(buf_cstr(&got), want);
    }
}

static void discover_refuses(void **state)
{
    (void)state;
    expect_refused(NULL,
        "0:0 not_found there is no VMFile.kdl in the current directory | - | "
        "Create VMFile.kdl in the current directory or name a file with --file.\n");
    puts_to("vmfile.KDL", "");
    expect_refused(NULL,
        "0:0 not_found there is no VMFile.kdl in the current directory | - | "
        "Did you mean \"vmfile.KDL\"? Rename it to VMFile.kdl, or use --file vmfile.KDL\n");
    unlink("vmfile.KDL");
    expect_refused("x.kdl",
        "0:0 not_found there is no file \"x.kdl\" | - | "
        "Check the path, or leave it out to use VMFile.kdl of the current directory.\n");
    assert_int_equal(symlink("gone", "VMFile.kdl"), 0);
    expect_refused(NULL,
        "0:0 not_found \"VMFile.kdl\" is a symbolic link to a file that does not exist | - | "
        "Create VMFile.kdl in the current directory or name a file with --file.\n");
    unlink("VMFile.kdl");
    assert_int_equal(mkdir("VMFile.kdl", 0700), 0);
    expect_refused(NULL,
        "0:0 validation \"VMFile.kdl\" is a folder, not a file | - | Name a file with --file.\n");
    rmdir("VMFile.kdl");
    puts_to("dir/VMFile.kdl", "");
    expect_refused("dir", "0:0 validation \"dir\" is a folder, not a file | - | "
                          "Name the file in it: --file dir/VMFile.kdl\n");
    unlink("dir/VMFile.kdl");
    expect_refused("fifo",
        "0:0 validation \"fifo\" is not a regular file | - | "
        "A pipe cannot be read twice: write the definitions into a file and name that.\n");
    struct sockaddr_un address = {.sun_family = AF_UNIX, .sun_path = "socket"};
    cleanup_close int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
    expect_refused("socket",
        "0:0 validation \"socket\" is not a regular file | - | "
        "A pipe cannot be read twice: write the definitions into a file and name that.\n");
    expect_refused("i/x", "0:0 io could not read \"i/x\": Not a directory | - | -\n");
}

static void discover_refuses_a_large_file(void **state)
{
    (void)state;
    puts_to("large.kdl", "");
    assert_int_equal(truncate("large.kdl", KDL_TEXT_MAX_BYTES + 1), 0);
    expect_refused("large.kdl", "0:0 validation \"large.kdl\" is larger than 4 MiB | - | "
                                "Is this the right file? A VMFile is text that describes VMs.\n");
    unlink("large.kdl");
}

/* Root reads everything, so this runs as nobody when it can. */
static void unreadable_files_are_refused(void **state)
{
    (void)state;
    const bool is_root = geteuid() == 0;
    puts_to("secret.kdl", "");
    puts_to("readable.kdl", "vm a { image \"secret.kdl\"; }");
    assert_int_equal(chmod("secret.kdl", 0) | chmod("readable.kdl", 0644) | chmod(".", 0755), 0);
    assert_int_equal(is_root ? seteuid(65534) : 0, 0);
    expect_refused(
        "secret.kdl", "0:0 io could not read \"secret.kdl\": Permission denied | - | -\n");
    struct vmm_vmfile *file = NULL;
    cleanup_error struct vmm_error *err = NULL;
    vmm_vmfile_parse("readable.kdl", &file, &err);
    assert_int_equal(is_root ? seteuid(0) : 0, 0);
    cleanup_buf struct buf got = {0};
    add_errors(&got, err, 100);
    assert_string_equal(buf_cstr(&got),
        "1:14 validation image \"$D/secret.kdl\" cannot be read: Permission denied | "
        "cannot be read | See who may read it: ls -l \"$D/secret.kdl\"\n");
    unlink("secret.kdl");
    unlink("readable.kdl");
}

static void discover_finds(void **state)
{
    (void)state;
    puts_to("VMFile.kdl", "");
    char *path = NULL;
    assert_int_equal(vmm_vmfile_discover(NULL, &path, NULL), 0);
    assert_string_equal(path, "VMFile.kdl");
    free(path);
    assert_int_equal(vmm_vmfile_discover("./s.sh", &path, NULL), 0);
    assert_string_equal(path, "./s.sh");
    free(path);
    unlink("VMFile.kdl");
}

/* --- paths --- */

static void expect_base(const char *path, const char *want_file, const char *want_dir)
{
    struct vmm_vmfile *file = NULL;
    assert_int_equal(vmm_vmfile_parse_alone(path, &file, NULL), 0);
    cleanup_free char *want_path = xasprintf("%s%s", top, want_file);
    cleanup_free char *want_base = xasprintf("%s%s", top, want_dir);
    assert_string_equal(vmm_vmfile_path(file), want_path);
    assert_string_equal(vmm_vmfile_base_dir(file), want_base);
    vmm_vmfile_free(file);
}

static void base_is_the_folder_of_the_path_given(void **state)
{
    (void)state;
    puts_to("dir/v.kdl", "vm a { image i; }");
    assert_int_equal(symlink("dir/v.kdl", "link.kdl"), 0);
    assert_int_equal(symlink("dir", "way"), 0);
    cleanup_free char *absolute = path_join(top, "dir/v.kdl");
    expect_base("dir/v.kdl", "/dir/v.kdl", "/dir");
    expect_base(absolute, "/dir/v.kdl", "/dir");
    expect_base("dir/../dir/./v.kdl", "/dir/v.kdl", "/dir");
    expect_base("way/v.kdl", "/dir/v.kdl", "/dir");
    expect_base("link.kdl", "/link.kdl", ""); /* the link's folder, not the file's */
    assert_int_equal(chdir("dir"), 0);
    expect_base("v.kdl", "/dir/v.kdl", "/dir");
    expect_base("../link.kdl", "/link.kdl", "");
    assert_int_equal(chdir(".."), 0);
    unlink("link.kdl");
    unlink("way");
    unlink("dir/v.kdl");
}

static void resolved_paths(void **state)
{
    (void)state;
    cleanup_free char *home = xstrdup(getenv("HOME"));
    setenv("HOME", "/h", 1);
    static const struct {
        int line;
        const char *path, *want;
    } cases[] = {
        {__LINE__, "x", "/b/x"},
        {__LINE__, "./x", "/b/x"},
        {__LINE__, "a//b/./c", "/b/a/b/c"},
        {__LINE__, "../x", "/b/../x"},
        {__LINE__, ".", "/b/."},
        {__LINE__, "/x//y", "/x/y"},
        {__LINE__, "~", "/h"},
        {__LINE__, "~/x", "/h/x"},
        {__LINE__, "~x", "/b/~x"},
        {__LINE__, "a/~", "/b/a/~"},
        {__LINE__, ".//etc", "/b/etc"},
        {__LINE__, ".x", "/b/.x"},
        {__LINE__, "x/", "/b/x/"},
        {__LINE__, "/././.", "/."},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        cleanup_free char *got = vmm_resolve_path(cases[i].path, "/b");
        if (strcmp(got, cases[i].want) != 0)
            fail_msg("%s:%d: got %s, want %s", __FILE__, cases[i].line, got, cases[i].want);
    }
    /* No usable HOME: the user database knows. */
    static const char *const useless[] = {NULL, "", "relative"};
    for (size_t i = 0; i < COUNT(useless); i++) {
        if (useless[i])
            setenv("HOME", useless[i], 1);
        else
            unsetenv("HOME");
        cleanup_free char *got = vmm_resolve_path("~/x", "/b");
        assert_true(*got == '/' && !strchr(got, '~'));
    }
    setenv("HOME", home, 1);
}

/* --- specs --- */

static struct vmm_vmfile *parse_or_fail(const char *text)
{
    puts_to("VMFile.kdl", text);
    struct vmm_vmfile *file = NULL;
    cleanup_error struct vmm_error *err = NULL;
    if (vmm_vmfile_parse("VMFile.kdl", &file, &err) < 0) {
        cleanup_buf struct buf got = {0};
        add_errors(&got, err, strlen(text));
        fail_msg("%s", buf_cstr(&got));
    }
    unlink("VMFile.kdl");
    return file;
}

static void a_definition_becomes_a_spec(void **state)
{
    (void)state;
    struct vmm_vmfile *file = parse_or_fail(
        "vm a { image i; }\n"
        "vm b { image \"~/../i\"; vcpus 2; memory 512; disk 3; network tap; accel tcg\n"
        "  cloud-init { hostname h; ssh-key key.pub; }\n"
        "  ssh { user u; private-key \"./key\"; }\n"
        "  provision shell { script \"dir/../s.sh\"; }\n"
        "  provision file { source s.sh; destination \"/d\"; }\n"
        "  provision shell { inline \"echo hi\"; }\n"
        "}\n"
        "vm c { image i; cloud-init { user-data user.yaml; }; }");
    assert_int_equal(vmm_vmfile_count(file), 3);
    assert_null(vmm_vmfile_find(file, "d"));

    struct vmm_spec spec = {0};
    assert_int_equal(vmm_vmfile_resolve(file, vmm_vmfile_find(file, "a"), &spec, NULL), 0);
    assert_string_equal(spec.name, "a");
    cleanup_free char *image = path_join(top, "i");
    assert_string_equal(spec.image_path, image);
    assert_true(spec.vcpus == 1 && spec.memory_mib == 1024 && spec.disk_gib == 0);
    assert_true(spec.network.kind == VMM_NETWORK_USER && !spec.network.link);
    assert_true(!spec.has_cloud_init && !spec.has_ssh && spec.accel == VMM_ACCEL_AUTO);
    vmm_spec_done(&spec);

    assert_int_equal(vmm_vmfile_resolve(file, vmm_vmfile_find(file, "b"), &spec, NULL), 0);
    cleanup_free char *through_home = path_join(top, "home/../i");
    assert_string_equal(spec.image_path, through_home);
    assert_true(spec.vcpus == 2 && spec.memory_mib == 512 && spec.disk_gib == 3);
    assert_int_equal(spec.network.kind, VMM_NETWORK_TAP);
    assert_string_equal(spec.network.link, "br0");
    assert_int_equal(spec.accel, VMM_ACCEL_TCG);
    assert_true(spec.has_cloud_init && spec.has_ssh);
    assert_string_equal(spec.cloud_init.hostname, "h");
    assert_null(spec.cloud_init.user_data);
    assert_string_equal(spec.ssh.public_key, public_key); /* without CR and LF */
    assert_string_equal(spec.ssh.user, "u");
    cleanup_free char *key = path_join(top, "key");
    assert_string_equal(spec.ssh.private_key_path, key);
    vmm_spec_done(&spec);

    assert_int_equal(vmm_vmfile_resolve(file, vmm_vmfile_find(file, "c"), &spec, NULL), 0);
    assert_int_equal(spec.cloud_init.user_data_bytes, strlen("#cloud-config\n{}\n"));
    assert_string_equal(spec.cloud_init.user_data, "#cloud-config\n{}\n");
    assert_null(spec.ssh.public_key);
    vmm_spec_done(&spec);

    struct vmm_provision *steps = NULL;
    size_t n = 0;
    assert_int_equal(vmm_vmfile_provisions(file, vmm_vmfile_find(file, "b"), &steps, &n, NULL), 0);
    assert_int_equal(n, 3);
    cleanup_free char *script = path_join(top, "dir/../s.sh");
    cleanup_free char *source = path_join(top, "s.sh");
    assert_int_equal(steps[0].kind, VMM_PROVISION_SHELL_SCRIPT);
    assert_string_equal(steps[0].source, script);
    assert_int_equal(steps[1].kind, VMM_PROVISION_FILE);
    assert_string_equal(steps[1].source, source);
    assert_string_equal(steps[1].destination, "/d");
    assert_int_equal(steps[2].kind, VMM_PROVISION_SHELL_INLINE);
    assert_string_equal(steps[2].command, "echo hi");
    for (size_t i = 0; i < n; i++)
        vmm_provision_done(&steps[i]);
    free(steps);
    vmm_vmfile_free(file);
}

static void expect_unresolved(const struct vmm_vmfile *file, const char *want)
{
    struct vmm_spec spec = {0};
    cleanup_error struct vmm_error *err = NULL;
    const int r = vmm_vmfile_resolve(file, vmm_vmfile_vm(file, 0), &spec, &err);
    assert_int_equal(r, -(int)vmm_error_code(err));
    assert_null(spec.name);
    cleanup_buf struct buf got = {0};
    add_errors(&got, err, 1000);
    assert_string_equal(buf_cstr(&got), want);
}

static void files_that_vanish_after_the_parse(void **state)
{
    (void)state;
    puts_to("tmp", "");
    struct vmm_vmfile *file = parse_or_fail("vm a { image tmp; }");
    unlink("tmp");
    expect_unresolved(
        file, "1:14 validation image \"$D/tmp\" does not exist | no such file | " PUT_THERE "\n");
    vmm_vmfile_free(file);

    puts_to("tmp", public_key);
    file = parse_or_fail("vm a { image i; cloud-init { ssh-key tmp; }; }");
    puts_to("tmp", "x");
    expect_unresolved(file,
        "1:38 validation ssh-key \"$D/tmp\" is not an SSH public key | not a public key | "
        "Name the .pub file that ssh-keygen made, for example \"~/.ssh/id_ed25519.pub\".\n");
    vmm_vmfile_free(file);

    file = parse_or_fail("vm a { image i; cloud-init { user-data tmp; }; }");
    unlink("tmp");
    expect_unresolved(file,
        "1:40 validation user-data \"$D/tmp\" does not exist | no such file | " PUT_THERE "\n");
    vmm_vmfile_free(file);
}

static void an_image_is_not_downloaded_yet(void **state)
{
    (void)state;
    struct vmm_vmfile *file = parse_or_fail("vm a { image-url \"https://x/i\"; }");
    expect_unresolved(file,
        "1:18 download_failed this version does not download images (VM \"a\") | "
        "not downloaded | Fetch the image yourself and name the file with `image` for now.\n");
    vmm_vmfile_free(file);
}

/* --- the reference manual --- */

#define NOBLE "https://cloud-images.ubuntu.com/noble/current/noble-server-cloudimg-amd64.img"

static const char full_example[] =
    "// Development VM with all options specified\n"
    "vm \"full-example\" {\n"
    "    // Image source: URL (auto-cached)\n"
    "    image-url \"" NOBLE "\"\n"
    "    // Resources\n"
    "    vcpus 4\n"
    "    memory 4096\n"
    "    disk 40\n"
    "    network \"user\"\n"
    "    cloud-init {\n"
    "        hostname \"full-example\"\n"
    "        // ssh-key and user-data are omitted, so vmctl auto-generates an Ed25519 keypair\n"
    "    }\n"
    "    ssh {\n"
    "        user \"ubuntu\"\n"
    "    }\n"
    "    // Provisioners run in order after boot\n"
    "    provision \"shell\" {\n"
    "        inline \"sudo apt-get update && sudo apt-get install -y build-essential curl git\"\n"
    "    }\n"
    "    provision \"file\" {\n"
    "        source \"config/bashrc\"\n"
    "        destination \"/home/ubuntu/.bashrc\"\n"
    "    }\n"
    "    provision \"shell\" {\n"
    "        script \"scripts/setup-dev-tools.sh\"\n"
    "    }\n"
    "}\n"
    "// Second VM demonstrating TAP networking and explicit keys\n"
    "vm \"tap-example\" {\n"
    "    image \"~/images/debian-12-generic-amd64.qcow2\"\n"
    "    vcpus 2\n"
    "    memory 2048\n"
    "    network \"tap\" {\n"
    "        bridge \"br0\"\n"
    "    }\n"
    "    cloud-init {\n"
    "        hostname \"tap-vm\"\n"
    "        ssh-key \"~/.ssh/id_ed25519.pub\"\n"
    "    }\n"
    "    ssh {\n"
    "        user \"debian\"\n"
    "        private-key \"~/.ssh/id_ed25519\"\n"
    "    }\n"
    "}\n"
    "// Minimal VM: just an image and defaults\n"
    "vm \"minimal\" {\n"
    "    image-url \"" NOBLE "\"\n"
    "}\n";

static void the_full_example_of_the_reference(void **state)
{
    (void)state;
    assert_int_equal(
        mkdir("config", 0700) | mkdir("scripts", 0700) | mkdir("home/images", 0700), 0);
    puts_to("config/bashrc", "");
    puts_to("scripts/setup-dev-tools.sh", "");
    puts_to("home/images/debian-12-generic-amd64.qcow2", "");
    struct vmm_vmfile *file = parse_or_fail(full_example);
    cleanup_buf struct buf got = {0};
    for (size_t i = 0; i < vmm_vmfile_count(file); i++)
        add_vm(&got, vmm_vmfile_vm(file, i));
    vmm_vmfile_free(file);
    assert_string_equal(buf_cstr(&got),
        "full-example url:" NOBLE
        " 4/4096 disk=40 cloud-init hostname=full-example ssh user=ubuntu "
        "inline(sudo apt-get update && sudo apt-get install -y build-essential curl git) "
        "file(config/bashrc>/home/ubuntu/.bashrc) script(scripts/setup-dev-tools.sh)\n"
        "tap-example file:~/images/debian-12-generic-amd64.qcow2 2/2048 net=tap link=br0 cloud-init "
        "hostname=tap-vm ssh-key=~/.ssh/id_ed25519.pub ssh user=debian private-key=~/.ssh/id_ed25519\n"
        "minimal url:" NOBLE " 1/1024\n");
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(good_files),
        cmocka_unit_test(names_and_blocks),
        cmocka_unit_test(images),
        cmocka_unit_test(resources),
        cmocka_unit_test(networks),
        cmocka_unit_test(cloud_init_and_ssh),
        cmocka_unit_test(provisions),
        cmocka_unit_test(several_mistakes_in_the_order_of_the_file),
        cmocka_unit_test(syntax_errors_keep_what_the_parser_said),
        cmocka_unit_test(first_twenty_mistakes_are_kept),
        cmocka_unit_test(too_many_vms),
        cmocka_unit_test(long_words_are_cut),
        cmocka_unit_test(files_are_not_looked_at_when_not_asked),
        cmocka_unit_test(discover_refuses),
        cmocka_unit_test(discover_refuses_a_large_file),
        cmocka_unit_test(unreadable_files_are_refused),
        cmocka_unit_test(discover_finds),
        cmocka_unit_test(base_is_the_folder_of_the_path_given),
        cmocka_unit_test(resolved_paths),
        cmocka_unit_test(a_definition_becomes_a_spec),
        cmocka_unit_test(files_that_vanish_after_the_parse),
        cmocka_unit_test(an_image_is_not_downloaded_yet),
        cmocka_unit_test(the_full_example_of_the_reference),
    };
    if (argc > 1)
        cmocka_set_test_filter(argv[1]);
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
