/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/base/check.h"

#include <stdio.h>
#include <stdlib.h>

static void print_finding(const char *verdict, const char *what, const char *consequence)
{
    printf("%-8s %s%s%s\n", verdict, what, consequence[0] ? ": " : "", consequence);
}

void check_required(struct check_report *report, bool there, const char *what, const char *remedy)
{
    print_finding(there ? "ok" : "MISSING", what, there ? "" : remedy);
    if (!there)
        report->failures++;
}

void check_optional(struct check_report *report, bool there, const char *what, const char *cost)
{
    (void)report;
    print_finding(there ? "ok" : "absent", what, there ? "" : cost);
}

void check_warning(const char *what, const char *effect)
{
    print_finding("warning", what, effect);
}

int check_finish(const struct check_report *report)
{
    if (report->failures == 0) {
        printf("ready\n");
        return EXIT_SUCCESS;
    }
    printf("not ready: %u missing\n", report->failures);
    return EXIT_FAILURE;
}
