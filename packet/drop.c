/* SPDX-License-Identifier: Apache-2.0 */
#include "packet/drop.h"

#include <assert.h>
#include <stdio.h>

static const char *const own_names[] = {
#define X(reason, name, meaning) [DROP_##reason] = #name,
    DROP_OWN_REASONS(X)
#undef X
};

static const char *const policy_names[] = {
#define X(verdict, name, meaning) [POLICY_##verdict] = #name,
    DROP_POLICIES(X)
#undef X
};
static_assert(sizeof(policy_names) / sizeof(policy_names[0]) == POLICY_VERDICT_COUNT,
              "every verdict has a name");

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
        snprintf(out, out_size, "%s", policy_names[reason - DROP_POLICY]);
    else
        snprintf(out, out_size, "%s", own_names[reason]);
    return out;
}
