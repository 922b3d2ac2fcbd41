#include "kdl/internal.h"

#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/utf8.h"

#include <stdarg.h>

static void add(struct kdl_parser *k,
    const char *from,
    const char *to,
    const char *label,
    const char *help,
    const char *message)
{
    if (k->is_over)
        return;
    findings_add(&k->found,
        &(struct diag){
            .code = VMM_E_KDL,
            .label = label,
            .help = help,
            .source = k->source,
            .span = {.offset = (size_t)(from - k->text), .n = (size_t)(to - from)},
        },
        "%s", message);
    k->is_over = k->found.count >= FINDINGS_MAX;
}

static const char *forbidden_label(uint32_t cp)
{
    if (cp == 0xfeff)
        return "a byte order mark may only be the first character";
    if (utf8_is_bidi_control(cp))
        return "this makes text read in another direction than it is stored";
    return "control character";
}

/* Those before `until` come first, so that findings stand in the order of the text. */
static void tell_forbidden(struct kdl_parser *k, const char *until)
{
    while (k->forbidden_told < k->n_forbidden && k->forbidden[k->forbidden_told].at < until) {
        const struct kdl_forbidden *f = &k->forbidden[k->forbidden_told++];
        cleanup_free char *help =
            xasprintf("Remove it, or write \\u{%x} in a quoted string.", f->cp);
        cleanup_free char *message =
            xasprintf("character U+%04X may not stand in a document", f->cp);
        add(k, f->at, f->at + f->n, forbidden_label(f->cp), help, message);
    }
}

void kdl_report(struct kdl_parser *k,
    const char *from,
    const char *to,
    const char *label,
    const char *help,
    const char *fmt,
    ...)
{
    if (k->is_over || k->is_quiet)
        return;
    tell_forbidden(k, from);
    va_list ap;
    va_start(ap, fmt);
    cleanup_free char *message = xvasprintf(fmt, ap);
    va_end(ap);
    add(k, from, to, label, help, message);
}

void kdl_report_rest(struct kdl_parser *k)
{
    tell_forbidden(k, k->end);
}

struct str kdl_keep(struct kdl_parser *k, const char *p, size_t n)
{
    return (struct str){.p = arena_strndup(&k->doc->arena, p, n), .n = n};
}

static bool refuse_byte(struct kdl_parser *k, const char *at)
{
    if (*at == '\0')
        kdl_report(k, at, at + 1, "NUL byte", "A document is text; is this the right file?",
            "byte %zu is NUL", (size_t)(at - k->text));
    else
        kdl_report(k, at, at + 1, "not UTF-8", "Save the file in the encoding UTF-8.",
            "byte %zu (0x%02x) is not valid UTF-8", (size_t)(at - k->text), (unsigned char)*at);
    return false;
}

bool kdl_check_text(struct kdl_parser *k)
{
    if ((size_t)(k->end - k->text) > KDL_TEXT_MAX_BYTES) {
        kdl_report(k, k->text, k->text, NULL, "Split it into several files.",
            "document of %zu bytes is larger than %d MiB", (size_t)(k->end - k->text),
            KDL_TEXT_MAX_BYTES >> 20);
        return false;
    }
    const char *p = k->text;
    while (p < k->end) {
        const unsigned char c = (unsigned char)*p;
        if (c < 0x80 && !(kdl_chars[c] & KDL_CHAR_FORBIDDEN)) {
            p++;
            continue;
        }
        uint32_t cp = 0;
        const size_t n = utf8_decode(p, (size_t)(k->end - p), &cp);
        if (!n || !cp)
            return refuse_byte(k, p);
        if (kdl_is_forbidden(cp) && !(cp == 0xfeff && p == k->text) &&
            k->n_forbidden < FINDINGS_MAX)
            k->forbidden[k->n_forbidden++] = (struct kdl_forbidden){.at = p, .n = n, .cp = cp};
        p += n;
    }
    return true;
}
