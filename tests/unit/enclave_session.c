/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The enclave's dialling, with the test as the parent: streams over a Unix socket, cw0 and cw1 in a
 * network namespace of its own.
 */
#include "enclave/session.h"

#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

#include "runtime/base/clock.h"
#include "runtime/base/link.h"
#include "tests/unit/support.h"
#include "tests/unit/words.h"

static struct event_loop loop;
static struct enclave_config config;
static struct device device;
static struct capture capture;
static struct tap_table taps;
static struct session session;
static int door = -1;
static unsigned fds;

static int open_session(void **state)
{
    static struct words words;
    char line[400];
    struct failure failure = {""};

    (void)state;
    fds = support_open_fds();
    snprintf(line, sizeof(line),
             "--link unix:%s --lanes 3 --capture packet --dead-after 60 --mtu 9000",
             support_path("door"));
    words_split(&words, line);
    memset(&session, 0, sizeof(session));
    memset(&taps, 0, sizeof(taps));
    memset(&device, 0, sizeof(device));
    if (enclave_config_read(&config, words.argc, words.argv, NULL, &failure) != OPTIONS_OK ||
        event_loop_init(&loop) < 0 || device_create(&device) < 0 ||
        !capture_open(&capture, &config, &device, &failure))
        return -1;
    session.config = &config;
    session.loop = &loop;
    session.device = &device;
    session.capture = &capture;
    session.taps = &taps;
    door = link_listen(&config.link);
    return door >= 0 && session_open(&session, &failure) ? 0 : -1;
}

static int close_session(void **state)
{
    (void)state;
    session_stop(&session);
    for (unsigned i = 0; i < config.lanes; i++) {
        lane_free(session.dials[i].lane);
        close(session.dials[i].inject_fd);
    }
    for (unsigned i = 0; i < capture.source_count; i++)
        close(capture.sources[i].fd);
    close(session.lane_exit.fd);
    close(session.offer.fd);
    netdev_close(&device.netdev);
    device_remove();
    event_loop_close(&loop);
    if (door >= 0)
        close(door);
    unlink(config.link.path);
    door = -1;
    if (support_open_fds() != fds) {
        print_error("%u descriptors before, %u afterwards\n", fds, support_open_fds());
        return -1;
    }
    return 0;
}

static void pump(void)
{
    session_poll(&session);
    assert_int_equal(event_wait(&loop, 0), 0);
}
#define PUMP_UNTIL(condition)                                                                      \
    WAIT_DOING(condition)                                                                          \
    {                                                                                              \
        for (int pumped = 0; pumped < 20; pumped++)                                                \
            pump();                                                                                \
    }

/* ---- the parent's end ---- */

struct stream {
    int fd;
    struct frame_reader reader;
    struct wire_hello hello;
};

/* Takes the next dial and reads its HELLO. */
static struct stream take(void)
{
    struct stream stream = {.fd = -1};
    uint32_t cid;
    int result = 0;

    PUMP_UNTIL((stream.fd = link_accept(door, &config.link, &cid)) >= 0);
    PUMP_UNTIL((result = frame_reader_read(&stream.reader, stream.fd)) != 0);
    assert_int_equal(result, 1);
    assert_int_equal(stream.reader.header.type, FRAME_HELLO);
    assert_int_equal(wire_get_hello(frame_reader_payload(&stream.reader),
                                    stream.reader.header.length, &stream.hello),
                     WIRE_OK);
    return stream;
}

static void say(struct stream *stream, const void *bytes, size_t length)
{
    assert_int_equal(send(stream->fd, bytes, length, MSG_NOSIGNAL), length);
}

static struct ip_addr addr(const char *text)
{
    struct ip_addr out = {0};

    assert_true(addr_parse(text, &out));
    return out;
}

static struct wire_config offer(uint8_t lanes)
{
    return (struct wire_config){
        .lanes = lanes,
        .mtu = 1400,
        .address4 = addr("100.127.0.2"),
        .gateway4 = addr("100.127.0.1"),
        .address6 = addr("fdc5:7e1a:9b40::2"),
        .gateway6 = addr("fdc5:7e1a:9b40::1"),
    };
}

static void say_config(struct stream *stream, const struct wire_config *offered)
{
    uint8_t frame[FRAME_HEADER_BYTES + FRAME_CONTROL_MAX];

    say(stream, frame, wire_put_config(frame, offered));
}

static void hang_up(struct stream *stream)
{
    close(stream->fd);
    stream->fd = -1;
}

/* Reads to the end of the stream; a lane that goes on would never let this come true. */
static bool is_closed(const struct stream *stream)
{
    uint8_t bytes[512];
    ssize_t got;

    while ((got = recv(stream->fd, bytes, sizeof(bytes), MSG_DONTWAIT)) > 0)
        ;
    return got == 0 || errno == ECONNRESET;
}

static void expect_closed(struct stream *stream)
{
    PUMP_UNTIL(is_closed(stream));
    hang_up(stream);
}

static bool is_up(unsigned lane)
{
    return session.dials[lane].state == DIAL_RUNNING;
}

/* Lane 0 first, then the others as they come. */
static void bring_up(struct stream *streams, const struct wire_config *offered)
{
    for (unsigned i = 0; i < offered->lanes; i++) {
        struct stream stream = take();
        assert_true(stream.hello.lane < offered->lanes);
        streams[stream.hello.lane] = stream;
        say_config(&streams[stream.hello.lane], offered);
        PUMP_UNTIL(is_up(stream.hello.lane));
    }
}

static const char *ask(const char *command)
{
    static char text[8192];
    FILE *pipe = popen(command, "r");

    assert_non_null(pipe);
    size_t length = fread(text, 1, sizeof(text) - 1, pipe);
    text[length] = '\0';
    pclose(pipe);
    return text;
}

/* ---- tests ---- */

static void test_hello(void **state)
{
    (void)state;
    struct stream first = take();
    assert_int_equal(first.hello.version, WIRE_VERSION);
    assert_int_equal(first.hello.lane, 0);
    assert_int_equal(first.hello.lanes, 3);
    assert_int_equal(first.hello.attempt, 1);
    assert_int_equal(first.hello.mtu, 9000);
    assert_true(first.hello.session != 0);
    assert_true(first.hello.session == session.dialling.session);
    hang_up(&first);
}

static void test_comes_up(void **state)
{
    struct wire_config offered = offer(3);
    struct stream streams[3];

    (void)state;
    support_capture_begin(2);
    bring_up(streams, &offered);
    const char *text = support_capture_end();
    assert_contains(text, ", 3 lanes, addresses 100.127.0.2 and fdc5:7e1a:9b40::2, MTU 1400, "
                          "capture by AF_PACKET\n");
    for (unsigned i = 0; i < 3; i++) {
        assert_int_equal(streams[i].hello.lane, i);
        assert_true(streams[i].hello.session == session.dialling.session);
        assert_true(i == 0 || streams[i].hello.attempt > streams[i - 1].hello.attempt);
    }
    assert_contains(ask("ip -4 address show cw0"), "100.127.0.2/32");
    assert_contains(ask("ip -6 address show cw0"), "fdc5:7e1a:9b40::2/128");
    assert_contains(ask("ip -4 route"), "default via 100.127.0.1 dev cw0");
    assert_contains(ask("ip -6 route"), "default via fdc5:7e1a:9b40::1 dev cw0");
    assert_contains(ask("ip link show cw0"), "mtu 1400");
    assert_int_equal(session_poll(&session), -1);
    for (unsigned i = 0; i < 3; i++)
        hang_up(&streams[i]);
}

/* Before lane 0 has its CONFIG no other lane dials. */
static void test_lane_0_first(void **state)
{
    uint32_t cid;

    (void)state;
    struct stream first = take();
    for (int i = 0; i < 50; i++)
        pump();
    assert_int_equal(link_accept(door, &config.link, &cid), -EAGAIN);
    hang_up(&first);
}

static void test_fewer_lanes_granted(void **state)
{
    struct wire_config offered = offer(1);
    struct stream first;
    uint32_t cid;

    (void)state;
    bring_up(&first, &offered);
    for (int i = 0; i < 50; i++)
        pump();
    assert_int_equal(link_accept(door, &config.link, &cid), -EAGAIN);
    assert_int_equal(session_poll(&session), -1);
    hang_up(&first);
}

static void test_rejected(void **state)
{
    uint8_t frame[FRAME_HEADER_BYTES + FRAME_CONTROL_MAX];

    (void)state;
    for (uint32_t attempt = 1; attempt <= 3; attempt++) {
        struct stream first = take();
        assert_int_equal(first.hello.attempt, attempt);
        say(&first, frame, wire_put_reject(frame, WIRE_REJECT_FULL));
        expect_closed(&first);
        assert_int_equal(session.dials[0].state, DIAL_WAITING);
        assert_int_equal(session.dials[0].failures, attempt);
        int wait = session_poll(&session);
        assert_in_range(wait, 0, (unsigned)LINK_BACKOFF_MIN_MS << attempt);
    }
    assert_false(session.configured);
}

/* The parent refuses a stranger without waiting for its HELLO, and hangs up. What it said is read
 * all the same: it is the only word that the operator gets about a wrong CID. */
static void test_rejected_before_the_hello(void **state)
{
    uint8_t frame[FRAME_HEADER_BYTES + FRAME_CONTROL_MAX];
    uint32_t cid;

    (void)state;
    session_poll(&session);
    assert_int_equal(session.dials[0].state, DIAL_CONNECTING);
    int fd = link_accept(door, &config.link, &cid);
    assert_true(fd >= 0);
    size_t length = wire_put_reject(frame, WIRE_REJECT_UNKNOWN);
    assert_int_equal(send(fd, frame, length, 0), length);
    close(fd);
    support_capture_begin(2);
    PUMP_UNTIL(session.dials[0].failures == 1);
    assert_contains(support_capture_end(), "lane 0: rejected by the parent: ");
}

static void refused(const struct wire_config *offered)
{
    struct stream first = take();

    say_config(&first, offered);
    expect_closed(&first);
    assert_false(session.configured);
    assert_int_equal(session.dials[0].state, DIAL_WAITING);
}

static void test_hostile_config(void **state)
{
    struct wire_config offered = offer(3);

    (void)state;
    offered.lanes = 4;
    refused(&offered);
    offered = offer(1);
    offered.address4 = addr("127.0.0.1");
    refused(&offered);
    offered = offer(1);
    offered.gateway4 = addr("169.254.169.254");
    refused(&offered);
    offered = offer(1);
    offered.mtu = 1279;
    refused(&offered);
    assert_string_equal(ask("ip -4 address show cw0"), "");
    assert_string_equal(ask("ip -4 route"), "");
}

static void answered_with(const void *bytes, size_t length)
{
    struct stream first = take();

    say(&first, bytes, length);
    expect_closed(&first);
    assert_false(session.configured);
}

static void test_nonsense(void **state)
{
    uint8_t frame[FRAME_HEADER_BYTES + FRAME_CONTROL_MAX];
    struct wire_config offered = offer(1);

    (void)state;
    answered_with("HTTP/1.1 400 Bad Request\r\n\r\n", 28);
    answered_with(frame, wire_put_ping(frame, FRAME_PING, 1));
    size_t length = wire_put_config(frame, &offered);
    frame[FRAME_HEADER_BYTES] = 0; /* lanes */
    answered_with(frame, length);
    length = wire_put_reject(frame, WIRE_REJECT_FULL);
    frame[FRAME_HEADER_BYTES] = 99; /* no such reason */
    answered_with(frame, length);
}

static void test_hung_up_on(void **state)
{
    (void)state;
    struct stream first = take();
    hang_up(&first);
    PUMP_UNTIL(session.dials[0].failures == 1);
    first = take();
    assert_int_equal(first.hello.attempt, 2);
    hang_up(&first);
}

static void test_nobody_there(void **state)
{
    (void)state;
    close(door);
    door = -1;
    support_capture_begin(2);
    PUMP_UNTIL(session.dials[0].failures == 3);
    assert_contains(support_capture_end(), "lane 0: cannot connect: nobody listens there (is "
                                           "causeway-parent running?); trying again\n");
    door = link_listen(&config.link);
    struct stream first = take();
    hang_up(&first);
}

/* As if the time for an answer were over. */
static void test_no_answer(void **state)
{
    (void)state;
    struct stream first = take();
    assert_int_equal(session.dials[0].state, DIAL_HANDSHAKE);
    assert_in_range(session_poll(&session), 1, 5000);
    session.dials[0].deadline_ms = 1;
    pump();
    assert_int_equal(session.dials[0].state, DIAL_WAITING);
    expect_closed(&first);
}

/* One lane breaks: it alone comes back, with a later attempt. */
static void test_a_lane_breaks(void **state)
{
    struct wire_config offered = offer(3);
    struct stream streams[3];

    (void)state;
    bring_up(streams, &offered);
    uint32_t attempt = streams[2].hello.attempt;
    hang_up(&streams[1]);
    streams[1] = take();
    assert_int_equal(streams[1].hello.lane, 1);
    assert_true(streams[1].hello.attempt > attempt);
    assert_true(streams[1].hello.session == session.dialling.session);
    assert_true(is_up(0) && is_up(2));
    say_config(&streams[1], &offered);
    PUMP_UNTIL(is_up(1));
    assert_false(is_closed(&streams[0]));
    for (unsigned i = 0; i < 3; i++)
        hang_up(&streams[i]);
}

/* Lane 0 comes back with the same CONFIG: the others never notice. */
static void test_lane_0_breaks(void **state)
{
    struct wire_config offered = offer(2);
    struct stream streams[2];

    (void)state;
    bring_up(streams, &offered);
    hang_up(&streams[0]);
    streams[0] = take();
    assert_int_equal(streams[0].hello.lane, 0);
    say_config(&streams[0], &offered);
    PUMP_UNTIL(is_up(0));
    assert_true(is_up(1));
    assert_false(is_closed(&streams[1]));
    hang_up(&streams[0]);
    hang_up(&streams[1]);
}

static void test_new_mtu(void **state)
{
    struct wire_config offered = offer(2);
    struct stream streams[2];

    (void)state;
    bring_up(streams, &offered);
    offered.mtu = 9000;
    say_config(&streams[0], &offered);
    PUMP_UNTIL(session.mtu == 9000);
    assert_contains(ask("ip link show cw0"), "mtu 9000");
    assert_true(is_up(0) && is_up(1));
    hang_up(&streams[0]);
    hang_up(&streams[1]);
}

/* Another address ends every lane: they hold the old policy. All dial again. */
static void test_new_address(void **state)
{
    struct wire_config offered = offer(2);
    struct stream streams[2];

    (void)state;
    bring_up(streams, &offered);
    offered.address4 = addr("100.127.0.99");
    say_config(&streams[0], &offered);
    expect_closed(&streams[0]);
    expect_closed(&streams[1]);
    bring_up(streams, &offered);
    assert_contains(ask("ip -4 address show cw0"), "100.127.0.99/32");
    assert_null(strstr(ask("ip -4 address show cw0"), "100.127.0.2/32"));
    assert_true(addr_equal(&session.policies[session.policy].own4, &offered.address4));
    hang_up(&streams[0]);
    hang_up(&streams[1]);
}

/* A family that the new CONFIG has no more must not stay behind. */
static void test_family_goes(void **state)
{
    struct wire_config offered = offer(1);
    struct stream first;

    (void)state;
    bring_up(&first, &offered);
    offered.address6 = offered.gateway6 = (struct ip_addr){0};
    say_config(&first, &offered);
    expect_closed(&first);
    bring_up(&first, &offered);
    assert_string_equal(ask("ip -6 address show cw0"), "");
    assert_null(strstr(ask("ip -6 route"), "default"));
    assert_contains(ask("ip -4 route"), "default via 100.127.0.1 dev cw0");
    offered = offer(1);
    offered.address4 = offered.gateway4 = (struct ip_addr){0};
    say_config(&first, &offered);
    expect_closed(&first);
    bring_up(&first, &offered);
    assert_string_equal(ask("ip -4 address show cw0"), "");
    assert_string_equal(ask("ip -4 route"), "");
    assert_contains(ask("ip -6 route"), "default via fdc5:7e1a:9b40::1 dev cw0");
    hang_up(&first);
}

static void test_hostile_config_later(void **state)
{
    struct wire_config offered = offer(2);
    struct stream streams[2];
    struct wire_config good = offered;

    (void)state;
    bring_up(streams, &offered);
    offered.address4 = addr("224.0.0.1");
    say_config(&streams[0], &offered);
    good.mtu = 1500;
    say_config(&streams[0], &good); /* behind it, and taken */
    PUMP_UNTIL(session.mtu == 1500);
    assert_true(is_up(0) && is_up(1));
    assert_contains(ask("ip -4 address show cw0"), "100.127.0.2/32");
    hang_up(&streams[0]);
    hang_up(&streams[1]);
}

static void test_stop_and_stats(void **state)
{
    struct wire_config offered = offer(2);
    struct stream streams[2];
    char text[16384] = "";

    (void)state;
    bring_up(streams, &offered);
    FILE *out = fmemopen(text, sizeof(text), "w");
    assert_non_null(out);
    session_print_stats(&session, out);
    fclose(out);
    assert_contains(text, " lane=0 up=1 queue_dropped=0 captured_packets=");
    assert_contains(text, " lane=1 up=1 ");
    assert_null(strstr(text, " lane=2 "));
    session_stop(&session);
    assert_false(is_up(0) || is_up(1));
    expect_closed(&streams[0]);
    expect_closed(&streams[1]);
}

#define SESSION_TEST(name) cmocka_unit_test_setup_teardown(name, open_session, close_session)

int main(void)
{
    const struct CMUnitTest tests[] = {
        SESSION_TEST(test_hello),
        SESSION_TEST(test_comes_up),
        SESSION_TEST(test_lane_0_first),
        SESSION_TEST(test_fewer_lanes_granted),
        SESSION_TEST(test_rejected),
        SESSION_TEST(test_rejected_before_the_hello),
        SESSION_TEST(test_hostile_config),
        SESSION_TEST(test_nonsense),
        SESSION_TEST(test_hung_up_on),
        SESSION_TEST(test_nobody_there),
        SESSION_TEST(test_no_answer),
        SESSION_TEST(test_a_lane_breaks),
        SESSION_TEST(test_lane_0_breaks),
        SESSION_TEST(test_new_mtu),
        SESSION_TEST(test_new_address),
        SESSION_TEST(test_family_goes),
        SESSION_TEST(test_hostile_config_later),
        SESSION_TEST(test_stop_and_stats),
    };
    if (!support_own_netns())
        return TEST_SKIPPED;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
