/* Prints the KDL 2 document on standard input in canonical form; exit 1, with all mistakes on
 * standard error as file:line:column: message, when it is not one. */
#include "base/cleanup.h"
#include "base/error.h"
#include "base/utf8.h"
#include "kdl/kdl.h"

#include <stdio.h>
#include <string.h>

enum { CHUNK_BYTES = 1 << 16 };

/* NULL when standard input cannot be read. Reads no more than shows that it is too much. */
static struct source *read_input(void)
{
    cleanup_buf struct buf text = {0};
    while (text.n <= KDL_TEXT_MAX_BYTES) {
        const ssize_t n = read(STDIN_FILENO, buf_reserve(&text, CHUNK_BYTES), CHUNK_BYTES);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return NULL;
        if (n == 0)
            break;
        text.n += (size_t)n;
    }
    return source_new("<stdin>", text.p, text.n);
}

static void print_errors(const struct vmm_error *first)
{
    cleanup_buf struct buf raw = {0};
    for (const struct vmm_error *e = first; e; e = vmm_error_next(e)) {
        struct vmm_place at = {0};
        if (vmm_error_place(e, &at))
            buf_addf(&raw, "%s:%u:%u: ", at.file, at.line, at.column);
        buf_adds(&raw, vmm_error_message(e));
        if (vmm_error_label(e))
            buf_addf(&raw, " (%s)", vmm_error_label(e));
        buf_addf(&raw, "\n  help: %s\n", vmm_error_help(e));
    }
    cleanup_buf struct buf safe = {0};
    utf8_sanitize(&safe, raw.p, raw.n);
    fputs(buf_cstr(&safe), stderr);
}

int main(void)
{
    cleanup_source struct source *src = read_input();
    if (!src) {
        fprintf(stderr, "could not read standard input: %s\n", strerror(errno));
        return 1;
    }
    cleanup_kdl_doc struct kdl_doc *doc = NULL;
    cleanup_error struct vmm_error *err = NULL;
    if (kdl_parse(src, &doc, &err) < 0) {
        print_errors(err);
        return 1;
    }
    /* Node by node: the whole output need not stand in memory beside the tree. */
    cleanup_buf struct buf out = {0};
    if (!doc->nodes)
        kdl_print(doc, &out);
    for (const struct kdl_node *n = doc->nodes; n; n = n->next) {
        kdl_print_node(n, 0, &out);
        if (out.n < CHUNK_BYTES && n->next)
            continue;
        fwrite(out.p, 1, out.n, stdout);
        buf_clear(&out);
    }
    fwrite(out.p, 1, out.n, stdout);
    if (fflush(stdout) != 0 || ferror(stdout)) {
        fprintf(stderr, "could not write the result: %s\n", strerror(errno));
        return 1;
    }
    return 0;
}
