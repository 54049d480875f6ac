/* SPDX-License-Identifier: Apache-2.0 */
#include "ctl/text.h"

#include <unistd.h>

#include "tests/unit/support.h"

static void test_rates(void **state)
{
    static const struct {
        uint64_t bytes;
        const char *text;
    } rows[] = {
        {0, "0 bit/s"},         {124, "992 bit/s"},          {125, "1.0 kbit/s"},
        {125000, "1.0 Mbit/s"}, {5000000000, "40.0 Gbit/s"}, {5000000000000, "40000.0 Gbit/s"},
    };
    char text[32];

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        assert_string_equal(text_rate(rows[i].bytes, text, sizeof(text)), rows[i].text);
}

static void test_cells(void **state)
{
    static const struct {
        uint64_t number;
        const char *text;
    } rows[] = {
        {0, "        0"},           {999, "      999"},    {1000, "     1.0k"},
        {12345, "    12.3k"},       {123456, "     123k"}, {4500000000, "     4.5G"},
        {UINT64_MAX, " 18446744T"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        support_capture_begin(STDOUT_FILENO);
        text_print_cell(rows[i].number);
        fflush(stdout);
        assert_string_equal(support_capture_end(), rows[i].text);
    }
}

static void assert_counts(uint64_t queue, const char *reasons, const char *expected)
{
    struct json_object *object = json_tokener_parse(reasons);

    support_capture_begin(STDOUT_FILENO);
    text_print_counts("dropped", queue, object);
    fflush(stdout);
    assert_string_equal(support_capture_end(), expected);
    json_object_put(object);
}

static void test_counts(void **state)
{
    (void)state;
    assert_counts(0, "{}", "");
    assert_counts(0, "{\"a\":0}", "");
    assert_counts(0, "{\"a\":0,\"b\":2,\"c\":3}", "dropped: b 2, c 3\n");
    assert_counts(1, "{\"a\":0,\"b\":2}", "dropped: queue 1, b 2\n");
    assert_counts(1, "[5]", "dropped: queue 1\n");
    assert_counts(0, "null", "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rates),
        cmocka_unit_test(test_cells),
        cmocka_unit_test(test_counts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
