/* SPDX-License-Identifier: Apache-2.0 */
#include "ctl/targets.h"

#include <stdlib.h>

#include "ctl/program.h"
#include "tests/unit/support.h"

static const struct option_spec table[] = {
    CTL_CONTROL_ROW,
    {.name = NULL},
};
static struct ctl_targets targets;
static int status;

static bool options(int count, char **words)
{
    targets = (struct ctl_targets){0};
    status = -1;
    return ctl_options(table, "status", "what runs", count, words, &targets, &status);
}

static void test_named(void **state)
{
    char *words[] = {"status", "--control", "/run/a.sock", "--control=@b", NULL};

    (void)state;
    assert_true(options(4, words));
    assert_int_equal(targets.count, 2);
    assert_string_equal(targets.path[0], "/run/a.sock");
    assert_string_equal(targets.path[1], "@b");
}

static void test_too_many(void **state)
{
    char *words[2 * (CTL_TARGETS_MAX + 1) + 1] = {"status"};

    (void)state;
    for (int i = 0; i < CTL_TARGETS_MAX + 1; i++) {
        words[1 + i] = "--control=@x";
    }
    assert_true(options(1 + CTL_TARGETS_MAX, words));
    assert_int_equal(targets.count, CTL_TARGETS_MAX);
    support_capture_begin(2);
    bool done = options(2 + CTL_TARGETS_MAX, words);
    assert_contains(support_capture_end(), "one socket too many (at most 16)");
    assert_false(done);
    assert_int_equal(status, CTL_WRONG_USE);
}

static void test_wrong_and_help(void **state)
{
    char *wrong[] = {"status", "--no-such-option", NULL}, *help[] = {"status", "--help", NULL};

    (void)state;
    support_capture_begin(2);
    bool done = options(2, wrong);
    assert_contains(support_capture_end(), "status: unknown option '--no-such-option'");
    assert_false(done);
    assert_int_equal(status, CTL_WRONG_USE);

    support_capture_begin(1);
    done = options(2, help);
    assert_contains(support_capture_end(), "--control PATH");
    assert_false(done);
    assert_int_equal(status, EXIT_SUCCESS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_named),
        cmocka_unit_test(test_too_many),
        cmocka_unit_test(test_wrong_and_help),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
