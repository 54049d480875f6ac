/* SPDX-License-Identifier: Apache-2.0 */
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "runtime/base/control.h"
#include "ctl/ctl.h"

static const struct {
    const char *name, *help;
    int (*run)(int argc, char **argv);
} commands[] = {
    {"status", "what the daemons are doing", ctl_status},
    {"top", "a live view of rates, bytes per write, queues and drops", ctl_top},
    {"metrics", "counters as Prometheus text, or served over HTTP", ctl_metrics},
    {"capture", "packets at a daemon's edge as pcapng, for Wireshark", ctl_capture},
    {"publish", "PORTS: forward ports of the parent to an enclave", ctl_change},
    {"unpublish", "PORTS: take a forwarding back", ctl_change},
    {"allow", "NETWORK: open a network to enclaves", ctl_change},
    {"disallow", "NETWORK: close it again", ctl_change},
    {"check", "is this host, this kernel ready?", ctl_check},
};
#define COMMANDS (sizeof(commands) / sizeof(commands[0]))

void ctl_error(const char *format, ...)
{
    va_list arguments;

    fflush(stdout);
    fprintf(stderr, CTL_PROGRAM ": error: ");
    va_start(arguments, format);
    vfprintf(stderr, format, arguments);
    va_end(arguments);
    fputc('\n', stderr);
}

/* ---- what commands share ---- */

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

/* ---- main ---- */

static void print_help(void)
{
    printf(CTL_PROGRAM " " CAUSEWAY_VERSION ": looks into causeway's daemons\n\n"
                       "Usage: " CTL_PROGRAM " COMMAND [OPTION]...\n\n");
    for (size_t i = 0; i < COMMANDS; i++)
        printf("  %-12s %s\n", commands[i].name, commands[i].help);
    printf("\n" CTL_PROGRAM " COMMAND --help lists a command's options.\n");
}

int main(int argc, char **argv)
{
    if (argc < 2) {
        ctl_error("no command given (see --help)");
        return CTL_WRONG_USE;
    }
    if (strcmp(argv[1], "--help") == 0) {
        print_help();
        return EXIT_SUCCESS;
    }
    if (strcmp(argv[1], "--version") == 0) {
        printf(CTL_PROGRAM " " CAUSEWAY_VERSION "\n");
        return EXIT_SUCCESS;
    }
    for (size_t i = 0; i < COMMANDS; i++)
        if (strcmp(argv[1], commands[i].name) == 0)
            return commands[i].run(argc - 1, argv + 1);
    ctl_error("unknown command '%.200s' (see --help)", argv[1]);
    return CTL_WRONG_USE;
}
