/* SPDX-License-Identifier: Apache-2.0 */
/* publish, unpublish, allow, disallow: one value, one request to the parent. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ctl/client.h"
#include "ctl/commands.h"
#include "ctl/program.h"
#include "ctl/targets.h"
#include "runtime/base/control.h"

static const struct option_spec table[] = {
    CTL_CONTROL_ROW,
    {.name = NULL},
};

#define PORTS "[NAME=][ADDRESS:]PORTS:PORTS[/tcp|/udp][,force]"

static const struct {
    const char *command, *argument, *summary;
} kinds[] = {
    {"publish", PORTS,
     "PORTS: forward ports of the parent to an enclave, until the parent's next start or reload\n\n"
     "PORTS is " PORTS ", such as web=443:8443"},
    {"unpublish", PORTS, "PORTS: take a forwarding back\n\nPORTS is " PORTS},
    {"allow", "NETWORK", "NETWORK: open a network to enclaves"},
    {"disallow", "NETWORK", "NETWORK: close it again"},
};

static int request(const struct ctl_targets *targets, const char *line)
{
    struct failure failure;

    if (targets->count != 1) {
        ctl_error("%u daemons are reachable: name the parent's socket with --control",
                  targets->count);
        return CTL_WRONG_USE;
    }
    struct json_object *answer = client_request(targets->path[0], line, NULL, NULL, &failure);
    if (answer == NULL) {
        ctl_error("%s", failure.text);
        return EXIT_FAILURE;
    }
    json_object_put(answer);
    return EXIT_SUCCESS;
}

/* Only a parent takes changes: at the usual places its socket is meant, whoever else is there. */
static void keep_parent(struct ctl_targets *targets)
{
    for (unsigned i = 0; i < targets->count && targets->count > 1; i++)
        if (strcmp(targets->path[i], CONTROL_DIRECTORY "/parent.sock") == 0)
            *targets = (struct ctl_targets){1, {targets->path[i]}};
}

/* Takes the value out of the line, wherever it stands; NULL: there is none. */
static const char *take_value(int *argc, char **argv)
{
    for (int i = 1; i < *argc; i++) {
        const char *word = argv[i];
        if (strcmp(word, "--control") == 0)
            i++;
        else if (word[0] != '-') {
            memmove(&argv[i], &argv[i + 1], (size_t)(*argc - i) * sizeof(argv[0]));
            --*argc;
            return word;
        }
    }
    return NULL;
}

int ctl_change(int argc, char **argv)
{
    const char *value = NULL;
    struct ctl_targets targets = {0};
    char line[1024];
    unsigned kind = 0;
    int result;

    while (strcmp(kinds[kind].command, argv[0]) != 0)
        kind++;
    if (argc < 2 || strcmp(argv[1], "help") != 0)
        value = take_value(&argc, argv);
    if (!ctl_options(table, argv[0], kinds[kind].summary, argc, argv, &targets, &result))
        return result;
    if (value == NULL) {
        ctl_error("%s needs: %s", argv[0], kinds[kind].argument);
        return CTL_WRONG_USE;
    }
    if (strpbrk(value, " \n") != NULL ||
        (size_t)snprintf(line, sizeof(line), "%s %s", argv[0], value) >= sizeof(line)) {
        ctl_error("%s: '%.200s' is not %s", argv[0], value, kinds[kind].argument);
        return CTL_WRONG_USE;
    }
    keep_parent(&targets);
    return request(&targets, line);
}
