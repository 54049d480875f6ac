/* SPDX-License-Identifier: Apache-2.0 */
/* The metrics of answers, as Prometheus reads them. */
#include "ctl/metrics.h"

#include "tests/unit/support.h"

static char *text;

/* The page of these answers; NULL: that daemon does not answer. */
static const char *page(unsigned count, const char *const answers[])
{
    static const char *const paths[] = {"/run/a.sock", "@b", "/run/c.sock"};
    struct scrape scrape = {.count = count};
    size_t length;

    free(text);
    scrape.out = open_memstream(&text, &length);
    assert_non_null(scrape.out);
    for (unsigned i = 0; i < count; i++) {
        scrape.paths[i] = paths[i];
        scrape.answers[i] = answers[i] != NULL ? json_tokener_parse(answers[i]) : NULL;
        assert_true((scrape.answers[i] != NULL) == (answers[i] != NULL));
    }
    metrics_print(&scrape);
    for (unsigned i = 0; i < count; i++)
        json_object_put(scrape.answers[i]);
    fclose(scrape.out);
    return text;
}

static const char *page_of(const char *answer)
{
    return page(1, &answer);
}

static int clean_up(void **state)
{
    (void)state;
    free(text);
    return 0;
}

static unsigned lines_with(const char *part)
{
    unsigned count = 0;

    for (const char *at = text; (at = strstr(at, part)) != NULL; at++)
        count++;
    return count;
}

static const char parent[] =
    "{\"program\":\"causeway-parent\",\"version\":\"1.2\",\"uptime_ms\":1500,"
    "\"handshakes\":{\"accepted\":3,\"refused_peers\":4},\"control\":{\"clients\":1},"
    "\"enclaves\":[{\"name\":\"web\",\"peer\":\"vsock:16\",\"lanes\":[{\"lane\":1,"
    "\"state\":\"running\",\"captured_packets\":18446744073709551615,\"rtt_us\":1234,"
    "\"queue_packets\":5,\"drops\":{\"policy_source\":6}}]}]}";

static void test_a_parent(void **state)
{
    (void)state;
    page_of(parent);
    assert_contains(text, "\ncauseway_build_info{daemon=\"parent\",version=\"1.2\"} 1\n");
    assert_contains(text, "\ncauseway_uptime_seconds{daemon=\"parent\"} 1.500000\n");
    assert_contains(text, "\ncauseway_handshakes_refused_total{daemon=\"parent\"} 4\n");
    assert_contains(text, "\ncauseway_captured_packets_total{daemon=\"parent\",enclave=\"web\","
                          "peer=\"vsock:16\",lane=\"1\"} 18446744073709551615\n");
    assert_contains(text, "lane=\"1\"} 0.001234\n"); /* seconds */
    assert_contains(text, "\ncauseway_dropped_packets_total{daemon=\"parent\",enclave=\"web\","
                          "peer=\"vsock:16\",lane=\"1\",reason=\"policy_source\"} 6\n");
    assert_contains(text, "\ncauseway_lane_up{daemon=\"parent\",enclave=\"web\","
                          "peer=\"vsock:16\",lane=\"1\"} 1\n");
}

static void test_types(void **state)
{
    (void)state;
    page_of(parent);
    assert_contains(text, "# TYPE causeway_captured_packets_total counter\n");
    assert_contains(text, "# TYPE causeway_queue_packets gauge\n");
    assert_contains(text, "# TYPE causeway_round_trip_seconds gauge\n");
    assert_contains(text, "# HELP causeway_pings_sent_total Pings sent\n");
}

static void test_an_enclave_has_no_enclave_label(void **state)
{
    (void)state;
    page_of("{\"program\":\"causeway-enclave\",\"peer\":\"vsock:3:5005\",\"lanes\":"
            "[{\"lane\":0,\"state\":\"closed\"}]}");
    assert_contains(text, "\ncauseway_lane_up{daemon=\"enclave\",enclave=\"\","
                          "peer=\"vsock:3:5005\",lane=\"0\"} 0\n");
}

static void test_dns(void **state)
{
    (void)state;
    page_of("{\"program\":\"causeway-dns\",\"counters\":{\"queries_tcp\":7,\"hits\":8},"
            "\"limits\":{\"client_limit\":9},\"waiting\":{\"now\":1,\"most\":2},"
            "\"cache\":{\"bytes_most\":3},\"upstreams\":[{\"upstream\":\"tls://1.1.1.1#x\","
            "\"healthy\":true,\"failures\":{\"timeout\":4},\"latency_sum_us\":2500000,"
            "\"latency\":[{\"below_us\":250,\"answers\":5},{\"answers\":6}]}]}");
    assert_contains(text, "\ncauseway_dns_questions_total{daemon=\"dns\",transport=\"tcp\"} 7\n");
    assert_contains(text, "\ncauseway_dns_cache_hits_total{daemon=\"dns\"} 8\n");
    assert_contains(text, "\ncauseway_dns_limited_questions_total{daemon=\"dns\","
                          "reason=\"client_limit\"} 9\n");
    assert_contains(text, "\ncauseway_dns_waiting_clients_limit{daemon=\"dns\"} 2\n");
    assert_contains(text, "\ncauseway_dns_cache_limit_bytes{daemon=\"dns\"} 3\n");
    assert_contains(text, "_failures_total{daemon=\"dns\",upstream=\"tls://1.1.1.1#x\","
                          "reason=\"timeout\"} 4\n");
    /* Buckets add up; the last one and the count are all. */
    assert_contains(text, "upstream=\"tls://1.1.1.1#x\",le=\"0.00025\"} 5\n");
    assert_contains(text, "upstream=\"tls://1.1.1.1#x\",le=\"+Inf\"} 11\n");
    assert_contains(text, "_seconds_sum{daemon=\"dns\",upstream=\"tls://1.1.1.1#x\"} 2.500000\n");
    assert_contains(text, "_seconds_count{daemon=\"dns\",upstream=\"tls://1.1.1.1#x\"} 11\n");
    assert_int_equal(lines_with("causeway_captured_packets_total{"), 0);
}

/* A family's samples stand together, of whichever daemon they are. */
static void test_families_are_whole(void **state)
{
    const char *const answers[] = {parent, parent};

    (void)state;
    page(2, answers);
    for (const char *line = text; *line != '\0'; line = strchr(line, '\n') + 1) {
        char name[128];
        if (sscanf(line, "# TYPE %127s", name) != 1)
            continue;
        for (const char *at = strchr(line, '\n') + 1; *at != '\0' && *at != '#';
             at = strchr(at, '\n') + 1)
            assert_memory_equal(at, name, strlen(name));
        snprintf(name + strlen(name), 2, " ");
        char head[140];
        snprintf(head, sizeof(head), "# TYPE %s", name);
        assert_int_equal(lines_with(head), 1);
    }
}

static void test_a_daemon_that_does_not_answer(void **state)
{
    const char *const answers[] = {NULL, parent};

    (void)state;
    page(2, answers);
    assert_contains(text, "\ncauseway_up{control=\"/run/a.sock\"} 0\n");
    assert_contains(text, "\ncauseway_up{control=\"@b\"} 1\n");
    assert_int_equal(lines_with("\ncauseway_build_info{"), 1);
}

static void test_labels_are_escaped(void **state)
{
    (void)state;
    page_of("{\"program\":\"causeway-parent\",\"version\":\"a\\\"b\\\\c\\nd\"}");
    assert_contains(text, "version=\"a\\\"b\\\\c\\nd\"} 1\n");
}

static void test_nonsense(void **state)
{
    static const char *const answers[] = {
        "{}",
        "{\"program\":\"causeway-dns\",\"counters\":7,\"upstreams\":{},\"drops\":[],\"cache\":5}",
        "{\"program\":\"causeway-dns\",\"upstreams\":[1,null,{\"latency\":5,\"failures\":6}]}",
        "{\"program\":\"causeway-dns\",\"upstreams\":[{\"latency\":[1,null,[]]}]}",
        "{\"lanes\":[1,{\"drops\":7}],\"control\":[],\"handshakes\":\"x\"}",
    };

    (void)state;
    for (size_t i = 0; i < sizeof(answers) / sizeof(answers[0]); i++)
        assert_contains(page_of(answers[i]), "\ncauseway_up{control=\"/run/a.sock\"} 1\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_parent),
        cmocka_unit_test(test_types),
        cmocka_unit_test(test_an_enclave_has_no_enclave_label),
        cmocka_unit_test(test_dns),
        cmocka_unit_test(test_families_are_whole),
        cmocka_unit_test(test_a_daemon_that_does_not_answer),
        cmocka_unit_test(test_labels_are_escaped),
        cmocka_unit_test(test_nonsense),
    };
    return cmocka_run_group_tests(tests, NULL, clean_up);
}
