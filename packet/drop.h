/* SPDX-License-Identifier: Apache-2.0 */
/* Why a packet is dropped: one numbering and one set of names for counters, captures and logs. */
#ifndef CAUSEWAY_PACKET_DROP_H
#define CAUSEWAY_PACKET_DROP_H

#include <stddef.h>

#include "packet/offload.h"
#include "packet/parse.h"
#include "packet/policy.h"

/* The daemons' own: X(name of the enumerator, name, meaning) */
#define DROP_OWN_REASONS(X)                                                                        \
    X(FRAGMENT_BUDGET, fragment_budget, "a fragment beyond the peer's share of memory")            \
    X(INJECT_TOO_LONG, inject_too_long, "longer than the device's MTU")                            \
    X(INJECT_NO_BUFFER, inject_no_buffer, "the kernel had no memory or queue space")               \
    X(INJECT_ERROR, inject_error, "any other error of the injecting socket")                       \
    X(CAPTURE_TRUNCATED, capture_truncated, "the kernel could not hand over the whole packet")     \
    X(CAPTURE_NOT_IP, capture_not_ip, "neither IPv4 nor IPv6")                                     \
    X(CAPTURE_MULTICAST, capture_multicast, "link-local chatter of the kernel (MLD, IGMP)")        \
    X(CAPTURE_FULL, capture_full, "no room to fragment into")                                      \
    X(CONTROL, control, "a control frame that was malformed or not expected")                      \
    X(CONTROL_FULL, control_full, "more pings than answers fit: a peer that floods")

/* Drop reasons: the decoders' errors under one numbering, then the daemons' own. */
enum drop_reason {
    DROP_PACKET = 0,                                  /* + enum packet_error */
    DROP_OFFLOAD = DROP_PACKET + PACKET_ERROR_COUNT,  /* + enum offload_error */
    DROP_POLICY = DROP_OFFLOAD + OFFLOAD_ERROR_COUNT, /* + enum policy_verdict */
    DROP_LAST_OF_DECODERS = DROP_POLICY + POLICY_VERDICT_COUNT - 1,
#define X(reason, ...) DROP_##reason,
    DROP_OWN_REASONS(X)
#undef X
        DROP_REASON_COUNT
};

/* Name of a drop reason as it stands in the output; NULL for the "no error" values. */
const char *drop_reason_name(unsigned reason, char *out, size_t out_size);

#endif
