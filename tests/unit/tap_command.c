/* SPDX-License-Identifier: Apache-2.0 */
/* What a capture can be asked for. */
#include "runtime/lane/tap_command.h"

#include "tests/unit/support.h"

static void test_requests(void **state)
{
    static const char *const bad[] = {
        "snap=0",     "snap=65536", "which=",
        "which=some", "filter=",    "filter=00",
        "colour=red", "snap",       "filter=0006000000000000000000000000000g"};
    static const char *const good[] = {"snap=96", "which=dropped", "enclave=web",
                                       "filter=000000000000000700060000000000ff"};
    static struct tap_wish wish;
    struct failure failure;

    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        assert_false(tap_parse_wish(1, &bad[i], &wish, &failure));
        assert_contains(failure.text, bad[i]);
    }
    assert_true(tap_parse_wish(4, good, &wish, &failure));
    assert_int_equal(wish.snap, 96);
    assert_true(wish.only_dropped);
    assert_string_equal(wish.enclave, "web");
    assert_int_equal(wish.filter_count, 2);
    assert_int_equal(wish.filter[0].k, 7);
    assert_int_equal(wish.filter[1].code, BPF_RET);
    assert_int_equal(wish.filter[1].k, 255);
}

static void test_all_without_a_word(void **state)
{
    static struct tap_wish wish;
    struct failure failure;

    (void)state;
    assert_true(tap_parse_wish(0, NULL, &wish, &failure));
    assert_int_equal(wish.snap, PACKET_MAX_BYTES);
    assert_int_equal(wish.directions, 1 << TAP_TO_LINK | 1 << TAP_FROM_LINK);
    assert_false(wish.only_dropped);
    assert_string_equal(wish.enclave, "");
    assert_int_equal(wish.filter_count, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_requests),
        cmocka_unit_test(test_all_without_a_word),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
