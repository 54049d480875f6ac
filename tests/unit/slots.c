/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/lane/slots.h"

#include "tests/unit/support.h"

static struct slots slots;

static int map(void **state)
{
    (void)state;
    int error = slots_map(&slots);
    slots_start(&slots);
    return error;
}

static int unmap(void **state)
{
    (void)state;
    slots_unmap(&slots);
    return 0;
}

/* Each slot is handed out once, and its bytes are nobody else's. */
static void test_all_of_them(void **state)
{
    bool seen[SLOT_COUNT] = {false};

    (void)state;
    for (unsigned i = 0; i < SLOT_COUNT; i++) {
        uint16_t slot = slots_publish(&slots, SLOT_COUNT);
        assert_true(slot < SLOT_COUNT && !seen[slot]);
        seen[slot] = true;
        memset(slots_bytes(&slots, slot), slot, SLOT_BYTES);
    }
    assert_int_equal(slots_publish(&slots, SLOT_COUNT), NO_SLOT);
    for (uint16_t slot = 0; slot < SLOT_COUNT; slot++) {
        assert_int_equal(slots_bytes(&slots, slot)[0], slot);
        assert_int_equal(slots_bytes(&slots, slot)[SLOT_BYTES - 1], slot);
    }
}

/* Not more than wanted, though more are free; what arrived makes room for another. */
static void test_target(void **state)
{
    (void)state;
    assert_false(slots_are_published(&slots));
    for (int i = 0; i < 3; i++)
        assert_int_not_equal(slots_publish(&slots, 3), NO_SLOT);
    assert_int_equal(slots_publish(&slots, 3), NO_SLOT);
    assert_true(slots_are_published(&slots));
    slots_arrived(&slots);
    assert_int_not_equal(slots_publish(&slots, 3), NO_SLOT);
    assert_int_equal(slots_publish(&slots, 3), NO_SLOT);
}

/* Its memory is still in the cache. */
static void test_last_released_first(void **state)
{
    uint16_t taken[4];

    (void)state;
    for (int i = 0; i < 4; i++)
        taken[i] = slots_publish(&slots, SLOT_COUNT);
    for (int i = 0; i < 4; i++) {
        slots_arrived(&slots);
        slots_release(&slots, taken[i]);
    }
    assert_int_equal(slots_publish(&slots, SLOT_COUNT), taken[3]);
    assert_int_equal(slots_publish(&slots, SLOT_COUNT), taken[2]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_all_of_them, map, unmap),
        cmocka_unit_test_setup_teardown(test_target, map, unmap),
        cmocka_unit_test_setup_teardown(test_last_released_first, map, unmap),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
