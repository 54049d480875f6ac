/* SPDX-License-Identifier: Apache-2.0 */
#include "dns/resolve/fetches.h"

#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "dns/resolve/client_limits.h"
#include "packet/siphash.h"

struct fetches {
    struct client_limits *limits;
    uint8_t key[SIPHASH_KEY_BYTES];
    uint32_t bucket_mask;
    struct fetch **buckets; /* first fetch of each, or NULL */
    struct fetch *fetches;
    struct waiter *waiters;
    struct list_node free_fetches, free_waiters;
    struct list_node stale;
    struct list_node deadlines;
    unsigned asking, waiting;
};

/* ---- making ---- */

static bool make_tables(struct fetches *fetches, unsigned count, unsigned per_client)
{
    uint32_t buckets = 16;

    while (buckets < count)
        buckets *= 2;
    fetches->bucket_mask = buckets - 1;
    fetches->buckets = calloc(buckets, sizeof(struct fetch *));
    fetches->fetches = calloc(count, sizeof(*fetches->fetches));
    fetches->waiters = calloc(count, sizeof(*fetches->waiters));
    fetches->limits = client_limits_create(count, per_client);
    if (fetches->buckets == NULL || fetches->fetches == NULL || fetches->waiters == NULL ||
        fetches->limits == NULL)
        return false;
    for (unsigned i = 0; i < count; i++) {
        list_append(&fetches->free_fetches, &fetches->fetches[i].stale_node);
        list_append(&fetches->free_waiters, &fetches->waiters[i].fetch_node);
    }
    return true;
}

struct fetches *fetches_create(unsigned count, unsigned per_client)
{
    struct fetches *fetches = calloc(1, sizeof(*fetches));

    if (fetches == NULL)
        return NULL;
    list_init(&fetches->free_fetches);
    list_init(&fetches->free_waiters);
    list_init(&fetches->stale);
    list_init(&fetches->deadlines);
    if (make_tables(fetches, count, per_client) &&
        getrandom(fetches->key, sizeof(fetches->key), 0) == sizeof(fetches->key))
        return fetches;
    fetches_free(fetches);
    return NULL;
}

void fetches_free(struct fetches *fetches)
{
    if (fetches == NULL)
        return;
    free(fetches->buckets);
    free(fetches->fetches);
    free(fetches->waiters);
    client_limits_free(fetches->limits);
    free(fetches);
}

unsigned fetches_waiting(const struct fetches *fetches)
{
    return fetches->waiting;
}

unsigned fetches_asking(const struct fetches *fetches)
{
    return fetches->asking;
}

/* ---- fetches ---- */

static void lower_question(const struct dns_query *query, struct dns_question *lower)
{
    *lower = query->question;
    dns_name_lower(&query->question.name, &lower->name);
}

static struct fetch **bucket_of(struct fetches *fetches, const struct dns_question *lower,
                                bool dnssec_ok, bool checking_disabled)
{
    uint8_t bytes[DNS_NAME_BYTES + 6];
    size_t length = lower->name.length;

    memcpy(bytes, lower->name.wire, length);
    memcpy(bytes + length, &lower->type, 2);
    memcpy(bytes + length + 2, &lower->class, 2);
    bytes[length + 4] = dnssec_ok;
    bytes[length + 5] = checking_disabled;
    uint64_t hash = siphash13(fetches->key, bytes, length + 6);
    return &fetches->buckets[hash & fetches->bucket_mask];
}

struct fetch *fetches_find(struct fetches *fetches, const struct dns_query *query)
{
    struct dns_question lower;

    lower_question(query, &lower);
    struct fetch *fetch = *bucket_of(fetches, &lower, query->dnssec_ok, query->checking_disabled);
    for (; fetch != NULL; fetch = fetch->next)
        if (fetch->question.type == lower.type && fetch->question.class == lower.class &&
            fetch->dnssec_ok == query->dnssec_ok &&
            fetch->checking_disabled == query->checking_disabled &&
            dns_name_same_bytes(&fetch->question.name, &lower.name))
            break;
    return fetch;
}

struct fetch *fetches_start(struct fetches *fetches, const struct dns_query *query, uint64_t now_ms)
{
    if (list_empty(&fetches->free_fetches))
        return NULL;
    struct fetch *fetch = LIST_ENTRY(fetches->free_fetches.next, struct fetch, stale_node);
    list_remove(&fetch->stale_node);
    list_init(&fetch->waiters);
    lower_question(query, &fetch->question);
    fetch->dnssec_ok = query->dnssec_ok;
    fetch->checking_disabled = query->checking_disabled;
    fetch->stale_given = false;
    fetch->asked_ms = now_ms;
    struct fetch **bucket =
        bucket_of(fetches, &fetch->question, fetch->dnssec_ok, fetch->checking_disabled);
    fetch->next = *bucket;
    *bucket = fetch;
    fetches->asking++;
    return fetch;
}

void fetches_end(struct fetches *fetches, struct fetch *fetch)
{
    struct fetch **link =
        bucket_of(fetches, &fetch->question, fetch->dnssec_ok, fetch->checking_disabled);

    while (*link != fetch)
        link = &(*link)->next;
    *link = fetch->next;
    fetches_renew(fetch); /* its token means nothing any more */
    list_remove(&fetch->stale_node);
    list_insert(&fetches->free_fetches, &fetch->stale_node);
    fetches->asking--;
}

uint64_t fetches_token(const struct fetches *fetches, const struct fetch *fetch)
{
    return (uint64_t)fetch->generation << 32 | (uint64_t)(fetch - fetches->fetches);
}

struct fetch *fetches_by_token(struct fetches *fetches, uint64_t token)
{
    struct fetch *fetch = &fetches->fetches[(uint32_t)token];

    return fetch->generation == (uint32_t)(token >> 32) ? fetch : NULL;
}

void fetches_renew(struct fetch *fetch)
{
    fetch->generation++;
}

void fetches_await_stale(struct fetches *fetches, struct fetch *fetch)
{
    list_append(&fetches->stale, &fetch->stale_node);
}

void fetches_leave_stale(struct fetch *fetch)
{
    list_remove(&fetch->stale_node);
}

struct fetch *fetches_first_stale(const struct fetches *fetches)
{
    return list_empty(&fetches->stale) ? NULL
                                       : LIST_ENTRY(fetches->stale.next, struct fetch, stale_node);
}

/* ---- clients that wait ---- */

enum fetches_room fetches_reserve(struct fetches *fetches, const struct dns_client *client)
{
    if (list_empty(&fetches->free_waiters))
        return FETCHES_FULL;
    return client_limits_enter(fetches->limits, &client->who) ? FETCHES_ROOM : FETCHES_CLIENT_LIMIT;
}

void fetches_give_up(struct fetches *fetches, const struct dns_client *client)
{
    client_limits_leave(fetches->limits, &client->who);
}

void fetches_wait(struct fetches *fetches, struct fetch *fetch, const struct dns_client *client,
                  const struct dns_query *query, uint64_t deadline_ms)
{
    struct waiter *waiter = LIST_ENTRY(fetches->free_waiters.next, struct waiter, fetch_node);
    struct list_node *place = fetches->deadlines.previous;

    list_remove(&waiter->fetch_node);
    waiter->client = *client;
    waiter->client.late = true;
    waiter->query = *query;
    waiter->deadline_ms = deadline_ms;
    list_append(&fetch->waiters, &waiter->fetch_node);
    /* All have one patience, until it is changed: the place is nearly always the end. */
    while (place != &fetches->deadlines &&
           LIST_ENTRY(place, struct waiter, deadline_node)->deadline_ms > deadline_ms)
        place = place->previous;
    list_insert(place, &waiter->deadline_node);
    fetches->waiting++;
}

static struct waiter *take(struct fetches *fetches, struct waiter *waiter)
{
    list_remove(&waiter->deadline_node);
    list_remove(&waiter->fetch_node);
    list_insert(&fetches->free_waiters, &waiter->fetch_node);
    client_limits_leave(fetches->limits, &waiter->client.who);
    fetches->waiting--;
    return waiter;
}

struct waiter *fetches_take(struct fetches *fetches, struct fetch *fetch)
{
    if (list_empty(&fetch->waiters))
        return NULL;
    return take(fetches, LIST_ENTRY(fetch->waiters.next, struct waiter, fetch_node));
}

struct waiter *fetches_take_expired(struct fetches *fetches, uint64_t now_ms)
{
    if (fetches_deadline(fetches) > now_ms)
        return NULL;
    return take(fetches, LIST_ENTRY(fetches->deadlines.next, struct waiter, deadline_node));
}

uint64_t fetches_deadline(const struct fetches *fetches)
{
    return list_empty(&fetches->deadlines)
               ? UINT64_MAX
               : LIST_ENTRY(fetches->deadlines.next, struct waiter, deadline_node)->deadline_ms;
}

const struct waiter *fetches_first(const struct fetch *fetch)
{
    return list_empty(&fetch->waiters) ? NULL
                                       : LIST_ENTRY(fetch->waiters.next, struct waiter, fetch_node);
}
