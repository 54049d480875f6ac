/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/lane_world.h"

#include <errno.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <linux/if_ether.h>

#include "runtime/host/packet_socket.h"

struct lane_world world;

static enum policy_verdict check(const void *policy, const uint8_t *packet,
                                 const struct parsed_packet *parsed)
{
    (void)packet, (void)parsed;
    return __atomic_load_n((const enum policy_verdict *)policy, __ATOMIC_RELAXED);
}

static void take_config(void *context, const struct wire_config *config)
{
    struct lane_world *w = context;

    w->config = *config;
    __atomic_add_fetch(&w->configs, 1, __ATOMIC_RELEASE);
}

int world_open(void **state)
{
    uint32_t mtu = *state != NULL ? *(const uint32_t *)*state : 1500;

    world = (struct lane_world){.mtu = PACKET_MAX_BYTES, .stream = -1, .peer = -1};
    world.fds = support_open_fds();
    if (netdev_open(&world.netdev) < 0)
        return -1;
    world.pair = support_veth(&world.netdev, "la", "lb", mtu);
    world.lane = lane_new();
    world.exit_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    world.to_lane = packet_socket_inject(world.pair.index);
    world.from_lane = packet_socket_capture(world.pair.index, 1, 0);
    world.options = (struct lane_options){
        .name = "unit lane 0",
        .inject_fd = packet_socket_inject(world.pair.peer_index),
        .inject_udp_gso = true,
        .inject_source = world.pair.peer_mac,
        .inject_destination = world.pair.mac,
        .source_count = 1,
        .sources = {{LANE_SOURCE_PACKET, packet_socket_capture(world.pair.peer_index, 1, 0), 0}},
        .capture_mtu = &world.mtu,
        .dead_ms = 60000,
        .check = check,
        .policy = &world.verdict,
        .config = take_config,
        .config_context = &world,
    };
    return world.lane == NULL || world.exit_fd < 0 || world.to_lane < 0 || world.from_lane < 0 ||
                   world.options.inject_fd < 0 || world.options.sources[0].fd < 0
               ? -1
               : 0;
}

int world_close(void **state)
{
    (void)state;
    if (world.stream >= 0)
        world_end(true);
    lane_free(world.lane);
    for (unsigned i = 0; i < world.options.source_count; i++)
        close(world.options.sources[i].fd);
    close(world.options.inject_fd);
    close(world.to_lane);
    close(world.from_lane);
    close(world.exit_fd);
    support_veth_delete(&world.netdev, "la");
    netdev_close(&world.netdev);
    if (support_open_fds() != world.fds) {
        print_error("%u descriptors before, %u afterwards\n", world.fds, support_open_fds());
        return -1;
    }
    return 0;
}

void world_start(void)
{
    struct timeval patience = {.tv_sec = SUPPORT_PATIENCE_MS / 1000};
    int ends[2];

    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
    world.stream = ends[0];
    world.peer = ends[1];
    assert_int_equal(setsockopt(world.peer, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience)),
                     0);
    assert_int_equal(setsockopt(world.peer, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience)),
                     0);
    world.options.stream_fd = world.stream;
    assert_int_equal(lane_start(world.lane, &world.options, world.exit_fd), 0);
}

enum lane_end world_end(bool stop)
{
    uint64_t ended = 0;

    if (stop)
        lane_stop(world.lane);
    WAIT_UNTIL(lane_finished(world.lane));
    enum lane_end end = lane_join(world.lane);
    assert_false(lane_finished(world.lane));
    assert_int_equal(read(world.exit_fd, &ended, sizeof(ended)), sizeof(ended));
    assert_int_equal(ended, 1);
    close(world.stream);
    if (world.peer >= 0)
        close(world.peer);
    world.stream = world.peer = -1;
    return end;
}

void world_decide(enum policy_verdict verdict)
{
    __atomic_store_n(&world.verdict, verdict, __ATOMIC_RELAXED);
}

size_t world_plain(uint8_t *out, uint8_t version, size_t length, uint32_t number)
{
    size_t header = version == 4 ? 20 : 40;
    struct packet_spec spec = {.version = version, .protocol = 253, .payload = length - header};

    assert_true(build_packet(out, &spec) == length);
    if (length >= header + 4)
        store_be32(out + header, number);
    return length;
}

/* ---- the peer of the stream ---- */

void peer_send(const void *bytes, size_t length)
{
    assert_int_equal(send(world.peer, bytes, length, MSG_NOSIGNAL), length);
}

void peer_send_packet(const uint8_t *packet, size_t length, struct offload offload)
{
    static uint8_t frame[FRAME_BYTES_MAX];
    struct frame_header header = {
        .length = (uint32_t)length, .type = FRAME_PACKET, .offload = offload};

    frame_put(frame, &header);
    memcpy(frame + FRAME_HEADER_BYTES, packet, length);
    peer_send(frame, FRAME_HEADER_BYTES + length);
}

void peer_send_ping(uint64_t token)
{
    uint8_t frame[FRAME_HEADER_BYTES + FRAME_CONTROL_MAX];

    peer_send(frame, wire_put_ping(frame, FRAME_PING, token));
}

static void peer_read(void *out, size_t length)
{
    if (length > 0)
        assert_int_equal(recv(world.peer, out, length, MSG_WAITALL), length);
}

struct frame_header peer_frame(uint8_t *payload)
{
    uint8_t bytes[FRAME_HEADER_BYTES];
    struct frame_header header;

    do {
        peer_read(bytes, sizeof(bytes));
        assert_int_equal(frame_get(bytes, sizeof(bytes), &header), FRAME_OK);
        peer_read(payload, header.length);
    } while (header.type == FRAME_PING);
    return header;
}

void peer_barrier(void)
{
    static uint8_t payload[FRAME_PAYLOAD_MAX];
    static uint64_t token = 0x6261727200000000;
    uint64_t answered = 0;

    peer_send_ping(++token);
    while (answered != token) {
        struct frame_header header = peer_frame(payload);
        if (header.type == FRAME_PONG)
            assert_int_equal(wire_get_ping(payload, header.length, &answered), WIRE_OK);
    }
}

/* ---- la ---- */

size_t la_receive(uint8_t *out)
{
    struct pollfd waiting = {.fd = world.from_lane, .events = POLLIN};

    if (poll(&waiting, 1, SUPPORT_PATIENCE_MS) != 1)
        fail_msg("no packet came out of the lane");
    ssize_t length = recv(world.from_lane, out, LINK_HEADER_BYTES + BUILD_MAX, MSG_DONTWAIT);
    assert_true(length > LINK_HEADER_BYTES);
    return (size_t)length;
}

bool la_is_quiet(void)
{
    struct pollfd waiting = {.fd = world.from_lane, .events = POLLIN};

    return poll(&waiting, 1, 0) == 0;
}

void la_send(const uint8_t *packet, size_t length, const void *vnet)
{
    static uint8_t frame[LINK_HEADER_BYTES + BUILD_MAX];

    memset(frame, 0, VNET_HEADER_BYTES);
    if (vnet != NULL)
        memcpy(frame, vnet, VNET_HEADER_BYTES);
    memcpy(frame + VNET_HEADER_BYTES, world.pair.peer_mac.bytes, 6);
    memcpy(frame + VNET_HEADER_BYTES + 6, world.pair.mac.bytes, 6);
    store_be16(frame + VNET_HEADER_BYTES + 12, packet[0] >> 4 == 4 ? ETH_P_IP : ETH_P_IPV6);
    memcpy(frame + LINK_HEADER_BYTES, packet, length);
    ssize_t sent = send(world.to_lane, frame, LINK_HEADER_BYTES + length, 0);
    if (sent != (ssize_t)(LINK_HEADER_BYTES + length))
        fail_msg("cannot send %zu bytes on la: %s", length, strerror(errno));
}

void world_stall(size_t size, uint32_t *sent)
{
    static uint8_t packet[BUILD_MAX];
    int capture_fd = world.options.sources[0].fd;
    uint64_t captured = UINT64_MAX;
    uint32_t lost = 0;

    WAIT_DOING(lost > 0 && COUNTER(captured_packets) == captured)
    {
        captured = COUNTER(captured_packets);
        for (int i = 0; i < 2000; i++)
            la_send(packet, world_plain(packet, 4, size, ++*sent), NULL);
        lost += packet_socket_lost(capture_fd);
    }
    assert_true(COUNTER(capture_pauses) > 0);
}

uint64_t world_all_drops(void)
{
    uint64_t all = 0;

    for (unsigned i = 0; i < DROP_REASON_COUNT; i++)
        all += DROPS(i);
    return all;
}
