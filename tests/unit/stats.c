/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/lane/stats.h"

#include "tests/unit/support.h"

static bool is_no_error(unsigned reason)
{
    return reason == DROP_PACKET + PACKET_OK || reason == DROP_OFFLOAD + OFFLOAD_OK ||
           reason == DROP_POLICY + POLICY_PASS;
}

static void test_every_reason_has_a_name_of_its_own(void **state)
{
    char names[DROP_REASON_COUNT][64] = {{0}};

    (void)state;
    for (unsigned i = 0; i < DROP_REASON_COUNT; i++) {
        const char *name = drop_reason_name(i, names[i], sizeof(names[i]));
        if (is_no_error(i)) {
            assert_null(name);
            continue;
        }
        assert_ptr_equal(name, names[i]);
        assert_true(strlen(name) > 0 && strlen(name) < sizeof(names[i]) - 1);
        if (strstr(name, "unknown") != NULL || strstr(name, "(null)") != NULL)
            fail_msg("reason %u is called %s", i, name);
        for (unsigned j = 0; j < i; j++)
            if (strcmp(names[i], names[j]) == 0)
                fail_msg("reasons %u and %u are both called %s", j, i, name);
    }
}

/* The line is split at spaces and '=' by whoever reads it. */
static void test_names_are_keys(void **state)
{
    char name[64];

    (void)state;
    for (unsigned i = 0; i < DROP_REASON_COUNT; i++)
        if (drop_reason_name(i, name, sizeof(name)) != NULL &&
            strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789_") != strlen(name))
            fail_msg("reason %u has a name that is no key: '%s'", i, name);
}

static const char *print(const struct lane_stats *stats)
{
    static char text[8192];
    FILE *out = fmemopen(text, sizeof(text), "w");

    assert_non_null(out);
    stats_print(out, stats);
    fclose(out);
    return text;
}

static void test_print(void **state)
{
    struct lane_stats stats = {0};
    char name[64], key[80];

    (void)state;
    assert_null(strstr(print(&stats), "drop_"));
    assert_contains(print(&stats), " captured_packets=0");
    assert_contains(print(&stats), " streams=0");
    stats.captured_packets = 12345678901234567890u;
    stats_add(stats.sent_bytes, 5);
    stats_add(stats.sent_bytes, 6);
    stats_set(stats.rtt_us, 77);
    assert_contains(print(&stats), " captured_packets=12345678901234567890 ");
    assert_contains(print(&stats), " sent_bytes=11 ");
    assert_contains(print(&stats), " rtt_us=77 ");
    for (unsigned i = 0; i < DROP_REASON_COUNT; i++) {
        memset(stats.drops, 0, sizeof(stats.drops));
        stats.drops[i] = 42;
        if (drop_reason_name(i, name, sizeof(name)) == NULL) {
            assert_null(strstr(print(&stats), "drop_"));
            continue;
        }
        snprintf(key, sizeof(key), " drop_%s=42", name);
        assert_contains(print(&stats), key);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_reason_has_a_name_of_its_own),
        cmocka_unit_test(test_names_are_keys),
        cmocka_unit_test(test_print),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
