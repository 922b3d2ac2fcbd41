/* Any bytes as values for cloud-init. Reaches src/seed/{emit,compose,pubkey,frame}.c and
 * src/base/{buf,error,json,name,utf8}.c.
 *
 * Lines of the input are the hostname, the user, the salt and SSH keys; the whole of it is also raw
 * user-data, a string for the emitter and a frame for vmm-seed. Beyond "no crash": a strict JSON
 * reader that is not ours finds exactly the values that were put in; the bytes have nothing in them
 * that YAML reads otherwise than JSON; raw user-data passes byte for byte; a frame that is accepted
 * is one that would be written. */
#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/error.h"
#include "base/json.h"
#include "base/utf8.h"
#include "seed/emit.h"
#include "seed/frame.h"
#include "seed/pubkey.h"
#include "seed/seed.h"

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

/* What is safe in YAML as it stands (security.md 0.9), and where our layout has its newlines. */
static void check_plain(const char *p, size_t n, bool may_have_newlines)
{
    for (size_t at = 0, len; at < n; at += len) {
        uint32_t cp;
        len = utf8_decode(p + at, n - at, &cp);
        if (len == 0)
            broken("a document is UTF-8");
        if (cp == '\n' && may_have_newlines)
            continue;
        if (cp < 0x20 || (cp >= 0x7f && cp < 0xa0) || cp == 0x2028 || cp == 0x2029 ||
            cp == 0xfeff || cp == 0xfffe || cp == 0xffff)
            broken("a document has nothing in it that YAML reads otherwise");
    }
}

static void check_string(struct str text)
{
    cleanup_buf struct buf out = {0};
    buf_addc(&out, '[');
    emit_string(&out, text);
    buf_addc(&out, ']');
    check_plain(out.p, out.n, false);
    json_error_t error;
    /* Not json_parse: here a NUL may be in a string. */
    cleanup_json json_t *list = json_loadb(out.p, out.n, JSON_ALLOW_NUL, &error);
    cleanup_json json_t *want = json_text(text.p, text.n);
    if (!list || !json_equal(json_array_get(list, 0), want))
        broken("a string comes back equal");
}

static json_t *read_config(const struct buf *document)
{
    static const char head[] = "#cloud-config\n";
    if (document->n < strlen(head) || memcmp(document->p, head, strlen(head)) != 0)
        broken("a document says what it is");
    check_plain(document->p, document->n, true);
    json_error_t error;
    json_t *config = json_parse(
        (struct str){.p = document->p + strlen(head), .n = document->n - strlen(head)}, &error);
    if (!config)
        broken("a document is JSON");
    return config;
}

static void expect_string(const json_t *have, const char *want, size_t n)
{
    cleanup_json json_t *j = json_text(want, n);
    if (!have || !json_equal(have, j))
        broken("a value comes back equal");
}

static void check_documents(const struct seed_input *input, const struct seed_documents *d)
{
    json_error_t error;
    cleanup_json json_t *meta =
        json_parse((struct str){.p = buf_cstr(&d->meta_data), .n = d->meta_data.n}, &error);
    expect_string(
        json_object_get(meta, "local-hostname"), input->hostname, strlen(input->hostname));
    expect_string(json_object_get(meta, "instance-id"), d->instance_id, strlen(d->instance_id));
    if (json_object_size(meta) != 2)
        broken("nothing is added to meta-data");
    if (input->user_data.p) {
        if (!str_eq(
                (struct str){.p = buf_cstr(&d->user_data), .n = d->user_data.n}, input->user_data))
            broken("raw user-data passes byte for byte");
        return;
    }
    cleanup_json json_t *config = read_config(&d->user_data);
    if (json_object_size(config) != 5)
        broken("nothing is added to user-data");
    expect_string(json_object_get(config, "hostname"), input->hostname, strlen(input->hostname));
    const json_t *user = json_array_get(json_object_get(config, "users"), 0);
    expect_string(json_object_get(user, "name"), input->user, strlen(input->user));
    const json_t *keys = json_object_get(user, "ssh_authorized_keys");
    if (json_array_size(keys) != input->ssh_public_key_count || json_object_size(user) != 5)
        broken("nothing is added to the user");
    for (size_t i = 0; i < input->ssh_public_key_count; i++) {
        const char *line = input->ssh_public_keys[i] + strspn(input->ssh_public_keys[i], " \t");
        expect_string(json_array_get(keys, i), line, strcspn(line, "\r\n"));
    }
}

static void check_compose(const struct seed_input *input)
{
    cleanup_seed_documents struct seed_documents d = {0}, again = {0};
    cleanup_error struct vmm_error *e = NULL;
    const int r = seed_compose(input, &d, &e);
    if ((r == 0) == (e != NULL) || r != seed_compose(input, &again, NULL))
        broken("either documents or an error");
    if (r == 0) {
        check_documents(input, &d);
        if (strcmp(d.instance_id, again.instance_id) != 0)
            broken("the same input is the same instance");
        return;
    }
    for (const char *c = vmm_error_message(e); *c; c++) {
        if ((unsigned char)*c < 0x20 || *c == 0x7f)
            broken("a message is one harmless line");
    }
}

static void check_frame(struct str bytes)
{
    struct frame_file files[FRAME_FILES_MAX];
    size_t count;
    if (!frame_decode(bytes, files, &count))
        return;
    cleanup_buf struct buf again = {0};
    frame_encode(&again, files, count);
    if (!str_eq((struct str){.p = again.p, .n = again.n}, bytes))
        broken("an accepted frame is one that would be written");
}

/* The next line as a C string; cut at a NUL, which no value can hold. */
static char *take_line(struct str *rest)
{
    const char *newline = rest->n ? memchr(rest->p, '\n', rest->n) : NULL;
    const size_t n = newline ? (size_t)(newline - rest->p) : rest->n;
    char *line = xstrndup(rest->n ? rest->p : "", n);
    const size_t used = n + (newline != NULL);
    *rest = (struct str){.p = rest->p + used, .n = rest->n - used};
    return line;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    const struct str all = {.p = (const char *)data, .n = n};
    check_string(all);
    check_frame(all);
    (void)pubkey_flaw(all);
    (void)seed_user_data_is_recognized(all);

    enum { KEYS = 3 };
    struct str rest = all;
    cleanup_free char *hostname = take_line(&rest);
    cleanup_free char *user = take_line(&rest);
    cleanup_free char *salt = take_line(&rest);
    char *keys[KEYS];
    struct seed_input input = {.hostname = hostname,
        .user = user,
        .salt = salt,
        .ssh_public_keys = (const char *const *)keys};
    while (input.ssh_public_key_count < KEYS && rest.n)
        keys[input.ssh_public_key_count++] = take_line(&rest);
    check_compose(&input);
    for (size_t i = 0; i < input.ssh_public_key_count; i++)
        free(keys[i]);
    input.ssh_public_key_count = 0;
    input.user_data = (struct str){.p = all.n ? all.p : "", .n = all.n};
    check_compose(&input);
    return 0;
}
