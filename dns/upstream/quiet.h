/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Connections on which nothing is answered although questions are open.
 *
 *   quiet for     ORDER_UNKNOWN, ORDER_STRICT             ORDER_ANY
 *   a round trip  what stands behind the oldest question
 *   and 25 ms     is hedged, HEDGES_MAX at a time
 *   1/3 attempt   probed, here and on another connection  probed here
 *   2/3 attempt   all is hedged                           all is hedged
 *   an attempt    given up if others wait behind          given up
 *
 * Before an upstream has answered for the first time, a third of an attempt stands for the first.
 */
#ifndef CAUSEWAY_DNS_UPSTREAM_QUIET_H
#define CAUSEWAY_DNS_UPSTREAM_QUIET_H

#include "dns/upstream/state.h"

#define PRESSURE_MS 250 /* others wait: a connection is quiet for long enough to be given up */

/* Quiet for so long that a new question is better asked elsewhere. */
bool pipeline_is_stuck(const struct upstream *upstream, const struct pipeline *pipeline,
                       uint64_t now_ms);

/* Hedges, probes and gives up where that is due. */
void upstream_watch_quiet(struct upstream *upstream, uint64_t now_ms);

/* Has an open attempt asked for a second time, ahead of others or behind them; nothing if there is
 * no room for that. */
void upstream_hedge(struct upstream *upstream, struct attempt *attempt, bool first);

#endif
