/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Connections that end, and what becomes of the questions that were open on them.
 *
 * A server may close a connection at any time (RFC 7766 6.2.4): if it had given answers, or gives
 * them over other connections, what was open is asked again, at most RESENDS_MAX times a question,
 * and the server is not blamed. One that closes after n answers gets n at a time from then on.
 */
#ifndef CAUSEWAY_DNS_UPSTREAM_LOSS_H
#define CAUSEWAY_DNS_UPSTREAM_LOSS_H

#include "dns/upstream/state.h"

/* The upstream fails: it is down, and what waits for a connection is lost but for a TIMEOUT. */
void upstream_fails(struct upstream *upstream, enum upstream_failure failure, const char *reason,
                    uint64_t now_ms);

/* No second attempts that are not under way yet. */
void upstream_drop_hedges(struct upstream *upstream);

/* The connection has ended (its state says why), or is ended here. */
void pipeline_was_ended(struct upstream *upstream, struct pipeline *pipeline, uint64_t now_ms);
/* It did not come up in time. */
void pipeline_not_established(struct upstream *upstream, struct pipeline *pipeline,
                              uint64_t now_ms);
/*
 * We hang up on a connection that stays quiet: the oldest question on it is lost, the others are
 * asked again. That says nothing about how many the server answers a connection.
 */
void pipeline_give_up(struct upstream *upstream, struct pipeline *pipeline, uint64_t now_ms);
/* Nothing is asked of this upstream any more: everything is lost. */
void upstream_lose_all(struct upstream *upstream);

#endif
