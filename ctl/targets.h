/* SPDX-License-Identifier: Apache-2.0 */
/* The daemons that a command is for: what --control names, else those at the usual places. */
#ifndef CAUSEWAY_CTL_TARGETS_H
#define CAUSEWAY_CTL_TARGETS_H

#include <stdbool.h>

#include "runtime/base/failure.h"
#include "runtime/base/options.h"

#define CTL_TARGETS_MAX 16

struct ctl_targets {
    unsigned count;
    const char *path[CTL_TARGETS_MAX]; /* borrowed: words of the command line, or constants */
};

/* A row for a command's options whose context begins with a struct ctl_targets. */
bool ctl_set_control(void *context, const char *value, struct failure *failure);
void ctl_print_control(const void *context, struct option_writer *writer);
#define CTL_CONTROL_ROW                                                                            \
    {                                                                                              \
        "control", "PATH",                                                                         \
            "a daemon's control socket (a file or @NAME); may be\n"                                \
            "repeated (default: those that are in /run/causeway)",                                 \
            OPTION_IS_CALL(ctl_set_control, ctl_print_control)                                     \
    }

/*
 * Reads a command's options into what begins with *targets. True: go on, with one target at least.
 * False: *status is what main() returns.
 */
bool ctl_options(const struct option_spec *table, const char *name, const char *summary, int argc,
                 char **argv, struct ctl_targets *targets, int *status);

#endif
