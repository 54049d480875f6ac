/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One upstream as its owner sees it: attempts go in; answers and lost attempts are fetched by the
 * owner, which is never called back. The theory is in state.h.
 *
 * The owner brings an upstream to rest after each event: upstream_settle(), then
 * upstream_take_lost() until there is none, again as long as something happened.
 */
#ifndef CAUSEWAY_DNS_UPSTREAM_UPSTREAM_H
#define CAUSEWAY_DNS_UPSTREAM_UPSTREAM_H

#include "dns/upstream/state.h"

/* False: no memory; upstream_free() in either case. Not used until upstream_assign(). */
bool upstream_init(struct upstream *upstream, struct upstream_setup *setup, unsigned index);
void upstream_free(struct upstream *upstream);
void upstream_assign(struct upstream *upstream, const struct upstream_spec *spec);
/* Hangs up; all attempts are lost, to be taken with upstream_take_lost(). */
void upstream_retire(struct upstream *upstream);

/*
 * Puts the question to the upstream. query is borrowed until the attempt is gone; *place is set to
 * the attempt, follows it while the upstream asks again, and is NULL when it is gone. again: it has
 * been asked before, in vain. False: the table is full.
 */
bool upstream_ask(struct upstream *upstream, struct question *question,
                  const struct dns_query *query, struct attempt **place, bool again,
                  uint64_t now_ms);
/* The question has ended. */
void upstream_forget(struct attempt *attempt);
/* The attempt got no answer for as long as one may take; the question goes elsewhere as well. */
void upstream_note_silence(struct upstream *upstream, const struct attempt *attempt,
                           uint64_t now_ms);
bool upstream_is_unasked(const struct upstream *upstream);

/* ready() was called for the pipeline: goes on with its connection. Then upstream_receive() until
 * there is nothing more, then upstream_finish(). */
void upstream_advance(struct upstream *upstream, struct pipeline *pipeline, uint64_t now_us);

struct upstream_event {
    struct question *question;
    bool is_spoiled; /* what came is no answer to it, and nothing else may come */
    struct dns_answer answer;
};
/* The attempt is gone, unless it was spoiled; answer borrows until the next call. */
bool upstream_receive(struct upstream *upstream, struct pipeline *pipeline, uint64_t now_us,
                      struct upstream_event *event);
void upstream_finish(struct upstream *upstream, struct pipeline *pipeline, uint64_t now_ms);

/* Sends, hedges, opens connections, writes out. */
void upstream_settle(struct upstream *upstream, uint64_t now_us);
/* NULL: none was lost. */
struct question *upstream_take_lost(struct upstream *upstream, enum upstream_failure *failure);

void upstream_tick(struct upstream *upstream, uint64_t now_ms);
uint64_t upstream_next_ms(const struct upstream *upstream); /* when it wants a tick */

#endif
