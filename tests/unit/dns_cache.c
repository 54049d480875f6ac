/* SPDX-License-Identifier: Apache-2.0 */
#include "dns/resolve/cache.h"

#include "tests/unit/dns_build.h"

#define BYTES 65536
#define NOW   1000000u

struct fixture {
    struct dns_cache *cache;
    struct dns_build b;
    uint8_t bytes[DNS_MESSAGE_BYTES];
    uint16_t ttls[DNS_RECORDS_MAX];
    struct dns_cache_hit hit;
};

static struct fixture f;

static int start(void **state)
{
    (void)state;
    f.cache = dns_cache_create(BYTES, 100);
    return f.cache ? 0 : -1;
}

static int stop(void **state)
{
    (void)state;
    dns_cache_free(f.cache);
    return 0;
}

static struct dns_question question_of(const char *name, unsigned type)
{
    struct dns_question question = {.type = (uint16_t)type, .class = DNS_CLASS_IN};
    assert_true(dns_name_from_text(name, &question.name));
    return question;
}

/* Stores f.b under its own question. */
static void insert_built(uint64_t now_ms)
{
    struct dns_answer answer;
    struct dns_stored stored;
    struct dns_question question;
    struct dns_cache_key key = {.question = &question};

    assert_int_equal(dns_answer_parse(f.b.bytes, f.b.length, 0, NULL, &answer), DNS_ANSWER_OK);
    assert_true(dns_name_read(f.b.bytes, f.b.length, 12, &question.name));
    question.type = load_be16(f.b.bytes + answer.records - 4);
    question.class = DNS_CLASS_IN;
    assert_true(dns_stored_make(&answer, f.bytes, f.ttls, DNS_RECORDS_MAX, &stored));
    dns_cache_insert(f.cache, &key, &answer, &stored, now_ms);
}

static void insert_a(const char *name, uint32_t ttl, uint64_t now_ms)
{
    start_message(&f.b, ANSWER_FLAGS, name, DNS_TYPE_A);
    put_a(&f.b, "<12>", ttl);
    insert_built(now_ms);
}

static enum dns_cache_result find(const char *name, unsigned type, uint64_t now_ms)
{
    struct dns_question question = question_of(name, type);
    struct dns_cache_key key = {.question = &question};
    return dns_cache_find(f.cache, &key, now_ms, &f.hit);
}

static enum dns_cache_result find_a(const char *name, uint64_t now_ms)
{
    return find(name, DNS_TYPE_A, now_ms);
}

static void finds_in_any_case(void **state)
{
    (void)state;
    struct dns_query query = {.id = 7, .udp_size = 512, .has_edns = true};
    struct dns_render how = {.limit = 512, .keepalive_100ms = DNS_NO_KEEPALIVE};
    struct dns_answer answer;
    uint8_t out[512];

    start_message(&f.b, ANSWER_FLAGS, "www.Example.com", DNS_TYPE_A);
    put_a(&f.b, "<12>", 300);
    put_opt_record(&f.b, 1232, 0, "\0\x0f\0\2\0\1", 6);
    insert_built(NOW);
    assert_int_equal(find_a("WWW.example.COM", NOW + 1999), DNS_CACHE_FRESH);
    assert_int_equal(f.hit.age_s, 1);
    query.question = question_of("WWW.example.COM", DNS_TYPE_A);
    how.age_s = f.hit.age_s;
    size_t length = dns_render_stored(&query, &f.hit.stored, &how, out);
    assert_int_equal(dns_answer_parse(out, length, 7, &query.question, &answer), DNS_ANSWER_OK);
    assert_int_equal(answer.ttl_s, 299);
    assert_int_equal(answer.opt_length, 17); /* with the EDE */
}

static void key_is_all_of_it(void **state)
{
    (void)state;
    struct dns_question question = question_of("a", DNS_TYPE_A);
    struct dns_cache_key key = {.question = &question, .dnssec_ok = true};

    insert_a("a", 300, NOW);
    assert_int_equal(find_a("a", NOW), DNS_CACHE_FRESH);
    assert_int_equal(find_a("b", NOW), DNS_CACHE_MISS);
    assert_int_equal(find_a("a.a", NOW), DNS_CACHE_MISS);
    assert_int_equal(find("a", DNS_TYPE_AAAA, NOW), DNS_CACHE_MISS);
    assert_int_equal(dns_cache_find(f.cache, &key, NOW, &f.hit), DNS_CACHE_MISS);
    key.dnssec_ok = false;
    key.checking_disabled = true;
    assert_int_equal(dns_cache_find(f.cache, &key, NOW, &f.hit), DNS_CACHE_MISS);
    key.checking_disabled = false;
    question.class = 3;
    assert_int_equal(dns_cache_find(f.cache, &key, NOW, &f.hit), DNS_CACHE_MISS);
}

static void time_goes_by(void **state)
{
    (void)state;
    insert_a("a", 10, NOW);
    assert_int_equal(find_a("a", NOW + 9999), DNS_CACHE_FRESH);
    assert_int_equal(f.hit.age_s, 9);
    assert_int_equal(find_a("a", NOW + 10000), DNS_CACHE_STALE);
    assert_int_equal(find_a("a", NOW + 109999), DNS_CACHE_STALE);
    assert_int_equal(dns_cache_stats(f.cache)->expired, 0);
    assert_int_equal(find_a("a", NOW + 110000), DNS_CACHE_MISS);
    assert_int_equal(dns_cache_stats(f.cache)->expired, 1);
    assert_int_equal(dns_cache_stats(f.cache)->entries, 0);
    assert_int_equal(dns_cache_stats(f.cache)->bytes_used, 0);
}

static void stale_answers_may_be_off(void **state)
{
    (void)state;
    dns_cache_free(f.cache);
    f.cache = dns_cache_create(BYTES, 0);
    insert_a("a", 10, NOW);
    assert_int_equal(find_a("a", NOW + 9999), DNS_CACHE_FRESH);
    assert_int_equal(find_a("a", NOW + 10000), DNS_CACHE_MISS);
}

static void keeps_only_what_may_be_kept(void **state)
{
    (void)state;
    insert_a("zero", 0, NOW);
    insert_a("top-bit", 0x80000005, NOW);
    start_message(&f.b, ANSWER_FLAGS | DNS_SERVFAIL, "fail", DNS_TYPE_A);
    insert_built(NOW);
    start_message(&f.b, ANSWER_FLAGS | DNS_FLAG_TC, "cut", DNS_TYPE_A);
    put_a(&f.b, "<12>", 300);
    insert_built(NOW);
    start_message(&f.b, ANSWER_FLAGS | DNS_NXDOMAIN, "no-soa", DNS_TYPE_A);
    insert_built(NOW);
    assert_int_equal(dns_cache_stats(f.cache)->inserted, 0);
    start_message(&f.b, ANSWER_FLAGS | DNS_NXDOMAIN, "none", DNS_TYPE_A);
    put_soa_record(&f.b, "<12>", 900, 20);
    insert_built(NOW);
    assert_int_equal(find_a("none", NOW + 19999), DNS_CACHE_FRESH);
    assert_int_equal(f.hit.stored.rcode, DNS_NXDOMAIN);
    assert_int_equal(find_a("none", NOW + 20000), DNS_CACHE_STALE);
}

/* A failure does not push out the stale answer that is to stand in for it. */
static void failure_leaves_the_stale_answer(void **state)
{
    (void)state;
    insert_a("a", 10, NOW);
    start_message(&f.b, ANSWER_FLAGS | DNS_SERVFAIL, "a", DNS_TYPE_A);
    insert_built(NOW + 20000);
    assert_int_equal(find_a("a", NOW + 20000), DNS_CACHE_STALE);
}

static void the_last_answer_counts(void **state)
{
    (void)state;
    insert_a("a", 10, NOW);
    uint64_t used = dns_cache_stats(f.cache)->bytes_used;
    insert_a("a", 500, NOW + 5000); /* same size: in the same place */
    assert_int_equal(dns_cache_stats(f.cache)->bytes_used, used);
    assert_int_equal(find_a("a", NOW + 100000), DNS_CACHE_FRESH);
    assert_int_equal(f.hit.age_s, 95);

    start_message(&f.b, ANSWER_FLAGS, "a", DNS_TYPE_A); /* larger */
    for (unsigned i = 0; i < 20; i++)
        put_a(&f.b, "<12>", 400);
    insert_built(NOW + 100000);
    assert_int_equal(find_a("a", NOW + 100000), DNS_CACHE_FRESH);
    assert_int_equal(f.hit.stored.ttl_count, 20);
    assert_int_equal(dns_cache_stats(f.cache)->entries, 1);
    assert_true(dns_cache_stats(f.cache)->bytes_used > used);
    assert_int_equal(dns_cache_stats(f.cache)->inserted, 3);
}

static void flush_forgets(void **state)
{
    (void)state;
    insert_a("a", 300, NOW);
    insert_a("b", 300, NOW);
    dns_cache_flush(f.cache);
    assert_int_equal(find_a("a", NOW), DNS_CACHE_MISS);
    assert_int_equal(dns_cache_stats(f.cache)->entries, 0);
    assert_int_equal(dns_cache_stats(f.cache)->bytes_used, 0);
    insert_a("b", 300, NOW);
    assert_int_equal(find_a("b", NOW), DNS_CACHE_FRESH);
}

static const char *numbered(unsigned i)
{
    static char name[32];
    snprintf(name, sizeof(name), "name-%u.example", i);
    return name;
}

/* Many more names than buckets and than fit: the newest stay, memory does not grow. */
static void bounded_by_its_bytes(void **state)
{
    (void)state;
    unsigned found = 0;

    for (unsigned i = 0; i < 20000; i++) {
        insert_a(numbered(i), 300, NOW);
        assert_true(dns_cache_stats(f.cache)->bytes_used <= BYTES);
    }
    for (unsigned i = 0; i < 20000; i++)
        found += find_a(numbered(i), NOW) == DNS_CACHE_FRESH;
    const struct dns_cache_stats *stats = dns_cache_stats(f.cache);
    assert_int_equal(stats->entries, found);
    assert_int_equal(stats->inserted, 20000);
    assert_int_equal(stats->evicted, 20000 - found);
    assert_in_range(found, 400, 800); /* 64 KB of about 110 bytes each */
    for (unsigned i = 20000 - found; i < 20000; i++)
        assert_int_equal(find_a(numbered(i), NOW), DNS_CACHE_FRESH);
}

/* What is asked for again and again outlives a flood of names that nobody asks twice. */
static void what_is_used_stays(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 50; i++)
        insert_a(numbered(i), 300, NOW);
    for (unsigned i = 50; i < 5000; i++) {
        for (unsigned j = 0; j < 50; j++)
            assert_int_equal(find_a(numbered(j), NOW), DNS_CACHE_FRESH);
        insert_a(numbered(i), 300, NOW);
    }
    assert_int_equal(dns_cache_stats(f.cache)->inserted, 5000);
}

/* When everything is in use there is still room for the next. */
static void all_in_use(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 3000; i++) {
        insert_a(numbered(i), 300, NOW);
        assert_int_equal(find_a(numbered(i), NOW), DNS_CACHE_FRESH);
    }
    assert_true(dns_cache_stats(f.cache)->evicted > 2000);
}

static void expired_ones_go_first_without_a_search(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 300; i++) {
        insert_a(numbered(i), 10, NOW);
        find_a(numbered(i), NOW); /* used, but that was long ago */
    }
    for (unsigned i = 300; i < 1200; i++)
        insert_a(numbered(i), 10, NOW + 200000);
    assert_int_equal(dns_cache_stats(f.cache)->expired, 300);
}

static void too_large_is_refused(void **state)
{
    (void)state;
    uint8_t data[250] = {249};

    start_message(&f.b, ANSWER_FLAGS, "a", 16);
    while (f.b.length < BYTES / 4)
        put_record(&f.b, DNS_ANCOUNT_AT, "<12>", 16, 300, data, sizeof(data));
    insert_built(NOW);
    assert_int_equal(dns_cache_stats(f.cache)->too_large, 1);
    assert_int_equal(find("a", 16, NOW), DNS_CACHE_MISS);
}

static void less_than_the_least(void **state)
{
    (void)state;
    assert_null(dns_cache_create(DNS_CACHE_BYTES_MIN - 1, 0));
    dns_cache_free(NULL);
}

#define CASE(test) cmocka_unit_test_setup_teardown(test, start, stop)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(finds_in_any_case),
        CASE(key_is_all_of_it),
        CASE(time_goes_by),
        CASE(stale_answers_may_be_off),
        CASE(keeps_only_what_may_be_kept),
        CASE(failure_leaves_the_stale_answer),
        CASE(the_last_answer_counts),
        CASE(flush_forgets),
        CASE(bounded_by_its_bytes),
        CASE(what_is_used_stays),
        CASE(all_in_use),
        CASE(expired_ones_go_first_without_a_search),
        CASE(too_large_is_refused),
        cmocka_unit_test(less_than_the_least),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
