/* SSH public keys: real ones, ones put together part by part, and the mistakes people make. */
#include "base/alloc.h"
#include "base/buf.h"
#include "seed/pubkey.h"
#include "seed/seed.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* Made by ssh-keygen for this file; nothing trusts them. */
#define ED25519                                                                           \
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIA34+x4WmzDFztqd9GNhQHuw1+jyEgXB0fyAbUhTDqz9 a " \
    "comment"
#define RSA                                                                                    \
    "ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAABgQCoEScPT9ikjYu4QMmouEXRVgVwm0aCHi6qNfx+yBLjGFsYlnGs" \
    "FhN5zquAciw1FM/cwKOhPYRdWKMXe12TJKBFFLNVXGpeaMlCoLbk2VsMipKj2OpVoesfXA131CGrn6bmrPKAaaSZ" \
    "WRKcbk28yft03Mj9n/9+QTwFj52YU7Nu5m9O073C08Wp91zJt84C79zwKmmP3I+UPXoLGy8IvTAnkGvCVOlPLFWN" \
    "Tf0hPx1egGcTKaIarPTd6tN32txuJUwB1mVfnVxLLBTQFzsw06tWHo5md5Xex8nW22ecTYtf0v5cPbI87HzdajTi" \
    "o5Xzc+jTQ/w03H7DkWFR+ohj6BIjVWNpjwfcNLKazlh3eztALqEsG4QezrWZLAdTbCh03eYtfMqKHgmcMFrBFxlL" \
    "WPiVayhV/YIn9sROmSf7fLmE3srLPqmovbFgIrURuCSazkzUfj6tbDWHd5/begkJ6a7RQf19klXHQ6QXELxNsD/I" \
    "+/ceCR0OS8gqpKAeuzvSx6k= a comment"
#define ECDSA256                                                                               \
    "ecdsa-sha2-nistp256 AAAAE2VjZHNhLXNoYTItbmlzdHAyNTYAAAAIbmlzdHAyNTYAAABBBEqlJAz/E4KJHPWu" \
    "rKsUIR1pVD4zozdw9yRqLp4KEgw3hJjMQIj6sYQ+tO4gQLLCC2XxYmDni+tlkJGD0HZkaiw= a comment"
#define ECDSA384                                                                               \
    "ecdsa-sha2-nistp384 AAAAE2VjZHNhLXNoYTItbmlzdHAzODQAAAAIbmlzdHAzODQAAABhBL/NoC6PjQJxsJdx" \
    "JFes5IGKH17ZaJcgv/JYdJzSe4LhSbsf9ex1MtjQBSp2IOLsydngLXf4L4nJubG1RrsJGbKa6idPyeYyzjXfJfHo" \
    "OFY41oNS+ZqlhQ+cDaoApY4fjA== root@vm"
#define ECDSA521                                                                               \
    "ecdsa-sha2-nistp521 AAAAE2VjZHNhLXNoYTItbmlzdHA1MjEAAAAIbmlzdHA1MjEAAACFBAHaTrvGetkYvAzF" \
    "sYcjKe/wlZ33ePrNzRQ4ooCqg7gK5tgqJ53Ne0rnmdqtZ3ZufFhVTjUBOxR94vJy2sltgKr9ygAFk+nlphI9K2VH" \
    "rfaY0Wq3Xk7GqhwfR4F3/4va/qMWMFmyxKDjdINPorxRFFMj9LHORK9QTqx1qJzD5r55wvMc1A== root@vm"
#define DSA                                                                                    \
    "ssh-dss AAAAB3NzaC1kc3MAAACBAKWvlz4KNSaQ4rJE3c185tRrAq5+gdZNNBq54dX031mfyJ9VXK8d73aR+hk1" \
    "2DjP8UTxSt9xz44lKWKRWMhDnas/pw33dPz+jMwf1z/IpSgFEMtAGWKj2nJvmFmL9MjeKNxqjFcHTFeeo0mFpEAy" \
    "9xUy6vFHO82+kb39xGIFUI6DAAAAFQD1KyoozJMmqr+2wsDlQuhGblU7rwAAAIA4c+0M/ujkPccQC2eDg8oArA4x" \
    "Vql++mZIv4pZP86k2CqeWxPtWO5yfvDcpmHWD4v8QhmeOHh5oq/ev60WJO+2Hm0IzxZoYjfhG5mBi7wr5wXrNRhD" \
    "W/j1YLt1UhzNP4c53K/JmQLpMRySFqFBzdFc8tc6Tz5mmboD261GdD892wAAAIBA0CMbYoIqSDcNG0KpkMtNDt5C" \
    "2AyzkRgaVLYD0lnQND/VVgRsfoKkhVdmzrUvvkme0tvd/TsaE9NPkV2Uw4xZvSZFXRyfRXaSb7boA0W3fgW74vpb" \
    "u5L/HL3zvJ9w8vn3227UvDckbQd2ZSXlmuyGlf5/9Sy8EmZODraiXfQ1Vw== root@vm"

/* clang-format off */
static const struct {
    int line;
    struct str text;
    const char *words; /* in the flaw; NULL: sound */
} lines[] = {
    {__LINE__, STR(ED25519), NULL},
    {__LINE__, STR(RSA), NULL},
    {__LINE__, STR(ECDSA256), NULL},
    {__LINE__, STR(ECDSA384), NULL},
    {__LINE__, STR(ECDSA521), NULL},
    {__LINE__, STR(ED25519 "\n"), NULL},
    {__LINE__, STR(ED25519 " \r\n\n"), NULL},
    {__LINE__, STR("  " ED25519), NULL},
    {__LINE__, STR(ED25519 " m\xc3\xbc nchen \"quotes\" \\ '"), NULL},
    {__LINE__, STR(DSA), "DSA"},
    {__LINE__, STR(""), "empty"},
    {__LINE__, STR(" \n"), "empty"},
    {__LINE__, STR("ssh-ed25519"), "no key"},
    {__LINE__, STR("ssh-ed25519  \n"), "no key"},
    {__LINE__, STR(ED25519 "\nruncmd: [reboot]"), "more than one line"},
    {__LINE__, STR(ED25519 "\r" ED25519), "more than one line"},
    {__LINE__, STR(ED25519 "\n" ED25519 "\n"), "more than one line"},
    {__LINE__, STR(ED25519 " \x1b[2J"), "control character"},
    {__LINE__, STR(ED25519 " a\0b"), "control character"},
    {__LINE__, STR(ED25519 "\x7f"), "control character"},
    {__LINE__, STR("-----BEGIN OPENSSH PRIVATE KEY-----\nb3BlbnNzaC1rZXktdjEA\n"), "private key"},
    {__LINE__, STR("-----BEGIN RSA PRIVATE KEY-----\nMIIE\n"), "private key"},
    {__LINE__, STR("PuTTY-User-Key-File-3: ssh-ed25519\n"), "private key"},
    {__LINE__, STR("---- BEGIN SSH2 PUBLIC KEY ----\nAAAA\n"), "SSH2"},
    {__LINE__, STR("command=\"x\" " ED25519), "options"},
    {__LINE__, STR("no-pty ecdsa-sha2-nistp256 AAAA"), "options"},
    {__LINE__, STR("ssh-ed25519-cert-v01@openssh.com AAAA"), "certificate"},
    {__LINE__, STR("ssh-ed448 AAAA"), "known type"},
    {__LINE__, STR("AAAAC3NzaC1lZDI1NTE5AAAA"), "known type"},
    {__LINE__, STR("~/.ssh/id_ed25519.pub"), "known type"},
    {__LINE__, STR("ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIA34+x4WmzDFztqd9GNhQHuw"), "part of it is missing"},
    {__LINE__, STR("ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIA34+x4WmzDFztqd9GNhQHuw1+jyEgXB0fyAbUhTDqz"), "not base64"},
    {__LINE__, STR("ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIA34-x4WmzDFztqd9GNhQHuw1-jyEgXB0fyAbUhTDqz9"), "not base64"},
    {__LINE__, STR("ssh-ed25519 ===="), "not base64"},
    {__LINE__, STR("ssh-ed25519 AAAA"), "part of it is missing"},
    {__LINE__, STR("ssh-ed25519 AAAAB3NzaC1yc2E="), "holds another"},
    {__LINE__, STR("ssh-ed25519 AAAAB3NzaC1yc2F="), "not base64"}, /* stray bits at the end */
};
/* clang-format on */

static void check(int line, struct str text, const char *words)
{
    char *exact = xmalloc(text.n ? text.n : 1); /* a sanitizer sees a read past it */
    memcpy(exact, text.p, text.n);
    const char *flaw = pubkey_flaw((struct str){.p = exact, .n = text.n});
    if (!flaw != !words || (flaw && !strstr(flaw, words)))
        fail_msg("line %d: %s", line, flaw ? flaw : "sound");
    free(exact);
}

static void lines_are_checked(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(lines) / sizeof(*lines); i++)
        check(lines[i].line, lines[i].text, lines[i].words);
}

static void add_base64(struct buf *out, const struct buf *bytes)
{
    static const char alphabet[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    for (size_t i = 0; i < bytes->n; i += 3) {
        uint32_t group = 0;
        for (size_t j = 0; j < 3; j++)
            group = group << 8 | (i + j < bytes->n ? (unsigned char)bytes->p[i + j] : 0);
        for (size_t j = 0; j < 4; j++)
            buf_addc(out, i + j > bytes->n ? '=' : alphabet[group >> (18 - 6 * j) & 0x3f]);
    }
}

/* A key of `type` (also inside: `inner`) with parts of these lengths. */
static void build(struct buf *out, const char *type, const char *inner, const size_t *lengths)
{
    cleanup_buf struct buf blob = {0};
    const size_t n = strlen(inner);
    buf_add(&blob, (char[]){0, 0, 0, (char)n}, 4);
    buf_add(&blob, inner, n);
    for (; *lengths; lengths++) {
        buf_add(&blob, (char[]){0, 0, (char)(*lengths >> 8), (char)*lengths}, 4);
        for (size_t i = 0; i < *lengths; i++)
            buf_addc(&blob, (char)i);
    }
    buf_adds(out, type);
    buf_addc(out, ' ');
    add_base64(out, &blob);
}

static void every_type_has_its_parts(void **state)
{
    (void)state;
    static const struct {
        int line;
        const char *type, *inner;
        size_t lengths[5];
        const char *words;
    } cases[] = {
        {__LINE__, "ssh-ed25519", "ssh-ed25519", {32}, NULL},
        {__LINE__, "ssh-ed25519", "ssh-ed25519", {31}, "wrong length"},
        {__LINE__, "ssh-ed25519", "ssh-ed25519", {33}, "wrong length"},
        {__LINE__, "ssh-ed25519", "ssh-ed25519", {32, 1}, "something follows"},
        {__LINE__, "ssh-ed25519", "ssh-rsa", {32}, "holds another"},
        {__LINE__, "ssh-ed25519", "ssh-ed2551", {32}, "holds another"},
        {__LINE__, "ssh-rsa", "ssh-rsa", {3, 257}, NULL},
        {__LINE__, "ssh-rsa", "ssh-rsa", {3, 2049}, NULL},
        {__LINE__, "ssh-rsa", "ssh-rsa", {3}, "part of it is missing"},
        {__LINE__, "ssh-rsa", "ssh-rsa", {3, 257, 1}, "something follows"},
        {__LINE__, "ecdsa-sha2-nistp256", "ecdsa-sha2-nistp256", {8, 65}, NULL},
        {__LINE__, "ecdsa-sha2-nistp256", "ecdsa-sha2-nistp384", {8, 65}, "holds another"},
        {__LINE__, "sk-ssh-ed25519@openssh.com", "sk-ssh-ed25519@openssh.com", {32, 4}, NULL},
        {__LINE__, "sk-ssh-ed25519@openssh.com", "sk-ssh-ed25519@openssh.com", {32}, "missing"},
        {__LINE__, "sk-ecdsa-sha2-nistp256@openssh.com", "sk-ecdsa-sha2-nistp256@openssh.com",
            {8, 65, 4}, NULL},
        {__LINE__, "sk-ecdsa-sha2-nistp256@openssh.com", "sk-ecdsa-sha2-nistp256@openssh.com",
            {8, 65}, "missing"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        cleanup_buf struct buf line = {0};
        build(&line, cases[i].type, cases[i].inner, cases[i].lengths);
        check(cases[i].line, (struct str){.p = line.p, .n = line.n}, cases[i].words);
    }
}

/* A paste that lost its end is the commonest damage. */
static void a_key_cut_anywhere_is_refused(void **state)
{
    (void)state;
    const struct str whole = STR(RSA);
    const size_t key_end = (size_t)(strrchr(RSA, ' ') - RSA); /* the comment is "a comment" */
    const size_t end = (size_t)((const char *)memrchr(RSA, ' ', key_end) - RSA);
    assert_null(pubkey_flaw((struct str){.p = whole.p, .n = end}));
    for (size_t n = 0; n < end; n++) {
        if (!pubkey_flaw((struct str){.p = whole.p, .n = n}))
            fail_msg("accepted when cut at %zu", n);
    }
}

static void what_is_too_long_is_no_key(void **state)
{
    (void)state;
    cleanup_buf struct buf line = {0};
    buf_adds(&line, ED25519 " ");
    while (line.n <= SEED_KEY_MAX_BYTES)
        buf_addc(&line, 'x');
    check(__LINE__, (struct str){.p = line.p, .n = line.n}, "longer");
    check(__LINE__, (struct str){.p = line.p, .n = SEED_KEY_MAX_BYTES}, NULL);
}

static void types_are_told(void **state)
{
    (void)state;
    assert_true(str_is(pubkey_type(STR(" " ED25519)), "ssh-ed25519"));
    assert_true(str_is(pubkey_type(STR(RSA)), "ssh-rsa"));
    assert_int_equal(pubkey_type(STR("ssh-ed448 AAAA")).n, 0);
    assert_int_equal(pubkey_type(STR("")).n, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lines_are_checked),
        cmocka_unit_test(every_type_has_its_parts),
        cmocka_unit_test(a_key_cut_anywhere_is_refused),
        cmocka_unit_test(what_is_too_long_is_no_key),
        cmocka_unit_test(types_are_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
