/* Any bytes as the start of a disk image. Reaches src/image/{qcow2,foreign}.c and
 * src/base/{buf,error,utf8}.c.
 *
 * The first byte says how much longer than the rest the file claims to be (times 64 KiB), the rest
 * is the file's head. Beyond "no crash": what is accepted is looked at again, by code that shares
 * none with the reader: no backing file, no data file, no encryption, no unknown feature, every
 * table inside the file; and as an overlay of ours, exactly the base that was expected. What is
 * refused is refused in one line that is fit for a terminal, and with the same code when nobody
 * asks why. */
#include "base/error.h"
#include "image/foreign.h"
#include "image/image.h"
#include "image/qcow2.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void broken(const char *what)
{
    fprintf(stderr, "broken promise: %s\n", what);
    abort();
}

static uint64_t number(const uint8_t *p, unsigned bytes)
{
    uint64_t value = 0;
    while (bytes--)
        value = value * 256 + *p++;
    return value;
}

static void check_inside(const char *what, uint64_t offset, uint64_t bytes, uint64_t file_bytes)
{
    if (offset > file_bytes || file_bytes - offset < bytes)
        broken(what);
}

/* Returns where the named extension's content is, or NULL. */
static const uint8_t *find_extension(const uint8_t *image, uint32_t wanted, uint32_t *ret_length)
{
    const uint64_t cluster = (uint64_t)1 << number(image + 20, 4);
    const uint64_t backing = number(image + 8, 8);
    const uint64_t end = backing ? backing : cluster;
    uint64_t at = number(image + 4, 4) == 2 ? 72 : number(image + 100, 4);
    for (; at + 8 <= end; at += (*ret_length + (uint64_t)7) / 8 * 8) {
        const uint64_t type = number(image + at, 4);
        *ret_length = (uint32_t)number(image + at + 4, 4);
        at += 8;
        if (type == 0)
            return NULL;
        check_inside("an extension lies before its end", at, *ret_length, end);
        if (type == wanted)
            return image + at;
    }
    return NULL;
}

static void check_accepted(const uint8_t *image, uint64_t file_bytes, const struct qcow2_header *h)
{
    const uint64_t version = number(image + 4, 4);
    const uint64_t bits = number(image + 20, 4);
    const uint64_t features = version == 3 ? number(image + 72, 8) : 0;
    uint32_t length;
    if (memcmp(image, "QFI\xfb", 4) != 0 || (version != 2 && version != 3))
        broken("only qcow2 of version 2 and 3 is accepted");
    if (bits < 9 || bits > 21)
        broken("clusters have a possible size");
    if (number(image + 32, 4) != 0 || find_extension(image, 0x0537be77, &length))
        broken("nothing encrypted is accepted");
    if ((features & 4) || find_extension(image, 0x44415441, &length))
        broken("no external data file is accepted");
    if (features & ~(uint64_t)(1 | 8 | 16))
        broken("no corrupt image and no unknown feature is accepted");
    if (h->is_dirty != ((features & 1) == 1))
        broken("dirty is told");
    const uint64_t size = number(image + 24, 8);
    if (size == 0 || size > IMAGE_VIRTUAL_MAX_BYTES || size != h->virtual_bytes)
        broken("the size is within its limit");
    check_inside("the L1 table is in the file", number(image + 40, 8), number(image + 36, 4) * 8,
        file_bytes);
    check_inside("the refcount table is in the file", number(image + 48, 8),
        number(image + 56, 4) << bits, file_bytes);
    if (number(image + 60, 4))
        check_inside("the snapshot table is in the file", number(image + 64, 8),
            number(image + 60, 4) * 40, file_bytes);
    /* Every byte of the disk has an entry in L1. */
    const unsigned entry = features & 16 ? 16 : 8;
    const uint64_t cover = ((uint64_t)1 << bits) * (((uint64_t)1 << bits) / entry);
    if ((size - 1) / cover >= number(image + 36, 4))
        broken("L1 covers the disk");
}

static void check_refused(const struct vmm_error *e, int r)
{
    if (!e || r != -(int)vmm_error_code(e) ||
        (vmm_error_code(e) != VMM_E_IMAGE_FORMAT && vmm_error_code(e) != VMM_E_IMAGE_REFUSED))
        broken("a refusal has its code");
    if (!vmm_error_reason(e) || !vmm_error_help(e))
        broken("a refusal has a reason and help");
    for (const char *c = vmm_error_message(e); *c; c++) {
        if ((unsigned char)*c < 0x20 || *c == 0x7f)
            broken("a message is one harmless line");
    }
}

/* Returns whether it was accepted. */
static bool decode(struct str head,
    uint64_t file_bytes,
    const struct qcow2_backing *expected,
    struct qcow2_header *ret)
{
    struct vmm_error *e = NULL;
    struct qcow2_header ignored;
    const int r = qcow2_decode("/disk", head, file_bytes, expected, ret, &e);
    if (r != qcow2_decode("/disk", head, file_bytes, expected, &ignored, NULL))
        broken("the verdict does not hang on who asks");
    if (r < 0)
        check_refused(e, r);
    else if (e)
        broken("success leaves no error");
    vmm_error_free(e);
    return r == 0;
}

static void check_overlay(struct str head, uint64_t file_bytes)
{
    static const struct qcow2_backing base = {STR("/base"), STR("raw")};
    const uint8_t *image = (const uint8_t *)head.p;
    struct qcow2_header h;
    if (!decode(head, file_bytes, &base, &h))
        return;
    check_accepted(image, file_bytes, &h);
    uint32_t length;
    const uint64_t offset = number(image + 8, 8);
    if (number(image + 16, 4) != 5 || memcmp(image + offset, "/base", 5) != 0)
        broken("an overlay names its base");
    const uint8_t *format = find_extension(image, 0xe2792aca, &length);
    if (!format || length != 3 || memcmp(format, "raw", 3) != 0)
        broken("an overlay says the format of its base");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    if (n == 0)
        return 0;
    const uint64_t file_bytes = (uint64_t)(n - 1) + ((uint64_t)data[0] << 16);
    const struct str file = {.p = (const char *)data + 1, .n = n - 1};
    const size_t wanted = qcow2_wanted_bytes(file);
    const struct str head = {.p = file.p, .n = wanted && wanted < file.n ? wanted : file.n};
    static const struct qcow2_backing none;
    struct qcow2_header h;
    if (decode(head, file_bytes, &none, &h)) {
        if (number(data + 1 + 8, 8) != 0 || h.backing_name.n)
            broken("no backing file is accepted");
        check_accepted(data + 1, file_bytes, &h);
    }
    check_overlay(head, file_bytes);

    const struct str start = {
        .p = file.p, .n = file.n < FOREIGN_HEAD_BYTES ? file.n : FOREIGN_HEAD_BYTES};
    const size_t tail = file.n < FOREIGN_TAIL_BYTES ? file.n : FOREIGN_TAIL_BYTES;
    const struct foreign_format *f =
        foreign_recognize(start, (struct str){.p = file.p + file.n - tail, .n = tail});
    if (f && (!f->looks_like || !f->help))
        broken("what is recognized has words");
    return 0;
}
