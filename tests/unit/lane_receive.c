/* SPDX-License-Identifier: Apache-2.0 */
/* The lane's way in: frames of the stream become packets on the device, or counted drops. */
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <linux/if_ether.h>
#include <linux/virtio_net.h>

#include "runtime/lane/inbound.h"
#include "runtime/host/packet_socket.h"
#include "tests/unit/lane_world.h"

static uint8_t packet[BUILD_MAX];
static uint8_t got[LINK_HEADER_BYTES + BUILD_MAX];

static uint32_t jumbo = 65535;

static const struct virtio_net_hdr *got_vnet(void)
{
    static struct virtio_net_hdr header;

    memcpy(&header, got, VNET_HEADER_BYTES);
    return &header;
}

static void assert_ethernet(uint16_t type)
{
    assert_memory_equal(got + VNET_HEADER_BYTES, world.pair.mac.bytes, 6);
    assert_memory_equal(got + VNET_HEADER_BYTES + 6, world.pair.peer_mac.bytes, 6);
    assert_int_equal(load_be16(got + VNET_HEADER_BYTES + 12), type);
}

static void test_plain_packets(void **state)
{
    static const uint8_t protocols[] = {IPPROTO_TCP, IPPROTO_UDP, IPPROTO_ICMP, IPPROTO_ESP};

    (void)state;
    world_start();
    for (size_t i = 0; i < sizeof(protocols); i++) {
        for (uint8_t version = 4; version <= 6; version += 2) {
            struct packet_spec spec = {
                .version = version, .protocol = protocols[i], .payload = 333};
            if (version == 6 && spec.protocol == IPPROTO_ICMP)
                spec.protocol = IPPROTO_ICMPV6;
            size_t length = build_packet(packet, &spec);
            peer_send_packet(packet, length, (struct offload){0});
            assert_int_equal(la_receive(got), LINK_HEADER_BYTES + length);
            assert_ethernet(version == 4 ? ETH_P_IP : ETH_P_IPV6);
            assert_memory_equal(got + LINK_HEADER_BYTES, packet, length);
            assert_int_equal(got_vnet()->gso_type, VIRTIO_NET_HDR_GSO_NONE);
        }
    }
    assert_int_equal(COUNTER(injected_packets), 8);
    assert_int_equal(COUNTER(injected_super), 0);
    assert_int_equal(world_all_drops(), 0);
}

/* The sum is left to the kernel: what arrives is either summed or says that it is not. */
static void test_partial_checksum(void **state)
{
    struct packet_spec spec = {.version = 4, .protocol = IPPROTO_UDP, .payload = 500};
    struct parsed_packet parsed;

    (void)state;
    world_start();
    size_t length = build_packet(packet, &spec);
    store_be16(packet + 26, 0xdead); /* whatever stood there */
    peer_send_packet(packet, length, (struct offload){.flags = OFFLOAD_CHECKSUM_PARTIAL});
    assert_int_equal(la_receive(got), LINK_HEADER_BYTES + length);
    if (got_vnet()->flags & VIRTIO_NET_HDR_F_NEEDS_CSUM) {
        assert_int_equal(got_vnet()->csum_start, ETHERNET_HEADER_BYTES + 20);
        assert_int_equal(got_vnet()->csum_offset, 6);
        assert_int_equal(packet_parse(got + LINK_HEADER_BYTES, length, &parsed), PACKET_OK);
        offload_complete_checksum(got + LINK_HEADER_BYTES, &parsed);
    }
    assert_checksums(got + LINK_HEADER_BYTES, length);
}

static void test_tcp_super_packet(void **state)
{
    (void)state;
    world_start();
    for (uint8_t version = 4; version <= 6; version += 2) {
        struct packet_spec spec = {
            .version = version, .protocol = IPPROTO_TCP, .tcp_flags = 0x18, .payload = 60000};
        size_t length = build_packet(packet, &spec);
        peer_send_packet(packet, length, (struct offload){.gso_size = 1400});
        assert_int_equal(la_receive(got), LINK_HEADER_BYTES + length);
        assert_int_equal(got_vnet()->gso_size, 1400);
        assert_int_equal(got_vnet()->gso_type,
                         version == 4 ? VIRTIO_NET_HDR_GSO_TCPV4 : VIRTIO_NET_HDR_GSO_TCPV6);
        assert_ethernet(version == 4 ? ETH_P_IP : ETH_P_IPV6);
        size_t payload_at = (version == 4 ? 20 : 40) + 20;
        assert_memory_equal(got + LINK_HEADER_BYTES + payload_at, packet + payload_at,
                            length - payload_at);
    }
    assert_int_equal(COUNTER(injected_super), 2);
    assert_int_equal(world_all_drops(), 0);
}

static void test_udp_super_packet_whole(void **state)
{
    struct packet_spec spec = {.version = 4, .protocol = IPPROTO_UDP, .payload = 20000};

    (void)state;
    world.options.inject_udp_gso = packet_socket_try_udp_gso(world.options.inject_fd) == 1;
    if (!world.options.inject_udp_gso) {
        print_message("this kernel has no UDP segmentation in virtio_net_hdr\n");
        skip();
    }
    la_receive(got); /* the trial packet */
    world_start();
    size_t length = build_packet(packet, &spec);
    peer_send_packet(packet, length, (struct offload){.gso_size = 1200});
    assert_int_equal(la_receive(got), LINK_HEADER_BYTES + length);
    assert_int_equal(got_vnet()->gso_type, 5 /* VIRTIO_NET_HDR_GSO_UDP_L4 */);
    assert_int_equal(got_vnet()->gso_size, 1200);
    assert_int_equal(COUNTER(injected_segmented), 0);
}

/* The same where the kernel would not take it: datagrams of the size that the sender chose. Two in
 * one read, so that the second must not overwrite the first one's segments. */
static void test_udp_super_packet_segmented(void **state)
{
    static uint8_t frames[2 * (FRAME_HEADER_BYTES + BUILD_MAX)];
    enum { PAYLOAD = 20000, SEGMENT = 1200 };

    (void)state;
    world.options.inject_udp_gso = false;
    world_start();
    for (uint8_t version = 4; version <= 6; version += 2) {
        struct packet_spec spec = {.version = version, .protocol = IPPROTO_UDP, .payload = PAYLOAD};
        struct frame_header header = {.type = FRAME_PACKET, .offload = {.gso_size = SEGMENT}};
        size_t headers = version == 4 ? 28 : 48, frame_bytes = 0;
        for (int i = 0; i < 2; i++) {
            uint8_t *frame = frames + i * frame_bytes;
            header.length = (uint32_t)build_packet(frame + FRAME_HEADER_BYTES, &spec);
            frame_put(frame, &header);
            frame_bytes = FRAME_HEADER_BYTES + header.length;
        }
        peer_send(frames, 2 * frame_bytes);
        for (int i = 0; i < 2; i++) {
            const uint8_t *payload = frames + i * frame_bytes + FRAME_HEADER_BYTES + headers;
            for (size_t at = 0; at < PAYLOAD; at += SEGMENT) {
                size_t expected = at + SEGMENT <= PAYLOAD ? SEGMENT : PAYLOAD - at;
                assert_int_equal(la_receive(got), LINK_HEADER_BYTES + headers + expected);
                assert_ethernet(version == 4 ? ETH_P_IP : ETH_P_IPV6);
                assert_checksums(got + LINK_HEADER_BYTES, headers + expected);
                assert_memory_equal(got + LINK_HEADER_BYTES + headers, payload + at, expected);
            }
        }
    }
    assert_int_equal(COUNTER(injected_segmented), 4);
    assert_int_equal(world_all_drops(), 0);
}

/* ---- joining ---- */

/* Writes `count` datagrams of one flow as frames, one behind the other; returns their bytes. */
static size_t put_datagrams(uint8_t *frames, unsigned count, size_t payload)
{
    struct packet_spec spec = {
        .version = 4, .protocol = IPPROTO_UDP, .fragment = 0x4000, .payload = payload};
    uint8_t *at = frames;

    for (unsigned i = 0; i < count; i++) {
        struct frame_header header = {.type = FRAME_PACKET};
        header.length = (uint32_t)build_packet(at + FRAME_HEADER_BYTES, &spec);
        frame_put(at, &header);
        at += FRAME_HEADER_BYTES + header.length;
    }
    return (size_t)(at - frames);
}

/* The next thing that comes out is `count` of the datagrams in frames, as one or by itself. */
static void assert_joined(const uint8_t *frames, unsigned count, size_t payload)
{
    size_t frame_bytes = FRAME_HEADER_BYTES + 28 + payload;

    assert_int_equal(la_receive(got), LINK_HEADER_BYTES + 28 + count * payload);
    assert_ethernet(ETH_P_IP);
    assert_int_equal(got_vnet()->gso_type,
                     count > 1 ? 5 /* VIRTIO_NET_HDR_GSO_UDP_L4 */ : VIRTIO_NET_HDR_GSO_NONE);
    assert_int_equal(got_vnet()->gso_size, count > 1 ? payload : 0);
    for (unsigned i = 0; i < count; i++)
        assert_memory_equal(got + LINK_HEADER_BYTES + 28 + i * payload,
                            frames + i * frame_bytes + FRAME_HEADER_BYTES + 28, payload);
}

static bool start_with_udp_gso(void)
{
    world.options.inject_udp_gso = packet_socket_try_udp_gso(world.options.inject_fd) == 1;
    if (!world.options.inject_udp_gso) {
        print_message("this kernel has no UDP segmentation in virtio_net_hdr\n");
        return false;
    }
    la_receive(got); /* the trial packet */
    world_start();
    return true;
}

/* What arrives in one read and belongs together goes in as one, also across the ring's seam. */
static void test_datagrams_are_joined(void **state)
{
    enum { TOGETHER = 5, PAYLOAD = 1200, ROUNDS = 300 };
    static uint8_t frames[TOGETHER * (FRAME_HEADER_BYTES + 28 + PAYLOAD) + 100];

    (void)state;
    if (!start_with_udp_gso())
        skip();
    for (unsigned round = 0; round < ROUNDS; round++) {
        size_t bytes = put_datagrams(frames, TOGETHER, PAYLOAD);
        peer_send(frames, bytes);
        assert_joined(frames, TOGETHER, PAYLOAD);
    }
    assert_int_equal(COUNTER(injected_packets), ROUNDS * TOGETHER);
    assert_int_equal(COUNTER(injected_bytes), ROUNDS * TOGETHER * (28 + PAYLOAD));
    assert_int_equal(COUNTER(injected_joined), ROUNDS * TOGETHER);
    assert_int_equal(COUNTER(injected_super), 0);
    assert_int_equal(world_all_drops(), 0);
}

/* Another packet in between comes out in between. */
static void test_joining_keeps_the_order(void **state)
{
    enum { PAYLOAD = 300 };
    static uint8_t frames[8 * (FRAME_HEADER_BYTES + 28 + PAYLOAD)];
    struct frame_header header = {.type = FRAME_PACKET};

    (void)state;
    if (!start_with_udp_gso())
        skip();
    size_t first = put_datagrams(frames, 2, PAYLOAD);
    header.length = (uint32_t)world_plain(frames + first + FRAME_HEADER_BYTES, 4, 60, 7);
    frame_put(frames + first, &header);
    size_t second = first + FRAME_HEADER_BYTES + header.length;
    size_t bytes = second + put_datagrams(frames + second, 1, PAYLOAD);
    peer_send(frames, bytes);
    assert_joined(frames, 2, PAYLOAD);
    assert_int_equal(la_receive(got), LINK_HEADER_BYTES + 60);
    assert_memory_equal(got + LINK_HEADER_BYTES, frames + first + FRAME_HEADER_BYTES, 60);
    assert_joined(frames + second, 1, PAYLOAD);
    assert_int_equal(COUNTER(injected_joined), 2);
    assert_int_equal(world_all_drops(), 0);
}

/* A frame whose end has not come yet does not hold back what came before it. */
static void test_nothing_waits_for_the_next_read(void **state)
{
    enum { PAYLOAD = 500 };
    static uint8_t frames[3 * (FRAME_HEADER_BYTES + 28 + PAYLOAD)];

    (void)state;
    if (!start_with_udp_gso())
        skip();
    size_t bytes = put_datagrams(frames, 3, PAYLOAD);
    peer_send(frames, bytes - 100);
    assert_joined(frames, 2, PAYLOAD);
    assert_true(la_is_quiet());
    peer_send(frames + bytes - 100, 100);
    assert_joined(frames + bytes / 3 * 2, 1, PAYLOAD);
}

/* A kernel that would not cut them up again gets them one by one. */
static void test_not_joined_without_udp_gso(void **state)
{
    enum { PAYLOAD = 500 };
    static uint8_t frames[3 * (FRAME_HEADER_BYTES + 28 + PAYLOAD)];

    (void)state;
    world.options.inject_udp_gso = false;
    world_start();
    size_t bytes = put_datagrams(frames, 3, PAYLOAD);
    peer_send(frames, bytes);
    for (unsigned i = 0; i < 3; i++)
        assert_joined(frames + bytes / 3 * i, 1, PAYLOAD);
    assert_int_equal(COUNTER(injected_joined), 0);
}

/* Refused by policy in the middle: its neighbours join all the same, without it. */
static void test_joining_looks_at_each_one(void **state)
{
    enum { PAYLOAD = 200 };
    static uint8_t frames[3 * (FRAME_HEADER_BYTES + 28 + PAYLOAD)];

    (void)state;
    if (!start_with_udp_gso())
        skip();
    size_t bytes = put_datagrams(frames, 3, PAYLOAD);
    frames[bytes / 3 + FRAME_HEADER_BYTES] = 0x55; /* IP version */
    peer_send(frames, bytes);
    assert_int_equal(la_receive(got), LINK_HEADER_BYTES + 28 + 2 * PAYLOAD);
    assert_memory_equal(got + LINK_HEADER_BYTES + 28, frames + FRAME_HEADER_BYTES + 28, PAYLOAD);
    assert_memory_equal(got + LINK_HEADER_BYTES + 28 + PAYLOAD,
                        frames + bytes / 3 * 2 + FRAME_HEADER_BYTES + 28, PAYLOAD);
    assert_int_equal(DROPS(DROP_PACKET + PACKET_IP_VERSION), 1);
    assert_int_equal(COUNTER(injected_joined), 2);
}

/* ---- drops ---- */

/* Sends bytes as a packet frame; they must be counted under the reason, and nothing must come out;
 * then a good packet must still pass. */
static void assert_dropped(const uint8_t *bytes, size_t length, struct offload offload,
                           unsigned reason)
{
    static uint8_t good[1500];
    uint64_t before = DROPS(reason), all = world_all_drops();
    char name[64];

    peer_send_packet(bytes, length, offload);
    peer_barrier();
    WAIT_UNTIL(world_all_drops() > all);
    if (DROPS(reason) != before + 1)
        fail_msg("not counted as %s", drop_reason_name(reason, name, sizeof(name)));
    assert_int_equal(world_all_drops(), all + 1);
    size_t good_length = world_plain(good, 4, 60, (uint32_t)before);
    enum policy_verdict verdict = world.verdict;
    world_decide(POLICY_PASS);
    peer_send_packet(good, good_length, (struct offload){0});
    assert_int_equal(la_receive(got), LINK_HEADER_BYTES + good_length);
    assert_memory_equal(got + LINK_HEADER_BYTES, good, good_length);
    world_decide(verdict);
}

static void assert_dropped_packet(const uint8_t *bytes, size_t length, enum packet_error error)
{
    assert_dropped(bytes, length, (struct offload){0}, DROP_PACKET + error);
}

static void test_malformed_packets(void **state)
{
    static const uint8_t routing[] = {IPPROTO_ROUTING}, fragment[] = {IPPROTO_FRAGMENT};
    struct packet_spec udp4 = {.version = 4, .protocol = IPPROTO_UDP, .payload = 40};
    struct packet_spec tcp4 = {.version = 4, .protocol = IPPROTO_TCP, .payload = 40};

    (void)state;
    world_start();
    size_t length = build_packet(packet, &udp4);
    packet[0] = 0x55;
    assert_dropped_packet(packet, length, PACKET_IP_VERSION);
    packet[0] = 0x65;
    assert_dropped_packet(packet, 30, PACKET_SHORT);
    packet[0] = 0x44;
    assert_dropped_packet(packet, length, PACKET_HEADER_LENGTH);
    packet[0] = 0x4f;
    assert_dropped_packet(packet, 40, PACKET_HEADER_LENGTH);
    for (unsigned total = 0; total < 20; total++) {
        build_packet(packet, &udp4);
        store_be16(packet + 2, (uint16_t)total);
        assert_dropped_packet(packet, length, PACKET_TOTAL_LENGTH);
    }
    build_packet(packet, &udp4);
    assert_dropped_packet(packet, length - 1, PACKET_TOTAL_LENGTH);
    assert_dropped_packet(packet, length + 1, PACKET_TOTAL_LENGTH); /* bytes behind the packet */
    store_be16(packet + 6, 0x1fff);
    assert_dropped_packet(packet, length, PACKET_FRAGMENT);
    build_packet(packet, &udp4);
    store_be16(packet + 24, 7);
    assert_dropped_packet(packet, length, PACKET_TRANSPORT);
    length = build_packet(packet, &tcp4);
    packet[32] = 0x40;
    assert_dropped_packet(packet, length, PACKET_TRANSPORT);

    struct packet_spec routed = {.version = 6,
                                 .protocol = IPPROTO_UDP,
                                 .payload = 40,
                                 .extensions = routing,
                                 .extension_count = 1};
    length = build_packet(packet, &routed);
    packet[40 + 3] = 1; /* segments left */
    assert_dropped_packet(packet, length, PACKET_EXTENSIONS);
    struct packet_spec beyond = {.version = 6,
                                 .protocol = IPPROTO_UDP,
                                 .payload = 40,
                                 .extensions = fragment,
                                 .extension_count = 1,
                                 .fragment = 0xfff8};
    length = build_packet(packet, &beyond);
    assert_dropped_packet(packet, length, PACKET_FRAGMENT);
}

static void assert_dropped_offload(size_t length, struct offload offload, enum offload_error error)
{
    assert_dropped(packet, length, offload, DROP_OFFLOAD + error);
}

static void test_impossible_offloads(void **state)
{
    struct packet_spec icmp = {.version = 4, .protocol = IPPROTO_ICMP, .payload = 900};
    struct packet_spec tcp = {.version = 4, .protocol = IPPROTO_TCP, .payload = 9000};
    struct packet_spec udp = {.version = 4, .protocol = IPPROTO_UDP, .payload = 9000};
    struct packet_spec part = {
        .version = 4, .protocol = IPPROTO_UDP, .payload = 64, .fragment = 0x2000};

    (void)state;
    world_start();
    size_t length = build_packet(packet, &icmp);
    assert_dropped_offload(length, (struct offload){.gso_size = 500}, OFFLOAD_PROTOCOL);
    assert_dropped_offload(length, (struct offload){.flags = 1}, OFFLOAD_PROTOCOL);
    length = build_packet(packet, &part);
    assert_dropped_offload(length, (struct offload){.flags = 1}, OFFLOAD_FRAGMENT);
    assert_dropped_offload(length, (struct offload){.gso_size = 100}, OFFLOAD_FRAGMENT);
    length = build_packet(packet, &tcp);
    assert_dropped_offload(length, (struct offload){.gso_size = 1}, OFFLOAD_SEGMENT);
    length = build_packet(packet, &udp);
    assert_dropped_offload(length, (struct offload){.gso_size = 8}, OFFLOAD_SEGMENT);
}

static void test_policy(void **state)
{
    (void)state;
    world_start();
    size_t length = world_plain(packet, 4, 100, 1);
    world_decide(POLICY_SOURCE);
    assert_dropped(packet, length, (struct offload){0}, DROP_POLICY + POLICY_SOURCE);
    world_decide(POLICY_DESTINATION);
    assert_dropped(packet, length, (struct offload){0}, DROP_POLICY + POLICY_DESTINATION);
}

static void test_longer_than_the_device(void **state)
{
    (void)state;
    world_start();
    size_t length = world_plain(packet, 4, 1501, 1);
    assert_dropped(packet, length, (struct offload){0}, DROP_INJECT_TOO_LONG);
    length = world_plain(packet, 4, 65535, 1);
    assert_dropped(packet, length, (struct offload){0}, DROP_INJECT_TOO_LONG);
    length = world_plain(packet, 4, 1500, 1);
    peer_send_packet(packet, length, (struct offload){0});
    assert_int_equal(la_receive(got), LINK_HEADER_BYTES + length);
}

/* Each of thousands of sends in one read fails: more completions than the ring has places. */
static void test_device_down(void **state)
{
    enum { PACKETS = 20000, BYTES = 24 };
    uint8_t *frames = malloc(PACKETS * (FRAME_HEADER_BYTES + BYTES)), *at = frames;

    (void)state;
    world_plain(packet, 4, BYTES, 0);
    for (unsigned i = 0; i < PACKETS; i++) {
        frame_put(at, &(struct frame_header){.length = BYTES, .type = FRAME_PACKET});
        memcpy(at + FRAME_HEADER_BYTES, packet, BYTES);
        at += FRAME_HEADER_BYTES + BYTES;
    }
    assert_int_equal(netdev_set_up(&world.netdev, world.pair.peer_index, false), 0);
    world_start();
    peer_send(frames, (size_t)(at - frames));
    free(frames);
    WAIT_UNTIL(DROPS(DROP_INJECT_ERROR) == PACKETS);
    peer_barrier();
    assert_int_equal(world_all_drops(), PACKETS);
    assert_false(lane_finished(world.lane));
}

/* ---- framing ---- */

static void test_byte_by_byte(void **state)
{
    uint8_t frame[FRAME_HEADER_BYTES + 100];
    struct frame_header header = {.length = 100, .type = FRAME_PACKET};

    (void)state;
    world_start();
    for (uint32_t number = 0; number < 5; number++) {
        frame_put(frame, &header);
        world_plain(frame + FRAME_HEADER_BYTES, 4, 100, number);
        for (size_t i = 0; i < sizeof(frame); i++) {
            assert_int_equal(COUNTER(received_frames), number);
            uint64_t received = COUNTER(received_bytes);
            peer_send(frame + i, 1);
            WAIT_UNTIL(COUNTER(received_bytes) == received + 1);
        }
        assert_int_equal(la_receive(got), LINK_HEADER_BYTES + 100);
        assert_memory_equal(got + LINK_HEADER_BYTES, frame + FRAME_HEADER_BYTES, 100);
    }
    assert_int_equal(COUNTER(received_reads), 5 * sizeof(frame));
}

/*
 * A long stream, written in pieces that do not end where frames end, so that the ring is never
 * drained and goes round and round, with frames of all sizes across its end.
 */
struct stream {
    uint8_t *bytes;
    size_t length, sent;
    unsigned packets, received;
    uint32_t sizes[4000];
};

static size_t random_size(void)
{
    switch (random_below(8)) {
    case 0:
        return 60000 + random_below(5536);
    case 1:
    case 2:
        return 44 + random_below(9000);
    default:
        return 44 + random_below(1457);
    }
}

static void make_stream(struct stream *stream)
{
    struct frame_header header = {.type = FRAME_PACKET};

    stream->packets = sizeof(stream->sizes) / sizeof(stream->sizes[0]);
    stream->bytes = malloc((size_t)stream->packets * FRAME_BYTES_MAX);
    for (uint32_t i = 0; i < stream->packets; i++) {
        uint8_t *frame = stream->bytes + stream->length;
        header.length = (uint32_t)random_size();
        world_plain(frame + FRAME_HEADER_BYTES, i % 2 ? 4 : 6, header.length, i);
        frame_put(frame, &header);
        stream->sizes[i] = header.length;
        stream->length += FRAME_HEADER_BYTES + header.length;
    }
}

/* Takes what is there of the packets whose frames have been sent whole. */
static void receive_sent(struct stream *stream, size_t *frame_at)
{
    while (stream->received < stream->packets) {
        size_t length = stream->sizes[stream->received];
        if (*frame_at + FRAME_HEADER_BYTES + length > stream->sent)
            return;
        if (la_receive(got) != LINK_HEADER_BYTES + length)
            fail_msg("packet %u has another length", stream->received);
        if (memcmp(got + LINK_HEADER_BYTES, stream->bytes + *frame_at + FRAME_HEADER_BYTES,
                   length) != 0)
            fail_msg("packet %u is not what was sent", stream->received);
        *frame_at += FRAME_HEADER_BYTES + length;
        stream->received++;
    }
}

static void test_round_the_ring(void **state)
{
    struct stream *stream = calloc(1, sizeof(*stream));
    size_t frame_at = 0;

    (void)state;
    make_stream(stream);
    world_start();
    while (stream->sent < stream->length) {
        size_t piece = 1 + random_below(random_below(4) == 0 ? 150000 : 30000);
        if (piece > stream->length - stream->sent)
            piece = stream->length - stream->sent;
        peer_send(stream->bytes + stream->sent, piece);
        stream->sent += piece;
        receive_sent(stream, &frame_at);
    }
    assert_int_equal(stream->received, stream->packets);
    assert_true(la_is_quiet());
    assert_int_equal(COUNTER(injected_packets), stream->packets);
    assert_int_equal(COUNTER(received_bytes), stream->length);
    assert_int_equal(world_all_drops(), 0);
    /* Many megabytes, and never empty for long: it did go round. */
    assert_true(stream->length > 20 * INBOUND_BUFFER_BYTES);
    free(stream->bytes);
    free(stream);
}

/* The same ring drained by nothing but tiny frames: thousands to a read. */
static void test_tiny_frames(void **state)
{
    enum { PACKETS = 5000, BYTES = 48, SPARE = 100 /* build_packet() clears more */ };
    uint8_t *frames = malloc(PACKETS * (FRAME_HEADER_BYTES + BYTES) + SPARE), *at = frames;
    struct frame_header header = {.length = BYTES, .type = FRAME_PACKET};

    (void)state;
    for (uint32_t i = 0; i < PACKETS; i++) {
        frame_put(at, &header);
        world_plain(at + FRAME_HEADER_BYTES, 6, BYTES, i);
        at += FRAME_HEADER_BYTES + BYTES;
    }
    world_start();
    for (int round = 0; round < 5; round++) {
        size_t sent = 0;
        for (unsigned i = 0; i < PACKETS; i++) {
            if (i % 1000 == 0) {
                peer_send(frames + sent, 1000 * (FRAME_HEADER_BYTES + BYTES));
                sent += 1000 * (FRAME_HEADER_BYTES + BYTES);
            }
            assert_int_equal(la_receive(got), LINK_HEADER_BYTES + BYTES);
            assert_int_equal(load_be32(got + LINK_HEADER_BYTES + 40), i);
        }
    }
    free(frames);
    assert_int_equal(COUNTER(injected_packets), 5 * PACKETS);
    assert_true(COUNTER(received_reads) < 5 * PACKETS);
}

/* Random bytes in valid frames, by the thousand: whatever they are, the lane lives. */
static void test_noise(void **state)
{
    (void)state;
    log_set_level(LOG_LEVEL_ERROR);
    world_start();
    for (int i = 0; i < 5000; i++) {
        size_t length = 20 + random_below(200);
        random_fill(packet, length);
        packet[0] = (uint8_t)((i % 2 ? 0x45 : 0x60));
        if (i % 3 == 0)
            store_be16(packet + (i % 2 ? 2 : 4), (uint16_t)(i % 2 ? length : length - 40));
        peer_send_packet(packet, length,
                         (struct offload){.gso_size = (uint16_t)random_below(300),
                                          .flags = (uint8_t)random_below(2)});
        while (!la_is_quiet())
            la_receive(got);
    }
    peer_barrier();
    assert_int_equal(COUNTER(received_frames), 5001);
    assert_false(lane_finished(world.lane));
    log_set_level(LOG_LEVEL_INFO);
}

#define WORLD_TEST(name) cmocka_unit_test_setup_teardown(name, world_open, world_close)
#define JUMBO_TEST(name)                                                                           \
    cmocka_unit_test_prestate_setup_teardown(name, world_open, world_close, &jumbo)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WORLD_TEST(test_plain_packets),
        WORLD_TEST(test_partial_checksum),
        WORLD_TEST(test_tcp_super_packet),
        WORLD_TEST(test_udp_super_packet_whole),
        WORLD_TEST(test_udp_super_packet_segmented),
        WORLD_TEST(test_datagrams_are_joined),
        WORLD_TEST(test_joining_keeps_the_order),
        WORLD_TEST(test_nothing_waits_for_the_next_read),
        WORLD_TEST(test_not_joined_without_udp_gso),
        WORLD_TEST(test_joining_looks_at_each_one),
        WORLD_TEST(test_malformed_packets),
        WORLD_TEST(test_impossible_offloads),
        WORLD_TEST(test_policy),
        WORLD_TEST(test_longer_than_the_device),
        WORLD_TEST(test_device_down),
        WORLD_TEST(test_byte_by_byte),
        JUMBO_TEST(test_round_the_ring),
        WORLD_TEST(test_tiny_frames),
        WORLD_TEST(test_noise),
    };
    if (!support_own_netns())
        return TEST_SKIPPED;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
