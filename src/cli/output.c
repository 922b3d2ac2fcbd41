#include "cli/output.h"
#include "base/error.h"
#include "base/utf8.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

/* The first thing that went wrong. A command is one thread's; so is stdout. */
static int failure;

int output_write(struct str s)
{
    errno = 0;
    if (failure == 0 && (fwrite(s.p ? s.p : "", 1, s.n, stdout) < s.n || fflush(stdout) != 0))
        failure = errno ? -errno : -EIO;
    return failure;
}

int output_buf(const struct buf *b)
{
    return output_write((struct str){.p = b->p, .n = b->n});
}

/* C1 controls, delete, bidirectional overrides and the Unicode line ends: legal in a JSON string
 * and nothing to print raw. They occur nowhere outside of strings. */
static bool must_be_escaped(uint32_t code)
{
    return (code >= 0x7f && code <= 0x9f) || code == 0x2028 || code == 0x2029 ||
           utf8_is_bidi_control(code);
}

static void add_escaped(struct buf *out, const char *bytes, size_t n)
{
    size_t start = 0;
    for (size_t at = 0; at < n;) {
        if ((unsigned char)bytes[at] < 0x7f) {
            at++;
            continue;
        }
        uint32_t code = 0;
        const size_t length = utf8_decode(bytes + at, n - at, &code);
        if (length && must_be_escaped(code)) {
            buf_add(out, bytes + start, at - start);
            buf_addf(out, "\\u%04X", (unsigned)code);
            start = at + length;
        }
        at += length ? length : 1;
    }
    buf_add(out, bytes + start, n - start);
}

void output_json_to(struct buf *out, const json_t *value, bool is_indented)
{
    const size_t flags = JSON_ENCODE_ANY | (is_indented ? JSON_INDENT(2) : JSON_COMPACT);
    char *text = json_dumps(value, flags);
    if (!text)
        abort(); /* out of memory: json_text keeps everything else out */
    add_escaped(out, text, strlen(text));
    free(text);
    buf_addc(out, '\n');
}

int output_json(const json_t *value, bool is_indented)
{
    cleanup_buf struct buf out = {0};
    output_json_to(&out, value, is_indented);
    return output_buf(&out);
}

void output_guard_descriptors(void)
{
    for (int fd = 0; fd <= 2; fd++) {
        /* Opened the wrong way round on purpose: using it fails as before. */
        if (fcntl(fd, F_GETFD) < 0 && errno == EBADF &&
            open("/dev/null", fd == 0 ? O_WRONLY : O_RDONLY) != fd)
            abort();
    }
}

int output_finish(FILE *stream, struct vmm_error **errp)
{
    int r = failure;
    errno = 0;
    if ((ferror(stream) || fflush(stream) != 0) && r == 0)
        r = errno ? -errno : -EIO;
    errno = 0;
    if (fclose(stream) != 0 && r == 0)
        r = errno ? -errno : -EIO;
    failure = 0;
    if (r == 0 || r == -EPIPE)
        return 0;
    const bool is_full = r == -ENOSPC || r == -EDQUOT;
    return vmm_fail(errp,
        &(struct diag){.code = is_full ? VMM_E_HOST_NO_SPACE : VMM_E_IO, .sys = -r},
        "could not write to standard output: %s", strerror(-r));
}
