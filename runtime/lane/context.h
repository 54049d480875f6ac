/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What every part of a lane stands on: what its owner asked for, the engine, the counters, the
 * taps, and whether it goes on. Each part keeps everything else to itself.
 */
#ifndef CAUSEWAY_RUNTIME_LANE_CONTEXT_H
#define CAUSEWAY_RUNTIME_LANE_CONTEXT_H

#include "runtime/base/log.h"
#include "runtime/lane/lane_options.h"
#include "runtime/lane/ring.h"
#include "runtime/lane/stats.h"
#include "runtime/lane/taps.h"

struct lane_context {
    struct lane_options options;
    struct ring *ring;
    struct lane_stats stats;
    struct taps taps;
    struct log_limit bad_packets;
    enum lane_end end; /* the loop goes on while this is LANE_RUNNING */
    int error;
};

/* The lane ends after this turn. The first cause is the one that is told. error: errno value. */
static inline void lane_fail(struct lane_context *lane, enum lane_end end, int error)
{
    if (lane->end != LANE_RUNNING)
        return;
    lane->end = end;
    lane->error = error;
}

static inline void lane_drop(struct lane_context *lane, unsigned reason)
{
    stats_add(lane->stats.drops[reason], 1);
}

/* Shows a packet to the taps. */
static inline void lane_show(struct lane_context *lane, const uint8_t *packet, size_t length,
                             enum tap_direction direction, uint16_t reason)
{
    if (__builtin_expect(taps_are_there(&lane->taps), 0))
        taps_show(&lane->taps, packet, length, direction, reason);
}

/* Counts a packet that is dropped, and shows it. */
static inline void lane_drop_packet(struct lane_context *lane, const uint8_t *packet, size_t length,
                                    enum tap_direction direction, unsigned reason)
{
    lane_drop(lane, reason);
    lane_show(lane, packet, length, direction, (uint16_t)reason);
}

static inline void lane_log_bad_packet(struct lane_context *lane, const char *what)
{
    log_limited(&lane->bad_packets, LOG_LEVEL_WARNING, "%s: dropped a packet: %s",
                lane->options.name, what);
}

#endif
