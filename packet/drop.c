/* SPDX-License-Identifier: Apache-2.0 */
#include "packet/drop.h"

#include <assert.h>
#include <stdio.h>

static const char *const own_names[] = {
    [DROP_FRAGMENT_BUDGET] = "fragment_budget",
    [DROP_INJECT_TOO_LONG] = "inject_too_long",
    [DROP_INJECT_NO_BUFFER] = "inject_no_buffer",
    [DROP_INJECT_ERROR] = "inject_error",
    [DROP_CAPTURE_TRUNCATED] = "capture_truncated",
    [DROP_CAPTURE_NOT_IP] = "capture_not_ip",
    [DROP_CAPTURE_MULTICAST] = "capture_multicast",
    [DROP_CAPTURE_FULL] = "capture_full",
    [DROP_CONTROL] = "control",
    [DROP_CONTROL_FULL] = "control_full",
};
static_assert(sizeof(own_names) / sizeof(own_names[0]) == DROP_REASON_COUNT,
              "every drop reason has a name");

const char *drop_reason_name(unsigned reason, char *out, size_t out_size)
{
    if (reason == DROP_PACKET + PACKET_OK || reason == DROP_OFFLOAD + OFFLOAD_OK ||
        reason == DROP_POLICY + POLICY_PASS)
        return NULL;
    if (reason < DROP_OFFLOAD)
        snprintf(out, out_size, "packet_%s", packet_error_name((enum packet_error)reason));
    else if (reason < DROP_POLICY)
        snprintf(out, out_size, "offload_%s",
                 offload_error_name((enum offload_error)(reason - DROP_OFFLOAD)));
    else if (reason < DROP_FRAGMENT_BUDGET)
        snprintf(out, out_size, "policy_%s",
                 policy_verdict_name((enum policy_verdict)(reason - DROP_POLICY)));
    else
        snprintf(out, out_size, "%s", own_names[reason]);
    return out;
}
