/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Questions that the upstreams are working on, and the clients that wait for them: two tables, made
 * at start.
 *
 * A flight is a question; whoever asks the same meanwhile waits with it. Two questions are the same
 * if name (but for case), type, class, DO and CD are: nothing else changes what an upstream
 * answers. A flight is found by its question through a keyed hash, and by its token, which is its
 * index and a generation. Clients wait in the order in which they came, each with a deadline of its
 * own.
 *
 * Flights that wait for their stale timer stand in line, the oldest first.
 */
#ifndef CAUSEWAY_DNS_RESOLVE_FLIGHTS_H
#define CAUSEWAY_DNS_RESOLVE_FLIGHTS_H

#include "dns/serve/client.h"
#include "dns/list.h"
#include "dns/message/message.h"

struct waiter {
    struct list_node flight_node;   /* of the same flight; or free */
    struct list_node deadline_node; /* of all, by deadline */
    uint64_t deadline_ms;
    struct dns_client client;
    struct dns_query query;
};

struct flight {
    struct list_node line_node; /* in line, or in no list; free: in that list */
    struct list_node waiters;
    struct flight *next;          /* in its bucket */
    struct dns_question question; /* lower case */
    bool dnssec_ok, checking_disabled;
    bool stale_given; /* who asks now gets the expired answer at once */
    uint32_t generation;
    uint64_t asked_ms;
};

struct flights; /* opaque */

/* count: of flights, and of clients that wait; per_client: of one client. NULL: no memory. */
struct flights *flights_create(unsigned count, unsigned per_client);
void flights_free(struct flights *flights); /* NULL is allowed */

unsigned flights_waiting(const struct flights *flights);
unsigned flights_asking(const struct flights *flights);

/* ---- flights ---- */

/* The flight of this very question, or NULL. */
struct flight *flights_find(struct flights *flights, const struct dns_query *query);
/* A new one, which nobody waits for and which is not in line. NULL: the table is full. */
struct flight *flights_start(struct flights *flights, const struct dns_query *query,
                             uint64_t now_ms);
/* Of one that nobody waits for. */
void flights_end(struct flights *flights, struct flight *flight);

uint64_t flights_token(const struct flights *flights, const struct flight *flight);
/* NULL: that flight has ended, or its token is an older one. */
struct flight *flights_by_token(struct flights *flights, uint64_t token);
/* Makes another token for the same flight: it is asked once more. */
void flights_renew(struct flight *flight);

/* Joined as the newest; each is `asked_ms` old. */
void flights_join_line(struct flights *flights, struct flight *flight);
void flights_leave_line(struct flight *flight);
struct flight *flights_first_in_line(const struct flights *flights); /* NULL: nobody */

/* ---- clients that wait ---- */

enum flights_room { FLIGHTS_ROOM, FLIGHTS_FULL, FLIGHTS_CLIENT_LIMIT };

/* Keeps a place for the client if it may wait; for flights_wait() or flights_give_up() then. */
enum flights_room flights_reserve(struct flights *flights, const struct dns_client *client);
void flights_wait(struct flights *flights, struct flight *flight, const struct dns_client *client,
                  const struct dns_query *query, uint64_t deadline_ms);
void flights_give_up(struct flights *flights, const struct dns_client *client);

/*
 * Take a client away; the value stays readable until the next flights_wait(). The first that waits
 * with a flight; the first of them all whose deadline has come. NULL: there is none.
 */
struct waiter *flights_take(struct flights *flights, struct flight *flight);
struct waiter *flights_take_expired(struct flights *flights, uint64_t now_ms);

/* When the next deadline comes; UINT64_MAX: nobody waits. */
uint64_t flights_deadline(const struct flights *flights);
/* The first that waits with a flight, left where it is; NULL: nobody does. */
const struct waiter *flights_first(const struct flight *flight);

#endif
