#include "cli/diagnostics.h"
#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/error.h"
#include "base/fs.h"
#include "base/json.h"
#include "base/utf8.h"
#include "cli/snippet.h"
#include "cli/terminal.h"
#include "cli/text.h"

#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>

/* Lines of text from a stranger, each behind `prefix`. */
static void add_block(struct buf *out, const char *text, const char *prefix)
{
    while (*text) {
        size_t n = strcspn(text, "\n");
        const char *next = text + n + (text[n] == '\n');
        while (n > 0 && text[n - 1] == '\r') /* consoles end lines with CR LF */
            n--;
        buf_adds(out, prefix);
        utf8_sanitize(out, text, n);
        while (out->p[out->n - 1] == ' ')
            out->n--;
        buf_addc(out, '\n');
        text = next;
    }
}

/* The place knows the column in characters; the snippet wants bytes. */
static size_t byte_of_column(struct str line, unsigned column)
{
    size_t at = 0;
    for (unsigned left = column - 1; at < line.n; at++) {
        if (((unsigned char)line.p[at] & 0xc0) != 0x80 && left-- == 0)
            break;
    }
    return at;
}

static void add_gutter(struct buf *out, const struct diagnostics_style *style, const char *number)
{
    paint_begin(out, style->has_colour, PAINT_BLUE);
    buf_adds(out, number);
    buf_adds(out, " |");
    paint_end(out, style->has_colour);
}

static void add_carets(
    struct buf *out, const struct snippet *snippet, const char *label, bool colour)
{
    text_add_spaces(out, snippet->caret_column + 1);
    paint_begin(out, colour, PAINT_RED);
    for (size_t i = 0; i < snippet->caret_width; i++)
        buf_addc(out, '^');
    if (label) {
        buf_addc(out, ' ');
        text_add_line(out, str_view(label));
    }
    paint_end(out, colour);
    buf_addc(out, '\n');
}

static void add_line_with_carets(struct buf *out,
    const struct vmm_error *e,
    const struct vmm_place *place,
    struct str line,
    const struct diagnostics_style *style)
{
    char number[16], blank[16];
    const int digits = snprintf(number, sizeof(number), " %u", place->line);
    snprintf(blank, sizeof(blank), "%*s", digits, "");

    const unsigned taken = (unsigned)digits + 3;
    unsigned columns = DIAGNOSTICS_WIDTH_MAX;
    if (style->width && style->width < columns + taken)
        columns = style->width > 40 + taken ? style->width - taken : 40;
    cleanup_snippet struct snippet snippet = {0};
    snippet_make(&snippet, line, byte_of_column(line, place->column), place->length_bytes, columns);

    add_gutter(out, style, blank);
    buf_addc(out, '\n');
    add_gutter(out, style, number);
    buf_addc(out, ' ');
    buf_add(out, snippet.text.p, snippet.text.n);
    while (out->p[out->n - 1] == ' ')
        out->n--;
    buf_addc(out, '\n');
    add_gutter(out, style, blank);
    add_carets(out, &snippet, vmm_error_label(e), style->has_colour);
}

static void add_place(
    struct buf *out, const struct vmm_error *e, const struct diagnostics_style *style)
{
    struct vmm_place place;
    if (!vmm_error_place(e, &place))
        return;
    /* The arrow's head stands over the bar, however many digits the line number has. */
    buf_addf(out, "%*s", snprintf(NULL, 0, "%u", place.line) + 1, "");
    paint_adds(out, style->has_colour, PAINT_BLUE, "--> ");
    text_add_line(out, str_view(place.file));
    buf_addf(out, ":%u:%u\n", place.line, place.column);
    struct str line = {0};
    line.p = vmm_error_source_line(e, &line.n);
    if (line.p)
        add_line_with_carets(out, e, &place, line, style);
}

static void add_link(
    struct buf *out, const struct vmm_error *e, const struct diagnostics_style *style)
{
    text_add_line(out, str_view(vmm_error_message(e)));
    paint_end(out, style->has_colour);
    buf_addc(out, '\n');
    add_place(out, e, style);
    if (vmm_error_details(e))
        add_block(out, vmm_error_details(e), "  | ");
}

/* The same advice may stand on several links of the chain. */
static bool was_said(const struct vmm_error *first, const struct vmm_error *e)
{
    for (const struct vmm_error *link = first; link != e; link = vmm_error_cause(link)) {
        const char *said = vmm_error_help(link);
        if (said && strcmp(said, vmm_error_help(e)) == 0)
            return true;
    }
    return false;
}

/* Help comes last: it is what the reader does next. */
static void add_helps(struct buf *out, const struct vmm_error *first, bool colour)
{
    for (const struct vmm_error *e = first; e; e = vmm_error_cause(e)) {
        const char *help = vmm_error_help(e);
        if (!help || was_said(first, e))
            continue;
        buf_adds(out, "  ");
        paint_adds(out, colour, PAINT_CYAN, "help:");
        buf_addc(out, ' ');
        const size_t n = strcspn(help, "\n");
        utf8_sanitize(out, help, n);
        buf_addc(out, '\n');
        if (help[n])
            add_block(out, help + n + 1, "        ");
    }
}

static void add_finding(
    struct buf *out, const struct vmm_error *e, const struct diagnostics_style *style)
{
    paint_begin(out, style->has_colour, PAINT_RED);
    buf_addf(out, "error[%s]", vmm_error_code_name(vmm_error_code(e)));
    paint_end(out, style->has_colour);
    paint_begin(out, style->has_colour, PAINT_BOLD);
    buf_adds(out, ": ");
    add_link(out, e, style);
    for (const struct vmm_error *cause = vmm_error_cause(e); cause;
         cause = vmm_error_cause(cause)) {
        paint_begin(out, style->has_colour, PAINT_BOLD);
        buf_adds(out, "  because: ");
        add_link(out, cause, style);
    }
    add_helps(out, e, style->has_colour);
}

/* The one file all findings are in; NULL when there are several, or one without a place. */
static const char *common_file(const struct vmm_error *e)
{
    const char *file = NULL;
    for (; e; e = vmm_error_next(e)) {
        struct vmm_place place;
        if (!vmm_error_place(e, &place) || (file && strcmp(file, place.file) != 0))
            return NULL;
        file = place.file;
    }
    return file;
}

static void add_count(struct buf *out,
    const struct vmm_error *e,
    unsigned kept,
    const struct diagnostics_style *style)
{
    const unsigned found = style->found > kept ? style->found : kept;
    const char *file = common_file(e);
    buf_addf(out, "%u %s%s", found, file ? "mistake" : "error", found == 1 ? "" : "s");
    if (file) {
        buf_adds(out, " in ");
        text_add_line(out, str_view(file));
    }
    if (found > kept)
        buf_addf(out, "; the first %u are shown", kept);
    else if (style->found == 0 && kept >= FINDINGS_MAX)
        buf_adds(out, ", perhaps more: mend these first");
    buf_addc(out, '\n');
}

void diagnostics_render(
    struct buf *out, const struct vmm_error *e, const struct diagnostics_style *style)
{
    unsigned kept = 0;
    for (const struct vmm_error *finding = e; finding; finding = vmm_error_next(finding)) {
        if (kept++ > 0)
            buf_addc(out, '\n');
        add_finding(out, finding, style);
    }
    if (kept > 1 || style->found > kept) {
        buf_addc(out, '\n');
        add_count(out, e, kept, style);
    }
}

void diagnostics_print(const struct vmm_error *e)
{
    const struct terminal t = terminal_inspect(STDERR_FILENO, NULL);
    const struct diagnostics_style style = {
        .has_colour = t.has_colour,
        .width = t.is_terminal ? t.width : 0,
    };
    cleanup_buf struct buf out = {0};
    diagnostics_render(&out, e, &style);
    (void)fs_write_all(STDERR_FILENO, out.p, out.n); /* there is nobody left to tell */
}

void diagnostics_warn(const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    cleanup_free char *text = xvasprintf(fmt, ap);
    va_end(ap);
    const struct terminal t = terminal_inspect(STDERR_FILENO, NULL);
    cleanup_buf struct buf out = {0};
    paint_adds(&out, t.has_colour, PAINT_YELLOW, "warning:");
    buf_addc(&out, ' ');
    text_add_line(&out, str_view(text));
    buf_addc(&out, '\n');
    (void)fs_write_all(STDERR_FILENO, out.p, out.n);
}

static json_t *place_json(const struct vmm_place *place)
{
    json_t *j = json_object();
    json_put_string(j, "file", place->file);
    json_put_integer(j, "line", place->line);
    json_put_integer(j, "column", place->column);
    json_put_integer(j, "offset_bytes", (int64_t)place->offset_bytes);
    json_put_integer(j, "length_bytes", (int64_t)place->length_bytes);
    return j;
}

static json_t *link_json(const struct vmm_error *e)
{
    json_t *j = json_object();
    json_put_string(j, "code", vmm_error_code_name(vmm_error_code(e)));
    json_put_string(j, "message", vmm_error_message(e));
    json_put_string(j, "help", vmm_error_help(e));
    json_put_string(j, "label", vmm_error_label(e));
    json_put_string(j, "reason", vmm_error_reason(e));
    json_put_string(j, "details", vmm_error_details(e));
    if (vmm_error_errno(e))
        json_put_integer(j, "errno", vmm_error_errno(e));
    struct vmm_place place;
    if (vmm_error_place(e, &place))
        json_put(j, "place", place_json(&place));
    if (vmm_error_cause(e))
        json_put(j, "cause", link_json(vmm_error_cause(e)));
    return j;
}

json_t *cli_error_json(const struct vmm_error *e)
{
    json_t *array = json_array();
    for (; e; e = vmm_error_next(e))
        json_array_append_new(array, link_json(e));
    return array;
}
