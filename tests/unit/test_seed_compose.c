/* The documents: what is in them, when the instance-id changes, which values are refused.
 *
 * `test_seed_compose --write DIR` puts every kind of document and its ISO into DIR instead, each
 * beside a .want.json with the values a YAML reader has to find: for tests/system/seed_schema.sh.
 */
#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/error.h"
#include "base/fs.h"
#include "base/json.h"
#include "seed/emit.h"
#include "seed/seed.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

/* Made by ssh-keygen for this file; nothing trusts them. */
#define KEY                                                                               \
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIA34+x4WmzDFztqd9GNhQHuw1+jyEgXB0fyAbUhTDqz9 a " \
    "comment"
#define LONG_KEY                                                                               \
    "ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAAIAQCwGbWR/h/efAyP7pQsMEwKyTKumP9doPo1c67Ihe9CQm5D9fyC" \
    "K30XgzbzLMyD3Y4C+0VpywAngpaVQ1B583A1HgdFvo1B68fcYd2eiyw8Z56VDqgav23Pxo8kJvNUO/WNhptt14M7" \
    "a1v3sfkz3HUAVDWiRPrU/l30aIRLCnbTYv8GhxcG3k8U8GhMaVyBKoRow9g7xiVeaOl2SXg6Qza0awUiJx3P6st+" \
    "Xw3BC+4NfDzCRKZbc8yygODhVLZRuQgQn+ck2/iicb/uE8I5nO8WIIe9+UYKFB1pwpDlzABIysReXIxyMm/xC4P5" \
    "JTrfxlyeAsn6/I8OYm/4yLi7LVtJ8qUINw08YXYtyO+J5289yi0mD0fDLB+LZpsH8w6aI/7Ia+dEz2WpN99zZBqj" \
    "1GBtxi4LOqNRpHPjbHr+8xLoOPypTdSEfb3io3njM9//hlTt6kWfOSqckkAE3JeBiv4NsTj+Ss4AO6Y7/I1KLA74" \
    "jjHcVAHosOLjnKwCfxcCLR21/KkfWHlizWurpDZcuzVdHI7mmbuDUKqA8yDpohLZYeoBFiZQv6tPRd1+FHcuyMIb" \
    "wxt3tqgYABlLulCwB6J+z3bYC99rD/SSTxNDo9cZDNtceFiyR91nJ77cUHHtxDAVfibKiAQL9HTcLJTKvs4TCdu2" \
    "9UCsmRNu0Ez1x8K1MjvICgT3BQCAuJs2sBTBTnmRQTPNBxucHjodW17gk9ae3cNIAYb/0x3kWwa44hkplHevFpEW" \
    "la/ElwsSAgDishdpiivp290gSCMiJzlvPc2+N3XTPZmVyFm5CVw7aT1t/0ryPaI9Orqa+wb/wHRMnRs7obzRTYtK" \
    "Dp38zl50Y3p/22rA0SrC8K/0mnyNVu7EyTzMwC7T+eNxhLbWqmgBvafMz0mlp4rQf7UtdmKFhgj9a99kF7wjf/tE" \
    "iJmz8tRRj42vN9JGtPGvIHoYsmvZtxLFzi6jpRoGHZqiCN2x1PmnU4+rmNEo+B0zRgz1gmbXNtRYppNwSNia/7OF" \
    "m+J4LKZ0CZR14AEi5UMnG22RAOz4qapRcc4oC39+Tft2+FB4JcS2qQoJ3LOEuY6wi+yD8y3xjYO+HQHOQ4WrsBHQ" \
    "HDKtJ0aVr6sr/5oJdF4zT963UaRWQkvahLZWyVD7uoO3LeAE/+c899Z4h00qDBagma4oy2PzJbW3ewLlf/fZdNM/" \
    "1OTk9Oon8EXQ6hk3v9FWJUqXZLTUpN/dw/KG9d6q9JwP8i9n6cwk4/K1B4dqxqY6HiIER/Jo4gWmAlt0LALJyTdy" \
    "HRpClHiUUqz0Xit5tqbqokfFLd6vSAKtCNc0ekVWzj6oiWQ/da4gkiW5Y0rAOlqntMYSy1MVS7X+ycFl+lWert0Y" \
    "KijXHB1Wj8ldvvk0ZHgsxIDIhsE2PKu2wNpdzKUd27dmuI70MMmiu0prfrBtM9cM5O2SXeytvsNuKT2WjGipc9mO" \
    "fcZar2mJZQaBX5nM/HsCkGJUvyQBz+6+fW0G5l+o8vRtusoaSvwwrg2nvfyQiLg4X8yKSd2sAo99GCh3iPWVTH4u" \
    "f+HVftpqtwxWLf0t18hf3JdabVe8pf1g95TjAkTxfxIul8HkJxgGkggPnZBS80LVwiQGdVghUZdflHNHhOUB+4u9" \
    "7scylel3yn4CnbkMm9BJzBCQV2Un5gHxSFS+wNCBsFh/AqfAetGyaOk0+PNo4uFe1on1esfgC9ApMqkp8mu/dyTA" \
    "I82atv4XZt0tEfl3F1+Lr7mPOYdQeOQj6UGGNjHtLZ1reqiNvy1mEYxd0YNJ0OZ32FA3V9Bls5mu5D4g7Q1czj4S" \
    "Re437mqm73azGJ2/FjhPuY8igzE7+qbaopN7roHHQCFPX6RsyPcq9n1phOBN30YDGR+livNN2dwLG89YeSnA/ISM" \
    "LePnfUPeAnkO5+nqsMK68iF2VvOC2QHIyzgsss2MjULHf8CGh24BpimgDSHXedB4WA1pzYetm9CfkcGL21YkYRQx" \
    "ka+pz6Q1nLJ+fLlQ2VwP6QpQrybl2aCrXkssXHuPTvc0lznHNXRhzOnJhds7K5+xmAYqkFYjrt3K0oSBbAEL8V//" \
    "0vxgQfuO5elntUiIAlMxd6m2YlUChxS+IktghBOocqtVCelzIIzFvhyD95LfXyFm0TufcFjrQPepxx5tmFfUe2mc" \
    "9KzZep+VykU8RM2rOdBnNMD6syTGUMAQ6bl5yJUIOotZhR63Q2UljWFTyJyhq/nke+zKpRIEr6O0naTL0Sds/BcM" \
    "wxRTYpJnASs49xCGfnRwRlMQUboKDUW3MwwFxutJTAdPW4W+cQjB4kNi0KKqp5b6VCtr4V38rPxlII9lqmBFDDAD" \
    "q6zm1NsuA8E6Jw81bUN6JrIeXg7lbjX0S7kkTahdgOqOi3U9l1vRD93K9No/t2nMsn4dEAOEyUkczfAQutAieLSZ" \
    "jRb/xvNH48uclg7mltCvJBynu2Z/wYNDOBVtYqYhIb3O/Ri2k7LuNrz1qYjYWW7A6d0PUdNK8qxOiY23/Kqfaqzm" \
    "IvZ5xxN3h6FBAtmYXT3PUo17/2yL7NWsBNOXajKBRn/iTmYF7sNxlJbQO42eNpjkVun13AHS+uYY1BxpCdM3RBYY" \
    "I1IY49dsqPR43/AvQF+2RMhuftMf5pzWzf3uONYocQqRfUHXFx6R5Y/QNDFOv1pKOb0j/U2aY94jzNRerPIJQ5vb" \
    "XCY6xt0v8Fjfa3KpfciPeD6ar8C+xqPi7lph1+TuYw== root@vm"
#define HOST_KEY_PRIVATE                                                             \
    "-----BEGIN OPENSSH PRIVATE KEY-----\n"                                          \
    "bm8ga2V5IGF0IGFsbCwgYW5kIG5vdGhpbmcgaGVyZSBsb29rcyBpbnNpZGUuIFdoYXQgbWF0dGVy\n" \
    "cyBpcyB0aGF0IGl0cyBsaW5lcyBhcnJpdmUgYXMgdGhleSBhcmUu\n"                         \
    "-----END OPENSSH PRIVATE KEY-----\n"
#define HOST_KEY_PUBLIC KEY

#define UUID "0a1b2c3d-4e5f-4711-8a9b-0c1d2e3f4a5b"

static const char *const one_key[] = {KEY};
static const char *const two_keys[] = {
    KEY " second \xf0\x9f\x98\x80 \xe2\x80\xa8 \"x\": {y} \xc2\x85\xef\xbb\xbf #z\n", LONG_KEY};
static const char *const latin_1_key[] = {KEY " m\xfcnchen"};

static struct seed_input sample(void)
{
    return (struct seed_input){
        .hostname = "web",
        .salt = UUID,
        .user = "vm",
        .ssh_public_keys = one_key,
        .ssh_public_key_count = 1,
        .host_key_private = HOST_KEY_PRIVATE,
        .host_key_public = HOST_KEY_PUBLIC,
    };
}

static struct str view(const struct buf *b)
{
    return (struct str){.p = buf_cstr(b), .n = b->n};
}

static void compose(const struct seed_input *input, struct seed_documents *ret)
{
    struct vmm_error *e = NULL;
    if (seed_compose(input, ret, &e) < 0)
        fail_msg("%s", vmm_error_message(e));
}

/* The JSON after "#cloud-config", read by a reader that is not ours. */
static json_t *parse_config(const struct buf *document)
{
    static const char head[] = "#cloud-config\n";
    assert_true(document->n > strlen(head));
    assert_memory_equal(document->p, head, strlen(head));
    const struct str json = {.p = document->p + strlen(head), .n = document->n - strlen(head)};
    json_error_t error;
    json_t *config = json_parse(json, &error);
    if (!config)
        fail_msg("line %d: %s", error.line, error.text);
    return config;
}

static void expect_equal(const json_t *have, const char *want_text)
{
    json_error_t error;
    cleanup_json json_t *want = json_parse(str_view(want_text), &error);
    if (!want)
        fail_msg("%s in %s", error.text, want_text);
    if (!json_equal(have, want)) {
        char *dump = json_dumps(have, 0);
        fail_msg("have %s", dump);
    }
}

static void generated_documents_hold_what_was_asked(void **state)
{
    (void)state;
    const struct seed_input input = sample();
    cleanup_seed_documents struct seed_documents d = {0};
    compose(&input, &d);
    cleanup_json json_t *config = parse_config(&d.user_data);
    /* Not through the text of this file: its newlines are the test of the escaping. */
    const json_t *keys = json_object_get(config, "ssh_keys");
    assert_string_equal(json_get_string(keys, "ed25519_private"), HOST_KEY_PRIVATE);
    assert_string_equal(json_get_string(keys, "ed25519_public"), HOST_KEY_PUBLIC);
    assert_int_equal(json_object_size(keys), 2);
    json_object_del(config, "ssh_keys");
    expect_equal(config,
        "{\"hostname\":\"web\",\"preserve_hostname\":false,\"users\":[{\"name\":\"vm\","
        "\"sudo\":\"ALL=(ALL) NOPASSWD:ALL\",\"shell\":\"/bin/bash\",\"lock_passwd\":true,"
        "\"ssh_authorized_keys\":[\"" KEY "\"]}],\"disable_root\":true,\"ssh_pwauth\":false,"
        "\"ssh_deletekeys\":true}");
    assert_int_equal(d.vendor_data.n, 0);
}

static void meta_data_is_quoted_strings(void **state)
{
    (void)state;
    struct seed_input input = sample();
    input.hostname = "no";
    cleanup_seed_documents struct seed_documents d = {0};
    compose(&input, &d);
    cleanup_free char *want = xasprintf(
        "{\n  \"instance-id\": \"%s\",\n  \"local-hostname\": \"no\"\n}\n", d.instance_id);
    assert_string_equal(buf_cstr(&d.meta_data), want);
    assert_memory_equal(d.instance_id, "vmm-0a1b2c3d-", 13);
    assert_int_equal(strlen(d.instance_id), 13 + 16);
    assert_int_equal(strspn(d.instance_id + 13, "0123456789abcdef"), 16);
}

static void raw_user_data_passes_byte_for_byte(void **state)
{
    (void)state;
    static const struct str documents[] = {STR("#cloud-config\nusers: [default]\n"),
        STR("#!/bin/sh\necho {{ v1.x }} $X\r\n"), STR("\x1f\x8b\0\xff binary"), STR("")};
    for (size_t i = 0; i < sizeof(documents) / sizeof(*documents); i++) {
        struct seed_input input = sample();
        input.user_data = documents[i];
        input.user = NULL; /* not looked at */
        input.ssh_public_key_count = 0;
        cleanup_seed_documents struct seed_documents d = {0};
        compose(&input, &d);
        assert_true(str_eq(view(&d.user_data), documents[i]));
        cleanup_json json_t *vendor = parse_config(&d.vendor_data);
        assert_string_equal(json_get_string(json_object_get(vendor, "ssh_keys"), "ed25519_private"),
            HOST_KEY_PRIVATE);
        assert_true(json_is_true(json_object_get(vendor, "ssh_deletekeys")));
        assert_int_equal(json_object_size(vendor), 2);
    }
}

static void without_a_host_key_none_is_written(void **state)
{
    (void)state;
    struct seed_input input = sample();
    input.host_key_private = input.host_key_public = NULL;
    cleanup_seed_documents struct seed_documents generated = {0}, raw = {0};
    compose(&input, &generated);
    assert_null(strstr(buf_cstr(&generated.user_data), "ssh_keys"));
    input.user_data = STR("#cloud-config\n");
    compose(&input, &raw);
    assert_int_equal(raw.vendor_data.n, 0);
}

static void the_user_root_may_log_in(void **state)
{
    (void)state;
    struct seed_input input = sample();
    input.user = "root";
    cleanup_seed_documents struct seed_documents d = {0};
    compose(&input, &d);
    cleanup_json json_t *config = parse_config(&d.user_data);
    assert_true(json_is_false(json_object_get(config, "disable_root")));
}

static void key_lines_are_put_without_their_end(void **state)
{
    (void)state;
    static const char *const padded[] = {"  " KEY " \r\n\n"};
    struct seed_input input = sample();
    input.ssh_public_keys = padded;
    cleanup_free char *no_newline = xstrndup(HOST_KEY_PRIVATE, strlen(HOST_KEY_PRIVATE) - 1);
    input.host_key_private = no_newline;
    input.host_key_public = HOST_KEY_PUBLIC "\n";
    cleanup_seed_documents struct seed_documents d = {0};
    compose(&input, &d);
    cleanup_json json_t *config = parse_config(&d.user_data);
    const json_t *user = json_array_get(json_object_get(config, "users"), 0);
    assert_string_equal(
        json_string_value(json_array_get(json_object_get(user, "ssh_authorized_keys"), 0)),
        KEY " ");
    const json_t *keys = json_object_get(config, "ssh_keys");
    assert_string_equal(json_get_string(keys, "ed25519_private"), HOST_KEY_PRIVATE);
    assert_string_equal(json_get_string(keys, "ed25519_public"), HOST_KEY_PUBLIC);
}

static void same_input_same_bytes(void **state)
{
    (void)state;
    const struct seed_input input = sample();
    cleanup_seed_documents struct seed_documents a = {0}, b = {0};
    compose(&input, &a);
    compose(&input, &b);
    assert_string_equal(a.instance_id, b.instance_id);
    assert_true(str_eq(view(&a.user_data), view(&b.user_data)));
    assert_true(str_eq(view(&a.meta_data), view(&b.meta_data)));
}

/* Each of these is another instance: all ids differ from each other. */
static void the_instance_id_follows_the_content(void **state)
{
    (void)state;
    enum { COUNT = 9 };
    struct seed_input inputs[COUNT];
    for (size_t i = 0; i < COUNT; i++)
        inputs[i] = sample();
    inputs[1].hostname = "web2";
    inputs[2].salt = "0a1b2c3d-4e5f-4711-8a9b-0c1d2e3f4a5c";
    inputs[3].user = "vm2";
    inputs[4].ssh_public_keys = two_keys;
    inputs[5].host_key_private = inputs[5].host_key_public = NULL;
    inputs[6].user_data = STR("#cloud-config\n");
    inputs[7].user_data = STR("#cloud-config\n\n");
    inputs[8].user_data = STR("#cloud-config\n");
    inputs[8].host_key_private = inputs[8].host_key_public = NULL;
    char ids[COUNT][SEED_INSTANCE_ID_BYTES];
    for (size_t i = 0; i < COUNT; i++) {
        cleanup_seed_documents struct seed_documents d = {0};
        compose(&inputs[i], &d);
        memcpy(ids[i], d.instance_id, sizeof(ids[i]));
        for (size_t j = 0; j < i; j++) {
            if (strcmp(ids[i], ids[j]) == 0)
                fail_msg("inputs %zu and %zu are one instance", j, i);
        }
    }
}

/* Known by heart, so that an update of ours does not silently make every guest set itself up again.
 */
static void the_instance_id_of_a_release_stays(void **state)
{
    (void)state;
    const struct seed_input input = {
        .hostname = "web", .salt = UUID, .user_data = STR("#cloud-config\n")};
    cleanup_seed_documents struct seed_documents d = {0};
    compose(&input, &d);
    assert_string_equal(d.instance_id, "vmm-0a1b2c3d-7cb0a7c42f5acac1");
}

struct refusal {
    int line;
    const char *field;
    const char *value;
    enum vmm_code code;
    const char *words;
};

/* clang-format off */
static const struct refusal refusals[] = {
    {__LINE__, "hostname", NULL, VMM_E_VMFILE_INVALID, "\"\" cannot be a host name"},
    {__LINE__, "hostname", "", VMM_E_VMFILE_INVALID, "\"\" cannot be a host name"},
    {__LINE__, "hostname", "web\nruncmd: [x]", VMM_E_VMFILE_INVALID, "\"web\\nruncmd: [x]\" cannot"},
    {__LINE__, "hostname", "a_b", VMM_E_VMFILE_INVALID, "\"a_b\" cannot be a host name"},
    {__LINE__, "hostname", "-a", VMM_E_VMFILE_INVALID, "cannot be a host name"},
    {__LINE__, "hostname", "\033[31m", VMM_E_VMFILE_INVALID, "\"\\u001b[31m\""},
    {__LINE__, "hostname", "\xe2\x80\xae", VMM_E_VMFILE_INVALID, "<U+202E>"},
    {__LINE__, "user", NULL, VMM_E_VMFILE_INVALID, "\"\" cannot be the name of a user"},
    {__LINE__, "user", "Admin", VMM_E_VMFILE_INVALID, "\"Admin\" cannot be the name of a user"},
    {__LINE__, "user", "a b", VMM_E_VMFILE_INVALID, "\"a b\" cannot"},
    {__LINE__, "user", "0123", VMM_E_VMFILE_INVALID, "\"0123\" cannot"},
    {__LINE__, "key", "", VMM_E_VMFILE_INVALID, "SSH public key 1 is empty"},
    {__LINE__, "key", "ssh-ed25519 AAAA", VMM_E_VMFILE_INVALID, "SSH public key 1 is damaged"},
    {__LINE__, "key", KEY "\nx", VMM_E_VMFILE_INVALID, "SSH public key 1 has more than one line"},
    {__LINE__, "key", HOST_KEY_PRIVATE, VMM_E_VMFILE_INVALID, "is a private key"},
    {__LINE__, "host public", LONG_KEY, VMM_E_SSH_KEYGEN, "is no Ed25519 key"},
    {__LINE__, "host public", NULL, VMM_E_SSH_KEYGEN, "lacks one of its halves"},
    {__LINE__, "host public", "ssh-ed25519 AAAA", VMM_E_SSH_KEYGEN, "is damaged"},
    {__LINE__, "host private", NULL, VMM_E_SSH_KEYGEN, "lacks one of its halves"},
    {__LINE__, "host private", "x", VMM_E_SSH_KEYGEN, "is not in OpenSSH's format"},
    {__LINE__, "host private", "-----BEGIN OPENSSH PRIVATE KEY-----\ncut", VMM_E_SSH_KEYGEN, "OpenSSH's format"},
    {__LINE__, "salt", NULL, VMM_E_CLOUDINIT_ISO, "no uuid"},
    {__LINE__, "salt", "", VMM_E_CLOUDINIT_ISO, "no uuid"},
    {__LINE__, "salt", "0a1b2c3", VMM_E_CLOUDINIT_ISO, "no uuid"},
    {__LINE__, "salt", "0a1b2c3\n-", VMM_E_CLOUDINIT_ISO, "no uuid"},
};
/* clang-format on */

static void check_refusal(const struct refusal *row)
{
    struct seed_input input = sample();
    if (strcmp(row->field, "hostname") == 0)
        input.hostname = row->value;
    else if (strcmp(row->field, "user") == 0)
        input.user = row->value;
    else if (strcmp(row->field, "key") == 0)
        input.ssh_public_keys = &row->value;
    else if (strcmp(row->field, "host public") == 0)
        input.host_key_public = row->value;
    else if (strcmp(row->field, "host private") == 0)
        input.host_key_private = row->value;
    else
        input.salt = row->value;
    struct seed_documents d = {0};
    struct vmm_error *e = NULL;
    const int r = seed_compose(&input, &d, &e);
    if (r != -(int)row->code || !strstr(vmm_error_message(e), row->words))
        fail_msg("line %d: %s", row->line, e ? vmm_error_message(e) : "accepted");
    /* No key ever shows in a message. */
    assert_null(strstr(vmm_error_message(e), "AAAA"));
    assert_null(strstr(vmm_error_message(e), "bm8g"));
    assert_null(strchr(vmm_error_message(e), '\n'));
    assert_null(d.user_data.p);
    vmm_error_free(e);
}

static void wrong_values_are_refused_by_name(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(refusals) / sizeof(*refusals); i++)
        check_refusal(&refusals[i]);
}

static void expect_refusal(const struct seed_input *input, const char *words)
{
    struct seed_documents d = {0};
    struct vmm_error *e = NULL;
    assert_int_equal(seed_compose(input, &d, &e), -VMM_E_VMFILE_INVALID);
    if (!strstr(vmm_error_message(e), words))
        fail_msg("%s", vmm_error_message(e));
    vmm_error_free(e);
}

static void limits_hold(void **state)
{
    (void)state;
    struct seed_input input = sample();
    input.ssh_public_key_count = 0;
    expect_refusal(&input, "no SSH public key");
    const char *many[SEED_KEYS_MAX + 1];
    for (size_t i = 0; i < SEED_KEYS_MAX + 1; i++)
        many[i] = KEY;
    input.ssh_public_keys = many;
    input.ssh_public_key_count = SEED_KEYS_MAX + 1;
    expect_refusal(&input, "65 SSH public keys");
    many[SEED_KEYS_MAX - 1] = "nonsense";
    input.ssh_public_key_count = SEED_KEYS_MAX;
    expect_refusal(&input, "SSH public key 64 does not begin");
    cleanup_free char *large = xcalloc(1, SEED_USER_DATA_MAX_BYTES + 1);
    input.user_data = (struct str){.p = large, .n = SEED_USER_DATA_MAX_BYTES + 1};
    expect_refusal(&input, "the user-data has 4194305 bytes");
}

static void kinds_of_user_data_are_recognized(void **state)
{
    (void)state;
    static const struct {
        int line;
        struct str text;
        bool want;
    } cases[] = {
        {__LINE__, STR("#cloud-config\n"), true},
        {__LINE__, STR("#!/bin/sh\n"), true},
        {__LINE__, STR("## template: jinja\n#cloud-config\n"), true},
        {__LINE__, STR("Content-Type: multipart/mixed; boundary=\"x\"\n"), true},
        {__LINE__, STR("\x1f\x8b\x08"), true},
        {__LINE__, STR("users: [default]\n"), false},
        {__LINE__, STR("# my config\n#cloud-config\n"), false},
        {__LINE__, STR("\xef\xbb\xbf#cloud-config\n"), false},
        {__LINE__, STR(""), false},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        if (seed_user_data_is_recognized(cases[i].text) != cases[i].want)
            fail_msg("line %d", cases[i].line);
    }
}

/* --write from here on. */

static const char *out_dir;

static bool put(const char *name, const char *kind, const char *bytes, size_t n)
{
    cleanup_free char *file = xasprintf("%s.%s", name, kind);
    struct vmm_error *e = NULL;
    if (fs_write_durable(out_dir, file, bytes, n, &e) == 0)
        return true;
    fprintf(stderr, "%s\n", vmm_error_message(e));
    vmm_error_free(e);
    return false;
}

/* The wanted values, in JSON by jansson and in ASCII, for any JSON reader. */
static bool put_want(const char *name, const json_t *want)
{
    char *text = json_dumps(want, JSON_ENSURE_ASCII);
    const bool is_put = put(name, "want.json", text, strlen(text));
    free(text);
    return is_put;
}

static json_t *want_of(const struct seed_input *input)
{
    json_t *want = json_object();
    json_put_string(want, "hostname", input->hostname);
    json_put_string(want, "user", input->user_data.p ? NULL : input->user);
    json_t *keys = json_array();
    for (size_t i = 0; i < input->ssh_public_key_count; i++)
        json_array_append_new(
            keys, json_text(input->ssh_public_keys[i], strcspn(input->ssh_public_keys[i], "\n")));
    json_put(want, "keys", keys);
    json_put_string(want, "host_key_private", input->host_key_private);
    json_put_string(want, "host_key_public", input->host_key_public);
    return want;
}

static bool write_case(const char *name, const struct seed_input *input)
{
    cleanup_seed_documents struct seed_documents d = {0};
    struct vmm_error *e = NULL;
    cleanup_free char *iso = xasprintf("%s/%s.iso", out_dir, name);
    if (seed_compose(input, &d, &e) < 0 || seed_write_iso(&d, iso, &e) < 0) {
        fprintf(stderr, "%s: %s\n", name, vmm_error_message(e));
        vmm_error_free(e);
        return false;
    }
    cleanup_json json_t *want = want_of(input);
    json_put_string(want, "instance_id", d.instance_id);
    return put(name, "meta-data", d.meta_data.p, d.meta_data.n) &&
           put(name, "user-data", buf_cstr(&d.user_data), d.user_data.n) &&
           (d.vendor_data.n == 0 || put(name, "vendor-data", d.vendor_data.p, d.vendor_data.n)) &&
           put_want(name, want);
}

/* Strings that no field would let through, in the emitter's hands alone. */
static bool write_awkward(void)
{
    static const struct str strings[] = {STR("no"), STR("yes"), STR("0123"), STR("~"), STR("null"),
        STR(""), STR("a\nb: c"), STR("\xc2\x85"), STR("\x7f"), STR("\xe2\x80\xa8"),
        STR("\xe2\x80\xa9"), STR("\xf0\x9f\x98\x80"), STR("say \"hi\""), STR("it's"),
        STR("C:\\n\\u0041"), STR("- a"), STR("a: b # c"), STR("{a}"), STR("[a]"),
        STR("&a *b !c %d @e `f"), STR(" lead and trail "), STR("\ttab\r\n"), STR("2001-01-01"),
        STR("1e3"), STR("0x1f"),
        STR("\xef\xbb\xbf"
            "bom"),
        STR("\x01\x1b[0m"), STR("\xc2\xa0"), STR("\xef\xbf\xbe\xef\xbf\xbf"),
        STR("\xf4\x8f\xbf\xbf"), STR("---"), STR("..."), STR("<<"), STR("="), STR("on"), STR("NaN"),
        STR(".inf"), STR("1:30"),
        STR("\xe2\x80\xae"
            "rtl"),
        STR("\xed\x9f\xbf\xee\x80\x80")};
    cleanup_json json_t *list = json_array();
    json_t *as_keys = json_object();
    for (size_t i = 0; i < sizeof(strings) / sizeof(*strings); i++) {
        json_array_append_new(list, json_stringn(strings[i].p, strings[i].n));
        json_put(as_keys, strings[i].p, json_stringn(strings[i].p, strings[i].n));
    }
    json_array_append_new(list, as_keys);
    cleanup_buf struct buf text = {0};
    emit_json(&text, list);
    return put("awkward", "yaml", text.p, text.n) && put_want("awkward", list);
}

static int write_all(void)
{
    struct seed_input plain = sample(), odd = sample(), fqdn = sample(), latin = sample(),
                      root = sample();
    struct seed_input raw = sample(), script = sample(), empty = sample(), bare = sample();
    odd.hostname = "no";
    odd.ssh_public_keys = two_keys;
    odd.ssh_public_key_count = 2;
    fqdn.hostname = "0123.example.com";
    latin.ssh_public_keys = latin_1_key;
    root.user = "root";
    raw.user_data = STR(
        "#cloud-config\n# mine\nhostname: other\nusers: [default]\nruncmd: [\"echo \xc3\xbc\"]\n");
    script.user_data = STR("#!/bin/sh\necho hello\n");
    empty.user_data = STR("");
    bare.host_key_private = bare.host_key_public = NULL;
    return write_case("plain", &plain) && write_case("odd", &odd) && write_case("fqdn", &fqdn) &&
                   write_case("latin", &latin) && write_case("root", &root) &&
                   write_case("raw", &raw) && write_case("script", &script) &&
                   write_case("empty", &empty) && write_case("bare", &bare) && write_awkward()
               ? 0
               : 1;
}

int main(int argc, char **argv)
{
    if (argc == 3 && strcmp(argv[1], "--write") == 0) {
        out_dir = argv[2];
        return write_all();
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(generated_documents_hold_what_was_asked),
        cmocka_unit_test(meta_data_is_quoted_strings),
        cmocka_unit_test(raw_user_data_passes_byte_for_byte),
        cmocka_unit_test(without_a_host_key_none_is_written),
        cmocka_unit_test(the_user_root_may_log_in),
        cmocka_unit_test(key_lines_are_put_without_their_end),
        cmocka_unit_test(same_input_same_bytes),
        cmocka_unit_test(the_instance_id_follows_the_content),
        cmocka_unit_test(the_instance_id_of_a_release_stays),
        cmocka_unit_test(wrong_values_are_refused_by_name),
        cmocka_unit_test(limits_hold),
        cmocka_unit_test(kinds_of_user_data_are_recognized),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
