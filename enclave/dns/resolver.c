/* SPDX-License-Identifier: Apache-2.0 */
#include "enclave/dns/resolver.h"

#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "enclave/dns/client_limits.h"
#include "packet/siphash.h"
#include "runtime/clock.h"

#define NONE       UINT32_MAX
#define REFRESH_MS 1000 /* between two looks at the hosts file */

struct waiter {
    struct dns_client client;
    struct dns_query query;
    uint32_t next; /* of the same flight, or free */
};

struct flight {
    struct dns_question question; /* lower case */
    bool dnssec_ok, checking_disabled;
    bool stale_given; /* who asks now gets the expired answer at once */
    bool in_line;     /* waits for its stale timer */
    uint32_t generation;
    uint32_t waiters;      /* first of those that wait */
    uint32_t next;         /* in its bucket, or free */
    uint32_t older, newer; /* in line */
    uint64_t asked_ms;
};

struct resolver {
    struct resolver_config config;
    struct upstreams *upstreams;
    struct client_limits *limits;
    uint64_t refresh_ms; /* when to look at the hosts file again */
    bool failing;        /* the latest question found no upstream that answers */

    uint8_t key[SIPHASH_KEY_BYTES];
    uint32_t bucket_mask;
    uint32_t *buckets; /* first flight of each */
    struct flight *flights;
    struct waiter *waiters;
    uint32_t free_flights, free_waiters;
    uint32_t oldest, newest; /* flights in line */
    unsigned waiting, asking;

    /* An answer taken apart, while it is given to those who wait. */
    uint8_t stored_bytes[DNS_MESSAGE_BYTES];
    uint16_t stored_ttls[DNS_RECORDS_MAX];
};

/* ---- making ---- */

static bool make_tables(struct resolver *resolver)
{
    unsigned count = resolver->config.queries;
    uint32_t buckets = 16;

    while (buckets < count)
        buckets *= 2;
    resolver->bucket_mask = buckets - 1;
    resolver->buckets = malloc(buckets * sizeof *resolver->buckets);
    resolver->flights = calloc(count, sizeof *resolver->flights);
    resolver->waiters = calloc(count, sizeof *resolver->waiters);
    resolver->limits = client_limits_create(count, resolver->config.client_limit);
    if (resolver->buckets == NULL || resolver->flights == NULL || resolver->waiters == NULL ||
        resolver->limits == NULL)
        return false;
    memset(resolver->buckets, 0xff, buckets * sizeof *resolver->buckets);
    for (uint32_t i = 0; i < count; i++) {
        resolver->flights[i].next = i + 1 < count ? i + 1 : NONE;
        resolver->waiters[i].next = i + 1 < count ? i + 1 : NONE;
    }
    resolver->oldest = resolver->newest = NONE;
    return true;
}

struct resolver *resolver_create(const struct resolver_config *config)
{
    struct resolver *resolver = calloc(1, sizeof *resolver);

    if (resolver == NULL)
        return NULL;
    resolver->config = *config;
    if (!make_tables(resolver) ||
        getrandom(resolver->key, sizeof resolver->key, 0) != sizeof resolver->key) {
        resolver_free(resolver);
        return NULL;
    }
    return resolver;
}

void resolver_free(struct resolver *resolver)
{
    if (resolver == NULL)
        return;
    free(resolver->buckets);
    free(resolver->flights);
    free(resolver->waiters);
    client_limits_free(resolver->limits);
    free(resolver);
}

void resolver_use(struct resolver *resolver, struct upstreams *upstreams)
{
    resolver->upstreams = upstreams;
}

void resolver_change(struct resolver *resolver, struct dns_local *local, uint32_t timeout_ms)
{
    resolver->config.local = local;
    resolver->config.timeout_ms = timeout_ms;
}

unsigned resolver_asking(const struct resolver *resolver)
{
    return resolver->asking;
}

unsigned resolver_waiting(const struct resolver *resolver)
{
    return resolver->waiting;
}

/* ---- answering ---- */

/* What fits: over UDP what the client said it takes, within what a batch of ours holds. */
static size_t answer_limit(const struct dns_client *client, const struct dns_query *query)
{
    size_t limit = client->transport->is_stream ? DNS_MESSAGE_BYTES : query->udp_size;

    return limit < client->transport->answer_max ? limit : client->transport->answer_max;
}

static void send_answer(struct resolver *resolver, const struct dns_client *client,
                        const uint8_t *bytes, size_t length)
{
    if (length >= DNS_HEADER_BYTES && (bytes[2] & 0x02) != 0) /* TC */
        resolver->config.counters->answers_cut++;
    client->transport->send(client, length);
}

static void answer_error(struct resolver *resolver, const struct dns_client *client,
                         const struct dns_query *query, uint16_t rcode)
{
    uint8_t *out = client->transport->reserve(client, DNS_UDP_BYTES);

    if (out != NULL)
        send_answer(resolver, client, out, dns_render_error(query, rcode, out, DNS_UDP_BYTES));
    else
        resolver->config.counters->drop_client_gone++;
}

static void answer_servfail(struct resolver *resolver, const struct dns_client *client,
                            const struct dns_query *query)
{
    resolver->config.counters->servfail++;
    answer_error(resolver, client, query, DNS_SERVFAIL);
}

static void answer_stored(struct resolver *resolver, const struct dns_client *client,
                          const struct dns_query *query, const struct dns_stored *stored,
                          uint32_t age_s, bool is_stale)
{
    struct dns_render how = {
        .limit = answer_limit(client, query),
        .age_s = age_s,
        .floor_s = is_stale ? RESOLVER_STALE_TTL_S : 0,
        .fixed_ttl = is_stale,
        .keepalive_100ms =
            client->transport->is_stream ? resolver->config.keepalive_100ms : DNS_NO_KEEPALIVE,
    };
    uint8_t *out = client->transport->reserve(client, how.limit);

    if (out != NULL)
        send_answer(resolver, client, out, dns_render_stored(query, stored, &how, out));
    else
        resolver->config.counters->drop_client_gone++;
}

static enum resolver_result answer_bad(struct resolver *resolver, const struct dns_client *client,
                                       const struct dns_query *query, enum dns_query_error error)
{
    struct dns_counters *counters = resolver->config.counters;

    switch (error) {
    case DNS_QUERY_SHORT:
        counters->drop_short++;
        return RESOLVER_DROPPED;
    case DNS_QUERY_RESPONSE:
        counters->drop_response++;
        return RESOLVER_DROPPED;
    case DNS_QUERY_FORMAT:
        counters->bad_format++;
        answer_error(resolver, client, query, DNS_FORMERR);
        break;
    case DNS_QUERY_OPCODE:
        counters->bad_opcode++;
        answer_error(resolver, client, query, DNS_NOTIMP);
        break;
    case DNS_QUERY_VERSION:
        counters->bad_version++;
        answer_error(resolver, client, query, DNS_BADVERS);
        break;
    case DNS_QUERY_OK:
    case DNS_QUERY_ERROR_COUNT:
        break;
    }
    return RESOLVER_ANSWERED;
}

/* RFC 6895 3.1: 128 to 255 are types of questions, not of records. */
static bool is_question_type(uint16_t type)
{
    return type == DNS_TYPE_OPT || (type >= 128 && type <= 255);
}

/* Questions that are neither forwarded nor failed: transfers, ANY, other classes. */
static bool answer_special(struct resolver *resolver, const struct dns_client *client,
                           const struct dns_query *query)
{
    static const uint8_t hinfo[] = {7, 'R', 'F', 'C', '8', '4', '8', '2', 0}; /* RFC 8482 4.2 */
    static const struct dns_local_record record = {13, sizeof hinfo, hinfo};
    const uint32_t ttl_s = 3600;
    bool is_internet = query->question.class == DNS_CLASS_IN;

    if (is_internet && query->question.type == DNS_TYPE_ANY) {
        size_t limit = answer_limit(client, query);
        uint8_t *out = client->transport->reserve(client, limit);
        resolver->config.counters->any++;
        if (out != NULL)
            send_answer(resolver, client, out,
                        dns_render_local(query, DNS_NOERROR, &record, 1, ttl_s, limit, out));
        return true;
    }
    if (is_internet && !is_question_type(query->question.type))
        return false;
    resolver->config.counters->refused++;
    answer_error(resolver, client, query, DNS_REFUSED);
    return true;
}

static bool answer_local(struct resolver *resolver, const struct dns_client *client,
                         const struct dns_query *query)
{
    size_t limit = answer_limit(client, query);
    uint8_t *out = client->transport->reserve(client, limit);

    if (out == NULL)
        return false;
    size_t length = dns_local_answer(resolver->config.local, query, limit, out);
    if (length == 0) {
        client->transport->send(client, 0);
        return false;
    }
    resolver->config.counters->local++;
    send_answer(resolver, client, out, length);
    return true;
}

/* ---- flights ---- */

static uint32_t *bucket_of(struct resolver *resolver, const struct dns_question *lower,
                           bool dnssec_ok, bool checking_disabled)
{
    uint8_t bytes[DNS_NAME_BYTES + 6];
    size_t length = lower->name.length;

    memcpy(bytes, lower->name.wire, length);
    memcpy(bytes + length, &lower->type, 2);
    memcpy(bytes + length + 2, &lower->class, 2);
    bytes[length + 4] = dnssec_ok;
    bytes[length + 5] = checking_disabled;
    uint64_t hash = siphash13(resolver->key, bytes, length + 6);
    return &resolver->buckets[hash & resolver->bucket_mask];
}

static uint32_t find_flight(const struct resolver *resolver, uint32_t first,
                            const struct dns_question *lower, const struct dns_query *query)
{
    for (uint32_t i = first; i != NONE; i = resolver->flights[i].next) {
        const struct flight *flight = &resolver->flights[i];
        if (flight->question.type == lower->type && flight->question.class == lower->class &&
            flight->dnssec_ok == query->dnssec_ok &&
            flight->checking_disabled == query->checking_disabled &&
            dns_name_same_bytes(&flight->question.name, &lower->name))
            return i;
    }
    return NONE;
}

static void leave_line(struct resolver *resolver, struct flight *flight)
{
    if (!flight->in_line)
        return;
    if (flight->older != NONE)
        resolver->flights[flight->older].newer = flight->newer;
    else
        resolver->oldest = flight->newer;
    if (flight->newer != NONE)
        resolver->flights[flight->newer].older = flight->older;
    else
        resolver->newest = flight->older;
    flight->in_line = false;
}

static void join_line(struct resolver *resolver, uint32_t index)
{
    struct flight *flight = &resolver->flights[index];

    flight->older = resolver->newest;
    flight->newer = NONE;
    flight->in_line = true;
    if (resolver->newest != NONE)
        resolver->flights[resolver->newest].newer = index;
    else
        resolver->oldest = index;
    resolver->newest = index;
}

static void end_flight(struct resolver *resolver, uint32_t index)
{
    struct flight *flight = &resolver->flights[index];
    uint32_t *link =
        bucket_of(resolver, &flight->question, flight->dnssec_ok, flight->checking_disabled);

    leave_line(resolver, flight);
    while (*link != index)
        link = &resolver->flights[*link].next;
    *link = flight->next;
    flight->generation++; /* its token means nothing any more */
    flight->next = resolver->free_flights;
    resolver->free_flights = index;
    resolver->asking--;
}

/* NONE: a table is full. */
static uint32_t start_flight(struct resolver *resolver, const struct dns_question *lower,
                             const struct dns_query *query, uint64_t now_ms)
{
    uint32_t index = resolver->free_flights;

    if (index == NONE)
        return NONE;
    struct flight *flight = &resolver->flights[index];
    uint32_t *bucket = bucket_of(resolver, lower, query->dnssec_ok, query->checking_disabled);
    resolver->free_flights = flight->next;
    *flight = (struct flight){
        .question = *lower,
        .dnssec_ok = query->dnssec_ok,
        .checking_disabled = query->checking_disabled,
        .generation = flight->generation,
        .waiters = NONE,
        .next = *bucket,
        .asked_ms = now_ms,
    };
    *bucket = index;
    resolver->asking++;
    if (resolver->config.cache != NULL)
        join_line(resolver, index);
    if (!upstreams_ask(resolver->upstreams, (uint64_t)flight->generation << 32 | index, query,
                       now_ms, now_ms + resolver->config.timeout_ms)) {
        end_flight(resolver, index);
        return NONE;
    }
    resolver->config.counters->asked++;
    return index;
}

/* ---- waiting ---- */

static void wait_with(struct resolver *resolver, uint32_t flight, const struct dns_client *client,
                      const struct dns_query *query)
{
    uint32_t index = resolver->free_waiters;
    struct waiter *waiter = &resolver->waiters[index];

    resolver->free_waiters = waiter->next;
    waiter->client = *client;
    waiter->client.late = true;
    waiter->query = *query;
    waiter->next = resolver->flights[flight].waiters;
    resolver->flights[flight].waiters = index;
    resolver->waiting++;
}

/* Takes the first of those who wait; the value stays readable until the next wait_with(). */
static struct waiter *next_waiter(struct resolver *resolver, uint32_t *first)
{
    uint32_t index = *first;

    if (index == NONE)
        return NULL;
    struct waiter *waiter = &resolver->waiters[index];
    *first = waiter->next;
    waiter->next = resolver->free_waiters;
    resolver->free_waiters = index;
    resolver->waiting--;
    client_limits_leave(resolver->limits, &waiter->client.who);
    return waiter;
}

static enum resolver_result wait_for_answer(struct resolver *resolver,
                                            const struct dns_client *client,
                                            const struct dns_query *query, uint64_t now_ms)
{
    struct dns_counters *counters = resolver->config.counters;
    struct dns_question lower = query->question;

    if (resolver->free_waiters == NONE) {
        counters->limit_queries_limit++;
        answer_servfail(resolver, client, query);
        return RESOLVER_ANSWERED;
    }
    if (!client_limits_enter(resolver->limits, &client->who)) {
        counters->limit_client_limit++;
        answer_servfail(resolver, client, query);
        return RESOLVER_ANSWERED;
    }
    dns_name_lower(&query->question.name, &lower.name);
    uint32_t first = *bucket_of(resolver, &lower, query->dnssec_ok, query->checking_disabled);
    uint32_t flight = find_flight(resolver, first, &lower, query);
    if (flight != NONE)
        counters->joined++;
    else
        flight = start_flight(resolver, &lower, query, now_ms);
    if (flight == NONE) {
        client_limits_leave(resolver->limits, &client->who);
        counters->limit_queries_limit++;
        answer_servfail(resolver, client, query);
        return RESOLVER_ANSWERED;
    }
    wait_with(resolver, flight, client, query);
    return RESOLVER_WAITING;
}

/* ---- the cache ---- */

/*
 * An expired answer, and the upstreams are known not to answer: it is given at once, and a flight
 * that nobody waits for finds out whether they do again. True: answered.
 */
static bool answer_stale(struct resolver *resolver, const struct dns_client *client,
                         const struct dns_query *query, const struct dns_cache_hit *hit,
                         uint64_t now_ms)
{
    struct dns_question lower = query->question;

    dns_name_lower(&query->question.name, &lower.name);
    uint32_t first = *bucket_of(resolver, &lower, query->dnssec_ok, query->checking_disabled);
    uint32_t flight = find_flight(resolver, first, &lower, query);
    if (!resolver->failing && (flight == NONE || !resolver->flights[flight].stale_given))
        return false;
    resolver->config.counters->stale++;
    answer_stored(resolver, client, query, &hit->stored, hit->age_s, true);
    if (flight == NONE) {
        flight = start_flight(resolver, &lower, query, now_ms);
        if (flight != NONE) {
            resolver->flights[flight].stale_given = true;
            leave_line(resolver, &resolver->flights[flight]);
            resolver->config.counters->refreshed++;
        }
    }
    return true;
}

static bool answer_from_cache(struct resolver *resolver, const struct dns_client *client,
                              const struct dns_query *query, uint64_t now_ms)
{
    struct dns_cache_key key = {&query->question, query->dnssec_ok, query->checking_disabled};
    struct dns_cache_hit hit;

    if (resolver->config.cache == NULL)
        return false;
    switch (dns_cache_find(resolver->config.cache, &key, now_ms, &hit)) {
    case DNS_CACHE_MISS:
        break;
    case DNS_CACHE_FRESH:
        resolver->config.counters->hits++;
        answer_stored(resolver, client, query, &hit.stored, hit.age_s, false);
        return true;
    case DNS_CACHE_STALE:
        return answer_stale(resolver, client, query, &hit, now_ms);
    }
    return false;
}

enum resolver_result resolver_ask(struct resolver *resolver, const struct dns_client *client,
                                  const uint8_t *bytes, size_t length, uint64_t now_ms)
{
    struct dns_query query;
    enum dns_query_error error = dns_query_parse(bytes, length, &query);

    if (error != DNS_QUERY_OK)
        return answer_bad(resolver, client, &query, error);
    if (now_ms >= resolver->refresh_ms) {
        dns_local_refresh(resolver->config.local);
        resolver->refresh_ms = now_ms + REFRESH_MS;
    }
    if (answer_special(resolver, client, &query) || answer_local(resolver, client, &query) ||
        answer_from_cache(resolver, client, &query, now_ms))
        return RESOLVER_ANSWERED;
    return wait_for_answer(resolver, client, &query, now_ms);
}

/* ---- the upstreams' answer ---- */

/* Gives those who wait what the cache still has. False: it has nothing. */
static bool give_stale(struct resolver *resolver, struct flight *flight, uint64_t now_ms)
{
    struct dns_cache_key key = {&flight->question, flight->dnssec_ok, flight->checking_disabled};
    struct dns_cache_hit hit;
    struct waiter *waiter;

    if (resolver->config.cache == NULL ||
        dns_cache_find(resolver->config.cache, &key, now_ms, &hit) == DNS_CACHE_MISS)
        return false;
    while ((waiter = next_waiter(resolver, &flight->waiters)) != NULL) {
        resolver->config.counters->stale++;
        answer_stored(resolver, &waiter->client, &waiter->query, &hit.stored, hit.age_s, true);
    }
    return true;
}

static void give_answer(struct resolver *resolver, struct flight *flight,
                        const struct dns_stored *stored)
{
    struct waiter *waiter;

    while ((waiter = next_waiter(resolver, &flight->waiters)) != NULL)
        answer_stored(resolver, &waiter->client, &waiter->query, stored, 0, false);
}

static void give_failure(struct resolver *resolver, struct flight *flight, uint64_t *reason)
{
    struct waiter *waiter;

    while ((waiter = next_waiter(resolver, &flight->waiters)) != NULL) {
        ++*reason;
        answer_servfail(resolver, &waiter->client, &waiter->query);
    }
}

/* RFC 8767 4: what is neither an answer nor a denial is a failure to refresh. */
static bool resolves(const struct dns_answer *answer)
{
    return answer->rcode == DNS_NOERROR || answer->rcode == DNS_NXDOMAIN;
}

/* An answer came: it is kept, and given to those who wait. */
static void take_answer(struct resolver *resolver, struct flight *flight,
                        const struct dns_answer *answer, uint64_t now_ms)
{
    struct dns_counters *counters = resolver->config.counters;
    struct dns_cache_key key = {&flight->question, flight->dnssec_ok, flight->checking_disabled};
    struct dns_stored stored;

    if (!resolves(answer) && give_stale(resolver, flight, now_ms))
        return;
    if (!dns_stored_make(answer, resolver->stored_bytes, resolver->stored_ttls, DNS_RECORDS_MAX,
                         &stored)) {
        give_failure(resolver, flight, &counters->limit_unusable_answer);
        return;
    }
    give_answer(resolver, flight, &stored);
    if (answer->cacheable && resolver->config.cache != NULL)
        dns_cache_insert(resolver->config.cache, &key, answer, &stored, now_ms);
}

void resolver_done(void *context, uint64_t token, enum upstream_failure failure,
                   const struct dns_answer *answer)
{
    struct resolver *resolver = context;
    uint32_t index = (uint32_t)token;
    struct flight *flight = &resolver->flights[index];
    uint64_t now_ms = clock_ms();

    if (flight->generation != (uint32_t)(token >> 32))
        return;
    resolver->failing = failure != UPSTREAM_ANSWERED && failure != UPSTREAM_FULL;
    if (failure == UPSTREAM_ANSWERED)
        take_answer(resolver, flight, answer, now_ms);
    else if (!give_stale(resolver, flight, now_ms))
        give_failure(resolver, flight, &resolver->config.counters->failures[failure]);
    end_flight(resolver, index);
}

/* ---- time ---- */

int resolver_timeout(const struct resolver *resolver, uint64_t now_ms)
{
    if (resolver->oldest == NONE)
        return -1;
    uint64_t due_ms = resolver->flights[resolver->oldest].asked_ms + RESOLVER_STALE_MS;
    return due_ms > now_ms ? (int)(due_ms - now_ms) : 0;
}

void resolver_tick(struct resolver *resolver, uint64_t now_ms)
{
    while (resolver->oldest != NONE) {
        struct flight *flight = &resolver->flights[resolver->oldest];
        if (now_ms < flight->asked_ms + RESOLVER_STALE_MS)
            break;
        leave_line(resolver, flight);
        flight->stale_given = give_stale(resolver, flight, now_ms);
    }
}
