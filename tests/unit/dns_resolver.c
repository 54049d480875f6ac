/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The resolver between clients and upstreams that are both the test's: what is asked, who is
 * answered what. The clock is the machine's, as the resolver reads it when an answer comes; when
 * something was asked is the test's word.
 */
#include "dns/resolve/resolver.h"

#include "runtime/base/clock.h"
#include "tests/unit/dns_build.h"

#define TIMEOUT_MS 4000
#define QUERIES    4
#define LIMIT      3
#define CLIENTS    8

/* ---- the world ---- */

struct asked {
    uint64_t token, deadline_ms;
    struct dns_query query;
};

static struct {
    struct dns_counters counters;
    struct dns_cache *cache;
    struct dns_local *local;
    struct resolver *resolver;
    uint64_t now_ms;

    struct asked asked[16];
    unsigned asked_count;
    bool upstreams_full;

    struct dns_build message[CLIENTS]; /* the latest answer of each */
    unsigned answers[CLIENTS];
    uint8_t out[DNS_MESSAGE_BYTES];
} w;

/* In the place of the real ones, which are then not linked. */
bool upstreams_ask(struct upstreams *upstreams, uint64_t token, const struct dns_query *query,
                   uint64_t now_ms, uint64_t deadline_ms)
{
    (void)upstreams, (void)now_ms;
    if (w.upstreams_full)
        return false;
    assert_true(w.asked_count < sizeof(w.asked) / sizeof(w.asked[0]));
    w.asked[w.asked_count++] = (struct asked){token, deadline_ms, *query};
    return true;
}

static uint8_t *reserve(const struct dns_client *client, size_t size)
{
    (void)client;
    return size <= sizeof(w.out) ? w.out : NULL;
}

static void take_answer(const struct dns_client *client, size_t length)
{
    if (length == 0)
        return;
    w.answers[client->index]++;
    w.message[client->index].length = 0;
    put_bytes(&w.message[client->index], w.out, length);
}

static const struct dns_transport transport = {
    .answer_max = 4096, .reserve = reserve, .send = take_answer};

static int start(void **state)
{
    (void)state;
    memset(&w, 0, sizeof(w));
    w.now_ms = clock_ms();
    w.cache = dns_cache_create(DNS_CACHE_BYTES_MIN, 1000);
    w.local = dns_local_create(NULL);
    w.resolver = resolver_create(&(struct resolver_config){.queries = QUERIES,
                                                           .client_limit = LIMIT,
                                                           .negative_s = 3600,
                                                           .timeout_ms = TIMEOUT_MS,
                                                           .keepalive_100ms = 100,
                                                           .cache = w.cache,
                                                           .local = w.local,
                                                           .counters = &w.counters});
    return w.cache != NULL && w.local != NULL && w.resolver != NULL ? 0 : -1;
}

static int stop(void **state)
{
    (void)state;
    resolver_free(w.resolver);
    dns_local_free(w.local);
    dns_cache_free(w.cache);
    return 0;
}

/* Client `slot` asks for the name, so many milliseconds ago. */
static enum resolver_result ask(unsigned slot, const char *name, uint64_t ago_ms)
{
    struct dns_client client = {.transport = &transport,
                                .index = slot,
                                .who = {.version = 4, .bytes = {10, 0, 0, (uint8_t)slot}}};
    struct dns_build query;

    start_message(&query, QUERY_FLAGS, name, DNS_TYPE_A);
    return resolver_ask(w.resolver, &client, query.bytes, query.length, w.now_ms - ago_ms);
}

static void fail_asked(unsigned number, enum upstream_failure failure)
{
    resolver_done(w.resolver, w.asked[number].token, failure, NULL, NULL);
}

/* An A record to what was asked as the number'th. */
static void answer(unsigned number, uint32_t ttl)
{
    struct dns_build b;
    struct dns_answer parsed;
    char name[DNS_NAME_TEXT_BYTES];

    dns_name_to_text(&w.asked[number].query.question.name, name);
    start_message(&b, ANSWER_FLAGS, name, DNS_TYPE_A);
    put_a(&b, "<12>", ttl);
    assert_int_equal(
        dns_answer_parse(b.bytes, b.length, 0x1234, &w.asked[number].query.question, &parsed),
        DNS_ANSWER_OK);
    resolver_done(w.resolver, w.asked[number].token, UPSTREAM_ANSWERED, &parsed,
                  "tcp://192.0.2.1:53");
}

/* One answer came since the last look, with this rcode. */
static void assert_answered(unsigned slot, unsigned rcode)
{
    assert_int_equal(w.answers[slot], 1);
    assert_int_equal(w.message[slot].bytes[3] & 15, rcode);
    w.answers[slot] = 0;
}

static void assert_nothing(unsigned slot)
{
    assert_int_equal(w.answers[slot], 0);
}

static void assert_at_rest(void)
{
    assert_int_equal(resolver_waiting(w.resolver), 0);
    assert_int_equal(resolver_asking(w.resolver), 0);
    assert_int_equal(resolver_timeout(w.resolver, w.now_ms), -1);
}

/* ---- fetches ---- */

static void same_question_is_asked_once(void **state)
{
    (void)state;
    assert_int_equal(ask(1, "www.example", 20), RESOLVER_WAITING);
    assert_int_equal(ask(2, "WWW.example", 10), RESOLVER_WAITING);
    assert_int_equal(w.asked_count, 1);
    answer(0, 60);
    assert_answered(1, DNS_NOERROR);
    assert_answered(2, DNS_NOERROR);
    assert_memory_equal(w.message[2].bytes + 12, "\003WWW", 4);
    assert_at_rest();
}

/* Its fetch fails when the first has waited long enough; the second has not. */
static void who_joined_late_is_asked_for_again(void **state)
{
    (void)state;
    ask(1, "www.example", TIMEOUT_MS);
    ask(2, "WWW.example", 500);
    fail_asked(0, UPSTREAM_TIMEOUT);
    assert_answered(1, DNS_SERVFAIL);
    assert_nothing(2);
    assert_int_equal(w.asked_count, 2);
    assert_int_equal(w.counters.asked, 2);
    assert_true(w.asked[1].deadline_ms >= w.now_ms + TIMEOUT_MS); /* not sooner again than that */
    assert_memory_equal(w.asked[1].query.question.name.wire, "\003WWW", 4);
    ask(3, "www.example", 0);
    assert_int_equal(w.asked_count, 2);
    answer(1, 60);
    assert_answered(2, DNS_NOERROR);
    assert_answered(3, DNS_NOERROR);
    assert_at_rest();
    assert_int_equal(w.counters.servfail, 1);
}

static void each_has_its_own_patience(void **state)
{
    (void)state;
    ask(1, "www.example", TIMEOUT_MS);
    ask(2, "www.example", 1000);
    resolver_tick(w.resolver, w.now_ms - 1); /* no expired answer either */
    fail_asked(0, UPSTREAM_TIMEOUT);
    w.answers[1] = 0;
    uint64_t due_ms = w.now_ms - 1000 + TIMEOUT_MS;
    assert_int_equal(resolver_timeout(w.resolver, w.now_ms), TIMEOUT_MS - 1000);
    resolver_tick(w.resolver, due_ms - 1);
    assert_nothing(2);
    resolver_tick(w.resolver, due_ms);
    assert_answered(2, DNS_SERVFAIL);
    assert_int_equal(w.counters.failures[UPSTREAM_TIMEOUT], 2);
    assert_int_equal(resolver_waiting(w.resolver), 0);
    answer(1, 60); /* nobody waits, but it is kept */
    assert_at_rest();
    assert_int_equal(ask(3, "www.example", 0), RESOLVER_ANSWERED);
    assert_answered(3, DNS_NOERROR);
}

static void nobody_is_late(void **state)
{
    (void)state;
    ask(1, "www.example", TIMEOUT_MS);
    ask(2, "www.example", TIMEOUT_MS);
    fail_asked(0, UPSTREAM_TIMEOUT);
    assert_answered(1, DNS_SERVFAIL);
    assert_answered(2, DNS_SERVFAIL);
    assert_int_equal(w.asked_count, 1);
    assert_at_rest();
}

/* That no upstream can be reached is no less true for the one who has just come. */
static void other_failures_are_for_all(void **state)
{
    static const enum upstream_failure failures[] = {UPSTREAM_NONE, UPSTREAM_CONNECT,
                                                     UPSTREAM_TLS_FAILED, UPSTREAM_FULL};

    (void)state;
    for (unsigned i = 0; i < sizeof(failures) / sizeof(failures[0]); i++) {
        ask(1, "www.example", 100);
        ask(2, "www.example", 0);
        fail_asked(i, failures[i]);
        assert_answered(1, DNS_SERVFAIL);
        assert_answered(2, DNS_SERVFAIL);
        assert_int_equal(w.counters.failures[failures[i]], 2);
        assert_at_rest();
    }
}

static void asking_again_finds_no_room(void **state)
{
    (void)state;
    ask(1, "www.example", TIMEOUT_MS);
    ask(2, "www.example", 0);
    w.upstreams_full = true;
    fail_asked(0, UPSTREAM_TIMEOUT);
    assert_answered(1, DNS_SERVFAIL);
    assert_answered(2, DNS_SERVFAIL);
    assert_at_rest();
}

static void old_tokens_mean_nothing(void **state)
{
    (void)state;
    ask(1, "www.example", TIMEOUT_MS);
    ask(2, "www.example", 0);
    fail_asked(0, UPSTREAM_TIMEOUT);
    w.answers[1] = 0;
    fail_asked(0, UPSTREAM_CONNECT);
    assert_nothing(2);
    answer(1, 60);
    assert_answered(2, DNS_NOERROR);
    answer(1, 60);
    assert_nothing(2);
    assert_at_rest();
}

/* ---- expired answers ---- */

static void who_joined_late_gets_what_is_expired(void **state)
{
    (void)state;
    ask(1, "www.example", 0);
    answer(0, 1);
    assert_answered(1, DNS_NOERROR);
    w.now_ms += 5000;
    ask(1, "www.example", 0);
    ask(2, "www.example", 0);
    assert_int_equal(w.asked_count, 2);
    resolver_tick(w.resolver, w.now_ms + RESOLVER_STALE_MS - 1);
    assert_nothing(1);
    resolver_tick(w.resolver, w.now_ms + RESOLVER_STALE_MS);
    assert_answered(1, DNS_NOERROR);
    assert_answered(2, DNS_NOERROR);
    assert_int_equal(w.counters.stale, 2);
    assert_int_equal(ask(3, "www.example", 0), RESOLVER_ANSWERED);
    assert_answered(3, DNS_NOERROR);
    answer(1, 60);
    assert_at_rest();
}

/* ---- limits ---- */

static void tables_have_an_end(void **state)
{
    char name[32];

    (void)state;
    for (unsigned i = 0; i < QUERIES; i++) {
        snprintf(name, sizeof(name), "n%u.example", i);
        assert_int_equal(ask(i, name, 0), RESOLVER_WAITING);
    }
    assert_int_equal(ask(6, "other.example", 0), RESOLVER_ANSWERED);
    assert_answered(6, DNS_SERVFAIL);
    assert_int_equal(w.counters.limit_queries_limit, 1);
    answer(0, 60);
    assert_int_equal(ask(6, "other.example", 0), RESOLVER_WAITING);
    for (unsigned i = 1; i < w.asked_count; i++)
        answer(i, 60);
    assert_at_rest();
}

static void each_client_has_an_end(void **state)
{
    (void)state;
    w.upstreams_full = true; /* what was refused takes no place */
    for (unsigned i = 0; i < 2 * LIMIT; i++)
        assert_int_equal(ask(1, "www.example", 0), RESOLVER_ANSWERED);
    assert_int_equal(w.counters.limit_queries_limit, 2 * LIMIT);
    w.upstreams_full = false;
    for (unsigned i = 0; i < LIMIT; i++)
        assert_int_equal(ask(1, "www.example", 0), RESOLVER_WAITING);
    assert_int_equal(ask(1, "www.example", 0), RESOLVER_ANSWERED);
    assert_int_equal(w.counters.limit_client_limit, 1);
    assert_int_equal(ask(2, "www.example", 0), RESOLVER_WAITING);
    answer(0, 0);
    assert_int_equal(ask(1, "www.example", 0), RESOLVER_WAITING);
    answer(1, 0);
    assert_at_rest();
}

int main(void)
{
#define TEST(function) cmocka_unit_test_setup_teardown(function, start, stop)
    const struct CMUnitTest tests[] = {
        TEST(same_question_is_asked_once), TEST(who_joined_late_is_asked_for_again),
        TEST(each_has_its_own_patience),   TEST(nobody_is_late),
        TEST(other_failures_are_for_all),  TEST(asking_again_finds_no_room),
        TEST(old_tokens_mean_nothing),     TEST(who_joined_late_gets_what_is_expired),
        TEST(tables_have_an_end),          TEST(each_client_has_an_end),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
