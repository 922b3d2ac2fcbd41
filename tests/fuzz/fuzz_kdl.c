/* Any bytes as a KDL document. Reaches src/kdl/ and src/base/{arena,buf,error,source,utf8}.c.
 *
 * Beyond "no crash": what parses must print to something that parses and prints the same; what does
 * not must say so with places inside the text; the same text gets the same verdict twice; and
 * whatever it was, its sanitized form is fit for a terminal. */
#include "base/buf.h"
#include "base/error.h"
#include "base/utf8.h"
#include "kdl/kdl.h"

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

static void check_errors(const struct vmm_error *first, size_t n)
{
    unsigned count = 0;
    for (const struct vmm_error *e = first; e; e = vmm_error_next(e)) {
        struct vmm_place at;
        if (!vmm_error_place(e, &at) || at.offset_bytes > n ||
            at.length_bytes > n - at.offset_bytes)
            broken("a finding has its place in the text");
        if (!vmm_error_message(e)[0] || !at.line || !at.column)
            broken("a finding has a message, a line and a column");
        count++;
    }
    if (count == 0 || count > FINDINGS_MAX)
        broken("there are 1 to FINDINGS_MAX findings");
}

/* True when it parses, and then *out holds the canonical form. */
static bool canonical(const char *text, size_t n, struct buf *out)
{
    cleanup_source struct source *src = source_new("fuzz.kdl", text, n);
    cleanup_kdl_doc struct kdl_doc *doc = NULL;
    cleanup_error struct vmm_error *err = NULL;
    const int r = kdl_parse(src, &doc, &err);
    if ((r == 0) != (doc != NULL) || (r == 0) != (err == NULL))
        broken("either a document or an error");
    if (err)
        check_errors(err, n);
    if (doc)
        kdl_print(doc, out);
    return r == 0;
}

static void check_sanitized(const char *text, size_t n)
{
    cleanup_buf struct buf safe = {0};
    utf8_sanitize(&safe, text, n);
    for (size_t i = 0, len; i < safe.n; i += len) {
        uint32_t cp = 0;
        len = utf8_decode(safe.p + i, safe.n - i, &cp);
        if (!len || (cp < 0x20 && cp != '\n' && cp != '\t') || (cp >= 0x7f && cp < 0xa0) ||
            utf8_is_bidi_control(cp))
            broken("sanitized text is safe");
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    const char *const text = (const char *)data;
    check_sanitized(text, n);
    cleanup_buf struct buf once = {0};
    cleanup_buf struct buf again = {0};
    cleanup_buf struct buf reread = {0};
    const bool is_fine = canonical(text, n, &once);
    if (is_fine != canonical(text, n, &again) || once.n != again.n)
        broken("the same text gets the same verdict");
    /* Indentation and escapes may take the printed form past the limit on text. */
    if (!is_fine || once.n > KDL_TEXT_MAX_BYTES)
        return 0;
    if (!canonical(once.p, once.n, &reread))
        broken("what was printed parses");
    if (once.n != reread.n || memcmp(once.p, reread.p, once.n) != 0)
        broken("what was printed prints the same");
    return 0;
}
