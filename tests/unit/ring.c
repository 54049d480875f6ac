/* SPDX-License-Identifier: Apache-2.0 */
/* The engine alone: sockets on both sides are the test's. */
#include "runtime/lane/ring.h"

#include <errno.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "packet/bytes.h"
#include "tests/unit/support.h"

enum { OURS, PEERS };

static struct {
    struct ring *ring;
    struct slots slots;
    int stream[2], inject[2], source[2], wake;
    struct event { /* of each kind the last, and how many */
        int result;
        unsigned source, count;
        uint32_t delivery;
    } events[RING_OPS];
} world;

static void note(void *part, int result, unsigned source, uint32_t delivery)
{
    struct event *event = part;

    *event = (struct event){result, source, event->count + 1, delivery};
}

static int open_world(void **state)
{
    (void)state;
    memset(&world, 0, sizeof(world));
    world.ring = ring_new();
    world.wake = eventfd(0, EFD_CLOEXEC);
    if (world.ring == NULL || world.wake < 0 || slots_map(&world.slots) < 0 ||
        socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, world.stream) < 0 ||
        socketpair(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0, world.inject) < 0 ||
        socketpair(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0, world.source) < 0)
        return -1;
    slots_start(&world.slots);
    for (int op = 0; op < RING_OPS; op++)
        ring_handle(world.ring, (enum ring_op)op, note, &world.events[op]);
    struct lane_options options = {
        .stream_fd = world.stream[OURS],
        .inject_fd = world.inject[OURS],
        .source_count = 1,
        .sources = {{.fd = world.source[OURS]}},
    };
    return ring_open(world.ring, &options, world.wake);
}

static int close_world(void **state)
{
    (void)state;
    ring_close(world.ring);
    ring_free(world.ring);
    slots_unmap(&world.slots);
    for (int end = OURS; end <= PEERS; end++) {
        close(world.stream[end]);
        close(world.inject[end]);
        close(world.source[end]);
    }
    return close(world.wake);
}

static void turn_until(enum ring_op op, unsigned count)
{
    while (world.events[op].count < count)
        assert_int_equal(ring_turn(world.ring, 0), 0);
}

/* What "immediate" rests on: the bytes are overwritten as soon as the queue was handed over, and
 * what comes out is what was there before. */
static void test_bytes_are_free_after_a_flush(void **state)
{
    uint8_t bytes[4], got[4];

    (void)state;
    for (uint32_t i = 0; i < 50; i++) {
        store_be32(bytes, i);
        ring_inject(world.ring, bytes, sizeof(bytes));
        ring_flush(world.ring);
        memset(bytes, 0xff, sizeof(bytes));
        assert_int_equal(recv(world.inject[PEERS], got, sizeof(got), 0), sizeof(got));
        assert_int_equal(load_be32(got), i);
    }
    assert_int_equal(world.events[RING_INJECT].count, 0); /* successes do not complete */
}

/* More than the queue holds: it is handed over on the way, in order. */
static void test_full_queue(void **state)
{
    enum { COUNT = 2000 };
    static uint8_t bytes[COUNT][4];
    uint8_t got[4];
    uint32_t next = 0;

    (void)state;
    for (uint32_t i = 0; i < COUNT; i++) {
        store_be32(bytes[i], i);
        ring_inject(world.ring, bytes[i], 4);
        if (i % 5 == 4) /* a socketpair holds few datagrams */
            ring_flush(world.ring);
        while (recv(world.inject[PEERS], got, sizeof(got), 0) == sizeof(got))
            assert_int_equal(load_be32(got), next++);
    }
    assert_int_equal(next, COUNT);
}

/* A socket without room fails the request at once; nothing is kept to be sent later. */
static void test_immediate_does_not_wait(void **state)
{
    static const uint8_t bytes[4] = "abc";
    uint8_t got[4];
    unsigned sent = 0;

    (void)state;
    while (world.events[RING_INJECT].count == 0) {
        ring_inject(world.ring, bytes, sizeof(bytes));
        ring_tick(world.ring, 0);
        turn_until(RING_TICK, ++sent);
    }
    assert_int_equal(world.events[RING_INJECT].result, -EAGAIN);
    for (unsigned i = 0; i < sent - 1; i++)
        assert_int_equal(recv(world.inject[PEERS], got, sizeof(got), 0), sizeof(got));
    ring_tick(world.ring, 0);
    turn_until(RING_TICK, sent + 1);
    assert_int_equal(recv(world.inject[PEERS], got, sizeof(got), 0), -1);
    assert_int_equal(errno, EAGAIN);
}

static void test_capture(void **state)
{
    (void)state;
    ring_publish(world.ring, &world.slots, 3); /* one beyond what comes: see below */
    ring_capture(world.ring, 0);
    for (unsigned i = 1; i <= 2; i++) {
        assert_int_equal(send(world.source[PEERS], "hello", i, 0), i);
        turn_until(RING_CAPTURE, i);
        struct event event = world.events[RING_CAPTURE];
        uint16_t slot = ring_slot(event.delivery);
        assert_int_equal(event.result, i);
        assert_int_equal(event.source, 0);
        assert_true((event.delivery & RING_MORE) && slot < SLOT_COUNT);
        assert_memory_equal(slots_bytes(&world.slots, slot), "hello", i);
        slots_arrived(&world.slots);
    }
}

/* The kernel asks for a slot before it knows of a message, so it runs out with the last one that
 * is filled: flow control. What it has not delivered is not lost. */
static void test_no_slot_left(void **state)
{
    (void)state;
    ring_publish(world.ring, &world.slots, 1);
    ring_capture(world.ring, 0);
    assert_int_equal(send(world.source[PEERS], "x", 1, 0), 1);
    assert_int_equal(send(world.source[PEERS], "yz", 2, 0), 2);
    do
        turn_until(RING_CAPTURE, world.events[RING_CAPTURE].count + 1);
    while (world.events[RING_CAPTURE].delivery & RING_MORE);
    assert_int_equal(world.events[RING_CAPTURE].result, -ENOBUFS);
    assert_int_equal(ring_slot(world.events[RING_CAPTURE].delivery), NO_SLOT);
    slots_arrived(&world.slots);
    ring_publish(world.ring, &world.slots, 2);
    ring_capture(world.ring, 0);
    turn_until(RING_CAPTURE, world.events[RING_CAPTURE].count + 1);
    assert_int_equal(world.events[RING_CAPTURE].result, 2);
}

static void test_stream(void **state)
{
    uint8_t bytes[16], got[16];
    struct iovec iov[] = {{"one", 3}, {"two", 3}};
    struct msghdr message = {.msg_iov = iov, .msg_iovlen = 2};

    (void)state;
    ring_receive(world.ring, bytes, sizeof(bytes));
    ring_write(world.ring, &message);
    turn_until(RING_WRITE, 1);
    assert_int_equal(world.events[RING_WRITE].result, 6);
    assert_int_equal(recv(world.stream[PEERS], got, sizeof(got), 0), 6);
    assert_memory_equal(got, "onetwo", 6);
    assert_int_equal(send(world.stream[PEERS], "three", 5, 0), 5);
    turn_until(RING_RECEIVE, 1);
    assert_int_equal(world.events[RING_RECEIVE].result, 5);
    assert_memory_equal(bytes, "three", 5);
}

static void test_verdict(void **state)
{
    char got[8];

    (void)state;
    ring_verdict(world.ring, 0, (const uint8_t *)"verdict", 8);
    ring_flush(world.ring);
    assert_int_equal(recv(world.source[PEERS], got, sizeof(got), 0), 8);
    assert_string_equal(got, "verdict");
}

/* A pause ends by itself, and what completed meanwhile is handled then. */
static void test_wake_and_pause(void **state)
{
    uint64_t one = 1;

    (void)state;
    ring_wake(world.ring);
    assert_int_equal(ring_turn(world.ring, 10), 0);
    assert_int_equal(world.events[RING_WAKE].count, 0);
    assert_int_equal(write(world.wake, &one, sizeof(one)), sizeof(one));
    turn_until(RING_WAKE, 1);
    assert_int_equal(world.events[RING_WAKE].result, sizeof(one));
}

#define WORLD_TEST(name) cmocka_unit_test_setup_teardown(name, open_world, close_world)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WORLD_TEST(test_bytes_are_free_after_a_flush),
        WORLD_TEST(test_full_queue),
        WORLD_TEST(test_immediate_does_not_wait),
        WORLD_TEST(test_capture),
        WORLD_TEST(test_no_slot_left),
        WORLD_TEST(test_stream),
        WORLD_TEST(test_verdict),
        WORLD_TEST(test_wake_and_pause),
    };
    struct failure failure;
    if (!ring_probe(&failure)) {
        print_message("%s\n", failure.text);
        return TEST_SKIPPED;
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
