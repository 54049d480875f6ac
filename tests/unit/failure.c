/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/base/failure.h"

#include "tests/unit/support.h"

static void test_sentence(void **state)
{
    struct failure failure;

    (void)state;
    assert_false(failure_set(&failure, "%s: %d", "port", 7));
    assert_string_equal(failure.text, "port: 7");
}

/* A caller puts its own words in front of those that are there. */
static void test_arguments_within(void **state)
{
    struct failure failure;

    (void)state;
    failure_set(&failure, "is too long");
    failure_set(&failure, "--name %s", failure.text);
    assert_string_equal(failure.text, "--name is too long");
}

static void test_cut(void **state)
{
    struct failure failure;
    char text[2 * FAILURE_TEXT_BYTES];

    (void)state;
    memset(text, 'x', sizeof(text) - 1);
    text[sizeof(text) - 1] = '\0';
    failure_set(&failure, "%s", text);
    assert_int_equal(strlen(failure.text), FAILURE_TEXT_BYTES - 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sentence),
        cmocka_unit_test(test_arguments_within),
        cmocka_unit_test(test_cut),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
