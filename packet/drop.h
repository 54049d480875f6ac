/* SPDX-License-Identifier: Apache-2.0 */
/* Why a packet is dropped: one numbering and one set of names for counters, captures and logs. */
#ifndef CAUSEWAY_PACKET_DROP_H
#define CAUSEWAY_PACKET_DROP_H

#include <stddef.h>

#include "packet/offload.h"
#include "packet/parse.h"
#include "packet/policy.h"

/* Drop reasons: the decoders' errors under one numbering, then the daemon's own. */
enum drop_reason {
    DROP_PACKET = 0,                                           /* + enum packet_error */
    DROP_OFFLOAD = DROP_PACKET + PACKET_ERROR_COUNT,           /* + enum offload_error */
    DROP_POLICY = DROP_OFFLOAD + OFFLOAD_ERROR_COUNT,          /* + enum policy_verdict */
    DROP_FRAGMENT_BUDGET = DROP_POLICY + POLICY_VERDICT_COUNT, /* packet/reassembly.h */
    DROP_INJECT_TOO_LONG,                                      /* longer than the device's MTU */
    DROP_INJECT_NO_BUFFER,  /* the kernel had no memory or queue space */
    DROP_INJECT_ERROR,      /* any other error of the injecting socket */
    DROP_CAPTURE_TRUNCATED, /* the kernel could not hand over the whole packet */
    DROP_CAPTURE_NOT_IP,
    DROP_CAPTURE_MULTICAST, /* link-local chatter of the kernel (MLD, IGMP) and the like */
    DROP_CAPTURE_FULL,      /* no room to fragment into */
    DROP_CONTROL,           /* a control frame that was malformed or not expected */
    DROP_CONTROL_FULL,      /* more pings than answers fit: a peer that floods */
    DROP_REASON_COUNT
};

/* Name of a drop reason as it stands in the output; NULL for the "no error" values. */
const char *drop_reason_name(unsigned reason, char *out, size_t out_size);

#endif
