/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/lane/frame_reader.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "packet/parse.h"
#include "tests/unit/support.h"

static int ends[2]; /* 0: the reader's */
static struct frame_reader reader;
static uint8_t frame[FRAME_HEADER_BYTES + FRAME_CONTROL_MAX];

static int open_pair(void **state)
{
    (void)state;
    memset(&reader, 0xa5, sizeof(reader));
    reader.have = 0;
    return socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, ends);
}

static int close_pair(void **state)
{
    (void)state;
    close(ends[0]);
    return ends[1] >= 0 ? close(ends[1]) : 0;
}

static void feed(const uint8_t *bytes, size_t length)
{
    assert_int_equal(send(ends[1], bytes, length, 0), length);
}

static void test_at_once(void **state)
{
    uint64_t token = 0;

    (void)state;
    assert_int_equal(frame_reader_read(&reader, ends[0]), 0);
    feed(frame, wire_put_ping(frame, FRAME_PING, 0x1122334455667788));
    assert_int_equal(frame_reader_read(&reader, ends[0]), 1);
    assert_int_equal(reader.header.type, FRAME_PING);
    assert_int_equal(wire_get_ping(frame_reader_payload(&reader), reader.header.length, &token),
                     WIRE_OK);
    assert_true(token == 0x1122334455667788);
}

static void test_byte_by_byte(void **state)
{
    struct wire_hello hello = {.version = WIRE_VERSION, .session = 5, .lane = 1, .lanes = 2}, got;
    size_t length = wire_put_hello(frame, &hello);

    (void)state;
    for (size_t i = 0; i + 1 < length; i++) {
        feed(frame + i, 1);
        assert_int_equal(frame_reader_read(&reader, ends[0]), 0);
        assert_int_equal(reader.have, i + 1);
    }
    feed(frame + length - 1, 1);
    assert_int_equal(frame_reader_read(&reader, ends[0]), 1);
    assert_int_equal(wire_get_hello(frame_reader_payload(&reader), reader.header.length, &got),
                     WIRE_OK);
    assert_int_equal(got.session, 5);
}

/* What stands behind the frame belongs to the lane. */
static void test_not_a_byte_more(void **state)
{
    uint8_t rest[8] = "";
    size_t length = wire_put_reject(frame, WIRE_REJECT_FULL);

    (void)state;
    memcpy(frame + length, "behind", 7);
    feed(frame, length + 7);
    assert_int_equal(frame_reader_read(&reader, ends[0]), 1);
    assert_int_equal(recv(ends[0], rest, sizeof(rest), 0), 7);
    assert_string_equal(rest, "behind");
}

static void test_largest(void **state)
{
    (void)state;
    frame_put(frame, &(struct frame_header){.length = FRAME_CONTROL_MAX, .type = FRAME_CONFIG});
    memset(frame + FRAME_HEADER_BYTES, 0x5a, FRAME_CONTROL_MAX);
    feed(frame, sizeof(frame));
    assert_int_equal(frame_reader_read(&reader, ends[0]), 1);
    assert_memory_equal(frame_reader_payload(&reader), frame + FRAME_HEADER_BYTES,
                        FRAME_CONTROL_MAX);
}

static void assert_refused_header(const uint8_t *header)
{
    void *none = NULL;

    assert_int_equal(open_pair(&none), 0);
    feed(header, FRAME_HEADER_BYTES);
    assert_int_equal(frame_reader_read(&reader, ends[0]), -EPROTO);
    close_pair(&none);
}

static void test_refused(void **state)
{
    (void)state;
    close_pair(state);
    frame_put(frame, &(struct frame_header){.length = FRAME_CONTROL_MAX + 1, .type = FRAME_PING});
    assert_refused_header(frame);
    frame_put(frame, &(struct frame_header){.length = UINT32_MAX, .type = FRAME_HELLO});
    assert_refused_header(frame);
    frame_put(frame, &(struct frame_header){.length = 0, .type = FRAME_HELLO});
    assert_refused_header(frame);
    frame_put(frame, &(struct frame_header){.length = 100, .type = FRAME_PACKET});
    assert_refused_header(frame);
    frame_put(frame, &(struct frame_header){.length = 100, .type = FRAME_TYPE_END});
    assert_refused_header(frame);
    frame_put(frame,
              &(struct frame_header){.length = 8, .type = FRAME_PING, .offload = {.flags = 1}});
    assert_refused_header(frame);
    frame_put(frame, &(struct frame_header){.length = 8, .type = FRAME_PING});
    frame[FRAME_HEADER_BYTES - 1] = 1;
    assert_refused_header(frame);
    assert_refused_header((const uint8_t *)"GET / HTTP/1.1\r\nHost: x\r\n");
    assert_int_equal(open_pair(state), 0);
}

static void test_closed(void **state)
{
    size_t length = wire_put_ping(frame, FRAME_PING, 1);

    (void)state;
    feed(frame, length - 1);
    assert_int_equal(frame_reader_read(&reader, ends[0]), 0);
    close(ends[1]);
    ends[1] = -1;
    assert_int_equal(frame_reader_read(&reader, ends[0]), -ECONNRESET);
}

static void test_other_errors(void **state)
{
    (void)state;
    int null = open("/dev/null", O_RDONLY);
    assert_int_equal(frame_reader_read(&reader, null), -ENOTSOCK);
    close(null);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_at_once, open_pair, close_pair),
        cmocka_unit_test_setup_teardown(test_byte_by_byte, open_pair, close_pair),
        cmocka_unit_test_setup_teardown(test_not_a_byte_more, open_pair, close_pair),
        cmocka_unit_test_setup_teardown(test_largest, open_pair, close_pair),
        cmocka_unit_test_setup_teardown(test_refused, open_pair, close_pair),
        cmocka_unit_test_setup_teardown(test_closed, open_pair, close_pair),
        cmocka_unit_test_setup_teardown(test_other_errors, open_pair, close_pair),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
