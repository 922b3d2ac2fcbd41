#include "ssh/keys.h"
#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/error.h"
#include "ssh/ssh.h"

#include <openssl/evp.h>
#include <string.h>

enum { KEY_BYTES_MAX = 8192 }; /* decoded; RSA with 16384 bits takes 2 KiB */

static const char *const known_types[] = {
    "ssh-ed25519",
    "ecdsa-sha2-nistp256",
    "ecdsa-sha2-nistp384",
    "ecdsa-sha2-nistp521",
    "ssh-rsa",
    "sk-ssh-ed25519@openssh.com",
    "sk-ecdsa-sha2-nistp256@openssh.com",
};

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

bool base64_decode(struct str text, struct buf *out)
{
    if (text.n % 4 != 0)
        return false;
    for (size_t i = 0; i < text.n; i += 4) {
        const char *p = text.p + i;
        const bool is_last = i + 4 == text.n;
        const int padding = is_last && p[3] == '=' ? (p[2] == '=' ? 2 : 1) : 0;
        uint32_t bits = 0;
        for (int k = 0; k < 4; k++) {
            const int value = k < 4 - padding ? base64_value(p[k]) : 0;
            if (value < 0)
                return false;
            bits = bits << 6 | (uint32_t)value;
        }
        /* Bits that no byte is made of must be zero: one key has one spelling. */
        if ((padding == 1 && (bits & 0xff)) || (padding == 2 && (bits & 0xffff)))
            return false;
        const char bytes[3] = {(char)(bits >> 16), (char)(bits >> 8), (char)bits};
        buf_add(out, bytes, 3 - (size_t)padding);
    }
    return true;
}

/* The next word, and the rest after it. */
static struct str next_word(struct str *rest)
{
    while (rest->n > 0 && (*rest->p == ' ' || *rest->p == '\t')) {
        rest->p++;
        rest->n--;
    }
    struct str word = {.p = rest->p};
    while (word.n < rest->n && rest->p[word.n] != ' ' && rest->p[word.n] != '\t')
        word.n++;
    rest->p += word.n;
    rest->n -= word.n;
    return word;
}

static bool is_known_type(struct str type)
{
    for (size_t i = 0; i < sizeof(known_types) / sizeof(*known_types); i++) {
        if (str_is(type, known_types[i]))
            return true;
    }
    return false;
}

bool public_key_parse(struct str line, struct public_key *ret)
{
    while (line.n > 0 && (line.p[line.n - 1] == '\n' || line.p[line.n - 1] == '\r'))
        line.n--;
    if (line.n > 0 && (memchr(line.p, '\n', line.n) || memchr(line.p, '\0', line.n)))
        return false;
    const struct str type = next_word(&line);
    const struct str base64 = next_word(&line);
    while (line.n > 0 && (*line.p == ' ' || *line.p == '\t')) {
        line.p++;
        line.n--;
    }
    if (!is_known_type(type) || base64.n > KEY_BYTES_MAX / 3 * 4)
        return false;

    cleanup_buf struct buf blob = {0};
    if (!base64_decode(base64, &blob) || blob.n < 4 + type.n)
        return false;
    /* The blob begins with its own name for the type: length, then the same text. */
    const uint8_t *p = (const uint8_t *)blob.p;
    const size_t n = (size_t)p[0] << 24 | (size_t)p[1] << 16 | (size_t)p[2] << 8 | p[3];
    if (n != type.n || memcmp(p + 4, type.p, n) != 0)
        return false;
    *ret = (struct public_key){.type = type, .base64 = base64, .comment = line};
    return true;
}

char *public_key_fingerprint(struct str base64)
{
    cleanup_buf struct buf blob = {0};
    unsigned char hash[EVP_MAX_MD_SIZE];
    unsigned hash_bytes = 0;
    if (!base64_decode(base64, &blob) ||
        EVP_Digest(buf_cstr(&blob), blob.n, hash, &hash_bytes, EVP_sha256(), NULL) != 1)
        return xstrdup("SHA256:?");
    char text[64];
    int n = EVP_EncodeBlock((unsigned char *)text, hash, (int)hash_bytes);
    while (n > 0 && text[n - 1] == '=')
        n--;
    return xasprintf("SHA256:%.*s", n, text);
}

char *known_hosts_name(const char *host, unsigned port)
{
    return port == 0 || port == 22 ? xstrdup(host) : xasprintf("[%s]:%u", host, port);
}

/* A list "a,b,c" of plain names. */
static bool list_names(struct str list, const char *name)
{
    while (list.n > 0) {
        const char *comma = memchr(list.p, ',', list.n);
        const struct str one = {.p = list.p, .n = comma ? (size_t)(comma - list.p) : list.n};
        if (str_is(one, name))
            return true;
        const size_t used = one.n + (comma != NULL);
        list.p += used;
        list.n -= used;
    }
    return false;
}

/* The next line for `name`, whatever else is in the file. */
static bool next_entry(
    struct str *rest, const char *name, struct public_key *ret_key, bool *ret_is_revoked)
{
    while (rest->n > 0) {
        const char *newline = memchr(rest->p, '\n', rest->n);
        struct str line = {.p = rest->p, .n = newline ? (size_t)(newline - rest->p) : rest->n};
        const size_t used = line.n + (newline != NULL);
        rest->p += used;
        rest->n -= used;

        struct str names = next_word(&line);
        *ret_is_revoked = str_is(names, "@revoked");
        if (*ret_is_revoked)
            names = next_word(&line);
        if (list_names(names, name) && public_key_parse(line, ret_key))
            return true;
    }
    return false;
}

enum known_hosts_verdict known_hosts_check(
    struct str text, const char *name, const struct public_key *key, struct buf *pinned)
{
    enum known_hosts_verdict verdict = KNOWN_HOSTS_ABSENT;
    struct public_key entry;
    bool is_revoked;
    while (next_entry(&text, name, &entry, &is_revoked)) {
        const bool is_same = str_eq(entry.type, key->type) && str_eq(entry.base64, key->base64);
        if (is_same && is_revoked)
            return KNOWN_HOSTS_DIFFERS;
        if (is_revoked)
            continue;
        if (is_same) {
            verdict = KNOWN_HOSTS_MATCH;
        } else if (verdict != KNOWN_HOSTS_MATCH) {
            verdict = KNOWN_HOSTS_DIFFERS;
            if (pinned) {
                cleanup_free char *fingerprint = public_key_fingerprint(entry.base64);
                buf_addf(pinned, "%s%s", pinned->n ? ", " : "", fingerprint);
            }
        }
    }
    return verdict;
}

void known_hosts_types(struct str text, const char *name, struct buf *out)
{
    struct public_key entry;
    bool is_revoked;
    while (next_entry(&text, name, &entry, &is_revoked)) {
        if (is_revoked || out->n > 512)
            continue;
        /* "ssh-rsa" names a kind of key; as a signature it would mean SHA-1. */
        const struct str wish =
            str_is(entry.type, "ssh-rsa") ? STR("rsa-sha2-512,rsa-sha2-256") : entry.type;
        buf_addf(out, "%s%.*s", out->n ? "," : "", (int)wish.n, wish.p);
    }
}

static int fail_not_a_key(struct vmm_error **errp)
{
    return vmm_fail(errp,
        &(struct diag){.code = VMM_E_SSH_KEYGEN,
            .reason = "public-key",
            .help = "A public key is one line such as `ssh-ed25519 AAAA... name`."},
        "the text is not a public SSH key");
}

int ssh_key_fingerprint(const char *public_line, char **ret, struct vmm_error **errp)
{
    struct public_key key;
    if (!public_key_parse(str_view(public_line), &key))
        return fail_not_a_key(errp);
    *ret = public_key_fingerprint(key.base64);
    return 0;
}

int ssh_known_hosts_line(
    const char *host, unsigned port, const char *public_line, char **ret, struct vmm_error **errp)
{
    struct public_key key;
    if (!public_key_parse(str_view(public_line), &key))
        return fail_not_a_key(errp);
    cleanup_free char *name = known_hosts_name(host, port);
    *ret = xasprintf(
        "%s %.*s %.*s\n", name, (int)key.type.n, key.type.p, (int)key.base64.n, key.base64.p);
    return 0;
}
