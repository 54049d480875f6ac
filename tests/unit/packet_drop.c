/* SPDX-License-Identifier: Apache-2.0 */
#include "packet/drop.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static const char *name_of(unsigned reason, char out[64])
{
    return drop_reason_name(reason, out, 64);
}

static void test_names(void **state)
{
    char out[64];

    (void)state;
    assert_string_equal(name_of(DROP_PACKET + PACKET_SHORT, out), "packet_short");
    assert_string_equal(name_of(DROP_OFFLOAD + OFFLOAD_FLAGS, out), "offload_flags");
    assert_string_equal(name_of(DROP_POLICY + POLICY_SOURCE, out), "policy_source");
    assert_string_equal(name_of(DROP_POLICY + POLICY_QUOTE, out), "policy_quote");
    assert_string_equal(name_of(DROP_FRAGMENT_BUDGET, out), "fragment_budget");
    assert_string_equal(name_of(DROP_CONTROL_FULL, out), "control_full");
}

/* A counter and a label of a metric each. */
static void test_every_reason_has_a_name_of_its_own(void **state)
{
    char a[64], b[64];
    unsigned named = 0;

    (void)state;
    for (unsigned i = 0; i < DROP_REASON_COUNT; i++) {
        if (name_of(i, a) == NULL)
            continue;
        named++;
        assert_null(strstr(a, "unknown"));
        assert_int_equal(strspn(a, "abcdefghijklmnopqrstuvwxyz_"), strlen(a));
        for (unsigned j = 0; j < i; j++)
            assert_false(name_of(j, b) != NULL && strcmp(a, b) == 0);
    }
    assert_int_equal(named, DROP_REASON_COUNT - 3);
}

static void test_passing_is_no_reason(void **state)
{
    char out[64];

    (void)state;
    assert_null(name_of(DROP_PACKET + PACKET_OK, out));
    assert_null(name_of(DROP_OFFLOAD + OFFLOAD_OK, out));
    assert_null(name_of(DROP_POLICY + POLICY_PASS, out));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_every_reason_has_a_name_of_its_own),
        cmocka_unit_test(test_passing_is_no_reason),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
