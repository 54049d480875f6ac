/* SPDX-License-Identifier: Apache-2.0 */
#include "packet/drop.h"

#include <stdio.h>

static const char *const own_names[] = {
#define X(reason, name, meaning) [DROP_##reason] = #name,
    DROP_OWN_REASONS(X)
#undef X
};

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
    else if (reason <= DROP_LAST_OF_DECODERS)
        snprintf(out, out_size, "policy_%s",
                 policy_verdict_name((enum policy_verdict)(reason - DROP_POLICY)));
    else
        snprintf(out, out_size, "%s", own_names[reason]);
    return out;
}
