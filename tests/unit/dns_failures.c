/* SPDX-License-Identifier: Apache-2.0 */
#include "dns/resolve/failures.h"

#include "tests/unit/dns_build.h"
#include "tests/unit/support.h"

#define NOW_MS 1000000u

static struct failures *failures;

static int start(void **state)
{
    (void)state;
    failures = failures_create();
    return failures == NULL;
}

static int stop(void **state)
{
    (void)state;
    failures_free(failures);
    return 0;
}

static struct dns_question question_of(const char *name, uint16_t type)
{
    struct dns_question question = {.type = type, .class = DNS_CLASS_IN};

    assert_true(dns_name_from_text(name, &question.name));
    return question;
}

static void note(const char *name, uint16_t rcode, uint64_t now_ms)
{
    struct dns_question question = question_of(name, DNS_TYPE_A);
    struct dns_cache_key key = {.question = &question};

    failures_note(failures, &key, rcode, now_ms);
}

static bool finds_type(const char *name, uint16_t type, uint64_t now_ms)
{
    struct dns_question question = question_of(name, type);
    struct dns_cache_key key = {.question = &question};
    uint16_t rcode;

    return failures_find(failures, &key, now_ms, &rcode);
}

static bool finds(const char *name, uint64_t now_ms)
{
    return finds_type(name, DNS_TYPE_A, now_ms);
}

/* How long a failure that is noted now counts, in seconds; it must be whole ones. */
static unsigned noted_for_s(const char *name, uint64_t now_ms)
{
    unsigned seconds = 0;

    note(name, DNS_SERVFAIL, now_ms);
    while (finds(name, now_ms + 1000 * seconds))
        seconds++;
    assert_true(seconds > 0 && finds(name, now_ms + 1000 * seconds - 1));
    return seconds;
}

static void what_failed_is_found_with_its_code(void **state)
{
    struct dns_question question = question_of("a.example", DNS_TYPE_A);
    struct dns_cache_key key = {.question = &question};
    uint16_t rcode = 0;

    (void)state;
    assert_false(failures_find(failures, &key, NOW_MS, &rcode));
    note("A.Example", DNS_REFUSED, NOW_MS);
    assert_true(failures_find(failures, &key, NOW_MS, &rcode));
    assert_int_equal(rcode, DNS_REFUSED);
    note("a.example", DNS_SERVFAIL, NOW_MS);
    assert_true(failures_find(failures, &key, NOW_MS, &rcode));
    assert_int_equal(rcode, DNS_SERVFAIL);
}

/* RFC 9520 3.2: at least name, type and class. With CD or DO an upstream may well answer. */
static void key_is_all_of_it(void **state)
{
    struct dns_question question = question_of("a.example", DNS_TYPE_A);
    struct dns_cache_key dnssec = {.question = &question, .dnssec_ok = true};
    struct dns_cache_key unchecked = {.question = &question, .checking_disabled = true};
    uint16_t rcode;

    (void)state;
    note("a.example", DNS_SERVFAIL, NOW_MS);
    assert_true(finds("a.example", NOW_MS));
    assert_false(finds("b.example", NOW_MS));
    assert_false(finds("example", NOW_MS));
    assert_false(finds_type("a.example", DNS_TYPE_AAAA, NOW_MS));
    assert_false(failures_find(failures, &dnssec, NOW_MS, &rcode));
    assert_false(failures_find(failures, &unchecked, NOW_MS, &rcode));
    question.class = 3;
    dnssec.dnssec_ok = false;
    assert_false(failures_find(failures, &dnssec, NOW_MS, &rcode));
}

static void twice_as_long_each_time_it_fails_anew(void **state)
{
    uint64_t now_ms = NOW_MS;

    (void)state;
    for (unsigned expected = FAILURES_FIRST_S; expected < FAILURES_MOST_S; expected *= 2) {
        assert_int_equal(noted_for_s("a.example", now_ms), expected);
        now_ms += 1000 * expected;
    }
    for (int i = 0; i < 100; i++) {
        assert_int_equal(noted_for_s("a.example", now_ms), FAILURES_MOST_S);
        now_ms += 1000 * FAILURES_MOST_S;
    }
}

/* It is the same fault as long as it is asked about again within the period that would be next. */
static void a_failure_of_long_ago_is_a_new_one(void **state)
{
    const uint64_t next_ms = 1000 * (FAILURES_FIRST_S + 2 * FAILURES_FIRST_S);

    (void)state;
    note("a.example", DNS_SERVFAIL, NOW_MS);
    assert_int_equal(noted_for_s("a.example", NOW_MS + next_ms), FAILURES_FIRST_S);
    note("b.example", DNS_SERVFAIL, NOW_MS);
    assert_int_equal(noted_for_s("b.example", NOW_MS + next_ms - 1), 2 * FAILURES_FIRST_S);
}

static void an_answer_ends_it(void **state)
{
    struct dns_question question = question_of("a.example", DNS_TYPE_A);
    struct dns_question other = question_of("b.example", DNS_TYPE_A);
    struct dns_cache_key key = {.question = &question}, other_key = {.question = &other};

    (void)state;
    note("a.example", DNS_SERVFAIL, NOW_MS);
    failures_forget(failures, &other_key);
    assert_true(finds("a.example", NOW_MS));
    failures_forget(failures, &key);
    assert_false(finds("a.example", NOW_MS));
    assert_int_equal(noted_for_s("a.example", NOW_MS), FAILURES_FIRST_S);
}

/* Whatever is asked, the table keeps its size and the last failure is in it. */
static void more_than_fit(void **state)
{
    char name[32];
    unsigned left = 0;

    (void)state;
    for (unsigned i = 0; i < 5000; i++) {
        snprintf(name, sizeof(name), "n%u.example", i);
        note(name, DNS_SERVFAIL, NOW_MS);
        assert_true(finds(name, NOW_MS));
    }
    for (unsigned i = 0; i < 5000; i++) {
        snprintf(name, sizeof(name), "n%u.example", i);
        left += finds(name, NOW_MS);
    }
    assert_in_range(left, 500, 1024); /* its places are used, and it did not grow */
    failures_flush(failures);
    assert_false(finds(name, NOW_MS));
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, start, stop)
    const struct CMUnitTest tests[] = {
        TEST(what_failed_is_found_with_its_code),
        TEST(key_is_all_of_it),
        TEST(twice_as_long_each_time_it_fails_anew),
        TEST(a_failure_of_long_ago_is_a_new_one),
        TEST(an_answer_ends_it),
        TEST(more_than_fit),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
