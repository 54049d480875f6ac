/* SPDX-License-Identifier: Apache-2.0 */
#include "dns/upstream/stats.h"

#include <assert.h>

static const char *const failure_names[] = {
    [UPSTREAM_ANSWERED] = "answered", [UPSTREAM_NONE] = "no_upstream",
    [UPSTREAM_TIMEOUT] = "timeout",   [UPSTREAM_CONNECT] = "connect",
    [UPSTREAM_TLS_FAILED] = "tls",    [UPSTREAM_MISMATCH] = "mismatch",
    [UPSTREAM_FULL] = "table_full",
};
static_assert(sizeof(failure_names) / sizeof(failure_names[0]) == UPSTREAM_FAILURE_COUNT,
              "a name for every failure");

const char *upstream_failure_name(enum upstream_failure failure)
{
    return failure_names[failure];
}

void upstream_note_latency(struct upstream_stats *stats, uint64_t taken_us)
{
    uint64_t limit_us = UPSTREAM_LATENCY_UNIT_US;
    unsigned bucket = 0;

    while (bucket < UPSTREAM_LATENCY_BUCKETS - 1 && taken_us >= limit_us) {
        limit_us *= 2;
        bucket++;
    }
    stats->latency[bucket]++;
    stats->latency_sum_us += taken_us;
}
