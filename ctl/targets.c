/* SPDX-License-Identifier: Apache-2.0 */
#include "ctl/targets.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "ctl/program.h"
#include "runtime/base/control.h"

bool ctl_set_control(void *context, const char *value, struct failure *failure)
{
    struct ctl_targets *targets = context;

    if (targets->count == CTL_TARGETS_MAX)
        return failure_set(failure, "is one socket too many (at most %d)", CTL_TARGETS_MAX);
    targets->path[targets->count++] = value;
    return true;
}

void ctl_print_control(const void *context, struct option_writer *writer)
{
    const struct ctl_targets *targets = context;

    for (unsigned i = 0; i < targets->count; i++)
        option_value(writer, "%s", targets->path[i]);
}

static void find_targets(struct ctl_targets *targets)
{
    static const char *const usual[] = {
        CONTROL_DIRECTORY "/parent.sock",
        CONTROL_DIRECTORY "/enclave.sock",
        CONTROL_DIRECTORY "/dns.sock",
    };

    for (size_t i = 0; i < sizeof(usual) / sizeof(usual[0]); i++)
        if (access(usual[i], F_OK) == 0)
            targets->path[targets->count++] = usual[i];
}

bool ctl_options(const struct option_spec *table, const char *name, const char *summary, int argc,
                 char **argv, struct ctl_targets *targets, int *status)
{
    char program[64];
    struct failure failure;

    snprintf(program, sizeof(program), CTL_PROGRAM " %s", name);
    enum options_result result =
        options_parse(table, program, summary, argc, argv, targets, &failure);
    *status = result == OPTIONS_HELP ? EXIT_SUCCESS : CTL_WRONG_USE;
    if (result == OPTIONS_INVALID)
        ctl_error("%s: %s", name, failure.text);
    if (result != OPTIONS_OK)
        return false;
    if (targets->count == 0)
        find_targets(targets);
    if (targets->count > 0)
        return true;
    ctl_error("no daemon has a control socket in " CONTROL_DIRECTORY ": name one with --control");
    *status = EXIT_FAILURE;
    return false;
}
