/* SPDX-License-Identifier: Apache-2.0 */
#include "packet/segment.h"

#include <netinet/in.h>

#include "tests/unit/packet_build.h"

#define FIN     0x01
#define PSH     0x08
#define ACK     0x10
#define ECE     0x40
#define CWR     0x80
#define PARTIAL OFFLOAD_CHECKSUM_PARTIAL

static uint8_t packet[BUILD_MAX], out[BUILD_MAX], whole[BUILD_MAX];
static struct parsed_packet parsed;
static size_t length;

static void build(const struct packet_spec *spec)
{
    length = build_packet(packet, spec);
    parsed = parse_good(packet, length);
}

static struct segmenter segmenter(struct offload meta)
{
    struct segmenter s;
    assert_string_equal(offload_error_name(segment_init(&s, packet, &parsed, meta)), "ok");
    return s;
}

/* ---- segmentation ---- */

/* Checks one segment on its own and against the super-packet; returns its payload bytes. */
static size_t check_segment(size_t bytes, unsigned index, size_t done, size_t gso_size)
{
    struct parsed_packet part = parse_good(out, bytes);
    size_t headers = (size_t)parsed.transport_offset + parsed.transport_header;
    size_t payload = bytes - headers;
    const uint8_t *transport = out + part.transport_offset;
    bool last = done + payload == length - headers;

    assert_checksums(out, bytes);
    assert_int_equal(part.transport_offset, parsed.transport_offset);
    assert_int_equal(part.transport_header, parsed.transport_header);
    assert_true(last ? payload > 0 && payload <= gso_size : payload == gso_size);
    assert_memory_equal(out + headers, packet + headers + done, payload);
    assert_int_equal(part.ecn, parsed.ecn);
    if (parsed.src.version == 4)
        assert_int_equal(load_be16(out + 4), (load_be16(packet + 4) + index) & 0xffff);
    if (parsed.protocol == IPPROTO_UDP) {
        assert_int_equal(load_be16(transport + 4), 8 + payload);
        return payload;
    }
    const uint8_t *original = packet + parsed.transport_offset;
    uint8_t flags = original[13];
    if (!last)
        flags &= (uint8_t) ~(FIN | PSH);
    if (index > 0)
        flags &= (uint8_t)~CWR;
    assert_int_equal(transport[13], flags);
    assert_int_equal(load_be32(transport + 4), (uint32_t)(load_be32(original + 4) + done));
    return payload;
}

static void segments_add_up(void **state)
{
    (void)state;
    static const uint8_t options[] = {1, 1, 1, 0};
    static const uint8_t chain[] = {IPPROTO_HOPOPTS, IPPROTO_ROUTING};
    for (unsigned round = 0; round < 400; round++) {
        bool udp = round & 1;
        uint32_t size = 100 + random_below(2000);
        struct packet_spec spec = {
            .version = round & 2 ? 4 : 6,
            .protocol = udp ? IPPROTO_UDP : IPPROTO_TCP,
            .options = options,
            .options_bytes = round & 4 ? 4 : 0,
            .extensions = chain,
            .extension_count = round & 4 ? 2 : 0,
            .tos = (uint8_t)random_below(256),
            .tcp_flags = (uint8_t)random_below(256),
            .tcp_options = random_below(11) * 4,
            .payload =
                size + 1 + random_below(udp ? 127 * size < 60000 ? 127 * size : 60000 : 60000)};
        build(&spec);
        struct segmenter s = segmenter((struct offload){.gso_size = (uint16_t)size});
        size_t done = 0, bytes;
        unsigned index = 0;
        while ((bytes = segment_next(&s, out, sizeof(out))) > 0)
            done += check_segment(bytes, index++, done, size);
        assert_int_equal(done, spec.payload);
        assert_int_equal(index, (spec.payload + size - 1) / size);
        assert_int_equal(segment_next(&s, out, sizeof(out)), 0);
    }
}

/* Two segments by hand: sequence 0x01020304, FIN+PSH+ACK+CWR. */
static void two_tcp_segments(void **state)
{
    (void)state;
    build(&(struct packet_spec){.version = 4,
                                .protocol = IPPROTO_TCP,
                                .tcp_flags = FIN | PSH | ACK | ECE | CWR,
                                .payload = 150});
    store_be32(packet + 24, 0x01020304);
    struct segmenter s = segmenter((struct offload){.gso_size = 100, .flags = PARTIAL});
    assert_int_equal(segment_next(&s, out, sizeof(out)), 140);
    assert_int_equal(load_be32(out + 24), 0x01020304);
    assert_int_equal(out[33], ACK | ECE | CWR);
    assert_int_equal(load_be16(out + 4), 0xfffe);
    assert_int_equal(segment_next(&s, out, sizeof(out)), 90);
    assert_int_equal(load_be32(out + 24), 0x01020304 + 100);
    assert_int_equal(out[33], FIN | PSH | ACK | ECE);
    assert_int_equal(load_be16(out + 4), 0xffff);
    assert_int_equal(segment_next(&s, out, sizeof(out)), 0);
}

static void sequence_and_identification_wrap(void **state)
{
    (void)state;
    build(&(struct packet_spec){.version = 4, .protocol = IPPROTO_TCP, .payload = 350});
    store_be32(packet + 24, 0xffffff80);
    struct segmenter s = segmenter((struct offload){.gso_size = 100});
    static const uint16_t ids[] = {0xfffe, 0xffff, 0, 1};
    for (unsigned i = 0; i < 4; i++) {
        size_t bytes = segment_next(&s, out, sizeof(out));
        assert_checksums(out, bytes);
        assert_int_equal(load_be16(out + 4), ids[i]);
        assert_int_equal(load_be32(out + 24), (uint32_t)(0xffffff80 + i * 100));
    }
}

static void nothing_beyond_capacity(void **state)
{
    (void)state;
    build(&(struct packet_spec){.version = 4, .protocol = IPPROTO_UDP, .payload = 1000});
    struct segmenter s = segmenter((struct offload){.gso_size = 500});
    uint8_t *exact = malloc(528);
    assert_int_equal(segment_next(&s, exact, 527), 0);
    assert_int_equal(segment_next(&s, exact, 528), 528);
    assert_int_equal(segment_next(&s, exact, 528), 528);
    assert_int_equal(segment_next(&s, exact, 528), 0);
    free(exact);
}

/* What is no super-packet comes out once: as it is, or with its checksum completed. */
static void single_packets(void **state)
{
    (void)state;
    static const uint8_t protocols[] = {IPPROTO_TCP, IPPROTO_UDP, IPPROTO_ICMP, IPPROTO_ESP};
    for (unsigned i = 0; i < sizeof(protocols); i++) {
        build(&(struct packet_spec){.version = 4, .protocol = protocols[i], .payload = 100});
        if (protocols[i] == IPPROTO_UDP)
            store_be16(packet + 26, 0); /* no checksum: must stay so */
        struct segmenter s = segmenter((struct offload){0});
        assert_int_equal(segment_next(&s, out, sizeof(out)), length);
        assert_memory_equal(out, packet, length);
        assert_int_equal(segment_next(&s, out, sizeof(out)), 0);
    }
    build(&(struct packet_spec){.version = 6, .protocol = IPPROTO_TCP, .payload = 0});
    random_fill(packet + 56, 2);
    struct segmenter s = segmenter((struct offload){.gso_size = 1400, .flags = PARTIAL});
    assert_int_equal(segment_next(&s, out, sizeof(out)), length);
    assert_checksums(out, length);
    assert_int_equal(segment_next(&s, out, sizeof(out)), 0);
}

static void refuses_like_offload(void **state)
{
    (void)state;
    struct segmenter s;
    build(&(struct packet_spec){.version = 4, .protocol = IPPROTO_TCP, .payload = 5000});
    assert_int_equal(segment_init(&s, packet, &parsed, (struct offload){.flags = 2}),
                     OFFLOAD_FLAGS);
    assert_int_equal(segment_init(&s, packet, &parsed, (struct offload){.gso_size = 47}),
                     OFFLOAD_SEGMENT);
    build(&(struct packet_spec){.version = 4, .protocol = IPPROTO_ICMP, .payload = 5000});
    assert_int_equal(segment_init(&s, packet, &parsed, (struct offload){.gso_size = 1000}),
                     OFFLOAD_PROTOCOL);
    build(&(struct packet_spec){
        .version = 4, .protocol = IPPROTO_UDP, .fragment = 0x2000, .payload = 5000});
    assert_int_equal(segment_init(&s, packet, &parsed, (struct offload){.gso_size = 1000}),
                     OFFLOAD_FRAGMENT);
    build(&(struct packet_spec){.version = 4, .protocol = IPPROTO_UDP, .payload = 5000});
    store_be16(packet + 24, 4000);
    assert_int_equal(segment_init(&s, packet, &parsed, (struct offload){.gso_size = 1000}),
                     OFFLOAD_HEADER);
}

/* ---- fragmentation ---- */

/*
 * Puts the fragment in out[bytes] into whole[], header first. Returns true for the last one.
 * Independent of the product: reads the fields itself.
 */
static bool put_together(size_t bytes, size_t repeated, size_t *expected_offset)
{
    bool six = out[0] >> 4 == 6;
    size_t front = repeated + (six ? 8 : 0);
    uint16_t field = load_be16(out + (six ? repeated + 2 : 6));
    size_t offset = six ? field & 0xfff8u : (field & 0x1fffu) * 8u;
    bool more = field & (six ? 1 : 0x2000);

    assert_int_equal(offset, *expected_offset);
    assert_true(!more || (bytes - front) % 8 == 0);
    if (offset == 0)
        memcpy(whole, out, repeated);
    memcpy(whole + repeated + offset, out + front, bytes - front);
    *expected_offset += bytes - front;
    return !more;
}

static void fragment_all(uint32_t mtu, size_t repeated)
{
    struct fragmenter f;
    size_t bytes, offset = 0, fragments = 0;
    bool last = false;

    assert_true(fragment_init(&f, packet, &parsed, mtu, 0xdeadbeef));
    while ((bytes = fragment_next(&f, out, sizeof(out))) > 0) {
        assert_false(last);
        assert_true(bytes <= mtu);
        assert_checksums(out, bytes);
        struct parsed_packet part = parse_good(out, bytes);
        assert_true(part.is_fragment);
        assert_int_equal(part.total_length, bytes);
        assert_int_equal(part.dont_fragment, parsed.dont_fragment);
        if (parsed.src.version == 6)
            assert_int_equal(load_be32(out + repeated + 4), 0xdeadbeef);
        else
            assert_int_equal(load_be16(out + 4), load_be16(packet + 4));
        last = put_together(bytes, repeated, &offset);
        fragments++;
    }
    assert_true(last);
    assert_true(fragments >= 2);
    assert_int_equal(repeated + offset, length);
}

/* After reassembly only the fields that speak of fragments differ; put them back. */
static void assert_whole(size_t repeated, size_t next_at)
{
    if (parsed.src.version == 4) {
        memcpy(whole + 2, packet + 2, 2);
        store_be16(whole + 6, load_be16(whole + 6) & 0xdfff);
        memcpy(whole + 10, packet + 10, 2);
    } else {
        memcpy(whole + 4, packet + 4, 2);
        assert_int_equal(whole[next_at], IPPROTO_FRAGMENT);
        whole[next_at] = packet[next_at];
    }
    assert_memory_equal(whole, packet, repeated);
    assert_memory_equal(whole, packet, length);
}

static void ipv4_fragments_add_up(void **state)
{
    (void)state;
    static const uint8_t options[] = {1, 1, 0x94, 4, 0, 0, 1, 0};
    static const uint8_t protocols[] = {IPPROTO_UDP, IPPROTO_ICMP, IPPROTO_TCP, IPPROTO_ESP};
    for (unsigned round = 0; round < 400; round++) {
        uint32_t mtu = 68 + random_below(3000);
        struct packet_spec spec = {.version = 4,
                                   .protocol = protocols[round % 4],
                                   .options = options,
                                   .options_bytes = round & 4 ? sizeof(options) : 0,
                                   .fragment = round & 8 ? 0x4000 : 0,
                                   .payload = mtu + random_below(60000)};
        build(&spec);
        fragment_all(mtu, 20 + spec.options_bytes);
        assert_whole(20 + spec.options_bytes, 0);
    }
}

static void ipv6_fragments_add_up(void **state)
{
    (void)state;
    static const uint8_t chain[] = {IPPROTO_HOPOPTS, IPPROTO_DSTOPTS, IPPROTO_ROUTING,
                                    IPPROTO_AH,      IPPROTO_DSTOPTS, IPPROTO_ROUTING};
    static const struct {
        size_t skip, count, repeated, next_at; /* of chain; what every fragment repeats */
    } shapes[] = {
        {0, 0, 40, 6},                  /* none */
        {1, 1, 40, 6},                  /* destination options alone go into the fragments */
        {0, 1, 48, 40},                 /* hop-by-hop */
        {0, 2, 48, 40},                 /* hop-by-hop, then options without a routing header */
        {0, 5, 64, 56},                 /* up to and with the routing header */
        {2, 3, 48, 40}, {3, 3, 80, 72}, /* the routing header behind others */
    };
    for (unsigned round = 0; round < 300; round++) {
        size_t shape = round % 7;
        uint32_t mtu = 1280 + random_below(3000);
        build(&(struct packet_spec){.version = 6,
                                    .protocol = round & 1 ? IPPROTO_UDP : IPPROTO_ICMPV6,
                                    .extensions = chain + shapes[shape].skip,
                                    .extension_count = shapes[shape].count,
                                    .payload = mtu + random_below(60000)});
        fragment_all(mtu, shapes[shape].repeated);
        assert_whole(shapes[shape].repeated, shapes[shape].next_at);
    }
}

static void largest_datagram(void **state)
{
    (void)state;
    build(&(struct packet_spec){.version = 4, .protocol = IPPROTO_UDP, .payload = 65507});
    fragment_all(1500, 20);
    assert_whole(20, 0);
}

/* Record route is for the first fragment only, router alert for all; the header keeps its size. */
static void options_in_later_fragments(void **state)
{
    (void)state;
    static const uint8_t options[] = {7, 7, 4, 0, 0, 0, 0, 0x94, 4, 0, 0, 0};
    static const uint8_t later[] = {1, 1, 1, 1, 1, 1, 1, 0x94, 4, 0, 0, 0};
    struct fragmenter f;
    build(&(struct packet_spec){.version = 4,
                                .protocol = IPPROTO_UDP,
                                .options = options,
                                .options_bytes = sizeof(options),
                                .payload = 200});
    assert_true(fragment_init(&f, packet, &parsed, 100, 0));
    assert_true(fragment_next(&f, out, sizeof(out)) > 0);
    assert_memory_equal(out + 20, options, sizeof(options));
    assert_true(fragment_next(&f, out, sizeof(out)) > 0);
    assert_memory_equal(out + 20, later, sizeof(later));
    assert_true(fragment_next(&f, out, sizeof(out)) > 0);
    assert_memory_equal(out + 20, later, sizeof(later));

    /* An option that ends with the header is whole. */
    build(&(struct packet_spec){.version = 4,
                                .protocol = IPPROTO_UDP,
                                .options = later + 7,
                                .options_bytes = 4,
                                .payload = 200});
    assert_true(fragment_init(&f, packet, &parsed, 100, 0));
    assert_true(fragment_next(&f, out, sizeof(out)) > 0);
    assert_true(fragment_next(&f, out, sizeof(out)) > 0);
    assert_memory_equal(out + 20, later + 7, 4);
}

/* Lengths of 0 and 1, beyond the header, and cut off at its last byte. */
static void malformed_options(void **state)
{
    (void)state;
    static const uint8_t bad[][4] = {
        {0x94, 0, 7, 7}, {0x94, 1, 7, 7}, {0x94, 5, 7, 7}, {1, 1, 1, 0x94}};
    static const uint8_t blank[4] = {1, 1, 1, 1};
    for (size_t i = 0; i < 4; i++) {
        struct fragmenter f;
        build(&(struct packet_spec){.version = 4,
                                    .protocol = IPPROTO_UDP,
                                    .options = blank,
                                    .options_bytes = 4,
                                    .payload = 200});
        memcpy(packet + 20, bad[i], 4); /* the parser takes none of these */
        assert_true(fragment_init(&f, packet, &parsed, 100, 0));
        size_t bytes = fragment_next(&f, out, sizeof(out));
        assert_memory_equal(out + 20, bad[i], 4);
        bytes = fragment_next(&f, out, sizeof(out));
        assert_memory_equal(out + 20, blank, 4);
        assert_checksums(out, bytes);
    }
}

static void fragment_init_refuses(void **state)
{
    (void)state;
    static const uint8_t atomic[] = {IPPROTO_FRAGMENT};
    uint8_t options[40];
    struct fragmenter f;
    memset(options, 1, sizeof(options));

    build(&(struct packet_spec){.version = 4, .protocol = IPPROTO_UDP, .payload = 2000});
    assert_false(fragment_init(&f, packet, &parsed, 67, 0));
    assert_true(fragment_init(&f, packet, &parsed, 68, 0));
    assert_true(fragment_init(&f, packet, &parsed, (uint32_t)length - 1, 0));
    assert_false(fragment_init(&f, packet, &parsed, (uint32_t)length, 0)); /* fits */
    build(&(struct packet_spec){.version = 6, .protocol = IPPROTO_UDP, .payload = 2000});
    assert_false(fragment_init(&f, packet, &parsed, 1279, 0));
    assert_true(fragment_init(&f, packet, &parsed, 1280, 0));

    build(&(struct packet_spec){
        .version = 4, .protocol = IPPROTO_UDP, .fragment = 0x2000, .payload = 2000});
    assert_false(fragment_init(&f, packet, &parsed, 1000, 0));
    build(&(struct packet_spec){.version = 6,
                                .protocol = IPPROTO_UDP,
                                .extensions = atomic,
                                .extension_count = 1,
                                .payload = 2000});
    assert_false(parsed.is_fragment);
    assert_false(fragment_init(&f, packet, &parsed, 1280, 0));

    /* A fragment header more than the other end would walk. */
    uint8_t chain[PACKET_MAX_EXTENSIONS];
    memset(chain, IPPROTO_DSTOPTS, sizeof(chain));
    struct packet_spec spec = {.version = 6,
                               .protocol = IPPROTO_UDP,
                               .extensions = chain,
                               .extension_count = sizeof(chain),
                               .payload = 2000};
    build(&spec);
    assert_false(fragment_init(&f, packet, &parsed, 1280, 0));
    spec.extension_count--;
    build(&spec);
    fragment_all(1280, 40);

    /* 60 bytes of IP header leave 8 in 68: not enough for a TCP header in the first fragment. */
    build(&(struct packet_spec){.version = 4,
                                .protocol = IPPROTO_TCP,
                                .options = options,
                                .options_bytes = 40,
                                .payload = 2000});
    assert_false(fragment_init(&f, packet, &parsed, 68, 0));
    assert_false(fragment_init(&f, packet, &parsed, 83, 0));
    assert_true(fragment_init(&f, packet, &parsed, 84, 0));
    build(&(struct packet_spec){.version = 4,
                                .protocol = IPPROTO_TCP,
                                .options = options,
                                .options_bytes = 40,
                                .tcp_options = 4,
                                .payload = 2000});
    assert_true(fragment_init(&f, packet, &parsed, 84, 0)); /* 24 of 24 */
    build(&(struct packet_spec){.version = 4,
                                .protocol = IPPROTO_UDP,
                                .options = options,
                                .options_bytes = 40,
                                .payload = 2000});
    fragment_all(68, 60); /* 8 bytes each */
}

static void fragments_within_capacity(void **state)
{
    (void)state;
    struct fragmenter f;
    build(&(struct packet_spec){.version = 6, .protocol = IPPROTO_UDP, .payload = 1500});
    assert_true(fragment_init(&f, packet, &parsed, 1280, 1));
    uint8_t *exact = malloc(1280);
    assert_int_equal(fragment_next(&f, exact, 1279), 0);
    assert_int_equal(fragment_next(&f, exact, 1280), 1280);
    assert_int_equal(fragment_next(&f, exact, 1280), length - 1232 + 8);
    assert_int_equal(fragment_next(&f, exact, 1280), 0);
    free(exact);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(segments_add_up),
        cmocka_unit_test(two_tcp_segments),
        cmocka_unit_test(sequence_and_identification_wrap),
        cmocka_unit_test(nothing_beyond_capacity),
        cmocka_unit_test(single_packets),
        cmocka_unit_test(refuses_like_offload),
        cmocka_unit_test(ipv4_fragments_add_up),
        cmocka_unit_test(ipv6_fragments_add_up),
        cmocka_unit_test(largest_datagram),
        cmocka_unit_test(options_in_later_fragments),
        cmocka_unit_test(malformed_options),
        cmocka_unit_test(fragment_init_refuses),
        cmocka_unit_test(fragments_within_capacity),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
