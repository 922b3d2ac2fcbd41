#include "base/error.h"
#include "base/alloc.h"

#include <assert.h>
#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

struct vmm_error {
    enum vmm_code code;
    int sys;
    char *message;
    char *help;
    char *label;
    char *reason;
    char *details;
    struct source *source;
    struct span span;
    struct vmm_error *cause;
    struct vmm_error *next;
};

static const struct {
    const char *name;
    const char *help;
} codes[VMM_E_COUNT_] = {[VMM_E_NONE] = {"none", NULL},
#define X(constant, name, help) [VMM_E_##constant] = {name, help},
    VMM_ERRORS(X)
#undef X
};

__attribute__((format(printf, 2, 0))) static struct vmm_error *error_new(
    const struct diag *d, const char *fmt, va_list ap)
{
    struct vmm_error *e = xcalloc(1, sizeof(*e));
    e->code = d->code;
    e->sys = d->sys;
    e->message = xvasprintf(fmt, ap);
    e->help = xstrdup_or_null(d->help);
    e->label = xstrdup_or_null(d->label);
    e->reason = xstrdup_or_null(d->reason);
    e->details = xstrdup_or_null(d->details);
    e->source = d->source ? source_ref(d->source) : NULL;
    e->span = d->span;
    return e;
}

int vmm_fail(struct vmm_error **errp, const struct diag *d, const char *fmt, ...)
{
    assert(d->code != VMM_E_NONE);
    if (!errp)
        return -(int)d->code;
    assert(!*errp);
    va_list ap;
    va_start(ap, fmt);
    *errp = error_new(d, fmt, ap);
    va_end(ap);
    return -(int)d->code;
}

int vmm_wrap(struct vmm_error **errp, const struct diag *d, const char *fmt, ...)
{
    if (!errp)
        return -(int)(d->code ? d->code : VMM_E_IO);
    assert(*errp);
    va_list ap;
    va_start(ap, fmt);
    struct vmm_error *e = error_new(d, fmt, ap);
    va_end(ap);
    if (e->code == VMM_E_NONE) {
        e->code = (*errp)->code;
        e->sys = (*errp)->sys;
        if (!e->help)
            e->help = xstrdup_or_null((*errp)->help);
        if (!e->reason)
            e->reason = xstrdup_or_null((*errp)->reason);
    }
    e->cause = *errp;
    *errp = e;
    return -(int)e->code;
}

int vmm_fail_io(struct vmm_error **errp, int sys, const char *what, const char *path)
{
    const bool is_full = sys == ENOSPC || sys == EDQUOT;
    return vmm_fail(errp,
        &(struct diag){.code = is_full ? VMM_E_HOST_NO_SPACE : VMM_E_IO, .sys = sys},
        "could not %s \"%s\": %s", what, path, strerror(sys));
}

int vmm_fail_foreign(struct vmm_error **errp,
    const char *code_name,
    const char *message,
    const char *help,
    const char *reason,
    const char *details)
{
    enum vmm_code code = VMM_E_HELPER;
    for (unsigned i = 1; code_name && i < VMM_E_COUNT_; i++) {
        if (strcmp(codes[i].name, code_name) == 0)
            code = (enum vmm_code)i;
    }
    return vmm_fail(errp,
        &(struct diag){.code = code, .help = help, .reason = reason, .details = details}, "%s",
        message ? message : "a helper failed without a message");
}

void findings_add(struct findings *f, const struct diag *d, const char *fmt, ...)
{
    f->count++;
    if (f->count > FINDINGS_MAX)
        return;
    va_list ap;
    va_start(ap, fmt);
    struct vmm_error *e = error_new(d, fmt, ap);
    va_end(ap);
    if (f->last)
        f->last->next = e;
    else
        f->first = e;
    f->last = e;
}

int findings_finish(struct findings *f, struct vmm_error **errp)
{
    struct vmm_error *first = f->first;
    *f = (struct findings){0};
    if (!first)
        return 0;
    const enum vmm_code code = first->code;
    if (errp)
        *errp = first;
    else
        vmm_error_free(first);
    return -(int)code;
}

enum vmm_code vmm_error_code(const struct vmm_error *e)
{
    return e->code;
}

const char *vmm_error_code_name(enum vmm_code code)
{
    return code < VMM_E_COUNT_ ? codes[code].name : "none";
}

const char *vmm_error_code_help(enum vmm_code code)
{
    return code < VMM_E_COUNT_ ? codes[code].help : NULL;
}

const char *vmm_error_message(const struct vmm_error *e)
{
    return e->message;
}

const char *vmm_error_help(const struct vmm_error *e)
{
    return e->help ? e->help : codes[e->code].help;
}

const char *vmm_error_label(const struct vmm_error *e)
{
    return e->label;
}

const char *vmm_error_reason(const struct vmm_error *e)
{
    return e->reason;
}

const char *vmm_error_details(const struct vmm_error *e)
{
    return e->details;
}

int vmm_error_errno(const struct vmm_error *e)
{
    return e->sys;
}

bool vmm_error_place(const struct vmm_error *e, struct vmm_place *ret_place)
{
    if (!e->source)
        return false;
    struct vmm_place place = {
        .file = source_path(e->source),
        .offset_bytes = e->span.offset,
        .length_bytes = e->span.n,
    };
    source_locate(e->source, e->span.offset, &place.line, &place.column);
    *ret_place = place;
    return true;
}

const char *vmm_error_source_line(const struct vmm_error *e, size_t *ret_length)
{
    if (!e->source)
        return NULL;
    const struct str line = source_line(e->source, e->span.offset);
    *ret_length = line.n;
    return line.p;
}

const struct vmm_error *vmm_error_cause(const struct vmm_error *e)
{
    return e->cause;
}

const struct vmm_error *vmm_error_next(const struct vmm_error *e)
{
    return e->next;
}

int vmm_error_exit_status(const struct vmm_error *e)
{
    switch (e->code) {
    case VMM_E_USAGE:
    case VMM_E_VM_NAME:
    case VMM_E_VMFILE_NOT_FOUND:
    case VMM_E_VMFILE_SYNTAX:
    case VMM_E_VMFILE_INVALID:
        return 2;
    case VMM_E_WAIT_TIMEOUT:
        return 124;
    case VMM_E_INTERRUPTED:
        return 130;
    default:
        return 1;
    }
}

void vmm_error_free(struct vmm_error *e)
{
    while (e) {
        struct vmm_error *next = e->next;
        vmm_error_free(e->cause);
        source_unref(e->source);
        free(e->message);
        free(e->help);
        free(e->label);
        free(e->reason);
        free(e->details);
        free(e);
        e = next;
    }
}
