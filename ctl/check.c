/* SPDX-License-Identifier: Apache-2.0 */
/*
 * check: the daemons know themselves what they need, so their --check is run, with the options that
 * follow. The program beside this one is preferred to one in PATH.
 */
#include <errno.h>
#include <libgen.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "ctl/commands.h"
#include "ctl/program.h"

#define ARGUMENTS_MAX 256

static const char *const roles[] = {"parent", "enclave"};
#define ROLES (sizeof(roles) / sizeof(roles[0]))

/* DIRECTORY/PROGRAM; installed, DIRECTORY is bin and the daemons are in sbin; a build tree has
 * DIRECTORY/../ROLE/PROGRAM. */
static bool find_beside(const char *role, char *out, size_t size)
{
    char self[4000];
    ssize_t length = readlink("/proc/self/exe", self, sizeof(self) - 1);

    if (length <= 0)
        return false;
    self[length] = '\0';
    const char *directory = dirname(self);
    snprintf(out, size, "%s/causeway-%s", directory, role);
    if (access(out, X_OK) == 0)
        return true;
    snprintf(out, size, "%s/../sbin/causeway-%s", directory, role);
    if (access(out, X_OK) == 0)
        return true;
    snprintf(out, size, "%s/../%s/causeway-%s", directory, role, role);
    return access(out, X_OK) == 0;
}

static int run_check(const char *role, int argc, char **argv)
{
    const char *arguments[ARGUMENTS_MAX] = {NULL, "--check"};
    char path[4200], name[64];
    int status;

    snprintf(name, sizeof(name), "causeway-%s", role);
    arguments[0] = find_beside(role, path, sizeof(path)) ? path : name;
    if (argc > ARGUMENTS_MAX - 3) {
        ctl_error("check: too many options");
        return CTL_WRONG_USE;
    }
    for (int i = 0; i < argc; i++)
        arguments[2 + i] = argv[i];
    printf("%s\n", name);
    fflush(stdout);
    pid_t pid = fork();
    if (pid == 0) {
        execvp(arguments[0], (char *const *)arguments);
        ctl_error("check: cannot run %s: %s", arguments[0], strerror(errno));
        _exit(127);
    }
    if (pid < 0 || waitpid(pid, &status, 0) < 0)
        return EXIT_FAILURE;
    return WIFEXITED(status) ? WEXITSTATUS(status) : EXIT_FAILURE;
}

static void print_help(void)
{
    printf("Usage: " CTL_PROGRAM " check [parent|enclave] [OPTION OF THAT DAEMON]...\n\n"
           "Is this host, this kernel ready? Each finding with its remedy; changes nothing.\n"
           "Without a role both daemons are asked, as far as they are installed.\n");
}

int ctl_check(int argc, char **argv)
{
    char path[4200];
    int result = EXIT_SUCCESS, checked = 0;

    if (argc > 1 && (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0 ||
                     strcmp(argv[1], "help") == 0)) {
        print_help();
        return EXIT_SUCCESS;
    }
    for (size_t i = 0; i < ROLES && argc > 1; i++)
        if (strcmp(argv[1], roles[i]) == 0)
            return run_check(roles[i], argc - 2, argv + 2);
    if (argc > 1 && argv[1][0] == '-') {
        ctl_error("check: options are a daemon's: check parent|enclave %.200s", argv[1]);
        return CTL_WRONG_USE;
    }
    if (argc > 1) {
        ctl_error("check: '%.200s' is neither parent nor enclave", argv[1]);
        return CTL_WRONG_USE;
    }
    for (size_t i = 0; i < ROLES; i++) {
        if (!find_beside(roles[i], path, sizeof(path)))
            continue;
        int one = run_check(roles[i], 0, NULL);
        result = one != EXIT_SUCCESS ? one : result;
        checked++;
    }
    if (checked > 0)
        return result;
    ctl_error(
        "check: neither causeway-parent nor causeway-enclave is beside this program: name one");
    return EXIT_FAILURE;
}
