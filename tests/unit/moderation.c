/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/lane/moderation.h"

#include "tests/unit/support.h"

struct traffic {
    uint64_t packets, bytes, now_us;
};

static struct moderation moderation;
static struct traffic traffic;

/* So many looks, each finding `packets` of `size` bytes, at `packets_per_ms`. */
static void carry(unsigned looks, unsigned packets, unsigned size, unsigned packets_per_ms)
{
    for (unsigned i = 0; i < looks; i++) {
        traffic.packets += packets;
        traffic.bytes += (uint64_t)packets * size;
        traffic.now_us += packets * 1000u / packets_per_ms;
        moderation_note(&moderation, traffic.packets, traffic.bytes, traffic.now_us);
    }
}

static int start(void **state)
{
    (void)state;
    traffic = (struct traffic){.packets = 1000, .bytes = 5000000, .now_us = 123456789};
    moderation_start(&moderation, traffic.packets, traffic.bytes, traffic.now_us);
    return moderation.pause;
}

static void many_small_ones(void **state)
{
    (void)state;
    carry(60, 2, 1400, 140);
    assert_false(moderation.pause); /* the window is not over yet */
    carry(4, 2, 1400, 140);
    assert_true(moderation.pause);
}

static void a_pause_that_gathers_nothing_is_the_last(void **state)
{
    (void)state;
    carry(64, 2, 64, 200);
    assert_true(moderation.pause);
    moderation_note(&moderation, traffic.packets, traffic.bytes, traffic.now_us + 30);
    assert_false(moderation.pause);
}

/* 10,000 requests a second and their answers. */
static void not_for_requests(void **state)
{
    (void)state;
    carry(1000, 1, 116, 20);
    assert_false(moderation.pause);
}

static void not_for_bulk(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 500; i++) {
        carry(1, 1, 65536, 200); /* data */
        carry(1, 1, 52, 200);    /* its acknowledgement */
        assert_false(moderation.pause);
    }
}

static void not_where_many_come_at_a_look(void **state)
{
    (void)state;
    carry(100, MODERATION_FEW, 1400, 200);
    assert_false(moderation.pause);
}

/* Pauses make looks find more: that does not end them; a lower rate does. */
static void until_the_rate_falls(void **state)
{
    (void)state;
    carry(64, 2, 64, 200);
    carry(100, 8, 64, 200);
    assert_true(moderation.pause);
    carry(100, 3, 64, 99);
    assert_false(moderation.pause);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(many_small_ones, start),
        cmocka_unit_test_setup(a_pause_that_gathers_nothing_is_the_last, start),
        cmocka_unit_test_setup(not_for_requests, start),
        cmocka_unit_test_setup(not_for_bulk, start),
        cmocka_unit_test_setup(not_where_many_come_at_a_look, start),
        cmocka_unit_test_setup(until_the_rate_falls, start),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
