/* SPDX-License-Identifier: Apache-2.0 */
#include "enclave/commands.h"

#include "runtime/host/kernel_features.h"
#include "runtime/lane/report.h"
#include "runtime/lane/tap_command.h"

static bool status(void *context, const struct control_request *request, struct json *reply,
                   struct failure *failure)
{
    const struct commands *commands = context;
    struct session *session = commands->session;
    const struct capture *capture = session->capture;

    (void)request, (void)failure;
    control_report(commands->control, "causeway-enclave", reply);
    report_kernel(reply, features_udp_gso(), enclave_config_uses(session->config));
    json_text(reply, "capture", capture_name(capture));
    if (capture->used == CAPTURE_NFQUEUE)
        json_text(reply, "firewall", rules_backend_name(capture->firewall));
    json_end(reply);
    session_report(session, reply);
    return true;
}

static bool capture(void *context, const struct control_request *request, struct json *reply,
                    struct failure *failure)
{
    return tap_command(((struct commands *)context)->taps, request, reply, failure);
}

const struct control_command enclave_commands[] = {
    {.name = "status", .run = status},
    TAP_COMMAND(capture),
    {.name = NULL},
};
