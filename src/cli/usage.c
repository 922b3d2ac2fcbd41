/* Errors about the command line. It becomes a source like any file, so that the ordinary renderer
 * can point at the word. */
#include "base/buf.h"
#include "base/cleanup.h"
#include "base/error.h"
#include "base/name.h"
#include "cli/internal.h"

#include <stdarg.h>
#include <stdio.h>

static bool needs_no_quotes(const char *s)
{
    return *s && !s[strcspn(s, " \t\n\"'\\$`*?[]{}()<>|&;#~!")];
}

static bool has_controls(const char *s)
{
    for (; *s; s++) {
        if ((unsigned char)*s < 0x20 || *s == 0x7f)
            return true;
    }
    return false;
}

/* As one would have to type it: plain, 'in quotes', or $'with\nescapes'. */
static void add_word(struct buf *out, const char *s)
{
    const bool has_escapes = has_controls(s);
    if (!has_escapes && needs_no_quotes(s)) {
        buf_adds(out, s);
        return;
    }
    buf_adds(out, has_escapes ? "$'" : "'");
    for (; *s; s++) {
        if (*s == '\n' || *s == '\t')
            buf_adds(out, *s == '\n' ? "\\n" : "\\t");
        else if ((unsigned char)*s < 0x20 || *s == 0x7f)
            buf_addf(out, "\\x%02x", (unsigned char)*s);
        else if (*s == '\'')
            buf_adds(out, has_escapes ? "\\'" : "'\\''");
        else if (*s == '\\' && has_escapes)
            buf_adds(out, "\\\\");
        else
            buf_addc(out, *s);
    }
    buf_addc(out, '\'');
}

/* The command line as text, and where in it `place` is. */
static struct source *command_line(
    const struct cli_input *in, struct cli_word place, struct span *ret)
{
    cleanup_buf struct buf text = {0};
    buf_adds(&text, in->tool->name);
    struct span span = {0};
    for (int i = 1; i < in->argc; i++) {
        buf_addc(&text, ' ');
        const size_t start = text.n;
        add_word(&text, in->argv[i]);
        if (i != place.word)
            continue;
        /* Inside of quotes bytes have moved: then the whole word is the place. */
        const bool is_verbatim = text.n - start == strlen(in->argv[i]);
        span.offset = start + (is_verbatim ? place.from : 0);
        span.n = is_verbatim ? place.n : text.n - start;
    }
    if (place.word >= in->argc) {
        buf_addc(&text, ' ');
        span = (struct span){.offset = text.n, .n = 0};
    }
    *ret = span;
    return source_new("command line", buf_cstr(&text), text.n);
}

static void add_path(struct buf *out, const struct cli_input *in)
{
    buf_adds(out, in->tool->name);
    for (unsigned i = 0; i < in->depth; i++)
        buf_addf(out, " %s", in->path[i]->name);
}

static int fail_va(struct vmm_error **errp,
    const struct cli_input *in,
    struct cli_word place,
    const char *label,
    const char *fmt,
    va_list ap) __attribute__((format(printf, 5, 0)));

static int fail_va(struct vmm_error **errp,
    const struct cli_input *in,
    struct cli_word place,
    const char *label,
    const char *fmt,
    va_list ap)
{
    if (!errp)
        return -(int)VMM_E_USAGE;
    cleanup_free char *message = xvasprintf(fmt, ap);
    cleanup_buf struct buf help = {0};
    buf_adds(&help, "Run `");
    add_path(&help, in);
    buf_adds(&help, " --help`.");
    struct span span;
    cleanup_source struct source *source = command_line(in, place, &span);
    return vmm_fail(errp,
        &(struct diag){
            .code = VMM_E_USAGE,
            .help = buf_cstr(&help),
            .label = label,
            .source = source,
            .span = span,
        },
        "%s", message);
}

int cli_fail_at(struct vmm_error **errp,
    const struct cli_input *in,
    struct cli_word place,
    const char *label,
    const char *fmt,
    ...)
{
    va_list ap;
    va_start(ap, fmt);
    const int r = fail_va(errp, in, place, label, fmt, ap);
    va_end(ap);
    return r;
}

static struct cli_word place_of_option(const struct cli_input *in, const char *name)
{
    const struct cli_option *o = cli_find_option(in, str_view(name));
    for (size_t i = in->givings.n; o && i > 0; i--) {
        if (in->givings.v[i - 1].option == o)
            return in->givings.v[i - 1].place;
    }
    return cli_whole_word(in, in->argc);
}

static struct cli_word place_of_argument(const struct cli_input *in, const char *placeholder)
{
    const struct cli_argument *a = cli_command(in)->arguments;
    for (size_t i = 0; a && a[i].placeholder; i++) {
        if (strcmp(a[i].placeholder, placeholder) != 0)
            continue;
        const size_t at = a[i].presence >= CLI_MANY ? in->n_fixed : i;
        if (at < in->positional_words.n)
            return cli_whole_word(in, in->positional_words.v[at]);
    }
    return cli_whole_word(in, in->argc);
}

int cli_fail_usage(struct vmm_error **errp,
    const struct cli_input *in,
    const char *what,
    const char *label,
    const char *fmt,
    ...)
{
    const struct cli_word place =
        strncmp(what, "--", 2) == 0 ? place_of_option(in, what + 2) : place_of_argument(in, what);
    va_list ap;
    va_start(ap, fmt);
    const int r = fail_va(errp, in, place, label, fmt, ap);
    va_end(ap);
    return r;
}

typedef VEC(const char *) name_list;

static void add_option_names(name_list *names, const struct cli_option *table)
{
    for (; table && table->name; table++) {
        if (!table->is_hidden)
            vec_push(names, table->name);
    }
}

/* The only name that begins with what was typed is a better guess than any spelling. */
static const char *suggest_name(struct str typed, const name_list *names)
{
    const char *begins = NULL;
    unsigned count = 0;
    for (size_t i = 0; typed.n >= 2 && names->v[i]; i++) {
        if (strncmp(names->v[i], typed.p, typed.n) == 0) {
            begins = names->v[i];
            count++;
        }
    }
    return count == 1 ? begins : suggest(typed, names->v);
}

int cli_fail_unknown_option(
    struct vmm_error **errp, const struct cli_input *in, struct cli_word place, struct str name)
{
    name_list names = {0};
    add_option_names(&names, in->depth ? cli_command(in)->options : NULL);
    add_option_names(&names, in->tool->options);
    add_option_names(&names, cli_builtin_options);
    vec_push(&names, NULL);
    const char *meant = suggest_name(name, &names);
    vec_done(&names);
    char label[64];
    snprintf(label, sizeof(label), "did you mean --%s?", meant ? meant : "");
    const char *word = in->argv[place.word] + place.from;
    const bool is_letter = word[0] != '-';
    return cli_fail_at(errp, in, place, meant ? label : NULL, "unknown option \"%s%.*s\"",
        is_letter ? "-" : "", place.n > 100 ? 100 : (int)place.n, word);
}

static void add_command_names(name_list *names, const struct cli_command *const *commands)
{
    for (; commands && *commands; commands++) {
        if ((*commands)->is_hidden)
            continue;
        vec_push(names, (*commands)->name);
        if ((*commands)->alias)
            vec_push(names, (*commands)->alias);
    }
}

/* `vmctl pull` for `vmctl image pull`. */
static const struct cli_command *parent_of(const struct cli_input *in, struct str name)
{
    for (const struct cli_command *const *c = cli_commands_here(in); *c; c++) {
        if (!(*c)->is_hidden && cli_find_command((*c)->subcommands, name))
            return *c;
    }
    return NULL;
}

int cli_fail_unknown_command(
    struct vmm_error **errp, const struct cli_input *in, struct cli_word place)
{
    const struct str typed = str_view(in->argv[place.word]);
    name_list names = {0};
    add_command_names(&names, cli_commands_here(in));
    vec_push(&names, NULL);
    const char *meant = suggest_name(typed, &names);
    vec_done(&names);
    const struct cli_command *parent = meant ? NULL : parent_of(in, typed);

    cleanup_buf struct buf label = {0};
    buf_adds(&label, "did you mean `");
    add_path(&label, in);
    if (parent)
        buf_addf(&label, " %s %s`?", parent->name, typed.p);
    else
        buf_addf(&label, " %s`?", meant ? meant : "");
    return cli_fail_at(errp, in, place, meant || parent ? buf_cstr(&label) : NULL,
        "unknown command \"%.100s\"", typed.p);
}
