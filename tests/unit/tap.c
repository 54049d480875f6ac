/* SPDX-License-Identifier: Apache-2.0 */
/* One lane's end of a capture, with the test as its reader; then captures and lanes. */
#include "runtime/lane/taps.h"

#include <sys/mman.h>
#include <unistd.h>

#include "runtime/lane/lane.h"
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

/* ---- captures ---- */

static void test_lanes_come_and_go(void **state)
{
    static struct tap_table table;
    static struct tap_wish wish, named;
    struct lane *one = lane_new(), *two = lane_new();
    struct failure failure;
    int fds[2];

    (void)state;
    assert_true(tap_parse_wish(0, NULL, &wish, &failure));
    named = wish;
    strcpy(named.enclave, "web");
    tap_add_lane(&table, one, "web", 3);
    struct tap_capture *all = tap_begin(&table, &wish, &fds[0], &failure);
    struct tap_capture *web = tap_begin(&table, &named, &fds[1], &failure);
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
    struct tap_capture *held[TAP_CAPTURES_MAX];
    struct failure failure;
    int fd;

    (void)state;
    for (unsigned i = 0; i < TAP_CAPTURES_MAX; i++) {
        held[i] = tap_begin(&table, &wish, &fd, &failure);
        assert_non_null(held[i]);
        close(fd);
    }
    assert_null(tap_begin(&table, &wish, &fd, &failure));
    assert_string_equal(failure.text, "4 captures run already");
    for (unsigned i = 0; i < TAP_CAPTURES_MAX; i++)
        tap_end(held[i]);
    assert_int_equal(tap_poll(&table), -1);
}

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

#define RING_TEST(name) cmocka_unit_test_setup_teardown(name, make_ring, drop_ring)

int main(void)
{
    const struct CMUnitTest tests[] = {
        RING_TEST(test_records),         RING_TEST(test_snap_and_wishes),
        RING_TEST(test_around_the_end),  RING_TEST(test_full),
        RING_TEST(test_hostile_reader),  cmocka_unit_test(test_lanes_come_and_go),
        cmocka_unit_test(test_too_many), cmocka_unit_test(test_requests),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
