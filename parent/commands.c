/* SPDX-License-Identifier: Apache-2.0 */
#include "parent/commands.h"

#include "parent/publish.h"
#include "runtime/host/kernel_features.h"
#include "runtime/lane/report.h"
#include "runtime/lane/tap_command.h"

static void report_policy(const struct parent_config *config, struct json *reply)
{
    char text[PUBLISH_TEXT_BYTES], prefix[ADDR_TEXT_BYTES];

    json_list(reply, "publish");
    for (unsigned i = 0; i < config->publish_count; i++)
        json_text(reply, NULL, publish_format(&config->publish[i], text));
    json_list_end(reply);
    json_list(reply, "allow");
    for (size_t i = 0; i < config->allow.count; i++)
        json_text(reply, NULL, prefix_format(&config->allow.entries[i], prefix));
    json_list_end(reply);
}

static bool status(void *context, const struct control_request *request, struct json *reply,
                   struct failure *failure)
{
    const struct commands *commands = context;
    const struct changes *changes = commands->changes;

    (void)request, (void)failure;
    control_report(commands->control, "causeway-parent", reply);
    report_kernel(reply, features_udp_gso(), parent_config_uses(changes->config));
    json_text(reply, "capture", "AF_PACKET");
    json_text(reply, "firewall", rules_backend_name(commands->firewall));
    json_end(reply);
    report_policy(changes->config, reply);
    sessions_report(changes->sessions, reply);
    return true;
}

static bool change(void *context, enum change_kind kind, const char *key,
                   const struct control_request *request, struct failure *failure)
{
    const struct commands *commands = context;

    return changes_make(commands->changes, kind, key, request->words->word[1], failure);
}

#define CHANGE(function, kind, key)                                                                \
    static bool function(void *context, const struct control_request *request, struct json *reply, \
                         struct failure *failure)                                                  \
    {                                                                                              \
        (void)reply;                                                                               \
        return change(context, kind, key, request, failure);                                       \
    }
CHANGE(publish, CHANGE_ADD, "publish")
CHANGE(unpublish, CHANGE_REMOVE, "publish")
CHANGE(allow, CHANGE_ADD, "allow")
CHANGE(disallow, CHANGE_REMOVE, "allow")

#define PORTS "[NAME=][ADDRESS:]PORTS:PORTS[/tcp|/udp][,force]"

static bool capture(void *context, const struct control_request *request, struct json *reply,
                    struct failure *failure)
{
    return tap_command(((struct commands *)context)->taps, request, reply, failure);
}

const struct control_command parent_commands[] = {
    {.name = "status", .run = status},
    TAP_COMMAND(capture),
    {.name = "publish", .arguments = PORTS, .minimum = 1, .maximum = 1, .run = publish},
    {.name = "unpublish", .arguments = PORTS, .minimum = 1, .maximum = 1, .run = unpublish},
    {.name = "allow", .arguments = "NETWORK", .minimum = 1, .maximum = 1, .run = allow},
    {.name = "disallow", .arguments = "NETWORK", .minimum = 1, .maximum = 1, .run = disallow},
    {.name = NULL},
};
