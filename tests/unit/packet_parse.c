/* SPDX-License-Identifier: Apache-2.0 */
#include "packet/parse.h"

#include <netinet/in.h>

#include "tests/unit/packet_build.h"

static uint8_t packet[BUILD_MAX];

#define ROUTER_ALERT 0x94, 4, 0, 0

static const struct packet_spec tcp4 = {
    .version = 4, .protocol = IPPROTO_TCP, .payload = 100, .tcp_options = 12};
static const struct packet_spec udp4 = {.version = 4, .protocol = IPPROTO_UDP, .payload = 32};
static const struct packet_spec tcp6 = {.version = 6, .protocol = IPPROTO_TCP, .payload = 100};
static const struct packet_spec udp6 = {.version = 6, .protocol = IPPROTO_UDP, .payload = 32};

static void assert_error(size_t length, enum packet_error expected)
{
    struct parsed_packet parsed;
    assert_string_equal(packet_error_name(parse_exact(packet, length, &parsed)),
                        packet_error_name(expected));
}

static void reads_ipv4(void **state)
{
    (void)state;
    static const uint8_t options[] = {ROUTER_ALERT};
    struct packet_spec spec = tcp4;
    spec.options = options;
    spec.options_bytes = sizeof(options);
    spec.fragment = 0x4000;
    size_t length = build_packet(packet, &spec);
    struct parsed_packet parsed = parse_good(packet, length);
    static const uint8_t src[16] = {192, 0, 2, 1}, dst[16] = {198, 51, 100, 2};

    assert_int_equal(parsed.src.version, 4);
    assert_int_equal(parsed.dst.version, 4);
    assert_memory_equal(parsed.src.bytes, src, 16);
    assert_memory_equal(parsed.dst.bytes, dst, 16);
    assert_int_equal(parsed.protocol, IPPROTO_TCP);
    assert_int_equal(parsed.ttl, 64);
    assert_true(parsed.dont_fragment);
    assert_false(parsed.is_fragment);
    assert_false(parsed.more_fragments);
    assert_int_equal(parsed.fragment_offset, 0);
    assert_int_equal(parsed.total_length, 24 + 32 + 100);
    assert_int_equal(parsed.transport_offset, 24);
    assert_int_equal(parsed.transport_header, 32);
}

static void reads_ipv6(void **state)
{
    (void)state;
    size_t length = build_packet(packet, &udp6);
    struct parsed_packet parsed = parse_good(packet, length);
    static const uint8_t src[16] = {0x20, 0x01, 0x0d, 0xb8, [15] = 1};
    static const uint8_t dst[16] = {0x20, 0x01, 0x0d, 0xb8, 0, 1, [15] = 2};

    assert_int_equal(parsed.src.version, 6);
    assert_memory_equal(parsed.src.bytes, src, 16);
    assert_memory_equal(parsed.dst.bytes, dst, 16);
    assert_int_equal(parsed.protocol, IPPROTO_UDP);
    assert_int_equal(parsed.ttl, 64);
    assert_true(parsed.dont_fragment);
    assert_int_equal(parsed.total_length, 40 + 8 + 32);
    assert_int_equal(parsed.transport_offset, 40);
    assert_int_equal(parsed.transport_header, 8);
}

static void reads_ecn(void **state)
{
    (void)state;
    for (uint8_t tos = 0; tos < 255; tos++) {
        struct packet_spec four = tcp4, six = tcp6;
        four.tos = six.tos = tos;
        size_t length = build_packet(packet, &four);
        assert_int_equal(parse_good(packet, length).ecn, tos & 3);
        length = build_packet(packet, &six);
        assert_int_equal(parse_good(packet, length).ecn, tos & 3);
    }
}

/* Trailing bytes are not of the packet (Ethernet padding). */
static void trims_trailing_bytes(void **state)
{
    (void)state;
    size_t length = build_packet(packet, &tcp4);
    assert_int_equal(parse_good(packet, length + 7).total_length, length);
    length = build_packet(packet, &tcp6);
    assert_int_equal(parse_good(packet, length + 7).total_length, length);
}

/* Whatever is cut off, the packet is refused, and nothing beyond its end is read (ASan). */
static void refuses_every_truncation(void **state)
{
    (void)state;
    static const uint8_t options[] = {ROUTER_ALERT, ROUTER_ALERT};
    static const uint8_t chain[] = {IPPROTO_HOPOPTS,  IPPROTO_DSTOPTS, IPPROTO_ROUTING,
                                    IPPROTO_FRAGMENT, IPPROTO_AH,      IPPROTO_DSTOPTS};
    static const uint8_t protocols[] = {IPPROTO_TCP, IPPROTO_UDP, IPPROTO_ICMP, IPPROTO_ICMPV6,
                                        IPPROTO_SCTP};
    for (size_t i = 0; i < 2 * sizeof(protocols); i++) {
        struct packet_spec spec = {.version = i % 2 ? 4 : 6,
                                   .protocol = protocols[i / 2],
                                   .options = options,
                                   .options_bytes = sizeof(options),
                                   .extensions = chain,
                                   .extension_count = sizeof(chain),
                                   .tcp_options = 8,
                                   .payload = 21};
        size_t length = build_packet(packet, &spec);
        struct parsed_packet parsed;
        parse_good(packet, length);
        for (size_t cut = 0; cut < length; cut++)
            assert_int_not_equal(parse_exact(packet, cut, &parsed), PACKET_OK);
    }
}

/* The same with the length fields made to fit, so that the walk itself meets the end. What is
 * accepted must lie inside. */
static void survives_every_shorter_length(void **state)
{
    (void)state;
    static const uint8_t chain[] = {IPPROTO_HOPOPTS, IPPROTO_ROUTING, IPPROTO_AH, IPPROTO_DSTOPTS};
    for (unsigned version = 4; version <= 6; version += 2)
        for (unsigned tcp = 0; tcp < 2; tcp++) {
            struct packet_spec spec = {.version = (uint8_t)version,
                                       .protocol = tcp ? IPPROTO_TCP : IPPROTO_UDP,
                                       .extensions = chain,
                                       .extension_count = sizeof(chain),
                                       .payload = 10};
            size_t length = build_packet(packet, &spec);
            size_t ip = version == 4 ? 20 : 40, headers = length - 10;
            for (size_t cut = ip; cut < length; cut++) {
                struct parsed_packet parsed;
                store_be16(packet + (version == 4 ? 2 : 4),
                           (uint16_t)(version == 4 ? cut : cut - 40));
                enum packet_error error = parse_exact(packet, cut, &parsed);
                assert_int_equal(error == PACKET_OK, tcp && cut >= headers);
                if (error == PACKET_OK)
                    assert_true(parsed.transport_offset + parsed.transport_header <= cut);
            }
        }
}

/* Random bytes behind valid first ones: offsets never point outside. */
static void random_bytes_stay_inside(void **state)
{
    (void)state;
    unsigned accepted = 0;
    for (unsigned round = 0; round < 200000; round++) {
        uint8_t bytes[128];
        size_t length = 20 + random_below(sizeof(bytes) - 19);
        struct parsed_packet parsed;
        random_fill(bytes, length);
        bytes[0] = round % 2 ? (uint8_t)(0x45 + random_below(3)) : 0x60;
        store_be16(bytes + (round % 2 ? 2 : 4), (uint16_t)random_below((uint32_t)length + 4));
        bytes[round % 2 ? 9 : 6] =
            (const uint8_t[]){6, 17, 1, 58, 0, 43, 44, 60, 51}[random_below(9)];
        if (parse_exact(bytes, length, &parsed) != PACKET_OK)
            continue;
        accepted++;
        assert_true(parsed.total_length <= length);
        assert_true(parsed.transport_offset + parsed.transport_header <= parsed.total_length);
        assert_true(parsed.transport_offset >= (parsed.src.version == 4 ? 20 : 40));
        assert_true(!parsed.more_fragments || parsed.is_fragment);
        assert_true(parsed.fragment_offset == 0 || parsed.is_fragment);
    }
    assert_true(accepted > 10000);
}

static void refuses_versions(void **state)
{
    (void)state;
    size_t length = build_packet(packet, &tcp4);
    for (unsigned version = 0; version < 16; version++) {
        packet[0] = (uint8_t)(version << 4 | 5);
        if (version != 4 && version != 6)
            assert_error(length, PACKET_IP_VERSION);
    }
    packet[0] = 0x45;
    assert_error(0, PACKET_SHORT);
    assert_error(19, PACKET_SHORT);
    packet[0] = 0x60;
    assert_error(39, PACKET_SHORT);
}

static void refuses_header_lengths(void **state)
{
    (void)state;
    size_t length = build_packet(packet, &tcp4);
    for (unsigned words = 0; words < 5; words++) {
        packet[0] = (uint8_t)(0x40 | words);
        assert_error(length, PACKET_HEADER_LENGTH);
    }
    packet[0] = 0x4f;
    assert_error(59, PACKET_HEADER_LENGTH);
}

static void refuses_total_lengths(void **state)
{
    (void)state;
    size_t length = build_packet(packet, &tcp4);
    for (uint16_t total = 0; total < 20; total++) {
        store_be16(packet + 2, total);
        assert_error(length, PACKET_TOTAL_LENGTH);
    }
    store_be16(packet + 2, (uint16_t)(length + 1));
    assert_error(length, PACKET_TOTAL_LENGTH);

    length = build_packet(packet, &tcp6);
    store_be16(packet + 4, (uint16_t)(length - 39));
    assert_error(length, PACKET_TOTAL_LENGTH);
}

static void largest_packets(void **state)
{
    (void)state;
    struct packet_spec spec = {.version = 4, .protocol = IPPROTO_UDP, .payload = 65507};
    assert_int_equal(build_packet(packet, &spec), 65535);
    assert_int_equal(parse_good(packet, 65535).total_length, 65535);
    spec.version = 6;
    spec.payload = 65535 - 48;
    assert_int_equal(build_packet(packet, &spec), 65535);
    assert_int_equal(parse_good(packet, 65535).total_length, 65535);
    spec.payload++; /* legal IPv6, but longer than a frame can carry */
    assert_int_equal(build_packet(packet, &spec), 65536);
    assert_error(65536, PACKET_TOTAL_LENGTH);
}

static void refuses_jumbograms(void **state)
{
    (void)state;
    static const uint8_t chain[] = {IPPROTO_HOPOPTS};
    struct packet_spec spec = tcp6;
    spec.extensions = chain;
    spec.extension_count = 1;
    size_t length = build_packet(packet, &spec);
    packet[42] = 0xc2; /* RFC 2675 2 */
    packet[43] = 4;
    store_be32(packet + 44, (uint32_t)length - 40);
    store_be16(packet + 4, 0);
    assert_error(length, PACKET_TOTAL_LENGTH);
}

static void empty_ipv6_packet_is_one(void **state)
{
    (void)state;
    struct packet_spec spec = {.version = 6, .protocol = IPPROTO_NONE};
    size_t length = build_packet(packet, &spec);
    struct parsed_packet parsed = parse_good(packet, length);
    assert_int_equal(length, 40);
    assert_int_equal(parsed.protocol, IPPROTO_NONE);
    assert_int_equal(parsed.transport_header, 0);
}

static void walks_extension_headers(void **state)
{
    (void)state;
    static const uint8_t chain[] = {IPPROTO_HOPOPTS, IPPROTO_DSTOPTS, IPPROTO_ROUTING, IPPROTO_AH,
                                    IPPROTO_DSTOPTS};
    struct packet_spec spec = tcp6;
    spec.extensions = chain;
    spec.extension_count = sizeof(chain);
    size_t length = build_packet(packet, &spec);
    struct parsed_packet parsed = parse_good(packet, length);
    assert_int_equal(parsed.protocol, IPPROTO_TCP);
    assert_int_equal(parsed.transport_offset, 40 + 4 * 8 + 24);
    assert_int_equal(parsed.transport_header, 20);
}

static void limits_extension_headers(void **state)
{
    (void)state;
    uint8_t chain[PACKET_MAX_EXTENSIONS + 1];
    memset(chain, IPPROTO_DSTOPTS, sizeof(chain));
    struct packet_spec spec = udp6;
    spec.extensions = chain;
    spec.extension_count = PACKET_MAX_EXTENSIONS;
    parse_good(packet, build_packet(packet, &spec));
    spec.extension_count++;
    assert_error(build_packet(packet, &spec), PACKET_EXTENSIONS);
}

static void refuses_broken_chains(void **state)
{
    (void)state;
    static const uint8_t late_hop[] = {IPPROTO_DSTOPTS, IPPROTO_HOPOPTS};
    static const uint8_t two_fragments[] = {IPPROTO_FRAGMENT, IPPROTO_FRAGMENT};
    static const uint8_t routing[] = {IPPROTO_ROUTING};
    static const uint8_t options[] = {IPPROTO_DSTOPTS};
    static const uint8_t ah[] = {IPPROTO_AH};
    struct packet_spec spec = udp6;

    spec.extensions = late_hop;
    spec.extension_count = 2;
    assert_error(build_packet(packet, &spec), PACKET_EXTENSIONS);
    spec.extensions = two_fragments;
    assert_error(build_packet(packet, &spec), PACKET_EXTENSIONS);
    spec.extension_count = 1;

    spec.extensions = routing;
    size_t length = build_packet(packet, &spec);
    parse_good(packet, length);
    packet[43] = 1; /* a segment is left: dst is not the destination */
    assert_error(length, PACKET_EXTENSIONS);

    spec.extensions = options;
    length = build_packet(packet, &spec);
    packet[41] = 255; /* 2,048 bytes */
    assert_error(length, PACKET_EXTENSIONS);

    spec.extensions = ah;
    length = build_packet(packet, &spec);
    packet[41] = 255;
    assert_error(length, PACKET_EXTENSIONS);
}

/* An AH with length 0 is 8 bytes: the walk must move on, not read the same header for ever. */
static void shortest_authentication_header(void **state)
{
    (void)state;
    static const uint8_t options[] = {IPPROTO_DSTOPTS};
    struct packet_spec spec = udp6;
    spec.extensions = options;
    spec.extension_count = 1;
    size_t length = build_packet(packet, &spec);
    packet[6] = IPPROTO_AH;
    packet[41] = 0;
    assert_int_equal(parse_good(packet, length).transport_offset, 48);
}

static void reads_ipv4_fragments(void **state)
{
    (void)state;
    struct packet_spec spec = udp4;
    spec.fragment = 0x2000;
    size_t length = build_packet(packet, &spec);
    store_be16(packet + 24, 5000); /* the whole datagram's */
    struct parsed_packet parsed = parse_good(packet, length);
    assert_true(parsed.is_fragment && parsed.more_fragments);
    assert_int_equal(parsed.fragment_offset, 0);
    assert_int_equal(parsed.transport_header, 8);

    spec.fragment = 0x2000 | 100;
    length = build_packet(packet, &spec);
    parsed = parse_good(packet, length);
    assert_true(parsed.is_fragment && parsed.more_fragments);
    assert_int_equal(parsed.fragment_offset, 800);
    assert_int_equal(parsed.protocol, IPPROTO_UDP);
    assert_int_equal(parsed.transport_header, 0);

    spec.fragment = 100;
    length = build_packet(packet, &spec);
    parsed = parse_good(packet, length);
    assert_true(parsed.is_fragment);
    assert_false(parsed.more_fragments);
}

static void reads_ipv6_fragments(void **state)
{
    (void)state;
    static const uint8_t chain[] = {IPPROTO_FRAGMENT};
    struct packet_spec spec = udp6;
    spec.extensions = chain;
    spec.extension_count = 1;
    spec.fragment = 0x0001;
    size_t length = build_packet(packet, &spec);
    store_be16(packet + 52, 5000);
    struct parsed_packet parsed = parse_good(packet, length);
    assert_true(parsed.is_fragment && parsed.more_fragments);
    assert_int_equal(parsed.transport_header, 8);

    spec.fragment = 800;
    length = build_packet(packet, &spec);
    parsed = parse_good(packet, length);
    assert_true(parsed.is_fragment);
    assert_false(parsed.more_fragments);
    assert_int_equal(parsed.fragment_offset, 800);
    assert_int_equal(parsed.transport_offset, 48);
    assert_int_equal(parsed.transport_header, 0);

    packet[40] = IPPROTO_DSTOPTS; /* not the chain's continuation: that is in the first fragment */
    parsed = parse_good(packet, length);
    assert_int_equal(parsed.protocol, IPPROTO_DSTOPTS);
    assert_int_equal(parsed.transport_offset, 48);

    spec.fragment = 0; /* atomic, RFC 6946: whole */
    length = build_packet(packet, &spec);
    parsed = parse_good(packet, length);
    assert_false(parsed.is_fragment);
    assert_int_equal(parsed.transport_offset, 48);
}

static void refuses_fragments_beyond_the_limit(void **state)
{
    (void)state;
    static const uint8_t chain[] = {IPPROTO_HOPOPTS, IPPROTO_FRAGMENT};
    struct packet_spec spec = {
        .version = 4, .protocol = IPPROTO_ESP, .fragment = 8000, .payload = 65535 - 20 - 64000};
    parse_good(packet, build_packet(packet, &spec));
    spec.payload++;
    assert_error(build_packet(packet, &spec), PACKET_FRAGMENT);

    spec = (struct packet_spec){.version = 6,
                                .protocol = IPPROTO_ESP,
                                .extensions = chain,
                                .extension_count = 2,
                                .fragment = 64000,
                                .payload = 65535 - 8 - 64000};
    parse_good(packet, build_packet(packet, &spec));
    spec.payload++;
    assert_error(build_packet(packet, &spec), PACKET_FRAGMENT);
}

/* A first fragment too short for its transport header hides it from policy (RFC 1858). */
static void refuses_tiny_first_fragments(void **state)
{
    (void)state;
    struct packet_spec spec = tcp4;
    spec.fragment = 0x2000;
    build_packet(packet, &spec);
    store_be16(packet + 2, 20 + 16);
    assert_error(20 + 16, PACKET_TRANSPORT);
    store_be16(packet + 2, 20 + 24); /* 32 bytes of header announced */
    assert_error(20 + 24, PACKET_TRANSPORT);
}

static void refuses_tcp_headers(void **state)
{
    (void)state;
    size_t length = build_packet(packet, &tcp4);
    for (unsigned words = 0; words < 16; words++) {
        packet[32] = (uint8_t)(words << 4);
        if (words < 5)
            assert_error(length, PACKET_TRANSPORT);
        else
            assert_int_equal(parse_good(packet, length).transport_header, words * 4);
    }
    store_be16(packet + 2, 20 + 56);
    packet[32] = 0xf0;
    assert_error(length, PACKET_TRANSPORT);
}

static void refuses_udp_lengths(void **state)
{
    (void)state;
    for (unsigned six = 0; six < 2; six++) {
        size_t length = build_packet(packet, six ? &udp6 : &udp4);
        uint8_t *field = packet + (six ? 44 : 24);
        for (uint16_t lie = 0; lie < 8; lie++) {
            store_be16(field, lie);
            assert_error(length, PACKET_TRANSPORT);
        }
        store_be16(field, 41);
        assert_error(length, PACKET_TRANSPORT);
        store_be16(field, 39); /* padding behind the datagram is legal */
        parse_good(packet, length);
    }
}

static void icmp_belongs_to_its_family(void **state)
{
    (void)state;
    struct packet_spec spec = {.version = 4, .protocol = IPPROTO_ICMP, .payload = 8};
    assert_int_equal(parse_good(packet, build_packet(packet, &spec)).transport_header, 8);
    spec.protocol = IPPROTO_ICMPV6;
    assert_int_equal(parse_good(packet, build_packet(packet, &spec)).transport_header, 0);
    spec.version = 6;
    size_t length = build_packet(packet, &spec);
    assert_int_equal(parse_good(packet, length).transport_header, 8);
    store_be16(packet + 4, 7);
    assert_error(length, PACKET_TRANSPORT);
}

static void every_error_has_a_name(void **state)
{
    (void)state;
    for (unsigned a = 0; a < PACKET_ERROR_COUNT; a++)
        for (unsigned b = 0; b < a; b++)
            assert_string_not_equal(packet_error_name((enum packet_error)a),
                                    packet_error_name((enum packet_error)b));
    assert_string_equal(packet_error_name(PACKET_ERROR_COUNT), "unknown");
}

/* Options of an IPv4 header, and whether the packet is taken. */
static void ipv4_options(void **state)
{
    static const struct {
        const char *options;
        size_t bytes;
        enum packet_error error;
    } cases[] = {
        {"\x94\x04\0\0", 4, PACKET_OK},          /* router alert */
        {"\x01\x01\x01\x00", 4, PACKET_OK},      /* padding */
        {"\x00\x83\x03\x04", 4, PACKET_OK},      /* behind the end is nothing */
        {"\x83\x03\x04\x00", 4, PACKET_OPTIONS}, /* loose source route */
        {"\x89\x03\x04\x00", 4, PACKET_OPTIONS}, /* strict source route */
        {"\x83\x07\x04\xa9\xfe\xa9\xfe\x00", 8, PACKET_OPTIONS},
        {"\x01\x83\x07\x08\xa9\xfe\xa9\xfe", 8, PACKET_OPTIONS},
        {"\x44\x04\x05\x00\x89\x03\x04\x00", 8, PACKET_OPTIONS},
        {"\x07\x00\x00\x00", 4, PACKET_OPTIONS}, /* length 0 */
        {"\x07\x01\x00\x00", 4, PACKET_OPTIONS}, /* length 1 */
        {"\x07\x05\x00\x00", 4, PACKET_OPTIONS}, /* beyond the header */
        {"\x01\x01\x01\x44", 4, PACKET_OPTIONS}, /* no length at all */
        {"\x44\x04\x05\x00", 4, PACKET_OK},      /* timestamps */
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct packet_spec spec = {
            .version = 4,
            .protocol = 17,
            .options = (const uint8_t *)cases[i].options,
            .options_bytes = cases[i].bytes,
            .payload = 20,
        };
        struct parsed_packet parsed;
        size_t length = build_packet(packet, &spec);
        assert_int_equal(parse_exact(packet, length, &parsed), cases[i].error);
    }
}

static void fragment_header_is_found(void **state)
{
    static const uint8_t chain[] = {IPPROTO_HOPOPTS, IPPROTO_FRAGMENT, IPPROTO_DSTOPTS};
    struct packet_spec spec = {
        .version = 6,
        .protocol = 253,
        .extensions = chain,
        .extension_count = 3,
        .fragment = 1,
        .payload = 64,
    };

    (void)state;
    struct parsed_packet parsed = parse_good(packet, build_packet(packet, &spec));
    assert_int_equal(parsed.fragment_header, 48);
    spec = (struct packet_spec){.version = 4, .protocol = 253, .fragment = 0x2000, .payload = 64};
    parsed = parse_good(packet, build_packet(packet, &spec));
    assert_int_equal(parsed.fragment_header, 20);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_ipv4),
        cmocka_unit_test(reads_ipv6),
        cmocka_unit_test(reads_ecn),
        cmocka_unit_test(trims_trailing_bytes),
        cmocka_unit_test(refuses_every_truncation),
        cmocka_unit_test(survives_every_shorter_length),
        cmocka_unit_test(random_bytes_stay_inside),
        cmocka_unit_test(refuses_versions),
        cmocka_unit_test(refuses_header_lengths),
        cmocka_unit_test(refuses_total_lengths),
        cmocka_unit_test(largest_packets),
        cmocka_unit_test(refuses_jumbograms),
        cmocka_unit_test(empty_ipv6_packet_is_one),
        cmocka_unit_test(walks_extension_headers),
        cmocka_unit_test(limits_extension_headers),
        cmocka_unit_test(refuses_broken_chains),
        cmocka_unit_test(shortest_authentication_header),
        cmocka_unit_test(reads_ipv4_fragments),
        cmocka_unit_test(reads_ipv6_fragments),
        cmocka_unit_test(refuses_fragments_beyond_the_limit),
        cmocka_unit_test(refuses_tiny_first_fragments),
        cmocka_unit_test(refuses_tcp_headers),
        cmocka_unit_test(refuses_udp_lengths),
        cmocka_unit_test(icmp_belongs_to_its_family),
        cmocka_unit_test(every_error_has_a_name),
        cmocka_unit_test(ipv4_options),
        cmocka_unit_test(fragment_header_is_found),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
