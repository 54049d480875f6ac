/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Is the peer alive, and does the stream move? Asked once a tick. A peer that is silent for dead_ms
 * is gone; so is a stream on which a write does not end for so long, however much comes from the
 * other side. Pings, four in dead_ms or one a second, give a living peer something to answer.
 */
#ifndef CAUSEWAY_RUNTIME_LANE_LIVENESS_H
#define CAUSEWAY_RUNTIME_LANE_LIVENESS_H

#include <stdbool.h>
#include <stdint.h>

struct liveness {
    uint64_t heard_ms, moved_ms, pinged_ms;
};

enum liveness_verdict { LIVENESS_FINE, LIVENESS_PING, LIVENESS_SILENT, LIVENESS_STALLED };

/* At the start of a stream. The first tick pings. */
void liveness_start(struct liveness *liveness, uint64_t now_ms);

/* heard: something came since the last tick; moved: a write ended since then, or none is under
 * way. LIVENESS_PING: send one, now. */
enum liveness_verdict liveness_tick(struct liveness *liveness, uint64_t now_ms, uint32_t dead_ms,
                                    bool heard, bool moved);

#endif
