/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Questions that the upstreams are working on, and the clients that wait for them: two tables, made
 * at start.
 *
 * A fetch is a question; whoever asks the same meanwhile waits with it. Two questions are the same
 * if name (but for case), type, class, DO and CD are: nothing else changes what an upstream
 * answers. A fetch is found by its question through a keyed hash, and by its token, which is its
 * index and a generation. Clients wait in the order in which they came, each with a deadline of its
 * own.
 *
 * Fetches that wait for their stale timer stand in a queue, the oldest first.
 */
#ifndef CAUSEWAY_DNS_RESOLVE_FETCHES_H
#define CAUSEWAY_DNS_RESOLVE_FETCHES_H

#include "dns/resolve/client.h"
#include "runtime/base/list.h"
#include "dns/message/message.h"

struct waiter {
    struct list_node fetch_node;    /* of the same fetch; or free */
    struct list_node deadline_node; /* of all, by deadline */
    uint64_t deadline_ms;
    struct dns_client client;
    struct dns_query query;
};

struct fetch {
    struct list_node
        stale_node; /* in the queue for expired answers, or in no list; free: in that list */
    struct list_node waiters;
    struct fetch *next;           /* in its bucket */
    struct dns_question question; /* lower case */
    bool dnssec_ok, checking_disabled;
    bool stale_given; /* who asks now gets the expired answer at once */
    uint32_t generation;
    uint64_t asked_ms;
};

struct fetches; /* opaque */

/* count: of fetches, and of clients that wait; per_client: of one client. NULL: no memory. */
struct fetches *fetches_create(unsigned count, unsigned per_client);
void fetches_free(struct fetches *fetches); /* NULL is allowed */

unsigned fetches_waiting(const struct fetches *fetches);
unsigned fetches_asking(const struct fetches *fetches);

/* ---- fetches ---- */

/* The fetch of this very question, or NULL. */
struct fetch *fetches_find(struct fetches *fetches, const struct dns_query *query);
/* A new one, which nobody waits for and which does not wait for an expired answer. NULL: the table
 * is full. */
struct fetch *fetches_start(struct fetches *fetches, const struct dns_query *query,
                            uint64_t now_ms);
/* Of one that nobody waits for. */
void fetches_end(struct fetches *fetches, struct fetch *fetch);

uint64_t fetches_token(const struct fetches *fetches, const struct fetch *fetch);
/* NULL: that fetch has ended, or its token is an older one. */
struct fetch *fetches_by_token(struct fetches *fetches, uint64_t token);
/* Makes another token for the same fetch: it is asked once more. */
void fetches_renew(struct fetch *fetch);

/* Queues it as the newest; each is `asked_ms` old. */
void fetches_await_stale(struct fetches *fetches, struct fetch *fetch);
void fetches_leave_stale(struct fetch *fetch);
struct fetch *fetches_first_stale(const struct fetches *fetches); /* NULL: none */

/* ---- clients that wait ---- */

enum fetches_room { FETCHES_ROOM, FETCHES_FULL, FETCHES_CLIENT_LIMIT };

/* Keeps a place for the client if it may wait; for fetches_wait() or fetches_give_up() then. */
enum fetches_room fetches_reserve(struct fetches *fetches, const struct dns_client *client);
void fetches_wait(struct fetches *fetches, struct fetch *fetch, const struct dns_client *client,
                  const struct dns_query *query, uint64_t deadline_ms);
void fetches_give_up(struct fetches *fetches, const struct dns_client *client);

/*
 * Take a client away; the value stays readable until the next fetches_wait(). The first that waits
 * with a fetch; the first of them all whose deadline has come. NULL: there is none.
 */
struct waiter *fetches_take(struct fetches *fetches, struct fetch *fetch);
struct waiter *fetches_take_expired(struct fetches *fetches, uint64_t now_ms);

/* When the next deadline comes; UINT64_MAX: nobody waits. */
uint64_t fetches_deadline(const struct fetches *fetches);
/* The first that waits with a fetch, left where it is; NULL: nobody does. */
const struct waiter *fetches_first(const struct fetch *fetch);

#endif
