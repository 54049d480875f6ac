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

static const struct {
    const char *command, *argument, *summary;
} kinds[] = {
    {"publish", "[NAME=][ADDRESS:]PORTS:PORTS[/tcp|/udp]",
     "PORTS: forward ports of the parent to an enclave, until the parent's next start or reload"},
    {"unpublish", "[NAME=][ADDRESS:]PORTS:PORTS[/tcp|/udp]", "PORTS: take a forwarding back"},
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

int ctl_change(int argc, char **argv)
{
    const char *value = argc > 1 && argv[1][0] != '-' ? argv[1] : NULL;
    struct ctl_targets targets = {0};
    char line[1024];
    unsigned kind = 0;
    int result;

    while (strcmp(kinds[kind].command, argv[0]) != 0)
        kind++;
    /* The value stands ahead of the options; it takes the program's name's place. */
    if (!ctl_options(table, argv[0], kinds[kind].summary, argc - (value != NULL),
                     argv + (value != NULL), &targets, &result))
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
