#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/error.h"
#include "ssh/internal.h"
#include "ssh/keys.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { KEYGEN_MS = 30000, COMMENT_MAX_BYTES = 255 };

void ssh_key_pair_done(struct ssh_key_pair *pair)
{
    if (pair->private_openssh)
        explicit_bzero(pair->private_openssh, strlen(pair->private_openssh));
    free(pair->private_openssh);
    free(pair->public_line);
    *pair = (struct ssh_key_pair){0};
}

static int fail(struct vmm_error **errp, const char *why)
{
    return vmm_fail(
        errp, &(struct diag){.code = VMM_E_SSH_KEYGEN}, "could not make an SSH key: %s", why);
}

static int check_comments(const char *const *comments, unsigned count, struct vmm_error **errp)
{
    if (count == 0 || count > SSH_KEYS_AT_ONCE_MAX)
        return fail(errp, "no such number of keys can be made at once");
    for (unsigned i = 0; i < count; i++) {
        for (const char *p = comments[i]; *p; p++) {
            /* One line it must stay, in authorized_keys and elsewhere. */
            if ((unsigned char)*p < ' ' || *p == 0x7f || p - comments[i] >= COMMENT_MAX_BYTES)
                return fail(errp, "its comment is too long or holds control characters");
        }
    }
    return 0;
}

/* Takes what one frame brings. False: not what was asked for. */
static bool take(struct ssh_key_pair *pair, struct wire_frame *f)
{
    struct public_key key;
    if (f->type == MSG_PRIVATE && !pair->private_openssh && f->body.n > 0 &&
        !memchr(f->body.p, '\0', f->body.n)) {
        pair->private_openssh = xstrndup(f->body.p, f->body.n);
        wire_wipe(f);
        return true;
    }
    if (f->type == MSG_PUBLIC && pair->private_openssh && public_key_parse(f->body, &key)) {
        pair->public_line = xstrndup(f->body.p, f->body.n);
        return true;
    }
    return false;
}

static int receive_pairs(
    struct helper *h, struct ssh_key_pair *pairs, unsigned count, struct vmm_error **errp)
{
    const struct deadline deadline = deadline_in_ms(KEYGEN_MS);
    for (unsigned i = 0; i < count;) {
        struct wire_frame f;
        const int r = helper_receive(h, deadline, -1, &f);
        if (r < 0)
            return fail(
                errp, r == -ETIMEDOUT ? "the helper did not answer in time" : "the helper ended");
        if (f.type == MSG_HELLO && helper_hello(h, f.body))
            continue;
        if (!take(&pairs[i], &f))
            return fail(errp, "the helper answered something else");
        i += pairs[i].public_line != NULL;
    }
    return 0;
}

int ssh_generate_keys(
    const char *const *comments, unsigned count, struct ssh_key_pair *ret, struct vmm_error **errp)
{
    struct helper *h;
    int r = check_comments(comments, count, errp);
    if (r < 0 || (r = helper_open(&h, errp)) < 0)
        return r;
    struct msg_keygen ask = {.count = count};
    memcpy(ask.comments, comments, count * sizeof(*comments));
    msg_keygen_put(&h->wire, &ask);
    struct ssh_key_pair *pairs = xcalloc(count, sizeof(*pairs));
    r = receive_pairs(h, pairs, count, errp);
    helper_close(h, 0);
    for (unsigned i = 0; i < count && r < 0; i++)
        ssh_key_pair_done(&pairs[i]);
    if (r == 0)
        memcpy(ret, pairs, count * sizeof(*pairs));
    free(pairs);
    return r;
}

int ssh_generate_key(const char *comment,
    char **ret_private_openssh,
    char **ret_public_line,
    struct vmm_error **errp)
{
    struct ssh_key_pair pair;
    const int r = ssh_generate_keys(&comment, 1, &pair, errp);
    if (r < 0)
        return r;
    *ret_private_openssh = pair.private_openssh;
    *ret_public_line = pair.public_line;
    return 0;
}
