/* SPDX-License-Identifier: Apache-2.0 */
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ctl/commands.h"
#include "ctl/program.h"
#include "runtime/base/version.h"

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
    {"health", "exit status 0 if all is well, and one line that says so", ctl_health},
    {"check", "is this host, this kernel ready?", ctl_check},
};
#define COMMANDS (sizeof(commands) / sizeof(commands[0]))

static void print_help(void)
{
    printf(CTL_PROGRAM " " CAUSEWAY_VERSION ": looks into causeway's daemons\n\n"
                       "Usage: " CTL_PROGRAM " COMMAND [OPTION]...\n\n");
    for (size_t i = 0; i < COMMANDS; i++)
        printf("  %-12s %s\n", commands[i].name, commands[i].help);
    printf("\n" CTL_PROGRAM " COMMAND --help lists a command's options.\n");
}

static bool is_one_of(const char *word, const char *a, const char *b, const char *c)
{
    return strcmp(word, a) == 0 || strcmp(word, b) == 0 || strcmp(word, c) == 0;
}

/* --control may stand ahead of the command: its words change places with it. */
static void move_command_first(int argc, char **argv)
{
    int at = 1;

    while (at < argc && strncmp(argv[at], "--control", 9) == 0 &&
           (argv[at][9] == '=' || argv[at][9] == '\0'))
        at += argv[at][9] == '=' ? 1 : 2;
    if (at >= argc)
        return;
    char *command = argv[at];
    memmove(&argv[2], &argv[1], (size_t)(at - 1) * sizeof(argv[0]));
    argv[1] = command;
}

int main(int argc, char **argv)
{
    if (argc < 2) {
        ctl_error("no command given (see --help)");
        return CTL_WRONG_USE;
    }
    move_command_first(argc, argv);
    if (is_one_of(argv[1], "--help", "-h", "help")) {
        print_help();
        return EXIT_SUCCESS;
    }
    if (is_one_of(argv[1], "--version", "-V", "version")) {
        version_print(CTL_PROGRAM);
        return EXIT_SUCCESS;
    }
    for (size_t i = 0; i < COMMANDS; i++)
        if (strcmp(argv[1], commands[i].name) == 0)
            return commands[i].run(argc - 1, argv + 1);
    ctl_error("unknown %s '%.200s' (see --help)", argv[1][0] == '-' ? "option" : "command",
              argv[1]);
    return CTL_WRONG_USE;
}
