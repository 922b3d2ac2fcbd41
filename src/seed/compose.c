#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/error.h"
#include "base/json.h"
#include "base/name.h"
#include "base/utf8.h"
#include "seed/emit.h"
#include "seed/pubkey.h"
#include "seed/seed.h"

#include <endian.h>
#include <openssl/evp.h>
#include <stdlib.h>

static const char cloud_config[] = "#cloud-config\n";

static void wipe(struct buf *b)
{
    if (b->p)
        explicit_bzero(b->p, b->cap);
    buf_done(b);
}

void seed_documents_done(struct seed_documents *d)
{
    wipe(&d->meta_data);
    wipe(&d->user_data);
    wipe(&d->vendor_data);
    d->instance_id[0] = '\0';
}

static struct str view(const struct buf *b)
{
    return (struct str){.p = buf_cstr(b), .n = b->n};
}

/* A value for one line of a message: quoted, its controls escaped, cut when long. */
static char *shown(const char *value)
{
    enum { SHOWN_MAX_BYTES = 80 };
    const struct str whole = str_view(value);
    cleanup_buf struct buf quoted = {0};
    emit_string(&quoted,
        (struct str){.p = whole.p, .n = whole.n < SHOWN_MAX_BYTES ? whole.n : SHOWN_MAX_BYTES});
    struct buf safe = {0};
    utf8_sanitize(&safe, quoted.p, quoted.n);
    return buf_steal(&safe);
}

static int check_hostname(const char *hostname, struct vmm_error **errp)
{
    if (hostname && hostname_is_valid(str_view(hostname)))
        return 0;
    cleanup_free char *value = shown(hostname);
    return vmm_fail(errp,
        &(struct diag){.code = VMM_E_VMFILE_INVALID,
            .reason = "hostname",
            .help = "Use letters, digits and `-`, 63 at most between dots, `-` not at an end."},
        "%s cannot be a host name", value);
}

static int check_user(const char *user, struct vmm_error **errp)
{
    if (user && username_is_valid(str_view(user)))
        return 0;
    cleanup_free char *value = shown(user);
    return vmm_fail(errp,
        &(struct diag){.code = VMM_E_VMFILE_INVALID,
            .reason = "user",
            .help =
                "Use lower case letters, digits, `_` and `-`, first a letter or `_`, at most 32."},
        "%s cannot be the name of a user in the guest", value);
}

static int check_public_keys(const struct seed_input *input, struct vmm_error **errp)
{
    if (input->ssh_public_key_count == 0)
        return vmm_fail(errp, &(struct diag){.code = VMM_E_VMFILE_INVALID, .reason = "ssh-key"},
            "there is no SSH public key for the user \"%s\", so nobody could enter the guest",
            input->user);
    if (input->ssh_public_key_count > SEED_KEYS_MAX)
        return vmm_fail(errp, &(struct diag){.code = VMM_E_VMFILE_INVALID, .reason = "ssh-key"},
            "there are %zu SSH public keys; %d are the most", input->ssh_public_key_count,
            SEED_KEYS_MAX);
    for (size_t i = 0; i < input->ssh_public_key_count; i++) {
        const char *flaw = pubkey_flaw(str_view(input->ssh_public_keys[i]));
        if (flaw)
            return vmm_fail(errp,
                &(struct diag){.code = VMM_E_VMFILE_INVALID,
                    .reason = "ssh-key",
                    .help = "A public key is one line, such as the one in ~/.ssh/id_ed25519.pub."},
                "SSH public key %zu %s", i + 1, flaw);
    }
    return 0;
}

/* We made this pair ourselves: a flaw is a mistake of ours. */
static int check_host_key(const struct seed_input *input, struct vmm_error **errp)
{
    if (!input->host_key_private && !input->host_key_public)
        return 0;
    const char *flaw = NULL;
    if (!input->host_key_private || !input->host_key_public)
        flaw = "lacks one of its halves";
    else if (strncmp(input->host_key_private, "-----BEGIN OPENSSH PRIVATE KEY-----\n", 36) != 0 ||
             !strstr(input->host_key_private, "\n-----END OPENSSH PRIVATE KEY-----"))
        flaw = "is not in OpenSSH's format";
    else if (!str_is(pubkey_type(str_view(input->host_key_public)), "ssh-ed25519"))
        flaw = "is no Ed25519 key";
    else
        flaw = pubkey_flaw(str_view(input->host_key_public));
    if (!flaw)
        return 0;
    return vmm_fail(
        errp, &(struct diag){.code = VMM_E_SSH_KEYGEN}, "the guest's host key %s", flaw);
}

static int check_user_data(struct str user_data, struct vmm_error **errp)
{
    if (user_data.n <= SEED_USER_DATA_MAX_BYTES)
        return 0;
    return vmm_fail(errp,
        &(struct diag){.code = VMM_E_VMFILE_INVALID,
            .reason = "user-data",
            .help = "Upload large files with a provisioner instead."},
        "the user-data has %zu bytes; %d are the most", user_data.n, SEED_USER_DATA_MAX_BYTES);
}

static int check_input(const struct seed_input *input, struct vmm_error **errp)
{
    int r = check_hostname(input->hostname, errp);
    if (r == 0)
        r = check_host_key(input, errp);
    if (r < 0)
        return r;
    if (input->user_data.p)
        return check_user_data(input->user_data, errp);
    r = check_user(input->user, errp);
    return r < 0 ? r : check_public_keys(input, errp);
}

/* A line of a file, or its text: without the newline at the end. */
static void put_line(json_t *object, const char *key, const char *value)
{
    size_t n = strlen(value);
    while (n && (value[n - 1] == '\n' || value[n - 1] == '\r'))
        n--;
    json_put(object, key, json_text(value, n));
}

/* With `ssh_keys` cloud-init generates no others (cc_ssh), so there is nothing to add for that; an
 * empty `ssh_genkeytypes` is against its schema. */
static void put_host_key(json_t *config, const struct seed_input *input)
{
    if (!input->host_key_private)
        return;
    json_t *keys = json_object();
    /* sshd does not read a private key whose last line has no newline. */
    const size_t n = strlen(input->host_key_private);
    cleanup_free char *private = xasprintf(
        "%s%s", input->host_key_private, input->host_key_private[n - 1] == '\n' ? "" : "\n");
    json_put_string(keys, "ed25519_private", private);
    put_line(keys, "ed25519_public", input->host_key_public);
    explicit_bzero(private, strlen(private));
    json_put_bool(config, "ssh_deletekeys", true);
    json_put(config, "ssh_keys", keys);
}

static json_t *make_user(const struct seed_input *input)
{
    json_t *user = json_object();
    json_put_string(user, "name", input->user);
    json_put_string(user, "sudo", "ALL=(ALL) NOPASSWD:ALL");
    json_put_string(user, "shell", "/bin/bash");
    json_put_bool(user, "lock_passwd", true);
    json_t *keys = json_array();
    for (size_t i = 0; i < input->ssh_public_key_count; i++) {
        const char *line = input->ssh_public_keys[i];
        line += strspn(line, " \t");
        json_array_append_new(keys, json_text(line, strcspn(line, "\r\n")));
    }
    json_put(user, "ssh_authorized_keys", keys);
    return user;
}

/* Without "default" in `users` the image's own user (ubuntu, debian) is not made. */
static json_t *make_config(const struct seed_input *input)
{
    json_t *config = json_object();
    json_put_string(config, "hostname", input->hostname);
    json_put_bool(config, "preserve_hostname", false);
    json_t *users = json_array();
    json_array_append_new(users, make_user(input));
    json_put(config, "users", users);
    /* Whoever asks for root as the user must be let in as root. */
    json_put_bool(config, "disable_root", strcmp(input->user, "root") != 0);
    json_put_bool(config, "ssh_pwauth", false);
    put_host_key(config, input);
    return config;
}

static void emit_cloud_config(struct buf *out, const json_t *config)
{
    buf_adds(out, cloud_config);
    emit_json(out, config);
    buf_addc(out, '\n');
}

static void compose_user_data(const struct seed_input *input, struct seed_documents *d)
{
    if (input->user_data.p) {
        buf_addstr(&d->user_data, input->user_data);
        if (!input->host_key_private)
            return;
        cleanup_json json_t *config = json_object();
        put_host_key(config, input);
        emit_cloud_config(&d->vendor_data, config);
        return;
    }
    cleanup_json json_t *config = make_config(input);
    emit_cloud_config(&d->user_data, config);
}

/* With its length before it, so that no two lists of texts read alike. */
static void hash_text(EVP_MD_CTX *hash, struct str text)
{
    const uint64_t n = htobe64(text.n);
    if (!EVP_DigestUpdate(hash, &n, sizeof(n)) ||
        !EVP_DigestUpdate(hash, text.p ? text.p : "", text.n))
        abort();
}

static void hash_documents(const struct seed_input *input,
    const struct seed_documents *d,
    unsigned char ret_digest[EVP_MAX_MD_SIZE])
{
    EVP_MD_CTX *hash = EVP_MD_CTX_new();
    if (!hash || !EVP_DigestInit_ex(hash, EVP_sha256(), NULL))
        abort(); /* no memory, or a libcrypto without SHA-256 */
    hash_text(hash, str_view(input->salt));
    hash_text(hash, str_view(input->hostname));
    hash_text(hash, view(&d->user_data));
    hash_text(hash, view(&d->vendor_data));
    if (!EVP_DigestFinal_ex(hash, ret_digest, NULL))
        abort();
    EVP_MD_CTX_free(hash);
}

/* "vmm-" + 8 hex of the VM + "-" + 16 hex of the content. */
static int make_instance_id(
    const struct seed_input *input, struct seed_documents *d, struct vmm_error **errp)
{
    if (!input->salt || strspn(input->salt, "0123456789abcdef") < 8)
        return vmm_fail(errp,
            &(struct diag){.code = VMM_E_CLOUDINIT_ISO,
                .help = "This is an internal error; please report it."},
            "cannot make an instance-id: the VM has no uuid");
    unsigned char digest[EVP_MAX_MD_SIZE];
    hash_documents(input, d, digest);
    cleanup_buf struct buf id = {0};
    buf_addf(&id, "vmm-%.8s-", input->salt);
    for (size_t i = 0; i < 8; i++)
        buf_addf(&id, "%02x", digest[i]);
    memcpy(d->instance_id, id.p, id.n + 1);
    return 0;
}

static void compose_meta_data(const struct seed_input *input, struct seed_documents *d)
{
    cleanup_json json_t *meta = json_object();
    json_put_string(meta, "instance-id", d->instance_id);
    json_put_string(meta, "local-hostname", input->hostname);
    emit_json(&d->meta_data, meta);
    buf_addc(&d->meta_data, '\n');
}

int seed_compose(
    const struct seed_input *input, struct seed_documents *ret, struct vmm_error **errp)
{
    int r = check_input(input, errp);
    if (r < 0)
        return r;
    cleanup_seed_documents struct seed_documents d = {0};
    compose_user_data(input, &d);
    r = make_instance_id(input, &d, errp);
    if (r < 0)
        return r;
    compose_meta_data(input, &d);
    *ret = d;
    d = (struct seed_documents){0};
    return 0;
}

bool seed_user_data_is_recognized(struct str user_data)
{
    /* cloud-init's own kinds (user_data.py, handlers), MIME, and gzip around any of them. */
    static const struct str starts[] = {STR("#cloud-config"), STR("#!"), STR("#include"),
        STR("#cloud-boothook"), STR("#part-handler"), STR("## template: jinja"),
        STR("#upstart-job"), STR("Content-Type:"), STR("MIME-Version:"), STR("From "),
        STR("\x1f\x8b")};
    for (size_t i = 0; i < sizeof(starts) / sizeof(*starts); i++) {
        if (user_data.n >= starts[i].n && memcmp(user_data.p, starts[i].p, starts[i].n) == 0)
            return true;
    }
    return false;
}
