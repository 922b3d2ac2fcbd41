/* Raising errors. Made whole in one call, where the failure is known; wrapped only where a caller
 * adds knowledge. Reading and freeing them is public: vmm/error.h. */
#pragma once

#include "base/source.h"
#include "vmm/error.h"

/* What the raiser knows; a compound literal at the call. Everything but `code` is optional, and
 * every string is copied. */
struct diag {
    enum vmm_code code;
    int sys;               /* errno */
    const char *help;      /* overrides the code's default */
    const char *label;     /* words under the place */
    const char *reason;    /* machine word */
    const char *details;   /* lines of log or console, shown as they are (sanitized) */
    struct source *source; /* with `span`: the place; a reference is taken */
    struct span span;
};

/* A new error; *errp must be NULL (or errp itself). Returns -code. */
int vmm_fail(struct vmm_error **errp, const struct diag *d, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
/* Context over *errp, which must hold an error (or errp itself be NULL). A zero code keeps the
 * cause's code, help and reason. Returns -code. */
int vmm_wrap(struct vmm_error **errp, const struct diag *d, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
/* "could not WHAT "PATH": strerror(sys)", with the code that fits the errno (no space, io). */
int vmm_fail_io(struct vmm_error **errp, int sys, const char *what, const char *path);

/* Rebuilds an error that crossed a process border as fields. Strings are copied; NULL is none. */
int vmm_fail_foreign(struct vmm_error **errp,
    const char *code_name,
    const char *message,
    const char *help,
    const char *reason,
    const char *details);

/* Several findings of one run. Zeroed is empty. Findings past the limit are counted, not kept. */
enum { FINDINGS_MAX = 20 };

struct findings {
    struct vmm_error *first;
    struct vmm_error *last;
    unsigned count; /* all, also those not kept */
};

void findings_add(struct findings *f, const struct diag *d, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
/* 0 when nothing was found; otherwise hands all of them to *errp as one chain. */
int findings_finish(struct findings *f, struct vmm_error **errp);

static inline void vmm_error_free_handler(struct vmm_error **e)
{
    vmm_error_free(*e);
}
#define cleanup_error __attribute__((cleanup(vmm_error_free_handler)))
