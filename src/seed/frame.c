#include "seed/frame.h"

#include <stdint.h>

static const struct str magic = {"VMMSEED1", 8};

static void add_be32(struct buf *out, size_t value)
{
    const char bytes[4] = {
        (char)(value >> 24), (char)(value >> 16), (char)(value >> 8), (char)value};
    buf_add(out, bytes, sizeof(bytes));
}

void frame_encode(struct buf *out, const struct frame_file *files, size_t count)
{
    buf_addstr(out, magic);
    add_be32(out, count);
    for (size_t i = 0; i < count; i++) {
        add_be32(out, files[i].name.n);
        buf_addstr(out, files[i].name);
        add_be32(out, files[i].data.n);
        buf_addstr(out, files[i].data);
    }
}

/* A reader that fails for good: past the end it gives zeros and empty views. */
struct reader {
    struct str left;
    bool is_bad;
};

static struct str take(struct reader *r, size_t n)
{
    if (r->is_bad || n > r->left.n) {
        r->is_bad = true;
        return (struct str){.p = "", .n = 0};
    }
    const struct str taken = {.p = r->left.p, .n = n};
    r->left = (struct str){.p = r->left.p + n, .n = r->left.n - n};
    return taken;
}

static uint32_t take_be32(struct reader *r)
{
    const struct str bytes = take(r, 4);
    const unsigned char *p = (const unsigned char *)bytes.p;
    return bytes.n ? (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3] : 0;
}

static bool name_is_sound(struct str name)
{
    if (name.n == 0 || name.n > FRAME_NAME_MAX_BYTES || name.p[0] == '.')
        return false;
    for (size_t i = 0; i < name.n; i++) {
        const char c = name.p[i];
        if (!(c >= 'a' && c <= 'z') && !(c >= 'A' && c <= 'Z') && !(c >= '0' && c <= '9') &&
            c != '.' && c != '_' && c != '-')
            return false;
    }
    return true;
}

bool frame_decode(struct str bytes, struct frame_file files[FRAME_FILES_MAX], size_t *ret_count)
{
    struct frame_file found[FRAME_FILES_MAX];
    struct reader r = {.left = bytes, .is_bad = bytes.n > FRAME_MAX_BYTES};
    const bool is_ours = str_eq(take(&r, magic.n), magic);
    const uint32_t count = take_be32(&r);
    if (!is_ours || r.is_bad || count > FRAME_FILES_MAX)
        return false;
    for (uint32_t i = 0; i < count; i++) {
        found[i].name = take(&r, take_be32(&r));
        found[i].data = take(&r, take_be32(&r));
        if (r.is_bad || !name_is_sound(found[i].name))
            return false;
        for (uint32_t j = 0; j < i; j++) {
            if (str_eq(found[i].name, found[j].name))
                return false;
        }
    }
    if (r.left.n)
        return false;
    for (uint32_t i = 0; i < count; i++)
        files[i] = found[i];
    *ret_count = count;
    return true;
}
