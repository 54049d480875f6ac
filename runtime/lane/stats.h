/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Counters of a lane. Written by the lane's thread alone, read by the control thread: plain relaxed
 * stores, no locks and no shared cache lines between lanes.
 */
#ifndef CAUSEWAY_RUNTIME_LANE_STATS_H
#define CAUSEWAY_RUNTIME_LANE_STATS_H

#include <stdint.h>
#include <stdio.h>

#include "packet/drop.h"

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

/* Prints " key=value" for every counter, drop reasons as drop_NAME and only when not zero. */
void stats_print(FILE *out, const struct lane_stats *stats);

#endif
