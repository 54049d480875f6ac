/* SPDX-License-Identifier: Apache-2.0 */
#include "dns/resolve/resolver.h"

#include <assert.h>
#include <stdlib.h>

#include "dns/message/record.h"
#include "dns/resolve/failures.h"
#include "dns/resolve/fetches.h"
#include "runtime/base/clock.h"

#define REFRESH_MS 1000 /* between two looks at the hosts file */

struct resolver {
    struct resolver_config config;
    struct upstreams *upstreams;
    struct fetches *fetches;
    struct failures *failures;
    uint64_t refresh_ms; /* when to look at the hosts file again */
    bool failing;        /* the latest question found no upstream that answers */

    /* An answer taken apart, while it is given to those who wait. */
    uint8_t stored_bytes[DNS_MESSAGE_BYTES];
    uint16_t stored_ttls[DNS_RECORDS_MAX];
};

struct resolver *resolver_create(const struct resolver_config *config)
{
    struct resolver *resolver = calloc(1, sizeof(*resolver));

    if (resolver == NULL)
        return NULL;
    resolver->config = *config;
    resolver->fetches = fetches_create(config->queries, config->client_limit);
    resolver->failures = failures_create();
    if (resolver->fetches != NULL && resolver->failures != NULL)
        return resolver;
    resolver_free(resolver);
    return NULL;
}

void resolver_free(struct resolver *resolver)
{
    if (resolver == NULL)
        return;
    fetches_free(resolver->fetches);
    failures_free(resolver->failures);
    free(resolver);
}

void resolver_flush(struct resolver *resolver)
{
    failures_flush(resolver->failures);
}

void resolver_use(struct resolver *resolver, struct upstreams *upstreams)
{
    resolver->upstreams = upstreams;
}

void resolver_change(struct resolver *resolver, struct dns_local *local, uint32_t timeout_ms,
                     uint32_t negative_s)
{
    resolver->config.local = local;
    resolver->config.timeout_ms = timeout_ms;
    resolver->config.negative_s = negative_s;
}

unsigned resolver_waiting(const struct resolver *resolver)
{
    return fetches_waiting(resolver->fetches);
}

unsigned resolver_asking(const struct resolver *resolver)
{
    return fetches_asking(resolver->fetches);
}

/* ---- what clients are told ---- */

static const struct dns_explanation not_forwarded = {
    DNS_EDE_NOT_SUPPORTED, "transfers and classes other than IN are not forwarded"};
static const struct dns_explanation failed_before = {DNS_EDE_CACHED_ERROR,
                                                     "failed a moment ago, not asked again yet"};
static const struct dns_explanation too_many = {DNS_EDE_OTHER, "too many questions are waiting"};
static const struct dns_explanation client_has_too_many = {
    DNS_EDE_OTHER, "too many questions of this client are waiting"};
static const struct dns_explanation unusable = {DNS_EDE_OTHER,
                                                "the upstream's answer cannot be passed on"};
static const struct dns_explanation explanations[] = {
    [UPSTREAM_ANSWERED] = {DNS_EDE_OTHER, ""},
    [UPSTREAM_NONE] = {DNS_EDE_NOT_READY, "no upstream is known"},
    [UPSTREAM_TIMEOUT] = {DNS_EDE_NO_AUTHORITY, "no upstream answered in time"},
    [UPSTREAM_CONNECT] = {DNS_EDE_NETWORK_ERROR, "no upstream can be reached"},
    [UPSTREAM_TLS_FAILED] = {DNS_EDE_NETWORK_ERROR, "the upstream did not prove who it is"},
    [UPSTREAM_MISMATCH] = {DNS_EDE_NETWORK_ERROR, "what the upstream sent is no answer"},
    [UPSTREAM_FULL] = {DNS_EDE_OTHER, "too many questions are at the upstreams"},
};
static_assert(sizeof(explanations) / sizeof(explanations[0]) == UPSTREAM_FAILURE_COUNT,
              "one for each");

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
                         const struct dns_query *query, uint16_t rcode,
                         const struct dns_explanation *why)
{
    uint8_t *out = client->transport->reserve(client, DNS_UDP_BYTES);

    if (out != NULL)
        send_answer(resolver, client, out, dns_render_error(query, rcode, why, out, DNS_UDP_BYTES));
    else
        resolver->config.counters->drop_client_gone++;
}

static void answer_servfail(struct resolver *resolver, const struct dns_client *client,
                            const struct dns_query *query, const struct dns_explanation *why)
{
    resolver->config.counters->servfail++;
    answer_error(resolver, client, query, DNS_SERVFAIL, why);
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
        answer_error(resolver, client, query, DNS_FORMERR, NULL);
        break;
    case DNS_QUERY_OPCODE:
        counters->bad_opcode++;
        answer_error(resolver, client, query, DNS_NOTIMP, NULL);
        break;
    case DNS_QUERY_VERSION:
        counters->bad_version++;
        answer_error(resolver, client, query, DNS_BADVERS, NULL);
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
    static const struct dns_local_record record = {13, sizeof(hinfo), hinfo};
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
    answer_error(resolver, client, query, DNS_REFUSED, &not_forwarded);
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

/* ---- asking ---- */

/* False: the upstreams' table is full. */
static bool ask_upstreams(struct resolver *resolver, const struct fetch *fetch,
                          const struct dns_query *query, uint64_t now_ms)
{
    if (!upstreams_ask(resolver->upstreams, fetches_token(resolver->fetches, fetch), query, now_ms,
                       now_ms + resolver->config.timeout_ms))
        return false;
    resolver->config.counters->asked++;
    return true;
}

/* NULL: a table is full. */
static struct fetch *start_fetch(struct resolver *resolver, const struct dns_query *query,
                                 uint64_t now_ms)
{
    struct fetch *fetch = fetches_start(resolver->fetches, query, now_ms);

    if (fetch == NULL)
        return NULL;
    if (!ask_upstreams(resolver, fetch, query, now_ms)) {
        fetches_end(resolver->fetches, fetch);
        return NULL;
    }
    return fetch;
}

/* The fetch of this question: one that there is, or a new one. NULL: a table is full. */
static struct fetch *join_or_start(struct resolver *resolver, const struct dns_query *query,
                                   uint64_t now_ms)
{
    struct fetch *fetch = fetches_find(resolver->fetches, query);

    if (fetch != NULL) {
        resolver->config.counters->joined++;
        return fetch;
    }
    fetch = start_fetch(resolver, query, now_ms);
    if (fetch != NULL && resolver->config.cache != NULL)
        fetches_await_stale(resolver->fetches, fetch);
    return fetch;
}

/* Who asks over a link wants to hear of a failure before its own patience is over. */
static uint64_t patience_ms(const struct resolver *resolver, const struct dns_client *client)
{
    return client->is_link ? resolver->config.timeout_ms / 4 * 3 : resolver->config.timeout_ms;
}

static enum resolver_result wait_for_answer(struct resolver *resolver,
                                            const struct dns_client *client,
                                            const struct dns_query *query, uint64_t now_ms)
{
    struct dns_counters *counters = resolver->config.counters;
    enum fetches_room room = fetches_reserve(resolver->fetches, client);
    struct fetch *fetch = room == FETCHES_ROOM ? join_or_start(resolver, query, now_ms) : NULL;

    if (fetch != NULL) {
        fetches_wait(resolver->fetches, fetch, client, query,
                     now_ms + patience_ms(resolver, client));
        return RESOLVER_WAITING;
    }
    if (room == FETCHES_ROOM)
        fetches_give_up(resolver->fetches, client);
    ++*(room == FETCHES_CLIENT_LIMIT ? &counters->limit_client_limit
                                     : &counters->limit_queries_limit);
    answer_servfail(resolver, client, query,
                    room == FETCHES_CLIENT_LIMIT ? &client_has_too_many : &too_many);
    return RESOLVER_ANSWERED;
}

/* ---- the cache ---- */

static struct dns_cache_key key_of(const struct dns_query *query)
{
    return (struct dns_cache_key){&query->question, query->dnssec_ok, query->checking_disabled};
}

static struct dns_cache_key key_of_fetch(const struct fetch *fetch)
{
    return (struct dns_cache_key){&fetch->question, fetch->dnssec_ok, fetch->checking_disabled};
}

/* The upstreams failed it a moment ago. */
static bool answer_failed(struct resolver *resolver, const struct dns_client *client,
                          const struct dns_query *query, uint64_t now_ms)
{
    struct dns_cache_key key = key_of(query);
    uint16_t rcode;

    if (!failures_find(resolver->failures, &key, now_ms, &rcode))
        return false;
    resolver->config.counters->failed_before++;
    answer_error(resolver, client, query, rcode, &failed_before);
    return true;
}

/*
 * An expired answer, and the upstreams are known not to answer: it is given at once, and a fetch
 * that nobody waits for finds out whether they do again. True: answered.
 */
static bool answer_stale(struct resolver *resolver, const struct dns_client *client,
                         const struct dns_query *query, const struct dns_cache_hit *hit,
                         uint64_t now_ms)
{
    struct fetch *fetch = fetches_find(resolver->fetches, query);
    struct dns_cache_key key = key_of(query);
    uint16_t rcode;
    bool failed = failures_find(resolver->failures, &key, now_ms, &rcode);

    if (!resolver->failing && !failed && (fetch == NULL || !fetch->stale_given))
        return false;
    resolver->config.counters->stale++;
    answer_stored(resolver, client, query, &hit->stored, hit->age_s, true);
    if (fetch == NULL && !failed && (fetch = start_fetch(resolver, query, now_ms)) != NULL) {
        fetch->stale_given = true;
        resolver->config.counters->refreshed++;
    }
    return true;
}

static bool answer_from_cache(struct resolver *resolver, const struct dns_client *client,
                              const struct dns_query *query, uint64_t now_ms)
{
    struct dns_cache_key key = key_of(query);
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
        answer_from_cache(resolver, client, &query, now_ms) ||
        answer_failed(resolver, client, &query, now_ms))
        return RESOLVER_ANSWERED;
    return wait_for_answer(resolver, client, &query, now_ms);
}

/* ---- the upstreams' answer ---- */

static void give_stored(struct resolver *resolver, const struct waiter *waiter,
                        const struct dns_cache_hit *hit)
{
    resolver->config.counters->stale++;
    answer_stored(resolver, &waiter->client, &waiter->query, &hit->stored, hit->age_s, true);
}

/* Gives those who wait what the cache still has. False: it has nothing. */
static bool give_stale(struct resolver *resolver, struct fetch *fetch, uint64_t now_ms)
{
    struct dns_cache_key key = key_of_fetch(fetch);
    struct dns_cache_hit hit;
    struct waiter *waiter;

    if (resolver->config.cache == NULL ||
        dns_cache_find(resolver->config.cache, &key, now_ms, &hit) == DNS_CACHE_MISS)
        return false;
    while ((waiter = fetches_take(resolver->fetches, fetch)) != NULL)
        give_stored(resolver, waiter, &hit);
    return true;
}

static void give_answer(struct resolver *resolver, struct fetch *fetch,
                        const struct dns_stored *stored)
{
    struct waiter *waiter;

    while ((waiter = fetches_take(resolver->fetches, fetch)) != NULL)
        answer_stored(resolver, &waiter->client, &waiter->query, stored, 0, false);
}

static void give_servfail(struct resolver *resolver, const struct waiter *waiter, uint64_t *reason,
                          const struct dns_explanation *why)
{
    ++*reason;
    answer_servfail(resolver, &waiter->client, &waiter->query, why);
}

static void give_failure(struct resolver *resolver, struct fetch *fetch, uint64_t *reason,
                         const struct dns_explanation *why)
{
    struct waiter *waiter;

    while ((waiter = fetches_take(resolver->fetches, fetch)) != NULL)
        give_servfail(resolver, waiter, reason, why);
}

/* Those whose patience is over, in whatever fetch they are. */
static void give_up(struct resolver *resolver, uint64_t now_ms)
{
    uint64_t *reason = &resolver->config.counters->failures[UPSTREAM_TIMEOUT];
    struct waiter *waiter;

    while ((waiter = fetches_take_expired(resolver->fetches, now_ms)) != NULL)
        give_servfail(resolver, waiter, reason, &explanations[UPSTREAM_TIMEOUT]);
}

/* RFC 8767 4: what is neither an answer nor a denial is a failure to refresh. */
static bool resolves(const struct dns_answer *answer)
{
    return answer->rcode == DNS_NOERROR || answer->rcode == DNS_NXDOMAIN;
}

/* An answer came: it is kept, and given to those who wait. */
static void take_answer(struct resolver *resolver, struct fetch *fetch,
                        const struct dns_answer *given, uint64_t now_ms)
{
    struct dns_answer capped = *given, *answer = &capped;
    struct dns_counters *counters = resolver->config.counters;
    struct dns_cache_key key = key_of_fetch(fetch);
    struct dns_stored stored;

    if (answer->negative && answer->ttl_s > resolver->config.negative_s)
        answer->ttl_s = resolver->config.negative_s;
    if (resolves(answer))
        failures_forget(resolver->failures, &key);
    else
        failures_note(resolver->failures, &key, answer->rcode, now_ms);
    if (!resolves(answer) && give_stale(resolver, fetch, now_ms))
        return;
    if (!dns_stored_make(answer, resolver->stored_bytes, resolver->stored_ttls, DNS_RECORDS_MAX,
                         &stored)) {
        give_failure(resolver, fetch, &counters->limit_unusable_answer, &unusable);
        return;
    }
    give_answer(resolver, fetch, &stored);
    if (resolver->config.cache == NULL)
        return;
    dns_cache_contradict(resolver->config.cache, &key, answer);
    if (answer->cacheable)
        dns_cache_insert(resolver->config.cache, &key, answer, &stored, now_ms);
}

/*
 * The upstreams have been silent for a whole --timeout. Who joined late has not waited that long:
 * the question is asked again for those. So a question that is never answered is asked once in a
 * --timeout, however many ask for it (RFC 9520 2.2 is about those that ask more often). True:
 * asked.
 */
static bool ask_again(struct resolver *resolver, struct fetch *fetch, uint64_t now_ms)
{
    give_up(resolver, now_ms);
    const struct waiter *first = fetches_first(fetch);
    if (first == NULL)
        return false;
    fetches_renew(fetch);
    return ask_upstreams(resolver, fetch, &first->query, now_ms);
}

void resolver_done(void *context, uint64_t token, enum upstream_failure failure,
                   const struct dns_answer *answer, const char *from)
{
    struct resolver *resolver = context;
    struct fetch *fetch = fetches_by_token(resolver->fetches, token);
    uint64_t now_ms = clock_ms();

    (void)from;
    if (fetch == NULL)
        return;
    struct dns_cache_key key = key_of_fetch(fetch);
    resolver->failing = failure != UPSTREAM_ANSWERED && failure != UPSTREAM_FULL;
    if (failure == UPSTREAM_ANSWERED) {
        take_answer(resolver, fetch, answer, now_ms);
    } else if (!give_stale(resolver, fetch, now_ms)) {
        if (failure == UPSTREAM_TIMEOUT && ask_again(resolver, fetch, now_ms))
            return;
        if (failure == UPSTREAM_TIMEOUT || failure == UPSTREAM_MISMATCH)
            failures_note(resolver->failures, &key, DNS_SERVFAIL, now_ms);
        give_failure(resolver, fetch, &resolver->config.counters->failures[failure],
                     &explanations[failure]);
    }
    fetches_end(resolver->fetches, fetch);
}

/* ---- time ---- */

int resolver_timeout(const struct resolver *resolver, uint64_t now_ms)
{
    const struct fetch *first = fetches_first_stale(resolver->fetches);
    uint64_t due_ms = fetches_deadline(resolver->fetches);

    if (first != NULL && first->asked_ms + RESOLVER_STALE_MS < due_ms)
        due_ms = first->asked_ms + RESOLVER_STALE_MS;
    if (due_ms == UINT64_MAX)
        return -1;
    return due_ms > now_ms ? (int)(due_ms - now_ms) : 0;
}

void resolver_tick(struct resolver *resolver, uint64_t now_ms)
{
    struct fetch *first;

    while ((first = fetches_first_stale(resolver->fetches)) != NULL &&
           now_ms >= first->asked_ms + RESOLVER_STALE_MS) {
        fetches_leave_stale(first);
        first->stale_given = give_stale(resolver, first, now_ms);
    }
    give_up(resolver, now_ms);
}
