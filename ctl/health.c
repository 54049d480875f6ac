/* SPDX-License-Identifier: Apache-2.0 */
/*
 * health: one line for a person, the exit status for a probe. A daemon is well if it answers and
 * does what it is there for: packets have a way to each enclave, names have an upstream.
 */
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ctl/answer.h"
#include "ctl/client.h"
#include "ctl/commands.h"
#include "ctl/targets.h"

struct settings {
    struct ctl_targets targets;
    bool alive;
};

static const struct option_spec table[] = {
    {"alive", NULL, "only ask whether the daemons answer, not whom they reach",
     OPTION_IS_FLAG(struct settings, alive)},
    CTL_CONTROL_ROW,
    {.name = NULL},
};

static bool has_lane(struct json_object *lanes)
{
    for (size_t i = 0; i < answer_list_length(lanes); i++)
        if (strcmp(answer_text(json_object_array_get_idx(lanes, i), "state"), "running") == 0)
            return true;
    return false;
}

static bool parent_is_well(struct json_object *status)
{
    struct json_object *enclaves = answer_member(status, "enclaves");
    size_t count = answer_list_length(enclaves), connected = 0;

    for (size_t i = 0; i < count; i++)
        connected += has_lane(answer_member(json_object_array_get_idx(enclaves, i), "lanes"));
    printf("%zu of %zu %s connected", connected, count, count == 1 ? "enclave" : "enclaves");
    return connected == count;
}

static bool enclave_is_well(struct json_object *status)
{
    bool up = has_lane(answer_member(status, "lanes"));

    printf("%s", up ? "connected" : "not connected");
    return up;
}

static bool dns_is_well(struct json_object *status)
{
    struct json_object *upstreams = answer_member(status, "upstreams");
    size_t count = answer_list_length(upstreams), healthy = 0;

    for (size_t i = 0; i < count; i++)
        healthy += json_object_get_boolean(
            answer_member(json_object_array_get_idx(upstreams, i), "healthy"));
    printf("%zu of %zu %s", healthy, count, count == 1 ? "upstream answers" : "upstreams answer");
    return healthy > 0;
}

static bool is_well(struct json_object *status)
{
    const char *role = answer_role(status);

    if (strcmp(role, "parent") == 0)
        return parent_is_well(status);
    return strcmp(role, "enclave") == 0 ? enclave_is_well(status) : dns_is_well(status);
}

/* The daemon's part of the line. */
static bool ask(const char *path, bool alive)
{
    struct failure failure;
    struct json_object *status = client_request(path, "status", NULL, NULL, &failure);
    bool well = status != NULL;

    if (status == NULL) {
        printf("%s", failure.text);
    } else {
        printf("%s: ", answer_text(status, "program"));
        if (alive)
            printf("answers");
        else
            well = is_well(status);
    }
    json_object_put(status);
    return well;
}

int ctl_health(int argc, char **argv)
{
    struct settings settings = {0};
    bool well = true;
    int result;

    if (!ctl_options(table, "health", "exit status 0 if all is well, and one line that says so",
                     argc, argv, &settings.targets, &result))
        return result;
    for (unsigned i = 0; i < settings.targets.count; i++) {
        printf("%s", i > 0 ? "; " : "");
        well = ask(settings.targets.path[i], settings.alive) && well;
    }
    printf("\n");
    return well ? EXIT_SUCCESS : EXIT_FAILURE;
}
