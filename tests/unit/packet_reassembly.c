/* SPDX-License-Identifier: Apache-2.0 */
/* The budget of fragments: what is whole is given back, what is not stays charged until it is old.
 */
#include "packet/reassembly.h"

#include <netinet/in.h>

#include "tests/unit/packet_build.h"

static struct reassembly_budget budget;
static struct reassembly lanes[2];
static uint64_t now_ms;

static int start(void **state)
{
    (void)state;
    memset(&budget, 0, sizeof(budget));
    memset(lanes, 0, sizeof(lanes));
    lanes[1].lane = 1;
    budget.limit = 1 << 20;
    now_ms = 1000000;
    return 0;
}

/* One fragment of datagram `id`; offset and bytes of its data. */
static bool send_by(unsigned lane, int version, uint16_t id, uint32_t offset, size_t bytes,
                    bool more)
{
    static uint8_t packet[BUILD_MAX];
    const uint8_t extension = IPPROTO_FRAGMENT;
    struct packet_spec spec = {
        .version = (uint8_t)version,
        .protocol = 253, /* for experiments: no header of its own */
        .extensions = &extension,
        .extension_count = version == 6,
        .fragment = (uint16_t)(version == 4 ? offset / 8 | (more ? 0x2000 : 0) : offset | more),
        .payload = bytes,
    };
    size_t length = build_packet(packet, &spec);

    if (version == 4)
        store_be16(packet + 4, id);
    else
        store_be32(packet + 40 + 4, id);
    struct parsed_packet parsed = parse_good(packet, length);
    assert_true(parsed.is_fragment);
    return reassembly_admit(&lanes[lane], &budget, packet, &parsed, now_ms);
}

static bool send_fragment(int version, uint16_t id, uint32_t offset, size_t bytes, bool more)
{
    return send_by(0, version, id, offset, bytes, more);
}

static void whole_datagrams_are_given_back(void **state)
{
    (void)state;
    for (unsigned id = 0; id < 5000; id++)
        for (int version = 4; version <= 6; version += 2) {
            assert_true(send_fragment(version, (uint16_t)id, 0, 1400, true));
            assert_true(send_fragment(version, (uint16_t)id, 1400, 1400, true));
            assert_true(budget.held > 2 * 1400);
            assert_true(send_fragment(version, (uint16_t)id, 2800, 100, false));
            assert_int_equal(budget.held, 0);
            assert_int_equal(lanes[0].count, 0);
        }
}

/* Each shape is refused before the kernel has kept as much as the budget, by what it charges. */
static void incomplete_ones_have_an_end(void **state)
{
    (void)state;
    for (unsigned shape = 0; shape < 4; shape++) {
        unsigned admitted = 0;
        start(NULL);
        for (unsigned id = 0; id < 5000; id++) {
            uint16_t number = (uint16_t)id;
            switch (shape) {
            case 0: /* first ones alone */
                admitted += send_fragment(4, number, 0, 1400, true);
                break;
            case 1: /* never a first one */
                admitted += send_fragment(4, number, 1400, 1400, true);
                break;
            case 2: /* as small as can be */
                admitted += send_fragment(6, number, 0, 8, true);
                break;
            default: /* twice the first, then the last: the right sum of bytes */
                admitted += send_fragment(4, number, 0, 1400, true);
                admitted += send_fragment(4, number, 0, 1400, true);
                admitted += send_fragment(4, number, 2800, 1400, false);
            }
        }
        assert_in_range(admitted, 100, 1100);
        assert_true(budget.held <= budget.limit);
        assert_false(send_fragment(4, 9999, 0, 1400, true));
    }
}

static void old_ones_are_given_back(void **state)
{
    (void)state;
    while (send_fragment(4, (uint16_t)budget.held, 0, 1400, true))
        ;
    now_ms += 30000;
    assert_false(send_fragment(4, 1, 0, 1400, true));
    now_ms += 1000;
    assert_true(send_fragment(4, 1, 0, 1400, true));
    assert_int_equal(lanes[0].count, 1);
    while (send_fragment(6, (uint16_t)budget.held, 0, 1400, true))
        ;
    now_ms += 31000;
    unsigned left = lanes[0].count;
    assert_true(send_fragment(4, 1, 0, 8, true)); /* IPv4's are old, IPv6's are not */
    assert_int_equal(lanes[0].count, left);
    now_ms += 30000;
    assert_true(send_fragment(6, 1, 0, 8, true));
    assert_int_equal(lanes[0].count, 2);
}

/* Another lane's fragment could end a datagram in the kernel in the middle, unseen. */
static void one_lane_at_a_time_for_a_destination(void **state)
{
    (void)state;
    assert_true(send_by(0, 4, 1, 0, 1400, true));
    assert_false(send_by(1, 4, 1, 8, 8, true));
    assert_true(send_by(0, 4, 1, 1400, 1400, false));
    now_ms += 500;
    assert_false(send_by(1, 4, 1, 0, 1400, true));
    now_ms += 500;
    assert_true(send_by(1, 4, 1, 0, 1400, true));
    assert_false(send_by(0, 4, 2, 0, 1400, true));
}

static void budget_is_shared(void **state)
{
    (void)state;
    while (send_by(0, 4, (uint16_t)budget.held, 0, 1400, true))
        ;
    assert_false(send_by(1, 6, 1, 0, 1400, true)); /* another destination, the same budget */
    budget.limit *= 2;
    assert_true(send_by(1, 6, 1, 0, 1400, true));
}

static void reordered_ones_stay_charged(void **state)
{
    (void)state;
    assert_true(send_fragment(4, 1, 1400, 1400, false));
    assert_true(send_fragment(4, 1, 0, 1400, true));
    assert_true(budget.held > 2800);
    assert_int_equal(lanes[0].count, 1);
}

static void shares(void **state)
{
    (void)state;
    assert_int_equal(reassembly_share(4 << 20, 1), 1 << 20);
    assert_int_equal(reassembly_share(4 << 20, 2), 1 << 20);
    assert_int_equal(reassembly_share(4 << 20, 4), 1 << 19);
    assert_int_equal(reassembly_share(4 << 20, 64), 1 << 18);
    assert_int_equal(reassembly_share(0, 0), 1 << 18);
    assert_int_equal(reassembly_share(UINT64_MAX, 3), 1 << 20);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(whole_datagrams_are_given_back, start),
        cmocka_unit_test_setup(incomplete_ones_have_an_end, start),
        cmocka_unit_test_setup(old_ones_are_given_back, start),
        cmocka_unit_test_setup(one_lane_at_a_time_for_a_destination, start),
        cmocka_unit_test_setup(budget_is_shared, start),
        cmocka_unit_test_setup(reordered_ones_stay_charged, start),
        cmocka_unit_test_setup(shares, start),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
