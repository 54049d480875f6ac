/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/lane/stats.h"

#include <inttypes.h>

void stats_print(FILE *out, const struct lane_stats *stats)
{
    char name[64];

#define X(counter, ...)                                                                            \
    fprintf(out, " " #counter "=%" PRIu64, __atomic_load_n(&stats->counter, __ATOMIC_RELAXED));
    LANE_COUNTERS(X)
    LANE_ROUND_TRIPS(X)
#undef X
    for (unsigned reason = 0; reason < DROP_REASON_COUNT; reason++) {
        uint64_t count = __atomic_load_n(&stats->drops[reason], __ATOMIC_RELAXED);
        if (count > 0 && drop_reason_name(reason, name, sizeof(name)) != NULL)
            fprintf(out, " drop_%s=%" PRIu64, name, count);
    }
}
