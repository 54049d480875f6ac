/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/lane/liveness.h"

#include "tests/unit/support.h"

#define DEAD_MS 2000
#define TICK_MS 250

static struct liveness liveness;
static uint64_t now_ms;

static int start(void **state)
{
    (void)state;
    now_ms = 123456789;
    liveness_start(&liveness, now_ms);
    return 0;
}

static enum liveness_verdict tick(bool heard, bool moved)
{
    now_ms += TICK_MS;
    return liveness_tick(&liveness, now_ms, DEAD_MS, heard, moved);
}

/* The first at once, then four in dead_ms. */
static void test_pings(void **state)
{
    (void)state;
    assert_int_equal(tick(true, true), LIVENESS_PING);
    for (int i = 0; i < 10; i++) {
        assert_int_equal(tick(true, true), LIVENESS_FINE);
        assert_int_equal(tick(true, true), LIVENESS_PING);
    }
}

/* At most one a second, however patient the lane is. */
static void test_a_ping_a_second(void **state)
{
    unsigned pings = 0;

    (void)state;
    for (int i = 0; i < 40; i++) {
        now_ms += TICK_MS;
        pings += liveness_tick(&liveness, now_ms, 60000, true, true) == LIVENESS_PING;
    }
    assert_int_equal(pings, 10);
}

static void test_silence(void **state)
{
    (void)state;
    for (uint64_t end_ms = now_ms + DEAD_MS - TICK_MS; now_ms < end_ms;)
        assert_in_range(tick(false, true), LIVENESS_FINE, LIVENESS_PING);
    assert_int_equal(tick(false, true), LIVENESS_SILENT);
}

/* One sign of life starts the time anew. */
static void test_heard_again(void **state)
{
    (void)state;
    for (int i = 0; i < 100; i++)
        assert_in_range(tick(i % 8 == 7, true), LIVENESS_FINE, LIVENESS_PING);
}

static void test_stalled(void **state)
{
    (void)state;
    for (uint64_t end_ms = now_ms + DEAD_MS - TICK_MS; now_ms < end_ms;)
        assert_in_range(tick(true, false), LIVENESS_FINE, LIVENESS_PING);
    assert_int_equal(tick(true, false), LIVENESS_STALLED);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_pings, start),
        cmocka_unit_test_setup(test_a_ping_a_second, start),
        cmocka_unit_test_setup(test_silence, start),
        cmocka_unit_test_setup(test_heard_again, start),
        cmocka_unit_test_setup(test_stalled, start),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
