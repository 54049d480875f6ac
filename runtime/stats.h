/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Counters of a lane. Written by the lane's thread alone, read by the control thread: plain relaxed
 * stores, no locks and no shared cache lines between lanes.
 */
#ifndef CAUSEWAY_RUNTIME_STATS_H
#define CAUSEWAY_RUNTIME_STATS_H

#include <stdint.h>
#include <stdio.h>

#include "packet/frame.h"
#include "packet/offload.h"
#include "packet/policy.h"
#include "packet/view.h"

/*
 * captured: from the kernel to the daemon; sent: from the daemon to the link;
 * received: from the link; injected: from the daemon to the kernel.
 */
#define STATS_COUNTERS(X)                                                                          \
    X(captured_packets)                                                                            \
    X(captured_bytes)                                                                              \
    X(captured_super)        /* of captured_packets: TCP or UDP super-packets */                   \
    X(captured_refragmented) /* reassembled by conntrack, fragmented again here */                 \
    X(capture_pauses)        /* all capture buffers were waiting for the link */                   \
    X(verdict_batches)                                                                             \
    X(sent_frames)                                                                                 \
    X(sent_bytes)                                                                                  \
    X(sent_writes)                                                                                 \
    X(received_frames)                                                                             \
    X(received_bytes)                                                                              \
    X(received_reads)                                                                              \
    X(injected_packets)                                                                            \
    X(injected_bytes)                                                                              \
    X(injected_super)                                                                              \
    X(injected_segmented) /* of injected_super: segmented here, the kernel would not */            \
    X(injected_joined) /* of injected_packets: UDP datagrams that went in with others, as one */   \
    X(pings_sent)                                                                                  \
    X(rtt_us) /* the latest round trip */                                                          \
    X(rtt_min_us)                                                                                  \
    X(streams) /* connections this lane has had */

/* Drop reasons: the decoders' errors under one numbering, then the daemon's own. */
enum drop_reason {
    DROP_PACKET = 0,                                           /* + enum packet_error */
    DROP_OFFLOAD = DROP_PACKET + PACKET_ERROR_COUNT,           /* + enum offload_error */
    DROP_POLICY = DROP_OFFLOAD + OFFLOAD_ERROR_COUNT,          /* + enum policy_verdict */
    DROP_INJECT_TOO_LONG = DROP_POLICY + POLICY_VERDICT_COUNT, /* longer than the device's MTU */
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

struct lane_stats {
#define X(name) uint64_t name;
    STATS_COUNTERS(X)
#undef X
    uint64_t drops[DROP_REASON_COUNT];
};

/* Adds to a counter that only this thread writes. */
#define stats_add(counter, amount)                                                                 \
    __atomic_store_n(&(counter), (counter) + (uint64_t)(amount), __ATOMIC_RELAXED)
#define stats_set(counter, value) __atomic_store_n(&(counter), (uint64_t)(value), __ATOMIC_RELAXED)

/* Name of a drop reason as it stands in the output; NULL for the "no error" values. */
const char *drop_reason_name(unsigned reason, char *out, size_t out_size);

/* Prints " key=value" for every counter, drop reasons as drop_NAME and only when not zero. */
void stats_print(FILE *out, const struct lane_stats *stats);

#endif
