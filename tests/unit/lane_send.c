/* SPDX-License-Identifier: Apache-2.0 */
/* The lane's way out, second half: batches, writes, and a peer that is slow to read. */
#include <sys/socket.h>
#include <unistd.h>

#include "runtime/lane/batch.h"
#include "tests/unit/lane_world.h"

static uint8_t packet[BUILD_MAX];
static uint8_t payload[FRAME_PAYLOAD_MAX];
static uint32_t jumbo = 65535;

/* What waits is written together: fewer writes than packets, and no write beyond the limit. */
static void test_many_to_a_write(void **state)
{
    enum { PACKETS = 400 };

    (void)state;
    for (uint32_t i = 0; i < PACKETS; i++)
        la_send(packet, world_plain(packet, 4, 500, i), NULL);
    world_start();
    for (uint32_t i = 0; i < PACKETS; i++) {
        struct frame_header header = peer_frame(payload);
        assert_int_equal(header.type, FRAME_PACKET);
        assert_int_equal(header.length, 500);
        assert_int_equal(load_be32(payload + 20), i);
    }
    assert_int_equal(COUNTER(sent_frames) - COUNTER(pings_sent), PACKETS);
    assert_true(COUNTER(sent_writes) * 4 < PACKETS);
    assert_true(COUNTER(sent_bytes) >= PACKETS * (FRAME_HEADER_BYTES + 500));
    assert_true(COUNTER(sent_bytes) / COUNTER(sent_writes) <=
                BATCH_WRITE_MAX + BATCH_CONTROL_BYTES);
}

/* Sizes on both sides of the border between copied and referenced frames, in order and whole. */
static void test_mixed_sizes(void **state)
{
    static const size_t sizes[] = {44,   100,  2000,  2023,  2024,  2025, 2048,
                                   2049, 9000, 30000, 65000, 65535, 64,   65535};
    enum { SIZES = sizeof(sizes) / sizeof(sizes[0]), ROUNDS = 60 };
    static uint8_t expected[SIZES][FRAME_PAYLOAD_MAX + 1];

    (void)state;
    world_start();
    for (uint32_t round = 0; round < ROUNDS; round++) {
        for (uint32_t i = 0; i < SIZES; i++) {
            world_plain(expected[i], i % 2 ? 4 : 6, sizes[i], round);
            la_send(expected[i], sizes[i], NULL);
        }
        for (uint32_t i = 0; i < SIZES; i++) {
            assert_int_equal(peer_frame(payload).length, sizes[i]);
            assert_memory_equal(payload, expected[i], sizes[i]);
        }
    }
    assert_int_equal(COUNTER(captured_packets), ROUNDS * SIZES);
    assert_int_equal(world_all_drops(), 0);
}

static long resident_kilobytes(void)
{
    FILE *file = fopen("/proc/self/statm", "re");
    long pages = 0;

    assert_non_null(file);
    assert_int_equal(fscanf(file, "%*d %ld", &pages), 1);
    fclose(file);
    return pages * (sysconf(_SC_PAGESIZE) / 1024);
}

/*
 * The peer does not read for a while. The lane stops reading, the kernel's queue fills and drops;
 * when the peer reads again, what the lane had taken comes in order and whole.
 */
static void stall_and_resume(size_t size)
{
    uint32_t sent = 0, last = 0;

    world_start();
    world_stall(size, &sent);
    uint64_t captured = COUNTER(captured_packets), written = COUNTER(sent_bytes);
    long resident = resident_kilobytes();
    for (int i = 0; i < 20000; i++)
        la_send(packet, world_plain(packet, 4, size, ++sent), NULL);
    /* Nothing of all that moved, nor did anything grow. */
    assert_int_equal(COUNTER(captured_packets), captured);
    assert_in_range(COUNTER(sent_bytes), written, written + BATCH_CONTROL_BYTES);
    assert_true(resident_kilobytes() < resident + 1024);
    WAIT_DOING(last == sent)
    {
        /* The marker gets through once there is room in the kernel's queue. */
        la_send(packet, world_plain(packet, 4, size, ++sent), NULL);
        while (last < sent) {
            uint8_t ahead;
            if (recv(world.peer, &ahead, 1, MSG_PEEK | MSG_DONTWAIT) != 1)
                break;
            assert_int_equal(peer_frame(payload).length, size);
            uint32_t number = load_be32(payload + 20);
            assert_true(number > last && number <= sent);
            last = number;
        }
    }
    assert_int_equal(world_all_drops(), 0);
}

static void test_slow_peer_small(void **state)
{
    (void)state;
    stall_and_resume(200);
}

static void test_slow_peer_large(void **state)
{
    (void)state;
    stall_and_resume(9000);
}

/* A lane under full load still answers pings. */
static void test_ping_under_load(void **state)
{
    (void)state;
    world_start();
    uint64_t answered = 0, token;
    for (uint64_t ping = 1; ping <= 20; ping++) {
        for (int i = 0; i < 200; i++)
            la_send(packet, world_plain(packet, 4, 1400, 0), NULL);
        peer_send_ping(ping);
        while (answered < ping) {
            struct frame_header header = peer_frame(payload);
            if (header.type == FRAME_PONG) {
                assert_int_equal(wire_get_ping(payload, header.length, &token), WIRE_OK);
                assert_int_equal(token, ping);
                answered = token;
            }
        }
    }
    assert_int_equal(DROPS(DROP_CONTROL_FULL), 0);
}

#define WORLD_TEST(name) cmocka_unit_test_setup_teardown(name, world_open, world_close)
#define JUMBO_TEST(name)                                                                           \
    cmocka_unit_test_prestate_setup_teardown(name, world_open, world_close, &jumbo)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WORLD_TEST(test_many_to_a_write), JUMBO_TEST(test_mixed_sizes),
        WORLD_TEST(test_slow_peer_small), JUMBO_TEST(test_slow_peer_large),
        WORLD_TEST(test_ping_under_load),
    };
    if (!support_own_netns())
        return TEST_SKIPPED;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
