#include "vmfile/internal.h"

#include "base/alloc.h"

#include <stdlib.h>
#include <string.h>

static void finding_done(struct finding *f)
{
    free(f->message);
    free(f->label);
    free(f->help);
}

bool report_wants(const struct report *report, struct span span)
{
    return report->n < FINDINGS_MAX || span.offset < report->kept[FINDINGS_MAX - 1].span.offset;
}

void report_add(struct report *report, const struct finding *finding)
{
    if (!report_wants(report, finding->span))
        return;
    if (report->n == FINDINGS_MAX)
        finding_done(&report->kept[--report->n]);
    unsigned at = report->n;
    while (at > 0 && report->kept[at - 1].span.offset > finding->span.offset)
        at--;
    memmove(&report->kept[at + 1], &report->kept[at], (report->n - at) * sizeof(*finding));
    report->kept[at] = (struct finding){
        .span = finding->span,
        .sys = finding->sys,
        .message = xstrdup(finding->message),
        .label = xstrdup_or_null(finding->label),
        .help = xstrdup_or_null(finding->help),
    };
    report->n++;
}

int report_finish(struct report *report, struct source *source, struct vmm_error **errp)
{
    struct findings findings = {0};
    for (unsigned i = 0; i < report->n; i++) {
        struct finding *f = &report->kept[i];
        findings_add(&findings,
            &(struct diag){
                .code = VMM_E_VMFILE_INVALID,
                .sys = f->sys,
                .label = f->label,
                .help = f->help,
                .source = source,
                .span = f->span,
            },
            "%s", f->message);
        finding_done(f);
    }
    report->n = 0;
    return findings_finish(&findings, errp);
}
