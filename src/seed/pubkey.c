#include "seed/pubkey.h"
#include "base/buf.h"
#include "seed/seed.h"

#include <stdint.h>

/* The types a guest of today takes for a login, and how many strings the binary form has. */
static const struct {
    struct str name;
    unsigned parts;
} types[] = {
    {STR("ssh-ed25519"), 2},
    {STR("ssh-rsa"), 3},
    {STR("ecdsa-sha2-nistp256"), 3},
    {STR("ecdsa-sha2-nistp384"), 3},
    {STR("ecdsa-sha2-nistp521"), 3},
    {STR("sk-ssh-ed25519@openssh.com"), 3},
    {STR("sk-ecdsa-sha2-nistp256@openssh.com"), 4},
};

static bool is_blank(char c)
{
    return c == ' ' || c == '\t';
}

static struct str trim(struct str s)
{
    while (s.n && is_blank(s.p[0]))
        s = (struct str){.p = s.p + 1, .n = s.n - 1};
    while (s.n && (is_blank(s.p[s.n - 1]) || s.p[s.n - 1] == '\n' || s.p[s.n - 1] == '\r'))
        s.n--;
    return s;
}

/* The first word; `s` goes on after it. */
static struct str take_word(struct str *s)
{
    while (s->n && is_blank(s->p[0]))
        *s = (struct str){.p = s->p + 1, .n = s->n - 1};
    struct str word = {.p = s->p, .n = 0};
    while (word.n < s->n && !is_blank(s->p[word.n]))
        word.n++;
    *s = (struct str){.p = s->p + word.n, .n = s->n - word.n};
    return word;
}

static bool starts_with(struct str s, struct str start)
{
    return s.n >= start.n && memcmp(s.p, start.p, start.n) == 0;
}

static bool contains(struct str s, struct str what)
{
    return s.n && memmem(s.p, s.n, what.p, what.n) != NULL;
}

static unsigned parts_of(struct str type)
{
    for (size_t i = 0; i < sizeof(types) / sizeof(*types); i++) {
        if (str_eq(types[i].name, type))
            return types[i].parts;
    }
    return 0;
}

static int base64_value(char c)
{
    if (c >= 'A' && c <= 'Z')
        return c - 'A';
    if (c >= 'a' && c <= 'z')
        return c - 'a' + 26;
    if (c >= '0' && c <= '9')
        return c - '0' + 52;
    return c == '+' ? 62 : c == '/' ? 63 : -1;
}

/* Strict: whole groups of four, padding only at the end, no stray bits in the last group. */
static bool base64_decode(struct str text, struct buf *out)
{
    if (text.n == 0 || text.n % 4 != 0)
        return false;
    size_t padding = 0;
    while (padding < 2 && text.p[text.n - 1 - padding] == '=')
        padding++;
    uint32_t bits = 0;
    for (size_t i = 0; i < text.n - padding; i++) {
        const int value = base64_value(text.p[i]);
        if (value < 0)
            return false;
        bits = bits << 6 | (uint32_t)value;
        if (i % 4 != 0)
            buf_addc(out, (char)(bits >> (6 - 2 * (i % 4))));
    }
    const uint32_t stray = padding == 1 ? 0x3 : padding == 2 ? 0xf : 0;
    return (bits & stray) == 0;
}

/* The next length-and-bytes string of the binary form. */
static bool take_string(struct str *blob, struct str *ret)
{
    if (blob->n < 4)
        return false;
    const unsigned char *p = (const unsigned char *)blob->p;
    const size_t n = (size_t)p[0] << 24 | (size_t)p[1] << 16 | (size_t)p[2] << 8 | p[3];
    if (n > blob->n - 4)
        return false;
    *ret = (struct str){.p = blob->p + 4, .n = n};
    *blob = (struct str){.p = blob->p + 4 + n, .n = blob->n - 4 - n};
    return true;
}

static const char *blob_flaw(struct str blob, struct str type, unsigned parts)
{
    enum { ED25519_KEY_BYTES = 32 };
    struct str part;
    if (!take_string(&blob, &part))
        return "is damaged: a part of it is missing";
    if (!str_eq(part, type))
        return "says one type and holds another";
    for (unsigned i = 1; i < parts; i++) {
        if (!take_string(&blob, &part) || part.n == 0)
            return "is damaged: a part of it is missing";
        if (i == 1 && str_is(type, "ssh-ed25519") && part.n != ED25519_KEY_BYTES)
            return "is damaged: the key has a wrong length";
    }
    return blob.n ? "is damaged: something follows the key" : NULL;
}

/* Why a line that does not begin with a known type does not: the mistakes people make. */
static const char *type_flaw(struct str line, struct str type)
{
    if (starts_with(line, STR("-----BEGIN")) || starts_with(line, STR("PuTTY-User-Key-File")))
        return "is a private key; give its public half, the file that ends in .pub";
    if (starts_with(line, STR("---- BEGIN SSH2")))
        return "is in the SSH2 format; `ssh-keygen -i -f FILE` converts it";
    if (str_is(type, "ssh-dss"))
        return "is a DSA key, which SSH servers no longer take; make one with `ssh-keygen -t ed25519`";
    if (contains(type, STR("-cert-v01@")))
        return "is a certificate; give the key itself";
    if (contains(line, STR(" ssh-")) || contains(line, STR(" ecdsa-sha2-")))
        return "begins with options; give the key alone";
    return "does not begin with a known type, such as ssh-ed25519";
}

static const char *character_flaw(struct str line)
{
    for (size_t i = 0; i < line.n; i++) {
        if (line.p[i] == '\n' || line.p[i] == '\r')
            return "has more than one line";
        if (((unsigned char)line.p[i] < 0x20 && line.p[i] != '\t') || line.p[i] == 0x7f)
            return "has a control character in it";
    }
    return NULL;
}

struct str pubkey_type(struct str line)
{
    line = trim(line);
    const struct str type = take_word(&line);
    return parts_of(type) ? type : (struct str){0};
}

const char *pubkey_flaw(struct str line)
{
    line = trim(line);
    if (line.n == 0)
        return "is empty";
    if (line.n > SEED_KEY_MAX_BYTES)
        return "is longer than any key";
    struct str rest = line;
    const struct str type = take_word(&rest);
    const unsigned parts = parts_of(type);
    /* Before the lines are counted: a private key has many. */
    if (parts == 0)
        return type_flaw(line, type);
    const char *flaw = character_flaw(line);
    if (flaw)
        return flaw;
    const struct str key = take_word(&rest);
    cleanup_buf struct buf blob = {0};
    if (key.n == 0)
        return "has a type and no key";
    if (!base64_decode(key, &blob))
        return "is damaged: what follows the type is not base64";
    return blob_flaw((struct str){.p = buf_cstr(&blob), .n = blob.n}, type, parts);
}
