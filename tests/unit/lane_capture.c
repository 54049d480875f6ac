/* SPDX-License-Identifier: Apache-2.0 */
/* The lane's way out, first half: packets from both kinds of capture become frames. */
#include <errno.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <linux/virtio_net.h>

#include "packet/offload.h"
#include "runtime/host/nfqueue.h"
#include "runtime/lane/lane.h"
#include "runtime/host/packet_socket.h"
#include "tests/unit/lane_world.h"
static uint8_t packet[BUILD_MAX];
static uint8_t payload[FRAME_PAYLOAD_MAX];
static uint32_t jumbo = 65535;

static struct frame_header assert_next_is(const uint8_t *bytes, size_t length)
{
    struct frame_header header = peer_frame(payload);

    assert_int_equal(header.type, FRAME_PACKET);
    assert_int_equal(header.length, length);
    assert_memory_equal(payload, bytes, length);
    return header;
}

static void test_plain_packets(void **state)
{
    static const uint8_t protocols[] = {IPPROTO_TCP, IPPROTO_UDP, IPPROTO_ESP};

    (void)state;
    world_start();
    for (size_t i = 0; i < sizeof(protocols); i++) {
        for (uint8_t version = 4; version <= 6; version += 2) {
            struct packet_spec spec = {
                .version = version, .protocol = protocols[i], .payload = 777};
            size_t length = build_packet(packet, &spec);
            la_send(packet, length, NULL);
            struct frame_header header = assert_next_is(packet, length);
            assert_int_equal(header.offload.gso_size, 0);
            assert_int_equal(header.offload.flags, 0);
        }
    }
    assert_int_equal(COUNTER(captured_packets), 6);
    assert_int_equal(COUNTER(captured_super), 0);
}

/* Bytes that Ethernet's least frame adds behind a short packet do not travel. */
static void test_padding_is_trimmed(void **state)
{
    (void)state;
    world_start();
    size_t length = world_plain(packet, 4, 30, 1);
    memset(packet + length, 0x5a, 16);
    la_send(packet, length + 16, NULL);
    assert_next_is(packet, length);
}

static void test_fragments_as_they_were(void **state)
{
    struct packet_spec spec = {
        .version = 4, .protocol = IPPROTO_UDP, .payload = 640, .fragment = 0x2000};

    (void)state;
    world_start();
    size_t length = build_packet(packet, &spec);
    la_send(packet, length, NULL);
    assert_next_is(packet, length);
    spec.fragment = 81;
    length = build_packet(packet, &spec);
    la_send(packet, length, NULL);
    assert_next_is(packet, length);
}

static void send_super(const struct packet_spec *spec, uint8_t type, uint16_t gso_size)
{
    struct virtio_net_hdr vnet;
    struct parsed_packet parsed;
    size_t length = build_packet(packet, spec);

    parsed = parse_good(packet, length);
    assert_int_equal(
        offload_to_vnet(packet, &parsed, (struct offload){.gso_size = gso_size}, (uint8_t *)&vnet),
        OFFLOAD_OK);
    assert_int_equal(vnet.gso_type, type);
    la_send(packet, length, &vnet);
    struct frame_header header = assert_next_is(packet, length);
    assert_int_equal(header.offload.gso_size, gso_size);
    assert_int_equal(header.offload.flags, OFFLOAD_CHECKSUM_PARTIAL);
}

static void test_super_packets(void **state)
{
    struct packet_spec tcp = {.version = 4, .protocol = IPPROTO_TCP, .payload = 60000};
    struct packet_spec udp = {.version = 6, .protocol = IPPROTO_UDP, .payload = 20000};

    (void)state;
    world_start();
    send_super(&tcp, VIRTIO_NET_HDR_GSO_TCPV4, 1400);
    tcp.version = 6;
    send_super(&tcp, VIRTIO_NET_HDR_GSO_TCPV6, 1337);
    assert_int_equal(COUNTER(captured_super), 2);
    assert_int_equal(world_all_drops(), 0);
    if (packet_socket_try_udp_gso(world.to_lane) != 1) {
        print_message("this kernel has no UDP segmentation in virtio_net_hdr\n");
        skip();
    }
    peer_frame(payload); /* the trial packet */
    send_super(&udp, 5 /* VIRTIO_NET_HDR_GSO_UDP_L4 */, 1000);
    assert_int_equal(COUNTER(captured_super), 4); /* with the trial */
}

static void test_what_is_no_packet(void **state)
{
    (void)state;
    world_start();
    size_t length = world_plain(packet, 4, 200, 1);
    packet[0] = 0x43;
    la_send(packet, length, NULL);
    WAIT_UNTIL(DROPS(DROP_PACKET + PACKET_HEADER_LENGTH) == 1);
    world_plain(packet, 4, 200, 1);
    store_be16(packet + 2, 300);
    la_send(packet, length, NULL);
    WAIT_UNTIL(DROPS(DROP_PACKET + PACKET_TOTAL_LENGTH) == 1);
    la_send(packet, 2, NULL);
    WAIT_UNTIL(world_all_drops() == 3);
    assert_int_equal(COUNTER(captured_packets), 0);
    world_plain(packet, 4, 200, 2);
    la_send(packet, length, NULL);
    assert_next_is(packet, length);
}

static void test_multicast_stays(void **state)
{
    (void)state;
    world_start();
    size_t length = world_plain(packet, 4, 100, 1);
    packet[16] = 224;
    la_send(packet, length, NULL);
    packet[16] = 255;
    la_send(packet, length, NULL);
    length = world_plain(packet, 6, 100, 1);
    packet[24] = 0xff;
    la_send(packet, length, NULL);
    length = world_plain(packet, 4, 100, 1);
    packet[16] = 223;
    la_send(packet, length, NULL);
    assert_next_is(packet, length);
    assert_int_equal(DROPS(DROP_CAPTURE_MULTICAST), 3);
    assert_int_equal(COUNTER(captured_packets), 1);
}

/* One lane, two sources: none starves, and each keeps its order. */
static void test_two_sources(void **state)
{
    enum { PACKETS = 100 };
    uint32_t seen4 = 0, seen6 = 0;

    (void)state;
    close(world.options.sources[0].fd);
    for (int i = 0; i < 2; i++)
        world.options.sources[i] = (struct lane_source){
            .kind = LANE_SOURCE_PACKET,
            .fd = packet_socket_capture(world.pair.peer_index, 2, 0x1234),
        };
    world.options.source_count = 2;
    world_start();
    for (uint32_t i = 0; i < PACKETS; i++) {
        la_send(packet, world_plain(packet, 4, 100, i), NULL);
        la_send(packet, world_plain(packet, 6, 100, i), NULL);
    }
    for (uint32_t i = 0; i < 2 * PACKETS; i++) {
        assert_int_equal(peer_frame(payload).length, 100);
        if (payload[0] >> 4 == 4)
            assert_int_equal(load_be32(payload + 20), seen4++);
        else
            assert_int_equal(load_be32(payload + 40), seen6++);
    }
    assert_int_equal(seen4, PACKETS);
    assert_int_equal(seen6, PACKETS);
}

/* The device goes down and comes back: the capture goes on. */
static void test_device_down_and_up(void **state)
{
    (void)state;
    world_start();
    size_t length = world_plain(packet, 4, 100, 1);
    la_send(packet, length, NULL);
    assert_next_is(packet, length);
    assert_int_equal(netdev_set_up(&world.netdev, world.pair.peer_index, false), 0);
    assert_int_equal(netdev_set_up(&world.netdev, world.pair.peer_index, true), 0);
    /* Until both ends run again, what is sent is lost. */
    uint64_t captured = COUNTER(captured_packets);
    WAIT_DOING(COUNTER(captured_packets) > captured)
    {
        la_send(packet, length, NULL);
    }
    assert_next_is(packet, length);
}

/* ---- NFQUEUE ---- */

#define QUEUE 7100

static bool queue_rule(void)
{
    char command[400];

    snprintf(command, sizeof(command),
             "iptables -t raw -A PREROUTING -i lb -j NFQUEUE --queue-num %d 2>/dev/null || "
             "iptables-legacy -t raw -A PREROUTING -i lb -j NFQUEUE --queue-num %d 2>/dev/null",
             QUEUE, QUEUE);
    return system(command) == 0;
}

static void use_queue(void)
{
    int fd;

    /* The ring of the test before lets go of its sockets some time after its end. */
    WAIT_UNTIL((fd = nfqueue_open(QUEUE, true, 1024)) != -EPERM);
    if (fd < 0 || !queue_rule()) {
        if (fd >= 0)
            close(fd);
        print_message("no NFQUEUE, or no iptables that knows it\n");
        skip();
    }
    close(world.options.sources[0].fd);
    world.options.sources[0] =
        (struct lane_source){.kind = LANE_SOURCE_NFQUEUE, .fd = fd, .queue = QUEUE};
}

static int waiting_in_queue(void)
{
    FILE *file = fopen("/proc/net/netfilter/nfnetlink_queue", "re");
    int total = -1;

    assert_non_null(file);
    assert_int_equal(fscanf(file, "%*u %*u %d", &total), 1);
    fclose(file);
    return total;
}

static void test_nfqueue(void **state)
{
    enum { PACKETS = 500 };

    (void)state;
    use_queue();
    world_start();
    for (uint32_t i = 0; i < PACKETS; i++) {
        size_t length = world_plain(packet, 4, 60 + i % 1400, i);
        la_send(packet, length, NULL);
        if (i % 100 == 99)
            for (uint32_t k = i - 99; k <= i; k++) {
                assert_int_equal(peer_frame(payload).length, 60 + k % 1400);
                assert_int_equal(load_be32(payload + 20), k);
            }
    }
    WAIT_UNTIL(waiting_in_queue() == 0); /* every packet has its verdict */
    assert_in_range(COUNTER(verdict_batches), 1, PACKETS);
    assert_int_equal(COUNTER(captured_packets), PACKETS);
    assert_int_equal(world_all_drops(), 0);
}

/* What a stalled lane left without a verdict is released with the next burst of the next stream. */
static void test_nfqueue_after_a_broken_lane(void **state)
{
    (void)state;
    use_queue();
    world_start();
    WAIT_DOING(waiting_in_queue() > 700) /* some may still find a slot */
    {
        for (uint32_t i = 0; i < 20; i++)
            la_send(packet, world_plain(packet, 4, 1400, i), NULL);
    }
    assert_int_equal(world_end(true), LANE_STOPPED);
    assert_true(waiting_in_queue() > 500);
    world_start();
    uint64_t captured = COUNTER(captured_packets);
    WAIT_DOING(waiting_in_queue() == 0)
    {
        uint8_t ahead;
        la_send(packet, world_plain(packet, 4, 100, 0), NULL);
        while (recv(world.peer, &ahead, 1, MSG_PEEK | MSG_DONTWAIT) == 1)
            peer_frame(payload);
    }
    assert_true(COUNTER(captured_packets) >= captured);
}

/* Longer than the device that it would leave through: in fragments, each with its frame. */
static void test_nfqueue_refragments(void **state)
{
    struct packet_spec spec = {.version = 4, .protocol = IPPROTO_UDP, .payload = 5000};
    static uint8_t whole[BUILD_MAX];
    size_t have = 0;

    (void)state;
    use_queue();
    world.mtu = 1280;
    world_start();
    size_t length = build_packet(packet, &spec);
    la_send(packet, length, NULL);
    while (have < length - 20) {
        struct frame_header header = peer_frame(payload);
        struct parsed_packet parsed = parse_good(payload, header.length);
        assert_true(header.length <= 1280);
        assert_true(parsed.is_fragment);
        assert_int_equal(parsed.fragment_offset, have);
        assert_int_equal(slow_checksum(payload, 20), 0);
        memcpy(whole + have, payload + 20, header.length - 20);
        have += header.length - 20;
        assert_int_equal(parsed.more_fragments, have < length - 20);
    }
    assert_memory_equal(whole, packet + 20, length - 20);
    assert_int_equal(COUNTER(captured_refragmented), 1);
    assert_int_equal(COUNTER(captured_packets), 1);
    WAIT_UNTIL(waiting_in_queue() == 0);
}

#define WORLD_TEST(name) cmocka_unit_test_setup_teardown(name, world_open, world_close)
#define JUMBO_TEST(name)                                                                           \
    cmocka_unit_test_prestate_setup_teardown(name, world_open, world_close, &jumbo)

static int world_without_firewall(void **state)
{
    if (system("iptables -t raw -F 2>/dev/null; iptables-legacy -t raw -F 2>/dev/null") < 0)
        return -1;
    return world_close(state);
}
#define QUEUE_TEST(name, mtu)                                                                      \
    cmocka_unit_test_prestate_setup_teardown(name, world_open, world_without_firewall, mtu)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WORLD_TEST(test_plain_packets),
        WORLD_TEST(test_padding_is_trimmed),
        WORLD_TEST(test_fragments_as_they_were),
        WORLD_TEST(test_super_packets),
        WORLD_TEST(test_what_is_no_packet),
        WORLD_TEST(test_multicast_stays),
        WORLD_TEST(test_two_sources),
        WORLD_TEST(test_device_down_and_up),
        QUEUE_TEST(test_nfqueue, NULL),
        QUEUE_TEST(test_nfqueue_after_a_broken_lane, NULL),
        QUEUE_TEST(test_nfqueue_refragments, &jumbo),
    };
    if (!support_own_netns())
        return TEST_SKIPPED;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
