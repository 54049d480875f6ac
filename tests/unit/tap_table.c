/* SPDX-License-Identifier: Apache-2.0 */
/* Which taps are on which lanes. */
#include "runtime/lane/tap_table.h"

#include <unistd.h>

#include "tests/unit/support.h"

static void test_lanes_come_and_go(void **state)
{
    static struct tap_table table;
    static struct tap_wish wish, named;
    struct lane *one = lane_new(), *two = lane_new();
    struct failure failure;
    int fds[2];

    (void)state;
    wish.snap = PACKET_MAX_BYTES;
    named = wish;
    strcpy(named.enclave, "web");
    tap_add_lane(&table, one, "web", 3);
    struct tap *all = tap_begin(&table, &wish, &fds[0], &failure);
    struct tap *web = tap_begin(&table, &named, &fds[1], &failure);
    assert_true(all != NULL && web != NULL);
    tap_add_lane(&table, two, "db", 0);
    assert_int_equal(all->ring_count, 2);
    assert_int_equal(web->ring_count, 1);
    assert_string_equal(all->rings[0].name, "web lane 3");
    assert_string_equal(all->rings[1].name, "db lane 0");
    assert_true(ftruncate(fds[0], 4096) < 0); /* sealed */
    tap_remove_lane(&table, one);
    lane_free(one);
    tap_end(web);
    assert_int_equal(tap_poll(&table), -1);
    assert_false(web->used);
    tap_end(all);
    assert_int_equal(tap_poll(&table), -1);
    assert_false(all->used);
    lane_free(two);
    close(fds[0]);
    close(fds[1]);
}

static void test_too_many(void **state)
{
    static struct tap_table table;
    static struct tap_wish wish;
    struct tap *held[TAPS_MAX];
    struct failure failure;
    int fd;

    (void)state;
    for (unsigned i = 0; i < TAPS_MAX; i++) {
        held[i] = tap_begin(&table, &wish, &fd, &failure);
        assert_non_null(held[i]);
        close(fd);
    }
    assert_null(tap_begin(&table, &wish, &fd, &failure));
    assert_string_equal(failure.text, "4 captures run already");
    for (unsigned i = 0; i < TAPS_MAX; i++)
        tap_end(held[i]);
    assert_int_equal(tap_poll(&table), -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_lanes_come_and_go),
        cmocka_unit_test(test_too_many),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
