/* SPDX-License-Identifier: Apache-2.0 */
#include "packet/offload.h"

#include <arpa/inet.h>
#include <linux/virtio_net.h>
#include <netinet/in.h>

#include "tests/unit/packet_build.h"

#define TCP_CWR 0x80
#define PARTIAL OFFLOAD_CHECKSUM_PARTIAL

static uint8_t packet[BUILD_MAX], before[BUILD_MAX];
static struct parsed_packet parsed;
static size_t length;

static void build(const struct packet_spec *spec)
{
    length = build_packet(packet, spec);
    memcpy(before, packet, length);
    parsed = parse_good(packet, length);
}

static void build_simple(uint8_t version, uint8_t protocol, size_t payload)
{
    build(&(struct packet_spec){.version = version, .protocol = protocol, .payload = payload});
}

static struct virtio_net_hdr to_vnet(struct offload meta)
{
    struct virtio_net_hdr out;
    memset(&out, 0xa5, sizeof(out));
    assert_string_equal(offload_error_name(offload_to_vnet(packet, &parsed, meta, (uint8_t *)&out)),
                        "ok");
    return out;
}

static void assert_to_vnet_error(struct offload meta, enum offload_error expected)
{
    uint8_t out[VNET_HEADER_BYTES];
    assert_string_equal(offload_error_name(offload_to_vnet(packet, &parsed, meta, out)),
                        offload_error_name(expected));
    assert_memory_equal(packet, before, length); /* nothing was touched */
}

static enum offload_error from_vnet(struct virtio_net_hdr header, struct offload *out)
{
    return offload_from_vnet((const uint8_t *)&header, &parsed, out);
}

/* The kernel adds the sum over [csum_start, end) to the field: the result must be right. */
static void finish_like_the_kernel(const struct virtio_net_hdr *header)
{
    uint8_t *start = packet + header->csum_start - ETHERNET_HEADER_BYTES;
    uint8_t *field = start + header->csum_offset;
    uint16_t sum = slow_checksum(start, (size_t)(packet + length - start));
    store_be16(field, sum == 0 ? 0xffff : sum);
    assert_checksums(packet, length);
}

static void complete_packets_are_left_alone(void **state)
{
    (void)state;
    static const uint8_t protocols[] = {IPPROTO_TCP, IPPROTO_UDP, IPPROTO_ICMP, IPPROTO_ESP};
    for (unsigned i = 0; i < 8; i++) {
        build_simple(i % 2 ? 4 : 6, protocols[i / 2], 100);
        struct virtio_net_hdr header = to_vnet((struct offload){0});
        static const struct virtio_net_hdr none = {0};
        assert_memory_equal(&header, &none, sizeof(none));
        assert_memory_equal(packet, before, length);
    }
}

static void zero_udp_checksum_survives(void **state)
{
    (void)state;
    build_simple(4, IPPROTO_UDP, 100);
    store_be16(packet + 26, 0);
    to_vnet((struct offload){0});
    assert_int_equal(load_be16(packet + 26), 0);
}

/* Whatever stood in the field, the packet comes out right. */
static void partial_checksums(void **state)
{
    (void)state;
    static const uint8_t chain[] = {IPPROTO_HOPOPTS, IPPROTO_DSTOPTS};
    for (unsigned round = 0; round < 400; round++) {
        bool tcp = round & 1;
        struct packet_spec spec = {.version = round & 2 ? 4 : 6,
                                   .protocol = tcp ? IPPROTO_TCP : IPPROTO_UDP,
                                   .extensions = chain,
                                   .extension_count = round & 4 ? 2 : 0,
                                   .payload = random_below(3000)};
        build(&spec);
        uint32_t field = parsed.transport_offset + (tcp ? 16u : 6u);
        random_fill(packet + field, 2);
        struct virtio_net_hdr header = to_vnet((struct offload){.flags = PARTIAL});
        assert_int_equal(header.flags, VIRTIO_NET_HDR_F_NEEDS_CSUM);
        assert_int_equal(header.gso_type, VIRTIO_NET_HDR_GSO_NONE);
        assert_int_equal(header.gso_size, 0);
        assert_int_equal(header.csum_start, ETHERNET_HEADER_BYTES + parsed.transport_offset);
        assert_int_equal(header.csum_offset, tcp ? 16 : 6);
        finish_like_the_kernel(&header);
        assert_memory_equal(packet, before, length);
    }
}

static void super_packets(void **state)
{
    (void)state;
    static const struct {
        uint8_t version, protocol, tcp_flags, type;
    } cases[] = {
        {4, IPPROTO_TCP, 0x10, VIRTIO_NET_HDR_GSO_TCPV4},
        {6, IPPROTO_TCP, 0x10, VIRTIO_NET_HDR_GSO_TCPV6},
        {4, IPPROTO_TCP, TCP_CWR, VIRTIO_NET_HDR_GSO_TCPV4 | VIRTIO_NET_HDR_GSO_ECN},
        {6, IPPROTO_TCP, TCP_CWR, VIRTIO_NET_HDR_GSO_TCPV6 | VIRTIO_NET_HDR_GSO_ECN},
        {4, IPPROTO_UDP, 0, VIRTIO_NET_HDR_GSO_UDP_L4},
        {6, IPPROTO_UDP, 0, VIRTIO_NET_HDR_GSO_UDP_L4},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        build(&(struct packet_spec){.version = cases[i].version,
                                    .protocol = cases[i].protocol,
                                    .tcp_flags = cases[i].tcp_flags,
                                    .tcp_options = 12,
                                    .payload = 20000});
        /* With and without the flag: a super-packet implies it. */
        for (uint8_t flags = 0; flags <= PARTIAL; flags++) {
            struct virtio_net_hdr header =
                to_vnet((struct offload){.gso_size = 1400, .flags = flags});
            assert_int_equal(header.flags, VIRTIO_NET_HDR_F_NEEDS_CSUM);
            assert_int_equal(header.gso_type, cases[i].type);
            assert_int_equal(header.gso_size, 1400);
            assert_int_equal(header.hdr_len, ETHERNET_HEADER_BYTES + parsed.transport_offset +
                                                 parsed.transport_header);
            finish_like_the_kernel(&header);
        }
    }
}

static void one_segment_is_no_super_packet(void **state)
{
    (void)state;
    build_simple(4, IPPROTO_TCP, 1000);
    static const uint16_t sizes[] = {1000, 1001, 65535};
    for (unsigned i = 0; i < 3; i++) {
        struct virtio_net_hdr header = to_vnet((struct offload){.gso_size = sizes[i]});
        assert_int_equal(header.gso_type, VIRTIO_NET_HDR_GSO_NONE);
        assert_int_equal(header.gso_size, 0);
        assert_int_equal(header.flags, 0);
        assert_memory_equal(packet, before, length);
        header = to_vnet((struct offload){.gso_size = sizes[i], .flags = PARTIAL});
        assert_int_equal(header.gso_type, VIRTIO_NET_HDR_GSO_NONE);
        assert_int_equal(header.flags, VIRTIO_NET_HDR_F_NEEDS_CSUM);
        memcpy(packet, before, length);
    }
    assert_int_equal(to_vnet((struct offload){.gso_size = 999}).gso_size, 999);
}

static void tcp_segment_sizes(void **state)
{
    (void)state;
    build_simple(4, IPPROTO_TCP, 5000);
    for (uint16_t size = 1; size < OFFLOAD_MIN_TCP_SEGMENT; size++)
        assert_to_vnet_error((struct offload){.gso_size = size}, OFFLOAD_SEGMENT);
    assert_int_equal(to_vnet((struct offload){.gso_size = 48}).gso_size, 48);

    /* A peer that announced an MSS of 48, with timestamps: 36 bytes in a segment. */
    build(&(struct packet_spec){
        .version = 6, .protocol = IPPROTO_TCP, .tcp_options = 12, .payload = 5000});
    assert_to_vnet_error((struct offload){.gso_size = 35}, OFFLOAD_SEGMENT);
    assert_int_equal(to_vnet((struct offload){.gso_size = 36}).gso_size, 36);
}

static void udp_segment_counts(void **state)
{
    (void)state;
    build_simple(4, IPPROTO_UDP, 12800);
    assert_to_vnet_error((struct offload){.gso_size = 99}, OFFLOAD_SEGMENT);
    assert_to_vnet_error((struct offload){.gso_size = 1}, OFFLOAD_SEGMENT);
    assert_int_equal(to_vnet((struct offload){.gso_size = 100}).gso_size, 100);
}

static void hostile_metadata(void **state)
{
    (void)state;
    static const uint8_t protocols[] = {IPPROTO_ICMP, IPPROTO_ESP,     IPPROTO_SCTP,
                                        IPPROTO_GRE,  IPPROTO_UDPLITE, IPPROTO_IPIP};
    for (unsigned flags = 2; flags < 256; flags++) {
        build_simple(4, IPPROTO_TCP, 100);
        assert_to_vnet_error((struct offload){.flags = (uint8_t)flags}, OFFLOAD_FLAGS);
    }
    for (size_t i = 0; i < sizeof(protocols); i++) {
        build_simple(4, protocols[i], 3000);
        assert_to_vnet_error((struct offload){.flags = PARTIAL}, OFFLOAD_PROTOCOL);
        assert_to_vnet_error((struct offload){.gso_size = 1000}, OFFLOAD_PROTOCOL);
    }
    for (unsigned fragment = 0; fragment < 2; fragment++) {
        build(&(struct packet_spec){.version = 4,
                                    .protocol = IPPROTO_TCP,
                                    .fragment = fragment ? 0x2000 : 100,
                                    .payload = 3000});
        assert_to_vnet_error((struct offload){.flags = PARTIAL}, OFFLOAD_FRAGMENT);
        assert_to_vnet_error((struct offload){.gso_size = 1000}, OFFLOAD_FRAGMENT);
    }
    build_simple(4, IPPROTO_UDP, 3000);
    store_be16(packet + 24, 2000); /* padding behind the datagram */
    memcpy(before, packet, length);
    assert_to_vnet_error((struct offload){.flags = PARTIAL}, OFFLOAD_HEADER);
    assert_to_vnet_error((struct offload){.gso_size = 1000}, OFFLOAD_HEADER);
    to_vnet((struct offload){0});
}

/* A pure acknowledgement can be partial but not super. */
static void no_payload(void **state)
{
    (void)state;
    build_simple(4, IPPROTO_TCP, 0);
    struct virtio_net_hdr header = to_vnet((struct offload){.gso_size = 1400, .flags = PARTIAL});
    assert_int_equal(header.gso_size, 0);
    finish_like_the_kernel(&header);
}

/* ---- from the kernel ---- */

static void from_complete(void **state)
{
    (void)state;
    struct offload out;
    build_simple(4, IPPROTO_ICMP, 100);
    assert_int_equal(from_vnet((struct virtio_net_hdr){0}, &out), OFFLOAD_OK);
    assert_int_equal(out.flags, 0);
    assert_int_equal(out.gso_size, 0);
    assert_int_equal(from_vnet((struct virtio_net_hdr){.flags = VIRTIO_NET_HDR_F_DATA_VALID}, &out),
                     OFFLOAD_OK);
    assert_int_equal(out.flags, 0);
}

/* A packet of that type, and what AF_PACKET says of it. */
static struct virtio_net_hdr kernel_header(uint8_t version, uint8_t protocol, uint8_t type,
                                           uint16_t size)
{
    build_simple(version, protocol, 5000);
    return (struct virtio_net_hdr){
        .flags = VIRTIO_NET_HDR_F_NEEDS_CSUM,
        .gso_type = type,
        .gso_size = size,
        .hdr_len =
            (uint16_t)(ETHERNET_HEADER_BYTES + parsed.transport_offset + parsed.transport_header),
        .csum_start = (uint16_t)(ETHERNET_HEADER_BYTES + parsed.transport_offset),
        .csum_offset = protocol == IPPROTO_TCP ? 16 : 6};
}

static void from_kernel_and_back(void **state)
{
    (void)state;
    static const struct {
        uint8_t version, protocol, type;
        uint16_t size;
    } cases[] = {
        {4, IPPROTO_TCP, VIRTIO_NET_HDR_GSO_NONE, 0},
        {6, IPPROTO_UDP, VIRTIO_NET_HDR_GSO_NONE, 0},
        {4, IPPROTO_TCP, VIRTIO_NET_HDR_GSO_TCPV4, 1448},
        {6, IPPROTO_TCP, VIRTIO_NET_HDR_GSO_TCPV6, 1428},
        {4, IPPROTO_UDP, VIRTIO_NET_HDR_GSO_UDP_L4, 1000},
        {6, IPPROTO_UDP, VIRTIO_NET_HDR_GSO_UDP_L4, 1000},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct virtio_net_hdr header =
            kernel_header(cases[i].version, cases[i].protocol, cases[i].type, cases[i].size);
        struct offload out;
        assert_int_equal(from_vnet(header, &out), OFFLOAD_OK);
        assert_int_equal(out.flags, PARTIAL);
        assert_int_equal(out.gso_size, cases[i].size);
        struct virtio_net_hdr again = to_vnet(out);
        if (cases[i].size == 0)
            header.hdr_len = 0; /* says nothing there */
        assert_memory_equal(&again, &header, sizeof(header));
    }
}

static void from_kernel_ecn(void **state)
{
    (void)state;
    struct offload out;
    struct virtio_net_hdr header =
        kernel_header(4, IPPROTO_TCP, VIRTIO_NET_HDR_GSO_TCPV4 | VIRTIO_NET_HDR_GSO_ECN, 1000);
    assert_int_equal(from_vnet(header, &out), OFFLOAD_OK);
    assert_int_equal(out.gso_size, 1000);
}

/* A super-packet whose sum was verified on the way in: GSO implies the partial checksum. */
static void from_kernel_super_without_checksum(void **state)
{
    (void)state;
    struct offload out;
    struct virtio_net_hdr header = kernel_header(4, IPPROTO_TCP, VIRTIO_NET_HDR_GSO_TCPV4, 1000);
    header.flags = VIRTIO_NET_HDR_F_DATA_VALID;
    header.csum_start = header.csum_offset = 0;
    assert_int_equal(from_vnet(header, &out), OFFLOAD_OK);
    assert_int_equal(out.flags, PARTIAL);
}

static void from_kernel_contradictions(void **state)
{
    (void)state;
    struct offload out;
    struct virtio_net_hdr good = kernel_header(4, IPPROTO_TCP, VIRTIO_NET_HDR_GSO_TCPV4, 1000);
    for (unsigned type = 0; type < 256; type++) {
        struct virtio_net_hdr header = good;
        header.gso_type = (uint8_t)type;
        assert_int_equal(from_vnet(header, &out),
                         (type & 0x7f) == VIRTIO_NET_HDR_GSO_TCPV4 ? OFFLOAD_OK : OFFLOAD_HEADER);
    }
    for (unsigned flags = 4; flags < 256; flags++) {
        struct virtio_net_hdr header = good;
        header.flags = (uint8_t)flags;
        assert_int_equal(from_vnet(header, &out), OFFLOAD_FLAGS);
    }
    struct virtio_net_hdr header = good;
    header.csum_start++; /* an inner header of a tunnel */
    assert_int_equal(from_vnet(header, &out), OFFLOAD_HEADER);
    header = good;
    header.csum_offset = 6;
    assert_int_equal(from_vnet(header, &out), OFFLOAD_HEADER);
    header = good;
    header.gso_size = 0;
    assert_int_equal(from_vnet(header, &out), OFFLOAD_HEADER);
    header = good;
    header.gso_size = 30;
    assert_int_equal(from_vnet(header, &out), OFFLOAD_SEGMENT);
    header = good;
    header.gso_type = VIRTIO_NET_HDR_GSO_NONE; /* with a size */
    assert_int_equal(from_vnet(header, &out), OFFLOAD_HEADER);

    header = kernel_header(6, IPPROTO_TCP, VIRTIO_NET_HDR_GSO_TCPV4, 1000);
    assert_int_equal(from_vnet(header, &out), OFFLOAD_HEADER);
    header = kernel_header(4, IPPROTO_UDP, VIRTIO_NET_HDR_GSO_UDP, 1000); /* fragmenting offload */
    assert_int_equal(from_vnet(header, &out), OFFLOAD_HEADER);
    build_simple(4, IPPROTO_SCTP, 100);
    header = (struct virtio_net_hdr){
        .flags = VIRTIO_NET_HDR_F_NEEDS_CSUM, .csum_start = 34, .csum_offset = 8};
    assert_int_equal(from_vnet(header, &out), OFFLOAD_PROTOCOL);
}

/* ---- in software ---- */

static void completes_checksums(void **state)
{
    (void)state;
    for (unsigned round = 0; round < 400; round++) {
        bool tcp = round & 1;
        build_simple(round & 2 ? 4 : 6, tcp ? IPPROTO_TCP : IPPROTO_UDP, random_below(2000));
        random_fill(packet + parsed.transport_offset + (tcp ? 16 : 6), 2);
        offload_complete_checksum(packet, &parsed);
        assert_memory_equal(packet, before, length);
    }
}

/* Choose the payload so that the sum is zero, which UDP sends as 0xffff. */
static void completes_udp_zero_as_ones(void **state)
{
    (void)state;
    build_simple(4, IPPROTO_UDP, 2);
    memset(packet + 26, 0, 4);
    store_be16(packet + 28, slow_transport_checksum(packet, IPPROTO_UDP, packet + 20, 10));
    offload_complete_checksum(packet, &parsed);
    assert_int_equal(load_be16(packet + 26), 0xffff);
}

static void completes_only_the_datagram(void **state)
{
    (void)state;
    build_simple(4, IPPROTO_UDP, 100);
    store_be16(packet + 24, 8 + 50);
    offload_complete_checksum(packet, &parsed);
    assert_int_equal(slow_transport_checksum(packet, IPPROTO_UDP, packet + 20, 58), 0);
}

static void completes_nothing_else(void **state)
{
    (void)state;
    build_simple(4, IPPROTO_ICMP, 100);
    offload_complete_checksum(packet, &parsed);
    assert_memory_equal(packet, before, length);
    for (unsigned i = 0; i < 2; i++) {
        build(&(struct packet_spec){
            .version = 4, .protocol = IPPROTO_UDP, .fragment = i ? 0x2000 : 9, .payload = 64});
        offload_complete_checksum(packet, &parsed);
        assert_memory_equal(packet, before, length);
    }
}

static void every_error_has_a_name(void **state)
{
    (void)state;
    for (unsigned a = 0; a < OFFLOAD_ERROR_COUNT; a++)
        assert_string_not_equal(offload_error_name((enum offload_error)a), "unknown");
    assert_string_equal(offload_error_name(OFFLOAD_ERROR_COUNT), "unknown");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(complete_packets_are_left_alone),
        cmocka_unit_test(zero_udp_checksum_survives),
        cmocka_unit_test(partial_checksums),
        cmocka_unit_test(super_packets),
        cmocka_unit_test(one_segment_is_no_super_packet),
        cmocka_unit_test(tcp_segment_sizes),
        cmocka_unit_test(udp_segment_counts),
        cmocka_unit_test(hostile_metadata),
        cmocka_unit_test(no_payload),
        cmocka_unit_test(from_complete),
        cmocka_unit_test(from_kernel_and_back),
        cmocka_unit_test(from_kernel_ecn),
        cmocka_unit_test(from_kernel_super_without_checksum),
        cmocka_unit_test(from_kernel_contradictions),
        cmocka_unit_test(completes_checksums),
        cmocka_unit_test(completes_udp_zero_as_ones),
        cmocka_unit_test(completes_only_the_datagram),
        cmocka_unit_test(completes_nothing_else),
        cmocka_unit_test(every_error_has_a_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
