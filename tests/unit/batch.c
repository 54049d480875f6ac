/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Batches on a ring that is the test: no write is longer than write-max, whatever is sent, and the
 * bytes arrive in order and whole. tests/unit/lane_send.c has batches on a real ring.
 */
#include <stdlib.h>

#include "runtime/base/link.h"
#include "runtime/lane/batch.h"
#include "tests/unit/support.h"

#define STREAM_BYTES (16 << 20)

static struct {
    ring_handler *written;
    void *part;
    const struct msghdr *message; /* the write in flight */
    size_t longest, writes;
    uint8_t stream[STREAM_BYTES]; /* what has arrived */
    size_t arrived;
} ring;

static struct lane_context lane;
static struct slots slots;
static struct batches batches;
static uint8_t expected[STREAM_BYTES];
static size_t expected_bytes;
static uint32_t counter;

void ring_handle(struct ring *unused, enum ring_op op, ring_handler *handler, void *part)
{
    (void)unused;
    assert_int_equal(op, RING_WRITE);
    ring.written = handler;
    ring.part = part;
}

void ring_write(struct ring *unused, const struct msghdr *message)
{
    (void)unused;
    assert_null(ring.message); /* one in flight */
    ring.message = message;
}

static size_t message_bytes(const struct msghdr *message)
{
    size_t bytes = 0;

    for (size_t i = 0; i < message->msg_iovlen; i++) {
        assert_true(message->msg_iov[i].iov_len > 0);
        bytes += message->msg_iov[i].iov_len;
    }
    return bytes;
}

/* The stream takes the write in flight, or the first `limit` bytes of it. */
static void take_write(size_t limit)
{
    const struct msghdr *message = ring.message;
    size_t bytes = message_bytes(message), left = limit < bytes ? limit : bytes, taken = left;

    ring.message = NULL;
    ring.writes++;
    ring.longest = bytes > ring.longest ? bytes : ring.longest;
    assert_in_range(bytes, 1, batches.write_max);
    for (size_t i = 0; left > 0; i++) {
        size_t part = message->msg_iov[i].iov_len < left ? message->msg_iov[i].iov_len : left;
        assert_true(ring.arrived + part <= STREAM_BYTES);
        memcpy(ring.stream + ring.arrived, message->msg_iov[i].iov_base, part);
        ring.arrived += part;
        left -= part;
    }
    ring.written(ring.part, (int)taken, 0, 0);
}

static void drain(size_t limit)
{
    for (batches_submit(&batches); ring.message != NULL; batches_submit(&batches))
        take_write(limit);
}

static void fill(uint8_t *bytes, uint32_t length)
{
    for (uint32_t i = 0; i < length; i++)
        bytes[i] = (uint8_t)(++counter * 2654435761u >> 24);
    assert_true(expected_bytes + length <= STREAM_BYTES);
    memcpy(expected + expected_bytes, bytes, length);
    expected_bytes += length;
}

static void send_frame(uint32_t length)
{
    uint16_t slot = slots.free[--slots.free_count];
    uint8_t *frame = slots_bytes(&slots, slot) + 16;

    fill(frame, length);
    if (batches_append(&batches, frame, length, slot) == SLOT_FREE)
        slots_release(&slots, slot);
}

static int open_batches(void **state)
{
    lane.options.write_max = *(const unsigned *)*state;
    memset(&ring, 0, sizeof(ring));
    memset(&lane.stats, 0, sizeof(lane.stats));
    expected_bytes = 0;
    if (slots_map(&slots) < 0 || batches_init(&batches, &lane, &slots) < 0)
        return -1;
    slots_start(&slots);
    batches_start(&batches);
    return 0;
}

static int close_batches(void **state)
{
    (void)state;
    batches_destroy(&batches);
    slots_unmap(&slots);
    return 0;
}

static void assert_arrived(void)
{
    assert_int_equal(ring.arrived, expected_bytes);
    assert_memory_equal(ring.stream, expected, expected_bytes);
    assert_int_equal(slots.free_count, SLOT_COUNT);
    assert_int_equal(lane.stats.sent_bytes, expected_bytes);
    assert_int_equal(lane.stats.sent_writes, ring.writes);
    assert_int_equal(lane.end, LANE_RUNNING);
}

static const uint32_t lengths[] = {44,    1524,  2047,  2048,  2049,  4096, 4097,  9000,
                                   31744, 31745, 32768, 65559, 65559, 40,   65559, 63784};
#define LENGTHS (sizeof(lengths) / sizeof(lengths[0]))

/* Every length behind every other, with and without other frames on their way already. */
static void test_every_length(void **state)
{
    (void)state;
    for (size_t i = 0; i < LENGTHS; i++) {
        for (size_t j = 0; j < LENGTHS; j++) {
            send_frame(lengths[i]);
            if (j % 2)
                batches_submit(&batches);
            send_frame(lengths[j]);
        }
        drain(SIZE_MAX);
    }
    assert_arrived();
}

/* A stream that takes less than was asked for: the rest is within the limit, too. */
static void test_short_writes(void **state)
{
    static const size_t limits[] = {1, 1000, 4095, 4096, 5000, 31743, 31744, 40000};

    (void)state;
    for (size_t i = 0; i < sizeof(limits) / sizeof(limits[0]); i++) {
        for (size_t j = limits[i] == 1 ? 0 : LENGTHS; j < LENGTHS; j++)
            send_frame(40);
        for (size_t j = 0; j < LENGTHS && limits[i] > 1; j++)
            send_frame(lengths[j]);
        drain(limits[i]);
    }
    assert_arrived();
}

/* A batch full of packets, and 4 KB of control frames that come on top. */
static void test_control_behind_a_full_batch(void **state)
{
    static const uint32_t sizes[] = {44, 1524, 2048, 9000, 63784, 65536};
    uint8_t control[BATCH_CONTROL_BYTES];

    (void)state;
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        while (batches.backlog_count == 0)
            send_frame(sizes[i]);
        size_t packets = expected_bytes - sizes[i]; /* the last one waits behind the control */
        memmove(expected + packets + sizeof(control), expected + packets, sizes[i]);
        memset(control, (int)i + 1, sizeof(control));
        memcpy(expected + packets, control, sizeof(control));
        expected_bytes += sizeof(control);
        assert_true(batches_control(&batches, control, sizeof(control)));
        assert_false(batches_control(&batches, control, 1));
        drain(SIZE_MAX);
    }
    assert_arrived();
}

/* Small frames fill whole writes: a batch of them does not end with a short one. */
static void test_small_frames_fill_writes(void **state)
{
    (void)state;
    while (batches.backlog_count == 0)
        send_frame(64);
    send_frame(64);
    size_t whole = (BATCH_WRITE_MAX / batches.write_max);
    batches_submit(&batches);
    for (size_t i = 0; i < whole; i++)
        take_write(SIZE_MAX);
    assert_in_range(ring.arrived, whole * batches.write_max - 64, whole * batches.write_max);
    drain(SIZE_MAX);
    assert_arrived();
}

static unsigned least = LINK_WRITE_LEAST, vsock = LINK_WRITE_MAX_VSOCK, most = LINK_WRITE_MOST,
                odd = 5003, none;

#define AT(name, size)                                                                             \
    cmocka_unit_test_prestate_setup_teardown(name, open_batches, close_batches, &(size))
#define AT_EVERY_SIZE(name)                                                                        \
    AT(name, least), AT(name, odd), AT(name, vsock), AT(name, most), AT(name, none)

int main(void)
{
    const struct CMUnitTest tests[] = {
        AT_EVERY_SIZE(test_every_length),
        AT_EVERY_SIZE(test_short_writes),
        AT_EVERY_SIZE(test_control_behind_a_full_batch),
        AT_EVERY_SIZE(test_small_frames_fill_writes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
