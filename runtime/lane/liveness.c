/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/lane/liveness.h"

#define PING_MAX_MS 1000

void liveness_start(struct liveness *liveness, uint64_t now_ms)
{
    *liveness = (struct liveness){.heard_ms = now_ms, .moved_ms = now_ms, .pinged_ms = 0};
}

enum liveness_verdict liveness_tick(struct liveness *liveness, uint64_t now_ms, uint32_t dead_ms,
                                    bool heard, bool moved)
{
    uint32_t ping_ms = dead_ms / 4 < PING_MAX_MS ? dead_ms / 4 : PING_MAX_MS;

    if (heard)
        liveness->heard_ms = now_ms;
    if (moved)
        liveness->moved_ms = now_ms;
    if (now_ms - liveness->heard_ms >= dead_ms)
        return LIVENESS_SILENT;
    if (now_ms - liveness->moved_ms >= dead_ms)
        return LIVENESS_STALLED;
    if (now_ms - liveness->pinged_ms < ping_ms)
        return LIVENESS_FINE;
    liveness->pinged_ms = now_ms;
    return LIVENESS_PING;
}
