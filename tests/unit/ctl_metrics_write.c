/* SPDX-License-Identifier: Apache-2.0 */
#include "ctl/metrics_write.h"

#include "tests/unit/support.h"

static char *text;
static size_t length;

static FILE *begin(void)
{
    free(text);
    text = NULL;
    FILE *out = open_memstream(&text, &length);
    assert_non_null(out);
    return out;
}

static void test_family(void **state)
{
    static const struct metric counter = {"a", "packets_total", COUNTER, "How many"};
    static const struct metric gauge = {"b", "clients", GAUGE, "How many now"};
    FILE *out = begin();

    (void)state;
    metrics_family(out, &counter);
    metrics_family(out, &gauge);
    metrics_head(out, "seconds", "histogram", "How long");
    fclose(out);
    assert_string_equal(text, "# HELP causeway_packets_total How many\n"
                              "# TYPE causeway_packets_total counter\n"
                              "# HELP causeway_clients How many now\n"
                              "# TYPE causeway_clients gauge\n"
                              "# HELP causeway_seconds How long\n"
                              "# TYPE causeway_seconds histogram\n");
}

/* Names come from a configuration: whatever they hold, a label stays one label. */
static void test_label_is_escaped(void **state)
{
    FILE *out = begin();

    (void)state;
    metrics_begin(out, "up", "parent");
    metrics_label(out, ",", "name", "a\"} 5\\\n#");
    metrics_value(out, UINT64_MAX, 1);
    fclose(out);
    assert_string_equal(text, "causeway_up{daemon=\"parent\",name=\"a\\\"} 5\\\\\\n#\"} "
                              "18446744073709551615\n");
}

static void test_scaled(void **state)
{
    static const struct metric rtt = {"rtt_us", "rtt_seconds", GAUGE_US, ""};
    struct json_object *object = json_tokener_parse("{\"rtt_us\":1234567}");
    FILE *out = begin();

    (void)state;
    metrics_counter(out, object, &rtt);
    fclose(out);
    json_object_put(object);
    assert_string_equal(text, "} 1.234567\n");
}

/* The family's head once, a sample for each daemon that has the object; one does not answer. */
static void test_object(void **state)
{
    static const struct metric metrics[] = {{"n", "n_total", COUNTER, "N"}};
    struct scrape scrape = {.count = 3, .out = begin()};

    (void)state;
    scrape.answers[0] = json_tokener_parse("{\"program\":\"causeway-dns\",\"part\":{\"n\":5}}");
    scrape.answers[2] = json_tokener_parse("{\"program\":\"causeway-parent\"}");
    metrics_object(&scrape, "part", metrics, METRICS_LENGTH(metrics));
    fclose(scrape.out);
    json_object_put(scrape.answers[0]);
    json_object_put(scrape.answers[2]);
    assert_string_equal(text, "# HELP causeway_n_total N\n# TYPE causeway_n_total counter\n"
                              "causeway_n_total{daemon=\"dns\"} 5\n");
}

static int clean_up(void **state)
{
    (void)state;
    free(text);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_family),
        cmocka_unit_test(test_label_is_escaped),
        cmocka_unit_test(test_scaled),
        cmocka_unit_test(test_object),
    };
    return cmocka_run_group_tests(tests, NULL, clean_up);
}
