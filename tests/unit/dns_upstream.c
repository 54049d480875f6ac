/* SPDX-License-Identifier: Apache-2.0 */

#include "tests/unit/dns_upstream_world.h"

static struct fake one, two;

static void ask_many(uint64_t first, unsigned count)
{
    char name[32];

    for (unsigned i = 0; i < count; i++) {
        snprintf(name, sizeof(name), "n%u.example", i);
        world_ask(first + i, name, 0);
    }
}

static void assert_many_answered(uint64_t first, unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        assert_answered(first + i);
}

/* ---- one server ---- */

static void test_asks_and_gets_an_answer(void **state)
{
    (void)state;
    fake_open(&one, ANSWERS);
    world_create(one.address, NULL);
    world_ask(1, "ExAmPle.com", 0);
    WORLD_UNTIL(world.done == 1);
    assert_answered(1);
    assert_int_equal(world.results[1].address_last, (uint8_t)one.port);
    assert_true(one.saw_keepalive);
    assert_int_equal(world_stats(0)->queries, 1);
    assert_int_equal(world_stats(0)->answers, 1);
    assert_int_equal(world_stats(0)->connects, 1);
    assert_true(world_stats(0)->healthy);
    assert_true(world_stats(0)->bytes_sent > 0 && world_stats(0)->bytes_received > 0);
    uint64_t latencies = 0;
    for (unsigned i = 0; i < UPSTREAM_LATENCY_BUCKETS; i++)
        latencies += world_stats(0)->latency[i];
    assert_int_equal(latencies, 1);
    assert_string_equal(world_stats(0)->text, one.address);
    fake_close(&one);
}

static void test_speaks_over_a_unix_socket(void **state)
{
    (void)state;
    fake_open_unix(&one, ANSWERS, support_path("upstream.sock"));
    world_create(one.address, NULL);
    ask_many(0, 3);
    WORLD_UNTIL(world.done == 3);
    assert_many_answered(0, 3);
    fake_close(&one);
}

static void test_one_connection_carries_them_all_in_any_order(void **state)
{
    (void)state;
    fake_open(&one, HOLDS);
    world_create(one.address, NULL);
    ask_many(0, 400); /* more than fit stream.out at once */
    WORLD_UNTIL(one.held_count == 400);
    for (unsigned i = 400; i-- > 0;)
        fake_release(&one, i);
    WORLD_UNTIL(world.done == 400);
    assert_many_answered(0, 400);
    assert_int_equal(one.accepted, 1);
    assert_int_equal(world_stats(0)->connects, 1);
    fake_close(&one);
}

static void test_ids_are_random_and_not_shared(void **state)
{
    static bool seen[65536];
    unsigned steps = 0;

    (void)state;
    fake_open(&one, HOLDS);
    world_create(one.address, NULL);
    ask_many(0, 500);
    WORLD_UNTIL(one.held_count == 500);
    for (unsigned i = 0; i < 500; i++) {
        assert_false(seen[one.ids[i]]);
        seen[one.ids[i]] = true;
        if (i > 0 && (uint16_t)(one.ids[i] - one.ids[i - 1]) == 1)
            steps++;
    }
    assert_true(steps < 10);
    fake_close(&one);
}

static void test_environment_changes_nothing(void **state)
{
    (void)state;
    setenv("RES_OPTIONS", "retrans:1 retry:1 rotate ndots:7", 1);
    setenv("LOCALDOMAIN", "bad.example", 1);
    setenv("HOSTALIASES", "/nonexistent", 1);
    fake_open(&one, HOLDS);
    world_create(one.address, NULL);
    world_ask(1, "a", 0);
    WORLD_UNTIL(one.held_count == 1);
    /* Resolver libraries heed these; a patience of one millisecond would be over by now. */
    for (unsigned i = 0; i < 20; i++)
        world_turn();
    fake_release(&one, 0);
    WORLD_UNTIL(world.done == 1);
    assert_answered(1);
    assert_int_equal(one.queries, 1);
    fake_close(&one);
    unsetenv("RES_OPTIONS");
    unsetenv("LOCALDOMAIN");
    unsetenv("HOSTALIASES");
}

/* ---- lost connections ---- */

static void test_idle_connection_that_was_closed_is_no_failure(void **state)
{
    (void)state;
    fake_open(&one, ANSWERS);
    world_create(one.address, NULL);
    world_ask(1, "a.example", 0);
    WORLD_UNTIL(world.done == 1);
    fake_hang_up(&one);
    world_ask(2, "b.example", 0); /* before we could see it */
    WORLD_UNTIL(world.done == 2);
    assert_answered(2);
    assert_int_equal(one.accepted, 2);
    assert_true(world_stats(0)->healthy);
    assert_int_equal(world_stats(0)->failures[UPSTREAM_CONNECT], 0);
    fake_close(&one);
}

static void test_reset_on_the_first_reuse_loses_nothing(void **state)
{
    (void)state;
    fake_open(&one, ANSWERS);
    world_create(one.address, NULL);
    world_ask(0, "first.example", 0);
    WORLD_UNTIL(world.done == 1);
    one.manner = RESETS;
    ask_many(1, 20);
    WORLD_UNTIL(one.queries >= 2);
    one.manner = ANSWERS;
    WORLD_UNTIL(world.done == 21);
    assert_many_answered(1, 20);
    assert_true(world_stats(0)->reconnect_asks >= 1);
    fake_close(&one);
}

static void test_server_that_closes_after_each_answer(void **state)
{
    (void)state;
    fake_open(&one, ANSWERS_AND_CLOSES);
    world_create(one.address, NULL);
    ask_many(0, 60);
    WORLD_UNTIL(world.done == 60);
    assert_many_answered(0, 60);
    assert_int_equal(one.answered, 60);
    /* After the first loss they are asked one at a time: no more than twice as many queries. */
    assert_true(one.queries <= 120);
    assert_true(world_stats(0)->healthy);
    fake_close(&one);
}

static void test_window_opens_again(void **state)
{
    (void)state;
    fake_open(&one, ANSWERS_AND_CLOSES);
    world_create(one.address, NULL);
    ask_many(0, 10);
    WORLD_UNTIL(world.done == 10);
    one.manner = ANSWERS;
    ask_many(10, 50);
    WORLD_UNTIL(world.done == 60);
    one.manner = HOLDS;
    ask_many(60, 20);
    WORLD_UNTIL(one.held_count == 20);
    fake_close(&one);
}

static void test_server_that_never_answers_is_not_stormed(void **state)
{
    (void)state;
    fake_open(&one, CLOSES);
    world_create(one.address, NULL);
    ask_many(0, 100);
    WORLD_UNTIL(world.done == 100);
    for (unsigned i = 0; i < 100; i++)
        assert_failed(i, UPSTREAM_CONNECT);
    assert_true(one.accepted < 20);
    assert_false(world_stats(0)->healthy);
    fake_close(&one);
}

static void test_restarting_server_loses_nothing(void **state)
{
    (void)state;
    fake_open(&one, HOLDS);
    world_create(one.address, NULL);
    ask_many(0, 10);
    WORLD_UNTIL(one.held_count == 10);
    fake_release(&one, 0);
    WORLD_UNTIL(world.done == 1);
    fake_close(&one);
    world_turn(); /* notices, tries, is refused: back-off */
    world_turn();
    one.manner = ANSWERS;
    fake_reopen(&one);
    WORLD_UNTIL(world.done == 10);
    assert_many_answered(0, 10);
    fake_close(&one);
}

static void test_own_idle_close(void **state)
{
    (void)state;
    world.config.idle_ms = 20;
    fake_open(&one, ANSWERS);
    world_create(one.address, NULL);
    world_ask(1, "a.example", 0);
    WORLD_UNTIL(world.done == 1);
    WORLD_UNTIL(one.open == 0);
    world_ask(2, "b.example", 0);
    WORLD_UNTIL(world.done == 2);
    assert_answered(2);
    assert_int_equal(one.accepted, 2);
    assert_true(world_stats(0)->healthy);
    fake_close(&one);
}

static void test_servers_keepalive_is_heeded(void **state)
{
    (void)state;
    fake_open(&one, ANSWERS);
    one.answers_keepalive = true;
    one.keepalive_100ms = 0; /* RFC 7828 3.2.2: close when the answers are in */
    world_create(one.address, NULL);
    ask_many(0, 5);
    WORLD_UNTIL(world.done == 5);
    assert_many_answered(0, 5);
    WORLD_UNTIL(one.open == 0);
    fake_close(&one);
}

/* ---- wrong answers ---- */

static void wrong_then_right(enum manner manner, enum dns_answer_error error)
{
    fake_open(&one, manner);
    one.then_right = true;
    world_create(one.address, NULL);
    world_ask(1, "example.com", 0);
    WORLD_UNTIL(world.done == 1);
    assert_answered(1);
    assert_int_equal(world_stats(0)->mismatches[error], 1);
    assert_int_equal(one.accepted, 1);
    fake_close(&one);
}

static void test_wrong_id(void **state)
{
    (void)state;
    wrong_then_right(WRONG_ID, DNS_ANSWER_ID);
}

static void test_wrong_name(void **state)
{
    (void)state;
    wrong_then_right(WRONG_NAME, DNS_ANSWER_QUESTION);
}

/* Over a stream of our own the case guards against nobody. */
static void test_other_case_is_believed(void **state)
{
    (void)state;
    fake_open(&one, WRONG_CASE);
    world_create(one.address, NULL);
    world_ask(1, "example.com", 0);
    WORLD_UNTIL(world.done == 1);
    assert_int_equal(world.results[1].failure, UPSTREAM_ANSWERED);
    assert_int_equal(world_stats(0)->failures[UPSTREAM_MISMATCH], 0);
    fake_close(&one);
}

static void test_short_message(void **state)
{
    (void)state;
    wrong_then_right(SHORT, DNS_ANSWER_SHORT);
}

static void test_empty_message(void **state)
{
    (void)state;
    wrong_then_right(EMPTY, DNS_ANSWER_SHORT);
}

static void test_junk(void **state)
{
    (void)state;
    wrong_then_right(JUNK, DNS_ANSWER_FORMAT);
}

static void test_only_wrong_answers_say_so(void **state)
{
    (void)state;
    fake_open(&one, WRONG_NAME);
    world_create(one.address, NULL);
    world_ask(1, "example.com", 50);
    WORLD_UNTIL(world.done == 1);
    assert_failed(1, UPSTREAM_MISMATCH);
    fake_close(&one);
}

/* ---- several ---- */

static void test_preference_and_failover_when_refused(void **state)
{
    (void)state;
    fake_open(&one, ANSWERS);
    fake_open(&two, ANSWERS);
    world_create(one.address, two.address, NULL);
    world_ask(1, "a.example", 0);
    WORLD_UNTIL(world.done == 1);
    assert_int_equal(world.results[1].address_last, (uint8_t)one.port);
    fake_close(&one);
    world_ask(2, "b.example", 0);
    WORLD_UNTIL(world.done == 2);
    assert_answered(2);
    assert_int_equal(world.results[2].address_last, (uint8_t)two.port);
    fake_close(&two);
}

static void test_silent_one_is_passed_over_and_its_late_answer_counted(void **state)
{
    (void)state;
    world_stop_clock();
    world.config.attempt_ms = 50;
    fake_open(&one, HOLDS);
    fake_open(&two, ANSWERS);
    world_create(one.address, two.address, NULL);
    world_ask(1, "a.example", 0);
    WORLD_UNTIL(one.held_count == 1);
    assert_int_equal(two.queries, 0);
    world_pass(50);
    WORLD_UNTIL(world.done == 1);
    assert_int_equal(world.results[1].address_last, (uint8_t)two.port);
    assert_false(world_stats(0)->healthy);
    assert_int_equal(world_stats(0)->failures[UPSTREAM_TIMEOUT], 1);
    fake_release(&one, 0);
    WORLD_UNTIL(world_stats(0)->late_answers == 1);
    assert_true(world_stats(0)->healthy);
    assert_int_equal(world.results[1].calls, 1);
    fake_close(&one);
    fake_close(&two);
}

static void test_slow_one_may_still_answer_first(void **state)
{
    (void)state;
    world_stop_clock();
    world.config.attempt_ms = 50;
    fake_open(&one, HOLDS);
    fake_open(&two, HOLDS);
    world_create(one.address, two.address, NULL);
    world_ask(1, "a.example", 0);
    WORLD_UNTIL(one.held_count == 1);
    world_pass(50);
    WORLD_UNTIL(two.held_count == 1);
    fake_release(&one, 0);
    WORLD_UNTIL(world.done == 1);
    assert_int_equal(world.results[1].address_last, (uint8_t)one.port);
    fake_close(&one);
    fake_close(&two);
}

static void test_returns_to_the_preferred_one(void **state)
{
    unsigned token = 2;

    (void)state;
    fake_open(&one, ANSWERS);
    fake_stop_listening(&one);
    fake_open(&two, ANSWERS);
    world_create(one.address, two.address, NULL);
    world_ask(1, "a.example", 0);
    WORLD_UNTIL(world.done == 1);
    assert_int_equal(world.results[1].address_last, (uint8_t)two.port);
    assert_false(world_stats(0)->healthy);
    fake_reopen(&one);
    /* Only questions look for it: it comes back with one of them. */
    WAIT_DOING(world_stats(0)->healthy)
    {
        if (world.done == token - 1 && token < 1000)
            world_ask(token++, "more.example", 0);
        world_turn();
    }
    WORLD_UNTIL(world.done == token - 1);
    world_ask(1001, "back.example", 0);
    WORLD_UNTIL(world.results[1001].calls == 1);
    assert_int_equal(world.results[1001].address_last, (uint8_t)one.port);
    fake_close(&one);
    fake_close(&two);
}

static void test_servfail_is_asked_elsewhere(void **state)
{
    static const uint8_t rcodes[] = {DNS_SERVFAIL, DNS_REFUSED, DNS_NOTIMP, DNS_FORMERR};

    (void)state;
    fake_open(&one, REFUSES);
    fake_open(&two, ANSWERS);
    world_create(one.address, two.address, NULL);
    for (unsigned i = 0; i < sizeof(rcodes); i++) {
        one.rcode = rcodes[i];
        world_ask(i, "a.example", 0);
        WORLD_UNTIL(world.done == i + 1);
        assert_answered(i);
    }
    assert_true(world_stats(0)->healthy);
    fake_close(&one);
    fake_close(&two);
}

static void test_nxdomain_is_an_answer(void **state)
{
    (void)state;
    fake_open(&one, REFUSES);
    one.rcode = DNS_NXDOMAIN;
    fake_open(&two, ANSWERS);
    world_create(one.address, two.address, NULL);
    world_ask(1, "a.example", 0);
    WORLD_UNTIL(world.done == 1);
    assert_int_equal(world.results[1].rcode, DNS_NXDOMAIN);
    assert_int_equal(two.queries, 0);
    fake_close(&one);
    fake_close(&two);
}

static void test_servfail_of_all_is_passed_on(void **state)
{
    (void)state;
    fake_open(&one, REFUSES);
    fake_open(&two, REFUSES);
    one.rcode = two.rcode = DNS_SERVFAIL;
    world_create(one.address, two.address, NULL);
    world_ask(1, "a.example", 0);
    WORLD_UNTIL(world.done == 1);
    assert_int_equal(world.results[1].failure, UPSTREAM_ANSWERED);
    assert_int_equal(world.results[1].rcode, DNS_SERVFAIL);
    fake_close(&one);
    fake_close(&two);
}

/* The other one does not work at all: the SERVFAIL is better than nothing. */
static void test_servfail_is_kept_for_the_end(void **state)
{
    (void)state;
    fake_open(&one, REFUSES);
    one.rcode = DNS_REFUSED;
    fake_open(&two, ANSWERS);
    fake_close(&two);
    world_create(one.address, two.address, NULL);
    world_ask(1, "a.example", 0);
    WORLD_UNTIL(world.done == 1);
    assert_int_equal(world.results[1].failure, UPSTREAM_ANSWERED);
    assert_int_equal(world.results[1].rcode, DNS_REFUSED);
    fake_close(&one);
}

/* ---- failing ---- */

static void test_no_upstream(void **state)
{
    (void)state;
    world_create(NULL);
    world_ask(1, "a.example", 0);
    WORLD_UNTIL(world.done == 1);
    assert_failed(1, UPSTREAM_NONE);
}

static void test_known_dead_fails_without_a_packet(void **state)
{
    (void)state;
    fake_open(&one, ANSWERS);
    fake_close(&one);
    world_create(one.address, NULL);
    world_ask(1, "a.example", 0);
    WORLD_UNTIL(world.done == 1);
    assert_failed(1, UPSTREAM_CONNECT);
    assert_true(world_stats(0)->failures[UPSTREAM_CONNECT] >= 3);
    assert_int_equal(world_stats(0)->connects, 0);
}

static void test_deadline(void **state)
{
    (void)state;
    fake_open(&one, HOLDS);
    world_create(one.address, NULL);
    /* The connection stands before the clock runs: the questions surely reach the server. */
    world_ask(0, "first.example", 0);
    WORLD_UNTIL(one.held_count == 1);
    fake_release(&one, 0);
    WORLD_UNTIL(world.done == 1);
    world_ask(2, "later.example", 40);
    world_ask(1, "sooner.example", 20);
    WORLD_UNTIL(world.done == 3 && one.held_count == 3);
    assert_failed(1, UPSTREAM_TIMEOUT);
    assert_failed(2, UPSTREAM_TIMEOUT);
    fake_release(&one, 1);
    fake_release(&one, 2);
    WORLD_UNTIL(world_stats(0)->late_answers == 2);
    fake_close(&one);
}

static void test_full_table_refuses(void **state)
{
    struct dns_query query = {.question = {.type = DNS_TYPE_A, .class = DNS_CLASS_IN}};

    (void)state;
    world.config.in_flight_max = 4;
    fake_open(&one, HOLDS);
    world_create(one.address, NULL);
    ask_many(0, 4);
    dns_name_from_text("one.too.many", &query.question.name);
    assert_false(upstreams_ask(world.upstreams, 5, &query, 0, UINT64_MAX));
    WORLD_UNTIL(one.held_count == 4);
    fake_release(&one, 2);
    WORLD_UNTIL(world.done == 1);
    world_ask(5, "now.it.fits", 0);
    WORLD_UNTIL(one.held_count == 5);
    for (unsigned i = 0; i < 5; i++)
        if (i != 2)
            fake_release(&one, i);
    WORLD_UNTIL(world.done == 5);
    fake_close(&one);
}

/* Orphans keep their place until somebody needs it: the table of a silent upstream never fills. */
static void test_orphans_are_bounded(void **state)
{
    (void)state;
    world.config.in_flight_max = 8;
    fake_open(&one, HOLDS);
    world_create(one.address, NULL);
    for (unsigned i = 0; i < 20; i++) {
        world_ask(i, "a.example", 10);
        WORLD_UNTIL(world.done == i + 1);
        assert_int_equal(world.results[i].calls, 1);
        assert_int_not_equal(world.results[i].failure, UPSTREAM_ANSWERED);
    }
    assert_int_equal(world_stats(0)->queries, 20);
    assert_int_equal(world_stats(0)->failures[UPSTREAM_FULL], 0);
    one.manner = ANSWERS;
    world_ask(20, "b.example", 0);
    WORLD_UNTIL(world.done == 21);
    assert_answered(20);
    fake_close(&one);
}

static void ask_once_more(struct world *w, uint64_t token)
{
    w->on_done = NULL;
    world_ask(token + 1, "again.example", 0);
}

static void test_done_may_ask(void **state)
{
    (void)state;
    fake_open(&one, ANSWERS);
    world_create(one.address, NULL);
    world.on_done = ask_once_more;
    world_ask(1, "a.example", 0);
    WORLD_UNTIL(world.done == 2);
    assert_answered(2);
    fake_close(&one);
}

/* ---- replacing ---- */

static void test_replaced_while_asking(void **state)
{
    struct upstream_spec specs[UPSTREAMS_MAX];
    unsigned count;

    (void)state;
    fake_open(&one, HOLDS);
    fake_open(&two, ANSWERS);
    world_create(one.address, NULL);
    ask_many(0, 10);
    WORLD_UNTIL(one.held_count == 10);
    world_specs(specs, &count, two.address, NULL);
    upstreams_replace(world.upstreams, specs, count);
    WORLD_UNTIL(world.done == 10);
    assert_many_answered(0, 10);
    WORLD_UNTIL(one.open == 0);
    assert_int_equal(upstreams_count(world.upstreams), 1);
    assert_string_equal(world_stats(0)->text, two.address);
    fake_close(&one);
    fake_close(&two);
}

static void test_replacing_keeps_what_stays(void **state)
{
    struct upstream_spec specs[UPSTREAMS_MAX];
    unsigned count;

    (void)state;
    fake_open(&one, HOLDS);
    fake_open(&two, ANSWERS);
    world_create(one.address, NULL);
    ask_many(0, 1);
    WORLD_UNTIL(one.held_count == 1);
    world_specs(specs, &count, two.address, one.address, NULL);
    upstreams_replace(world.upstreams, specs, count);
    fake_release(&one, 0);
    WORLD_UNTIL(world.done == 1);
    assert_answered(0);
    assert_int_equal(world.results[0].address_last, (uint8_t)one.port);
    assert_int_equal(one.accepted, 1);
    assert_int_equal(world_stats(1)->queries, 1);
    upstreams_replace(world.upstreams, specs, 0);
    ask_many(1, 1);
    WORLD_UNTIL(world.done == 2);
    assert_failed(1, UPSTREAM_NONE);
    fake_close(&one);
    fake_close(&two);
}

/* ---- resources ---- */

static void test_no_descriptor_is_left(void **state)
{
    unsigned before;

    (void)state;
    before = support_open_fds();
    fake_open(&one, ANSWERS_AND_CLOSES);
    world_create(one.address, NULL);
    ask_many(0, 30);
    WORLD_UNTIL(world.done == 30);
    one.manner = RESETS;
    ask_many(30, 30);
    WORLD_UNTIL(world.done == 60);
    upstreams_free(world.upstreams);
    world.upstreams = NULL;
    fake_close(&one);
    assert_int_equal(support_open_fds(), before);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, world_setup, world_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_asks_and_gets_an_answer),
        TEST(test_speaks_over_a_unix_socket),
        TEST(test_one_connection_carries_them_all_in_any_order),
        TEST(test_ids_are_random_and_not_shared),
        TEST(test_environment_changes_nothing),
        TEST(test_idle_connection_that_was_closed_is_no_failure),
        TEST(test_reset_on_the_first_reuse_loses_nothing),
        TEST(test_server_that_closes_after_each_answer),
        TEST(test_window_opens_again),
        TEST(test_server_that_never_answers_is_not_stormed),
        TEST(test_restarting_server_loses_nothing),
        TEST(test_own_idle_close),
        TEST(test_servers_keepalive_is_heeded),
        TEST(test_wrong_id),
        TEST(test_wrong_name),
        TEST(test_other_case_is_believed),
        TEST(test_short_message),
        TEST(test_empty_message),
        TEST(test_junk),
        TEST(test_only_wrong_answers_say_so),
        TEST(test_preference_and_failover_when_refused),
        TEST(test_silent_one_is_passed_over_and_its_late_answer_counted),
        TEST(test_slow_one_may_still_answer_first),
        TEST(test_returns_to_the_preferred_one),
        TEST(test_servfail_is_asked_elsewhere),
        TEST(test_nxdomain_is_an_answer),
        TEST(test_servfail_of_all_is_passed_on),
        TEST(test_servfail_is_kept_for_the_end),
        TEST(test_no_upstream),
        TEST(test_known_dead_fails_without_a_packet),
        TEST(test_deadline),
        TEST(test_full_table_refuses),
        TEST(test_orphans_are_bounded),
        TEST(test_done_may_ask),
        TEST(test_replaced_while_asking),
        TEST(test_replacing_keeps_what_stays),
        TEST(test_no_descriptor_is_left),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
