#include "image/foreign.h"
#include "base/utf8.h"

#include <ctype.h>
#include <stdint.h>

#define CONVERT(format) "Convert it: `qemu-img convert -f " format " -O qcow2 FILE disk.qcow2`."

struct mark {
    size_t at;
    struct str bytes;
    struct foreign_format format;
};

/* clang-format off */
static const struct mark marks_at_start[] = {
    {0, STR("QFI\xfb\0\0\0\1"), {"a qcow disk of version 1", CONVERT("qcow"), false}},
    {0, STR("KDMV"), {"a VMDK disk (VMware)", CONVERT("vmdk"), false}},
    {0, STR("COWD"), {"a VMDK disk (VMware)", CONVERT("vmdk"), false}},
    {0, STR("# Disk DescriptorFile"), {"the description of a VMDK disk (VMware)", CONVERT("vmdk"), false}},
    {0, STR("vhdxfile"), {"a VHDX disk (Hyper-V)", CONVERT("vhdx"), false}},
    {0, STR("conectix"), {"a VHD disk (Hyper-V, Azure)", CONVERT("vpc"), false}},
    {0x40, STR("\x7f\x10\xda\xbe"), {"a VDI disk (VirtualBox)", CONVERT("vdi"), false}},
    {0, STR("QED\0"), {"a QED disk", CONVERT("qed"), false}},
    {0, STR("WithoutFreeSpace"), {"a Parallels disk", CONVERT("parallels"), false}},
    {0, STR("WithouFreSpacExt"), {"a Parallels disk", CONVERT("parallels"), false}},
    {0, STR("Bochs Virtual HD Image"), {"a Bochs disk", CONVERT("bochs"), false}},
    {0, STR("#!/bin/sh\n#V2.0 Format\n"), {"a cloop disk", CONVERT("cloop"), false}},
    {0, STR("LUKS\xba\xbe"), {"a disk encrypted with LUKS",
        "Decrypt it first with `cryptsetup`; a guest cannot start from it.", true}},
    {0, STR("VMA\0"), {"a Proxmox backup", "Take the disk out of it with `vma extract`.", false}},
    {0, STR("\x1f\x8b\x08"), {"a gzip archive", "Unpack it first: `gunzip -k FILE`.", false}},
    {0, STR("\xfd" "7zXZ\0"), {"an xz archive", "Unpack it first: `xz -dk FILE`.", false}},
    {0, STR("\x28\xb5\x2f\xfd"), {"a zstd archive", "Unpack it first: `zstd -d FILE`.", false}},
    {0, STR("BZh"), {"a bzip2 archive", "Unpack it first: `bunzip2 -k FILE`.", false}},
    {0, STR("\x04\x22\x4d\x18"), {"an lz4 archive", "Unpack it first: `lz4 -d FILE`.", false}},
    {0, STR("PK\x03\x04"), {"a zip archive", "Unpack it first: `unzip FILE`.", false}},
    {0, STR("7z\xbc\xaf\x27\x1c"), {"a 7z archive", "Unpack it first: `7z x FILE`.", false}},
    {257, STR("ustar"), {"a tar archive (an OVA, a Vagrant box?)",
        "Unpack it first: `tar xf FILE`, then use the disk in it.", false}},
    {0, STR("\x7f" "ELF"), {"a program", "Name the file of a disk.", false}},
};

static const struct mark marks_at_end[] = {
    {0, STR("conectix"), {"a VHD disk (Hyper-V, Azure)", CONVERT("vpc"), false}},
    {0, STR("koly"), {"a dmg disk (macOS)", CONVERT("dmg"), false}},
};
/* clang-format on */

static const struct foreign_format web_page = {
    "a web page",
    "A server answered with a page instead of the image: look at it, then download the image again.",
    false,
};
static const struct foreign_format lfs_pointer = {
    "a Git LFS pointer", "Fetch what it stands for: `git lfs pull`.", false};
static const struct foreign_format text_file = {
    "a text file", "Name the file of a disk image.", false};

static const struct foreign_format *find_mark(
    const struct mark *marks, size_t count, struct str bytes)
{
    for (size_t i = 0; i < count; i++) {
        const struct mark *m = &marks[i];
        if (bytes.n >= m->at + m->bytes.n && memcmp(bytes.p + m->at, m->bytes.p, m->bytes.n) == 0)
            return &m->format;
    }
    return NULL;
}

static bool starts_with_word(struct str text, const char *lower)
{
    const size_t n = strlen(lower);
    if (text.n < n)
        return false;
    for (size_t i = 0; i < n; i++) {
        if (tolower((unsigned char)text.p[i]) != lower[i])
            return false;
    }
    return true;
}

/* Without the byte order mark and the white space that servers like to begin with. */
static struct str trim_start(struct str text)
{
    if (text.n >= 3 && memcmp(text.p, "\xef\xbb\xbf", 3) == 0)
        text = (struct str){.p = text.p + 3, .n = text.n - 3};
    while (text.n && strchr(" \t\r\n", text.p[0]) && text.p[0])
        text = (struct str){.p = text.p + 1, .n = text.n - 1};
    return text;
}

static bool is_web_page(struct str text)
{
    static const char *const starts[] = {"<!doctype html", "<html", "<head", "<body", "<title",
        "<script", "<!--", "<?xml", "<error"};
    for (size_t i = 0; i < sizeof(starts) / sizeof(*starts); i++) {
        if (starts_with_word(text, starts[i]))
            return true;
    }
    return false;
}

/* A disk begins with code, a table or zeros. Only UTF-8 without control characters is text; a
 * character may be cut at the end of what was read. */
static bool is_text(struct str head)
{
    enum { CHARACTER_MAX_BYTES = 4 };
    size_t at = 0;
    while (at < head.n) {
        const unsigned char c = (unsigned char)head.p[at];
        if ((c < 0x20 && !strchr("\t\n\r\f\x1b", c)) || c == 0 || c == 0x7f)
            return false;
        uint32_t cp;
        const size_t n = utf8_decode(head.p + at, head.n - at, &cp);
        if (n == 0)
            return head.n - at < CHARACTER_MAX_BYTES && head.n == FOREIGN_HEAD_BYTES;
        at += n;
    }
    return head.n > 0;
}

const struct foreign_format *foreign_recognize(struct str head, struct str tail)
{
    const struct foreign_format *found =
        find_mark(marks_at_start, sizeof(marks_at_start) / sizeof(*marks_at_start), head);
    if (!found && tail.n == FOREIGN_TAIL_BYTES)
        found = find_mark(marks_at_end, sizeof(marks_at_end) / sizeof(*marks_at_end), tail);
    if (found)
        return found;
    const struct str text = trim_start(head);
    if (is_web_page(text))
        return &web_page;
    if (starts_with_word(text, "version https://git-lfs"))
        return &lfs_pointer;
    return is_text(head) ? &text_file : NULL;
}
