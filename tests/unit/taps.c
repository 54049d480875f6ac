/* SPDX-License-Identifier: Apache-2.0 */
/* The lane's end of taps, with the test as their reader. */
#include "runtime/lane/taps.h"

#include <sys/mman.h>

#include "packet/parse.h"
#include "tests/unit/support.h"

static struct tap_ring *ring;
static struct tap_port port;
static uint8_t packet[PACKET_MAX_BYTES];

static int make_ring(void **state)
{
    (void)state;
    ring = mmap(NULL, sizeof(*ring), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    port = (struct tap_port){.ring = ring, .snap = PACKET_MAX_BYTES, .directions = 0xff};
    return ring == MAP_FAILED ? -1 : 0;
}

static int drop_ring(void **state)
{
    (void)state;
    return munmap(ring, sizeof(*ring));
}

static void show(uint8_t first, uint32_t length, uint16_t reason)
{
    memset(packet, first, length);
    tap_packet(&port, packet, length, TAP_TO_LINK, reason, 77);
}

/* Takes the next record, over a skip; NULL when the ring is empty. */
static const struct tap_record *take(void)
{
    for (;;) {
        uint32_t at = ring->tail % TAP_RING_BYTES, to_end = TAP_RING_BYTES - at;
        const struct tap_record *record = (const struct tap_record *)(ring->records + at);
        if (ring->tail == ring->head)
            return NULL;
        if (to_end < sizeof(*record) || record->direction == TAP_SKIP) {
            ring->tail += to_end;
            continue;
        }
        assert_true(record->size <= to_end && record->size % 8 == 0);
        ring->tail += record->size;
        return record;
    }
}

static void test_records(void **state)
{
    (void)state;
    show('a', 100, TAP_PASSED);
    show('b', 1, 5);
    const struct tap_record *record = take();
    assert_int_equal(record->captured, 100);
    assert_int_equal(record->length, 100);
    assert_int_equal(record->reason, TAP_PASSED);
    assert_int_equal(record->direction, TAP_TO_LINK);
    assert_int_equal(record->time_ns, 77);
    assert_memory_equal(record + 1, memset(packet, 'a', 100), 100);
    record = take();
    assert_int_equal(record->length, 1);
    assert_int_equal(record->reason, 5);
    assert_null(take());
}

static void test_snap_and_wishes(void **state)
{
    static const struct sock_filter longer[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_LEN, 0),
        BPF_JUMP(BPF_JMP | BPF_JGT | BPF_K, 50, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, 1),
        BPF_STMT(BPF_RET | BPF_K, 0),
    };

    (void)state;
    port.snap = 10;
    port.filter = longer;
    port.filter_count = 4;
    show('a', 50, TAP_PASSED);
    show('b', 51, TAP_PASSED);
    const struct tap_record *record = take();
    assert_int_equal(record->length, 51);
    assert_int_equal(record->captured, 10);
    port.only_dropped = true;
    show('c', 60, TAP_PASSED);
    show('d', 70, 1);
    assert_int_equal(take()->length, 70);
    port.directions = 1 << TAP_FROM_LINK;
    show('e', 80, 1);
    assert_null(take());
    assert_int_equal(ring->lost, 0);
}

/* Many times around, with packets of every length: none is broken, none out of order. */
static void test_around_the_end(void **state)
{
    uint32_t length = 1, expected = 0;

    (void)state;
    for (unsigned i = 0; i < 3000; i++) {
        show((uint8_t)length, length, TAP_PASSED);
        length = (length * 7 + 13) % PACKET_MAX_BYTES + 1;
        if (i % 3 != 2)
            continue;
        for (const struct tap_record *record; (record = take()) != NULL;) {
            expected = expected == 0 ? 1 : (expected * 7 + 13) % PACKET_MAX_BYTES + 1;
            assert_int_equal(record->length, expected);
            const uint8_t *bytes = (const uint8_t *)(record + 1);
            assert_int_equal(bytes[0], (uint8_t)expected);
            assert_int_equal(bytes[expected - 1], (uint8_t)expected);
        }
    }
    assert_int_equal(ring->lost, 0);
    assert_true(ring->head > 10 * TAP_RING_BYTES);
}

static void test_full(void **state)
{
    unsigned taken = 0;

    (void)state;
    for (unsigned i = 0; i < 200; i++)
        show('f', 60000, TAP_PASSED);
    assert_true(ring->head <= TAP_RING_BYTES && ring->lost > 100);
    while (take() != NULL)
        taken++;
    assert_int_equal(taken + ring->lost, 200);
    show('g', 100, TAP_PASSED);
    assert_int_equal(take()->length, 100);
}

/* Whatever the reader writes, the lane writes inside the ring. */
static void test_hostile_reader(void **state)
{
    static const uint64_t tails[] = {1, 8, UINT64_MAX, TAP_RING_BYTES, 1ull << 63};

    (void)state;
    for (size_t i = 0; i < sizeof(tails) / sizeof(tails[0]); i++) {
        ring->tail = tails[i];
        ring->head = tails[i] ^ 0x5555;
        for (unsigned k = 0; k < 300; k++)
            show('h', 60000, TAP_PASSED);
        assert_true(port.head <= 300 * (uint64_t)TAP_RING_BYTES);
        memset((void *)ring, 0xff, sizeof(*ring));
        show('i', 60000, TAP_PASSED);
    }
}

/* ---- a lane's taps ---- */

static void test_given_and_taken_back(void **state)
{
    static struct taps taps;

    (void)state;
    taps_init(&taps);
    assert_false(taps_are_there(&taps));
    assert_true(taps_want(&taps, 2, &port));
    assert_false(taps_want(&taps, 2, &port)); /* nothing new */
    assert_true(taps_gone(&taps, 2));         /* the lane has not looked yet */
    taps_update(&taps);
    assert_true(taps_are_there(&taps));
    assert_false(taps_gone(&taps, 2));
    assert_true(taps_gone(&taps, 1));
    taps_show(&taps, packet, 60, TAP_FROM_LINK, 3);
    const struct tap_record *record = take();
    assert_int_equal(record->length, 60);
    assert_int_equal(record->direction, TAP_FROM_LINK);
    assert_true(record->time_ns > 0);
    assert_true(taps_want(&taps, 2, NULL));
    assert_false(taps_gone(&taps, 2)); /* the lane may still be writing */
    taps_update(&taps);
    assert_true(taps_gone(&taps, 2));
    taps_show(&taps, packet, 60, TAP_FROM_LINK, 3);
    assert_null(take());
    taps_destroy(&taps);
}

/* A lane that ends lets go of everything, and takes it up again when it runs again. */
static void test_dropped_at_the_end(void **state)
{
    static struct taps taps;

    (void)state;
    taps_init(&taps);
    for (unsigned i = 0; i < TAPS_MAX; i++)
        taps_want(&taps, i, &port);
    taps_update(&taps);
    taps_drop(&taps);
    assert_false(taps_are_there(&taps));
    for (unsigned i = 0; i < TAPS_MAX; i++)
        assert_true(taps_gone(&taps, i));
    taps_update(&taps);
    taps_show(&taps, packet, 60, TAP_TO_LINK, TAP_PASSED);
    for (unsigned i = 0; i < TAPS_MAX; i++)
        assert_non_null(take());
    assert_null(take());
    taps_destroy(&taps);
}

#define RING_TEST(name) cmocka_unit_test_setup_teardown(name, make_ring, drop_ring)

int main(void)
{
    const struct CMUnitTest tests[] = {
        RING_TEST(test_records),
        RING_TEST(test_snap_and_wishes),
        RING_TEST(test_around_the_end),
        RING_TEST(test_full),
        RING_TEST(test_hostile_reader),
        RING_TEST(test_given_and_taken_back),
        RING_TEST(test_dropped_at_the_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
