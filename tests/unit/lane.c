/* SPDX-License-Identifier: Apache-2.0 */
/* The lane's life: start, ends, control frames, mailbox, reuse. */
#include "runtime/lane/lane.h"

#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

#include "runtime/host/packet_socket.h"
#include "tests/unit/lane_world.h"

static uint8_t payload[FRAME_PAYLOAD_MAX];
static uint8_t packet[BUILD_MAX];
static uint8_t got[LINK_HEADER_BYTES + BUILD_MAX];

static void test_stop(void **state)
{
    (void)state;
    world_start();
    assert_false(lane_finished(world.lane));
    lane_stop(world.lane);
    WAIT_UNTIL(lane_finished(world.lane));
    assert_int_equal(world_end(true), LANE_STOPPED); /* asked twice is no harm */
    assert_int_equal(COUNTER(streams), 1);
}

/* The peer learns at once, although the owner has not closed the stream yet. */
static void test_peer_sees_the_end(void **state)
{
    (void)state;
    world_start();
    lane_stop(world.lane);
    while (recv(world.peer, payload, sizeof(payload), 0) > 0)
        ;
    assert_int_equal(recv(world.peer, payload, 1, 0), 0);
    assert_int_equal(world_end(false), LANE_STOPPED);
}

static void test_closed(void **state)
{
    (void)state;
    world_start();
    peer_barrier();
    close(world.peer);
    world.peer = -1;
    assert_int_equal(world_end(false), LANE_CLOSED);
}

static void test_closed_in_mid_frame(void **state)
{
    uint8_t frame[FRAME_HEADER_BYTES] = {0};

    (void)state;
    world_start();
    frame_put(frame, &(struct frame_header){.length = 1000, .type = FRAME_PACKET});
    peer_send(frame, sizeof(frame));
    assert_int_equal(shutdown(world.peer, SHUT_WR), 0);
    assert_int_equal(world_end(false), LANE_CLOSED);
    assert_int_equal(COUNTER(received_frames), 0);
}

static void test_silence(void **state)
{
    (void)state;
    world.options.dead_ms = 1500; /* several ticks, on a busy machine too */
    world_start();
    assert_int_equal(world_end(false), LANE_SILENT);
    assert_true(COUNTER(pings_sent) >= 1);
}

/* The peer is heard and does not read: its silence is not what ends the lane. */
static void test_stalled(void **state)
{
    (void)state;
    world.options.dead_ms = 500;
    world_start();
    size_t length = world_plain(packet, 4, 1400, 0);
    WAIT_DOING(lane_finished(world.lane))
    {
        for (int i = 0; i < 50; i++)
            la_send(packet, length, NULL);
        uint8_t frame[FRAME_HEADER_BYTES + FRAME_CONTROL_MAX];
        send(world.peer, frame, wire_put_ping(frame, FRAME_PING, 1), MSG_NOSIGNAL | MSG_DONTWAIT);
    }
    assert_int_equal(world_end(false), LANE_STALLED);
}

static void test_garbage(void **state)
{
    static const char *const garbage[] = {
        "GET / HTTP/1.1\r\nHost: parent\r\n\r\n",
        "SSH-2.0-OpenSSH_9.2p1 Debian-2+deb12u3\r\n",
    };

    (void)state;
    for (size_t i = 0; i < sizeof(garbage) / sizeof(garbage[0]); i++) {
        world_start();
        peer_barrier();
        peer_send(garbage[i], strlen(garbage[i]));
        assert_int_equal(world_end(false), LANE_LOST);
    }
    world_start();
    memset(payload, 0xff, 100);
    peer_send(payload, 100);
    assert_int_equal(world_end(false), LANE_LOST);
    assert_int_equal(COUNTER(streams), sizeof(garbage) / sizeof(garbage[0]) + 1);
}

/* One bad header each; the lane must not go on guessing where the next frame begins. */
static void test_bad_headers(void **state)
{
    const struct frame_header headers[] = {
        {.length = 0, .type = FRAME_PACKET},
        {.length = 19, .type = FRAME_PACKET},
        {.length = 65536, .type = FRAME_PACKET},
        {.length = UINT32_MAX, .type = FRAME_PACKET},
        {.length = 40, .type = FRAME_PACKET, .offload = {.flags = 0x80}},
        {.length = 8, .type = 0},
        {.length = 8, .type = FRAME_TYPE_END},
        {.length = 8, .type = FRAME_PING, .offload = {.gso_size = 1}},
        {.length = FRAME_CONTROL_MAX + 1, .type = FRAME_PING},
        {.length = 0, .type = FRAME_PONG},
    };
    uint8_t frame[FRAME_HEADER_BYTES];

    (void)state;
    for (size_t i = 0; i < sizeof(headers) / sizeof(headers[0]); i++) {
        world_start();
        frame_put(frame, &headers[i]);
        peer_send(frame, sizeof(frame));
        enum lane_end end = world_end(false);
        if (end != LANE_LOST)
            fail_msg("header %zu: %s", i, lane_end_name(end));
    }
    assert_int_equal(COUNTER(received_frames), 0);
}

static void test_ping(void **state)
{
    uint64_t token;

    (void)state;
    world_start();
    for (uint64_t i = 0; i < 100; i++) {
        peer_send_ping(0xfedcba9876543210 + i);
        struct frame_header header = peer_frame(payload);
        assert_int_equal(header.type, FRAME_PONG);
        assert_int_equal(wire_get_ping(payload, header.length, &token), WIRE_OK);
        assert_true(token == 0xfedcba9876543210 + i);
    }
}

/* The lane's own ping: the answer gives the round trip. A token from the future does not. */
static void test_round_trip(void **state)
{
    uint8_t frame[FRAME_HEADER_BYTES + FRAME_CONTROL_MAX];
    uint64_t token;

    (void)state;
    world_start();
    assert_int_equal(recv(world.peer, frame, FRAME_HEADER_BYTES + 8, MSG_WAITALL),
                     FRAME_HEADER_BYTES + 8);
    assert_int_equal(frame[4], FRAME_PING);
    assert_int_equal(wire_get_ping(frame + FRAME_HEADER_BYTES, 8, &token), WIRE_OK);
    assert_int_equal(COUNTER(rtt_us), 0);
    peer_send(frame, wire_put_ping(frame, FRAME_PONG, token - 1000));
    WAIT_UNTIL(COUNTER(rtt_us) >= 1000);
    assert_int_equal(COUNTER(rtt_min_us), COUNTER(rtt_us));
    uint64_t before = COUNTER(rtt_us);
    peer_send(frame, wire_put_ping(frame, FRAME_PONG, token + 3600u * 1000000));
    WAIT_UNTIL(DROPS(DROP_CONTROL) == 1);
    assert_int_equal(COUNTER(rtt_us), before);
}

static void send_config(const struct wire_config *config)
{
    uint8_t frame[FRAME_HEADER_BYTES + FRAME_CONTROL_MAX];

    peer_send(frame, wire_put_config(frame, config));
}

static struct wire_config some_config(void)
{
    struct wire_config config = {.lanes = 2, .mtu = 1400};

    assert_true(addr_parse("100.127.0.2", &config.address4));
    assert_true(addr_parse("100.127.0.1", &config.gateway4));
    return config;
}

static void test_config_is_handed_on(void **state)
{
    struct wire_config config = some_config();

    (void)state;
    world_start();
    send_config(&config);
    peer_barrier();
    assert_int_equal(__atomic_load_n(&world.configs, __ATOMIC_ACQUIRE), 1);
    assert_int_equal(world.config.mtu, 1400);
    assert_true(addr_equal(&world.config.address4, &config.address4));
    config.mtu = 100; /* out of range */
    send_config(&config);
    peer_barrier();
    assert_int_equal(__atomic_load_n(&world.configs, __ATOMIC_ACQUIRE), 1);
    assert_int_equal(DROPS(DROP_CONTROL), 1);
}

/* Frames that have no place on a running lane are counted, and it goes on. */
static void test_unexpected_control(void **state)
{
    uint8_t frame[FRAME_HEADER_BYTES + FRAME_CONTROL_MAX];
    struct wire_hello hello = {.version = WIRE_VERSION, .lanes = 1};
    struct wire_config config = some_config();

    (void)state;
    world.options.config = NULL;
    world_start();
    peer_send(frame, wire_put_hello(frame, &hello));
    peer_send(frame, wire_put_reject(frame, WIRE_REJECT_FULL));
    send_config(&config);
    frame_put(frame, &(struct frame_header){.length = 9, .type = FRAME_PING});
    peer_send(frame, FRAME_HEADER_BYTES + 9);
    frame_put(frame, &(struct frame_header){.length = 7, .type = FRAME_PONG});
    peer_send(frame, FRAME_HEADER_BYTES + 7);
    peer_barrier();
    assert_int_equal(DROPS(DROP_CONTROL), 5);
    assert_int_equal(__atomic_load_n(&world.configs, __ATOMIC_ACQUIRE), 0);
    assert_int_equal(world_all_drops(), 5);
}

static void test_post(void **state)
{
    uint8_t frame[FRAME_HEADER_BYTES + FRAME_CONTROL_MAX];
    struct wire_config config = some_config(), arrived;

    (void)state;
    world_start();
    for (uint16_t mtu = 1300; mtu < 1320; mtu++) {
        config.mtu = mtu;
        assert_true(lane_post(world.lane, frame, wire_put_config(frame, &config)));
        struct frame_header header = peer_frame(payload);
        assert_int_equal(header.type, FRAME_CONFIG);
        assert_int_equal(wire_get_config(payload, header.length, &arrived), WIRE_OK);
        assert_int_equal(arrived.mtu, mtu);
    }
    assert_false(lane_post(world.lane, payload, LANE_MAILBOX_BYTES + 1));
    memset(payload, 0, LANE_MAILBOX_BYTES);
    peer_barrier();
}

/* A peer that floods with pings and does not read: bounded, and all right when it reads again. */
static void test_ping_flood(void **state)
{
    enum { PINGS = 30000 };
    uint64_t token = 0, pongs = 0, last = 0;

    (void)state;
    world_start();
    for (uint64_t i = 1; i <= PINGS; i++)
        peer_send_ping(i);
    WAIT_UNTIL(COUNTER(received_frames) == PINGS);
    uint64_t dropped = DROPS(DROP_CONTROL_FULL);
    assert_true(dropped > 0);
    while (pongs < PINGS - dropped) {
        struct frame_header header = peer_frame(payload);
        assert_int_equal(header.type, FRAME_PONG);
        assert_int_equal(wire_get_ping(payload, header.length, &token), WIRE_OK);
        assert_true(token > last && token <= PINGS); /* in order, each once */
        last = token;
        pongs++;
    }
    peer_barrier();
    assert_int_equal(DROPS(DROP_CONTROL_FULL), dropped);
}

static void send_through(uint32_t number)
{
    size_t length = world_plain(packet, 4, 200, number);

    peer_send_packet(packet, length, (struct offload){0});
    assert_int_equal(la_receive(got), LINK_HEADER_BYTES + length);
    assert_memory_equal(got + LINK_HEADER_BYTES, packet, length);
    la_send(packet, length, NULL);
    assert_int_equal(peer_frame(payload).length, length);
    assert_memory_equal(payload, packet, length);
}

/* A half frame, a posted frame and captured packets of the first stream: none of the second. */
static void test_reuse(void **state)
{
    uint8_t frame[FRAME_HEADER_BYTES + FRAME_CONTROL_MAX];
    struct wire_config config = some_config();

    (void)state;
    world_start();
    send_through(1);
    peer_send(frame, wire_put_ping(frame, FRAME_PING, 1) - 1);
    assert_int_equal(world_end(true), LANE_STOPPED);
    lane_post(world.lane, frame, wire_put_config(frame, &config)); /* too late */
    lane_stop(world.lane);                                         /* likewise */
    for (uint32_t stream = 2; stream < 20; stream++) {
        world_start();
        assert_true(lane_post(world.lane, frame, wire_put_reject(frame, WIRE_REJECT_FULL)));
        assert_int_equal(peer_frame(payload).type, FRAME_REJECT);
        send_through(stream);
        assert_int_equal(world_end(true), LANE_STOPPED);
        lane_post(world.lane, frame, wire_put_config(frame, &config)); /* again too late */
        assert_int_equal(COUNTER(streams), stream);
        assert_int_equal(COUNTER(injected_packets), stream);
        assert_int_equal(COUNTER(captured_packets), stream);
    }
    assert_int_equal(world_all_drops(), 0);
}

/* A stream that stalled with everything full leaves a lane that works. */
static void test_reuse_after_stall(void **state)
{
    (void)state;
    uint32_t sent = 0, last = 0;

    world_start();
    world_stall(1400, &sent);
    assert_int_equal(world_end(true), LANE_STOPPED);
    world_start();
    /* The kernel's queue still holds hundreds; each comes once and whole, when the peer reads. */
    for (int i = 0; i < 500; i++) {
        assert_int_equal(peer_frame(payload).length, 1400);
        uint32_t number = load_be32(payload + 20);
        assert_true(number > last && number <= sent);
        last = number;
    }
    peer_barrier();
}

/* Packet sockets of this network namespace, whoever still holds them. */
static int packet_sockets(void)
{
    FILE *file = fopen("/proc/net/packet", "re");
    char line[256];
    int lines = -1; /* the heading */

    assert_non_null(file);
    while (fgets(line, sizeof(line), file) != NULL)
        lines++;
    fclose(file);
    return lines;
}

/* Once the lane is joined and its owner has closed the sockets, the ring does not keep them. */
static void test_sockets_are_let_go(void **state)
{
    (void)state;
    int before = packet_sockets();
    world_start();
    send_through(1);
    assert_int_equal(world_end(true), LANE_STOPPED);
    close(world.options.inject_fd);
    close(world.options.sources[0].fd);
    assert_int_equal(packet_sockets(), before - 2);
    world.options.inject_fd = packet_socket_inject(world.pair.peer_index);
    world.options.sources[0].fd = packet_socket_capture(world.pair.peer_index, 1, 0);
    world_start();
    send_through(2);
}

static void test_names(void **state)
{
    (void)state;
    for (int a = LANE_RUNNING; a <= LANE_FAILED; a++)
        for (int b = LANE_RUNNING; b < a; b++)
            assert_string_not_equal(lane_end_name((enum lane_end)a),
                                    lane_end_name((enum lane_end)b));
}

static void test_probe(void **state)
{
    struct failure failure = {""};

    (void)state;
    unsigned fds = support_open_fds();
    for (int i = 0; i < 5; i++)
        assert_true(lane_probe(&failure));
    assert_int_equal(support_open_fds(), fds);
    assert_string_equal(failure.text, "");
}

/* What the ring cannot be opened with ends the lane, not the program. */
static void test_failed(void **state)
{
    int inject = world.options.inject_fd;

    (void)state;
    world.options.inject_fd = 999999;
    world_start();
    assert_int_equal(world_end(false), LANE_FAILED);
    assert_int_equal(lane_error(world.lane), EBADF);
    world.options.inject_fd = inject;
    world_start();
    assert_int_equal(lane_error(world.lane), 0);
    send_through(1);
}

#define WORLD_TEST(name) cmocka_unit_test_setup_teardown(name, world_open, world_close)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WORLD_TEST(test_stop),
        WORLD_TEST(test_peer_sees_the_end),
        WORLD_TEST(test_closed),
        WORLD_TEST(test_closed_in_mid_frame),
        WORLD_TEST(test_silence),
        WORLD_TEST(test_stalled),
        WORLD_TEST(test_garbage),
        WORLD_TEST(test_bad_headers),
        WORLD_TEST(test_ping),
        WORLD_TEST(test_round_trip),
        WORLD_TEST(test_config_is_handed_on),
        WORLD_TEST(test_unexpected_control),
        WORLD_TEST(test_post),
        WORLD_TEST(test_ping_flood),
        WORLD_TEST(test_reuse),
        WORLD_TEST(test_reuse_after_stall),
        WORLD_TEST(test_failed),
        WORLD_TEST(test_sockets_are_let_go),
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_probe),
    };
    if (!support_own_netns())
        return TEST_SKIPPED;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
