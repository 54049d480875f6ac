/* SPDX-License-Identifier: Apache-2.0 */
/* Rates of lanes and of causeway-dns, and the percentiles of its latencies. */
#include "ctl/rates.h"

#include "ctl/answer.h"
#include "ctl/latency.h"
#include "tests/unit/support.h"

static struct json_object *before, *after;

/* Both answers, rates added. */
static void look(const char *first, const char *second)
{
    json_object_put(before);
    json_object_put(after);
    before = json_tokener_parse(first);
    after = json_tokener_parse(second);
    assert_non_null(before);
    assert_non_null(after);
    rates_add(before, after);
}

static int clean_up(void **state)
{
    (void)state;
    json_object_put(before);
    json_object_put(after);
    return 0;
}

static struct json_object *element(const char *list, size_t i)
{
    return json_object_array_get_idx(answer_member(after, list), i);
}

static struct json_object *rates(struct json_object *of)
{
    return answer_member(of, "rates");
}

static void test_lane(void **state)
{
    (void)state;
    look("{\"uptime_ms\":1000,\"lanes\":[{\"lane\":0,\"captured_packets\":10,\"sent_bytes\":0,"
         "\"sent_writes\":0,\"queue_dropped\":1,\"drops\":{\"a\":1}}]}",
         "{\"uptime_ms\":3000,\"lanes\":[{\"lane\":0,\"captured_packets\":30,\"sent_bytes\":900,"
         "\"sent_writes\":3,\"queue_dropped\":2,\"drops\":{\"a\":2,\"b\":2}}]}");
    struct json_object *lane = rates(element("lanes", 0));
    assert_int_equal(answer_number(lane, "out_packets"), 10);
    assert_int_equal(answer_number(lane, "writes"), 2); /* 1.5 */
    assert_int_equal(answer_number(lane, "bytes_per_write"), 300);
    assert_int_equal(answer_number(lane, "drops"), 2);
    assert_int_equal(answer_number(lane, "in_packets"), 0);
}

static void test_lanes_are_told_apart(void **state)
{
    (void)state;
    look("{\"uptime_ms\":0,\"enclaves\":[{\"name\":\"b\",\"lanes\":[{\"lane\":0,"
         "\"captured_packets\":100}]},{\"name\":\"a\",\"lanes\":[{\"lane\":0,"
         "\"captured_packets\":1}]}]}",
         "{\"uptime_ms\":1000,\"enclaves\":[{\"name\":\"a\",\"lanes\":[{\"lane\":0,"
         "\"captured_packets\":3},{\"lane\":1,\"captured_packets\":9}]}]}");
    struct json_object *lanes = answer_member(element("enclaves", 0), "lanes");
    assert_int_equal(answer_number(rates(json_object_array_get_idx(lanes, 0)), "out_packets"), 2);
    assert_null(rates(json_object_array_get_idx(lanes, 1))); /* new: nothing to compare with */
}

static void test_restarted_daemon(void **state)
{
    (void)state;
    look("{\"uptime_ms\":90000,\"lanes\":[{\"captured_packets\":1000,\"drops\":{\"a\":50}}]}",
         "{\"uptime_ms\":200,\"lanes\":[{\"captured_packets\":7,\"drops\":{\"a\":1}}]}");
    assert_int_equal(answer_number(rates(element("lanes", 0)), "out_packets"), 0);
    assert_int_equal(answer_number(rates(element("lanes", 0)), "drops"), 0);
}

static void test_dns(void **state)
{
    (void)state;
    look("{\"program\":\"causeway-dns\",\"uptime_ms\":0,\"counters\":{\"queries_udp\":10,"
         "\"hits\":5,\"asked\":5},\"drops\":{\"short\":1},\"upstreams\":[{\"upstream\":\"u\","
         "\"queries\":1,\"failures\":{\"timeout\":1}}]}",
         "{\"program\":\"causeway-dns\",\"uptime_ms\":2000,\"counters\":{\"queries_udp\":26,"
         "\"queries_tcp\":4,\"hits\":20,\"asked\":10},\"drops\":{\"short\":5},\"upstreams\":"
         "[{\"upstream\":\"new\"},{\"upstream\":\"u\",\"queries\":9,\"failures\":"
         "{\"timeout\":5}}]}");
    assert_int_equal(answer_number(rates(after), "queries"), 10);
    assert_int_equal(answer_number(rates(after), "drops"), 2);
    assert_int_equal(answer_number(rates(after), "hit_percent"), 75);
    assert_null(rates(element("upstreams", 0)));
    assert_int_equal(answer_number(rates(element("upstreams", 1)), "queries"), 4);
    assert_int_equal(answer_number(rates(element("upstreams", 1)), "failures"), 2);
}

/* No answer looked for, no percentage of them. */
static void test_idle_dns(void **state)
{
    (void)state;
    look("{\"program\":\"causeway-dns\",\"uptime_ms\":0}",
         "{\"program\":\"causeway-dns\",\"uptime_ms\":1000}");
    assert_int_equal(answer_number(rates(after), "queries"), 0);
    assert_null(answer_member(rates(after), "hit_percent"));
}

static void test_nonsense(void **state)
{
    (void)state;
    look("{\"program\":\"causeway-dns\",\"upstreams\":[1,null,{}],\"lanes\":[0,{}]}",
         "{\"program\":\"causeway-dns\",\"upstreams\":[1,null,[],\"\"],\"lanes\":[0,[]],"
         "\"counters\":7,\"uptime_ms\":1}");
    latency_add_percentiles(after);
    look("{\"lanes\":[{\"captured_bytes\":0}]}",
         "{\"uptime_ms\":1,\"lanes\":[{\"captured_bytes\":18446744073709551615}]}");
    assert_true(answer_number(rates(element("lanes", 0)), "out_bytes") == UINT64_MAX);
}

/* ---- percentiles ---- */

static struct json_object *upstream_of(const char *latency)
{
    char text[512];

    snprintf(text, sizeof(text), "{\"upstreams\":[{\"latency\":%s}]}", latency);
    json_object_put(after);
    after = json_tokener_parse(text);
    assert_non_null(after);
    latency_add_percentiles(after);
    return element("upstreams", 0);
}

static void test_percentiles(void **state)
{
    struct json_object *upstream =
        upstream_of("[{\"below_us\":250,\"answers\":50},{\"below_us\":500,\"answers\":40},"
                    "{\"below_us\":1000,\"answers\":9},{\"answers\":1}]");

    (void)state;
    assert_int_equal(answer_number(upstream, "p50_us"), 250);
    assert_int_equal(answer_number(upstream, "p90_us"), 500);
    assert_int_equal(answer_number(upstream, "p99_us"), 1000);
}

/* The last bucket has no upper bound: its lower one is named. */
static void test_open_bucket(void **state)
{
    struct json_object *upstream =
        upstream_of("[{\"below_us\":250,\"answers\":0},{\"answers\":3}]");

    (void)state;
    assert_int_equal(answer_number(upstream, "p50_us"), 250);
}

static void test_no_answers(void **state)
{
    (void)state;
    assert_null(answer_member(upstream_of("[{\"below_us\":250,\"answers\":0}]"), "p50_us"));
    assert_null(answer_member(upstream_of("[]"), "p50_us"));
    assert_null(answer_member(upstream_of("{}"), "p50_us"));
    latency_add_percentiles(NULL);
}

/* Of what came in between alone; a list that was shorter counts from zero. */
static void test_percentiles_between(void **state)
{
    struct json_object *old = json_tokener_parse("[{\"below_us\":250,\"answers\":100}]");
    struct json_object *new = json_tokener_parse("[{\"below_us\":250,\"answers\":100},"
                                                 "{\"below_us\":500,\"answers\":2}]");
    struct json_object *to = json_object_new_object();

    (void)state;
    latency_add(to, old, new);
    assert_int_equal(answer_number(to, "p50_us"), 500);
    json_object_put(old);
    json_object_put(new);
    json_object_put(to);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_lane),
        cmocka_unit_test(test_lanes_are_told_apart),
        cmocka_unit_test(test_restarted_daemon),
        cmocka_unit_test(test_dns),
        cmocka_unit_test(test_idle_dns),
        cmocka_unit_test(test_nonsense),
        cmocka_unit_test(test_percentiles),
        cmocka_unit_test(test_open_bucket),
        cmocka_unit_test(test_no_answers),
        cmocka_unit_test(test_percentiles_between),
    };
    return cmocka_run_group_tests(tests, NULL, clean_up);
}
