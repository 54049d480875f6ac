/* SPDX-License-Identifier: Apache-2.0 */
#include "dns/commands.h"

#include "dns/report.h"

static bool status(void *context, const struct control_request *request, struct json *reply,
                   struct failure *failure)
{
    const struct dns_commands *commands = context;

    (void)request, (void)failure;
    control_report(commands->control, "causeway-dns", reply);
    dns_report_json(commands->server, reply);
    return true;
}

const struct control_command dns_command_table[] = {
    {.name = "status", .run = status},
    {.name = NULL},
};
