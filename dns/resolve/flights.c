/* SPDX-License-Identifier: Apache-2.0 */
#include "dns/resolve/flights.h"

#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "dns/serve/client_limits.h"
#include "packet/siphash.h"

struct flights {
    struct client_limits *limits;
    uint8_t key[SIPHASH_KEY_BYTES];
    uint32_t bucket_mask;
    struct flight **buckets; /* first flight of each, or NULL */
    struct flight *flights;
    struct waiter *waiters;
    struct list_node free_flights, free_waiters;
    struct list_node line;
    struct list_node deadlines;
    unsigned asking, waiting;
};

/* ---- making ---- */

static bool make_tables(struct flights *flights, unsigned count, unsigned per_client)
{
    uint32_t buckets = 16;

    while (buckets < count)
        buckets *= 2;
    flights->bucket_mask = buckets - 1;
    flights->buckets = calloc(buckets, sizeof(struct flight *));
    flights->flights = calloc(count, sizeof(*flights->flights));
    flights->waiters = calloc(count, sizeof(*flights->waiters));
    flights->limits = client_limits_create(count, per_client);
    if (flights->buckets == NULL || flights->flights == NULL || flights->waiters == NULL ||
        flights->limits == NULL)
        return false;
    for (unsigned i = 0; i < count; i++) {
        list_append(&flights->free_flights, &flights->flights[i].line_node);
        list_append(&flights->free_waiters, &flights->waiters[i].flight_node);
    }
    return true;
}

struct flights *flights_create(unsigned count, unsigned per_client)
{
    struct flights *flights = calloc(1, sizeof(*flights));

    if (flights == NULL)
        return NULL;
    list_init(&flights->free_flights);
    list_init(&flights->free_waiters);
    list_init(&flights->line);
    list_init(&flights->deadlines);
    if (make_tables(flights, count, per_client) &&
        getrandom(flights->key, sizeof(flights->key), 0) == sizeof(flights->key))
        return flights;
    flights_free(flights);
    return NULL;
}

void flights_free(struct flights *flights)
{
    if (flights == NULL)
        return;
    free(flights->buckets);
    free(flights->flights);
    free(flights->waiters);
    client_limits_free(flights->limits);
    free(flights);
}

unsigned flights_waiting(const struct flights *flights)
{
    return flights->waiting;
}

unsigned flights_asking(const struct flights *flights)
{
    return flights->asking;
}

/* ---- flights ---- */

static void lower_question(const struct dns_query *query, struct dns_question *lower)
{
    *lower = query->question;
    dns_name_lower(&query->question.name, &lower->name);
}

static struct flight **bucket_of(struct flights *flights, const struct dns_question *lower,
                                 bool dnssec_ok, bool checking_disabled)
{
    uint8_t bytes[DNS_NAME_BYTES + 6];
    size_t length = lower->name.length;

    memcpy(bytes, lower->name.wire, length);
    memcpy(bytes + length, &lower->type, 2);
    memcpy(bytes + length + 2, &lower->class, 2);
    bytes[length + 4] = dnssec_ok;
    bytes[length + 5] = checking_disabled;
    uint64_t hash = siphash13(flights->key, bytes, length + 6);
    return &flights->buckets[hash & flights->bucket_mask];
}

struct flight *flights_find(struct flights *flights, const struct dns_query *query)
{
    struct dns_question lower;

    lower_question(query, &lower);
    struct flight *flight = *bucket_of(flights, &lower, query->dnssec_ok, query->checking_disabled);
    for (; flight != NULL; flight = flight->next)
        if (flight->question.type == lower.type && flight->question.class == lower.class &&
            flight->dnssec_ok == query->dnssec_ok &&
            flight->checking_disabled == query->checking_disabled &&
            dns_name_same_bytes(&flight->question.name, &lower.name))
            break;
    return flight;
}

struct flight *flights_start(struct flights *flights, const struct dns_query *query,
                             uint64_t now_ms)
{
    if (list_empty(&flights->free_flights))
        return NULL;
    struct flight *flight = LIST_ENTRY(flights->free_flights.next, struct flight, line_node);
    list_remove(&flight->line_node);
    list_init(&flight->waiters);
    lower_question(query, &flight->question);
    flight->dnssec_ok = query->dnssec_ok;
    flight->checking_disabled = query->checking_disabled;
    flight->stale_given = false;
    flight->asked_ms = now_ms;
    struct flight **bucket =
        bucket_of(flights, &flight->question, flight->dnssec_ok, flight->checking_disabled);
    flight->next = *bucket;
    *bucket = flight;
    flights->asking++;
    return flight;
}

void flights_end(struct flights *flights, struct flight *flight)
{
    struct flight **link =
        bucket_of(flights, &flight->question, flight->dnssec_ok, flight->checking_disabled);

    while (*link != flight)
        link = &(*link)->next;
    *link = flight->next;
    flights_renew(flight); /* its token means nothing any more */
    list_remove(&flight->line_node);
    list_insert(&flights->free_flights, &flight->line_node);
    flights->asking--;
}

uint64_t flights_token(const struct flights *flights, const struct flight *flight)
{
    return (uint64_t)flight->generation << 32 | (uint64_t)(flight - flights->flights);
}

struct flight *flights_by_token(struct flights *flights, uint64_t token)
{
    struct flight *flight = &flights->flights[(uint32_t)token];

    return flight->generation == (uint32_t)(token >> 32) ? flight : NULL;
}

void flights_renew(struct flight *flight)
{
    flight->generation++;
}

void flights_join_line(struct flights *flights, struct flight *flight)
{
    list_append(&flights->line, &flight->line_node);
}

void flights_leave_line(struct flight *flight)
{
    list_remove(&flight->line_node);
}

struct flight *flights_first_in_line(const struct flights *flights)
{
    return list_empty(&flights->line) ? NULL
                                      : LIST_ENTRY(flights->line.next, struct flight, line_node);
}

/* ---- clients that wait ---- */

enum flights_room flights_reserve(struct flights *flights, const struct dns_client *client)
{
    if (list_empty(&flights->free_waiters))
        return FLIGHTS_FULL;
    return client_limits_enter(flights->limits, &client->who) ? FLIGHTS_ROOM : FLIGHTS_CLIENT_LIMIT;
}

void flights_give_up(struct flights *flights, const struct dns_client *client)
{
    client_limits_leave(flights->limits, &client->who);
}

void flights_wait(struct flights *flights, struct flight *flight, const struct dns_client *client,
                  const struct dns_query *query, uint64_t deadline_ms)
{
    struct waiter *waiter = LIST_ENTRY(flights->free_waiters.next, struct waiter, flight_node);
    struct list_node *place = flights->deadlines.previous;

    list_remove(&waiter->flight_node);
    waiter->client = *client;
    waiter->client.late = true;
    waiter->query = *query;
    waiter->deadline_ms = deadline_ms;
    list_append(&flight->waiters, &waiter->flight_node);
    /* All have one patience, until it is changed: the place is nearly always the end. */
    while (place != &flights->deadlines &&
           LIST_ENTRY(place, struct waiter, deadline_node)->deadline_ms > deadline_ms)
        place = place->previous;
    list_insert(place, &waiter->deadline_node);
    flights->waiting++;
}

static struct waiter *take(struct flights *flights, struct waiter *waiter)
{
    list_remove(&waiter->deadline_node);
    list_remove(&waiter->flight_node);
    list_insert(&flights->free_waiters, &waiter->flight_node);
    client_limits_leave(flights->limits, &waiter->client.who);
    flights->waiting--;
    return waiter;
}

struct waiter *flights_take(struct flights *flights, struct flight *flight)
{
    if (list_empty(&flight->waiters))
        return NULL;
    return take(flights, LIST_ENTRY(flight->waiters.next, struct waiter, flight_node));
}

struct waiter *flights_take_expired(struct flights *flights, uint64_t now_ms)
{
    if (flights_deadline(flights) > now_ms)
        return NULL;
    return take(flights, LIST_ENTRY(flights->deadlines.next, struct waiter, deadline_node));
}

uint64_t flights_deadline(const struct flights *flights)
{
    return list_empty(&flights->deadlines)
               ? UINT64_MAX
               : LIST_ENTRY(flights->deadlines.next, struct waiter, deadline_node)->deadline_ms;
}

const struct waiter *flights_first(const struct flight *flight)
{
    return list_empty(&flight->waiters)
               ? NULL
               : LIST_ENTRY(flight->waiters.next, struct waiter, flight_node);
}
