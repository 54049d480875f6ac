/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Attempts: a question that is put to one upstream, from when its turn begins until the upstream
 * answers or its connection ends. An attempt waits for a connection, or is open on one under an id
 * of its own, or was lost and is to be handed back.
 *
 * A question may be open on two connections of the same upstream: the two are twins, and whichever
 * is answered first counts. When a question ends, its open attempts become orphans: the upstream
 * still works on them, so they keep their id until it answers or the connection ends. If the table
 * is full, the oldest orphan gives its place away.
 *
 * Ids are random (getrandom) and unique among the open attempts of an upstream.
 */
#ifndef CAUSEWAY_DNS_UPSTREAM_ATTEMPT_H
#define CAUSEWAY_DNS_UPSTREAM_ATTEMPT_H

#include "runtime/base/list.h"
#include "dns/message/message.h"
#include "dns/upstream/random.h"
#include "dns/upstream/stats.h"

enum attempt_state { ATTEMPT_FREE, ATTEMPT_WAITING, ATTEMPT_OPEN, ATTEMPT_LOST };

struct upstream;
struct pipeline;
struct question;

struct attempt {
    struct list_node node;        /* of the free, the waiting, the lost, or open on a pipeline */
    struct list_node orphan_node; /* orphans, the oldest first; or in no list */
    struct upstream *upstream;
    struct pipeline *pipeline;     /* OPEN: where */
    struct question *question;     /* NULL: an orphan, or a probe */
    struct attempt **place;        /* where the question keeps it: follows what becomes of it */
    const struct dns_query *query; /* the question's; a probe's own; NULL: an orphan */
    struct attempt *twin;          /* the same question on another connection, or NULL */
    uint64_t turn_ms;              /* when this upstream's turn began */
    uint64_t sent_us;
    uint16_t id;
    uint8_t state; /* enum attempt_state */
    uint8_t resends;
    bool is_hedge, is_probe, has_edns;
    bool is_again;                 /* this upstream failed it before: behind those that are new */
    enum upstream_failure failure; /* LOST: why */
};

struct attempts {
    struct list_node free, orphans;
    struct attempt *all;
    unsigned count, untouched; /* from `untouched` on none was used yet: no memory behind them */
    struct upstream *upstream;
    uint16_t *by_id; /* index of the attempt + 1, 0: not in use */
    struct random_pool *random;
};

/* count: 1..2 * UPSTREAM_IN_FLIGHT_LIMIT, so that ids are left. False: no memory; attempts_free()
 * in either case. */
bool attempts_init(struct attempts *attempts, struct upstream *upstream, unsigned count,
                   struct random_pool *random);
void attempts_free(struct attempts *attempts);

/* A waiting one that is in no list, without question. NULL: all are in use, none by an orphan. */
struct attempt *attempts_take(struct attempts *attempts);
/* Forgets it: its id, its twin, its list. */
void attempts_release(struct attempts *attempts, struct attempt *attempt);

void attempts_give_id(struct attempts *attempts, struct attempt *attempt);
void attempts_drop_id(struct attempts *attempts, struct attempt *attempt);
struct attempt *attempts_by_id(const struct attempts *attempts, uint16_t id); /* or NULL */

void attempts_join(struct attempt *attempt, struct attempt *twin);
void attempts_part(struct attempt *attempt);
/* The question has ended while the attempt is open. */
void attempts_orphan(struct attempts *attempts, struct attempt *attempt);

#endif
