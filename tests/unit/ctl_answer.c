/* SPDX-License-Identifier: Apache-2.0 */
#include "ctl/answer.h"

#include "tests/unit/support.h"

static struct json_object *parse(const char *text)
{
    struct json_object *object = json_tokener_parse(text);

    assert_non_null(object);
    return object;
}

static void test_members(void **state)
{
    struct json_object *answer = parse("{\"text\":\"a\",\"number\":18446744073709551615,"
                                       "\"below\":-5,\"list\":[1,2],\"null\":null}");

    (void)state;
    assert_string_equal(answer_text(answer, "text"), "a");
    assert_true(answer_number(answer, "number") == UINT64_MAX);
    assert_int_equal(answer_list_length(answer_member(answer, "list")), 2);
    json_object_put(answer);
}

/* Absent, or of another kind. */
static void test_what_is_not_there(void **state)
{
    static const char *const answers[] = {
        "{}", "[]", "5", "\"text\"", "{\"member\":null}", "{\"member\":{}}", "{\"member\":-1}",
    };

    (void)state;
    for (size_t i = 0; i < sizeof(answers) / sizeof(answers[0]); i++) {
        struct json_object *answer = parse(answers[i]);
        assert_string_equal(answer_text(answer, "member"), "");
        assert_int_equal(answer_number(answer, "member"), 0);
        assert_int_equal(answer_list_length(answer_member(answer, "member")), 0);
        assert_int_equal(answer_sum(answer_member(answer, "absent")), 0);
        json_object_put(answer);
    }
    assert_string_equal(answer_text(NULL, "member"), "");
    assert_int_equal(answer_number(NULL, "member"), 0);
    assert_int_equal(answer_list_length(NULL), 0);
}

static void test_roles(void **state)
{
    static const struct {
        const char *answer, *role;
    } rows[] = {
        {"{\"program\":\"causeway-parent\"}", "parent"},
        {"{\"program\":\"causeway-enclave\"}", "enclave"},
        {"{\"program\":\"causeway-dns\"}", "dns"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct json_object *answer = parse(rows[i].answer);
        assert_string_equal(answer_role(answer), rows[i].role);
        json_object_put(answer);
    }
}

static void test_lanes_of_a_parent(void **state)
{
    struct answer_lane lanes[4];
    struct json_object *answer = parse(
        "{\"enclaves\":[{\"name\":\"web\",\"peer\":\"vsock:16\",\"lanes\":[{\"lane\":0},"
        "{\"lane\":1}]},{\"name\":\"expected\"},{\"name\":\"db\",\"lanes\":[{\"lane\":7}]}]}");

    (void)state;
    assert_int_equal(answer_lanes(answer, lanes, 4), 3);
    assert_string_equal(lanes[1].enclave, "web");
    assert_string_equal(lanes[1].peer, "vsock:16");
    assert_int_equal(answer_number(lanes[1].lane, "lane"), 1);
    assert_string_equal(lanes[2].enclave, "db");
    assert_string_equal(lanes[2].peer, "");
    assert_int_equal(answer_lanes(answer, lanes, 2), 2);
    json_object_put(answer);
}

static void test_lanes_of_an_enclave(void **state)
{
    struct answer_lane lanes[4];
    struct json_object *answer = parse("{\"peer\":\"vsock:3:5005\",\"lanes\":[{\"lane\":0}]}");

    (void)state;
    assert_int_equal(answer_lanes(answer, lanes, 4), 1);
    assert_string_equal(lanes[0].enclave, "vsock:3:5005");
    json_object_put(answer);
}

/* Others write rates into a lane: only an object can take them. */
static void test_a_lane_is_an_object(void **state)
{
    struct answer_lane lanes[4];
    struct json_object *answer = parse("{\"lanes\":[1,null,[],\"lane\",{}],\"enclaves\":[3,[]]}");

    (void)state;
    assert_int_equal(answer_lanes(answer, lanes, 4), 1);
    json_object_put(answer);
}

static void test_growth(void **state)
{
    struct json_object *before = parse("{\"a\":5,\"b\":5}"), *after = parse("{\"a\":9,\"b\":2}");

    (void)state;
    assert_int_equal(answer_grown(before, after, "a"), 4);
    assert_int_equal(answer_grown(before, after, "b"), 0); /* restarted */
    assert_int_equal(answer_grown(NULL, after, "a"), 9);
    json_object_put(before);
    json_object_put(after);
}

static void test_sum(void **state)
{
    struct json_object *reasons = parse("{\"a\":5,\"b\":0,\"c\":7,\"d\":null,\"e\":\"x\"}");

    (void)state;
    assert_int_equal(answer_sum(reasons), 12);
    json_object_put(reasons);
}

static void test_numbers_are_rounded_and_bounded(void **state)
{
    struct json_object *object = parse("{}");

    (void)state;
    answer_add_number(object, "half", 2.5);
    answer_add_number(object, "less", 2.4);
    answer_add_number(object, "huge", 1e300);
    assert_int_equal(answer_number(object, "half"), 3);
    assert_int_equal(answer_number(object, "less"), 2);
    assert_true(answer_number(object, "huge") == UINT64_MAX);
    json_object_put(object);
}

static void test_dns_sums(void **state)
{
    struct json_object *counters =
        parse("{\"queries_udp\":1,\"queries_tcp\":20,\"queries_link\":300,\"hits\":1000,"
              "\"stale\":2,\"joined\":3,\"asked\":50,\"refreshed\":10,\"local\":77}");

    (void)state;
    assert_int_equal(answer_dns_queries(counters), 321);
    assert_int_equal(answer_dns_looked_up(counters), 1045);
    json_object_put(counters);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_members),
        cmocka_unit_test(test_what_is_not_there),
        cmocka_unit_test(test_roles),
        cmocka_unit_test(test_lanes_of_a_parent),
        cmocka_unit_test(test_lanes_of_an_enclave),
        cmocka_unit_test(test_a_lane_is_an_object),
        cmocka_unit_test(test_growth),
        cmocka_unit_test(test_sum),
        cmocka_unit_test(test_numbers_are_rounded_and_bounded),
        cmocka_unit_test(test_dns_sums),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
