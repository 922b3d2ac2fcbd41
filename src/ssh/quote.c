#include "ssh/ssh.h"

#include <string.h>

/* Inside '…' a POSIX shell knows nothing but the closing quote, so that one is closed, escaped and
 * opened again. Newlines and bytes that are no UTF-8 pass as they are; a NUL cannot be in any
 * argument and must not come here. */
void ssh_quote(struct buf *out, struct str text)
{
    buf_addc(out, '\'');
    while (text.n > 0) {
        const char *quote = memchr(text.p, '\'', text.n);
        const size_t plain = quote ? (size_t)(quote - text.p) : text.n;
        buf_add(out, text.p, plain);
        if (quote)
            buf_adds(out, "'\\''");
        const size_t used = plain + (quote != NULL);
        text.p += used;
        text.n -= used;
    }
    buf_addc(out, '\'');
}
