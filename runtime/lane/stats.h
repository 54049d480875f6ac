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
#include "runtime/base/counters.h"

/* The counters' names and meanings are in runtime/base/counters.h. */
struct lane_stats {
    LANE_COUNTERS(COUNTER_MEMBER)
    LANE_ROUND_TRIPS(COUNTER_MEMBER)
    uint64_t drops[DROP_REASON_COUNT];
};

/* Adds to a counter that only this thread writes. */
#define stats_add(counter, amount)                                                                 \
    __atomic_store_n(&(counter), (counter) + (uint64_t)(amount), __ATOMIC_RELAXED)
#define stats_set(counter, value) __atomic_store_n(&(counter), (uint64_t)(value), __ATOMIC_RELAXED)

/* Prints " key=value" for every counter, drop reasons as drop_NAME and only when not zero. */
void stats_print(FILE *out, const struct lane_stats *stats);

#endif
