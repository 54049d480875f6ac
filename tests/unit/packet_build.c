/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/packet_build.h"

#include <netinet/in.h>

uint64_t random_u64(void)
{
    static uint64_t state = 0x9e3779b97f4a7c15;
    state ^= state >> 12;
    state ^= state << 25;
    state ^= state >> 27;
    return state * 0x2545f4914f6cdd1d;
}

uint32_t random_below(uint32_t limit)
{
    return (uint32_t)((random_u64() >> 32) % limit);
}

void random_fill(uint8_t *out, size_t length)
{
    for (size_t i = 0; i < length; i++)
        out[i] = (uint8_t)(random_u64() >> 56);
}

uint16_t slow_checksum(const uint8_t *bytes, size_t length)
{
    uint32_t sum = 0;
    for (size_t i = 0; i < length; i++) {
        sum += i % 2 == 0 ? (uint32_t)bytes[i] * 256 : bytes[i];
        if (sum > 0xffff)
            sum = sum - 0x10000 + 1;
    }
    return (uint16_t)(0xffff - sum);
}

uint16_t slow_transport_checksum(const uint8_t *ip, uint8_t protocol, const uint8_t *transport,
                                 size_t length)
{
    size_t addresses = ip[0] >> 4 == 4 ? 8 : 32;
    uint8_t *all = malloc(addresses + 8 + length);

    memcpy(all, ip + (addresses == 8 ? 12 : 8), addresses);
    store_be32(all + addresses, (uint32_t)length);
    store_be32(all + addresses + 4, protocol);
    memcpy(all + addresses + 8, transport, length);
    uint16_t sum = slow_checksum(all, addresses + 8 + length);
    free(all);
    return sum;
}

static size_t build_transport(uint8_t *out, const struct packet_spec *spec)
{
    size_t header = 0;

    memset(out, 0, 60);
    switch (spec->protocol) {
    case IPPROTO_TCP:
        header = 20 + spec->tcp_options;
        store_be16(out, 40000);
        store_be16(out + 2, 443);
        store_be32(out + 4, (uint32_t)random_u64());
        out[12] = (uint8_t)(header / 4 << 4);
        out[13] = spec->tcp_flags;
        memset(out + 20, 1, spec->tcp_options);
        break;
    case IPPROTO_UDP:
        header = 8;
        store_be16(out, 40000);
        store_be16(out + 2, 53);
        store_be16(out + 4, (uint16_t)(8 + spec->payload));
        break;
    case IPPROTO_ICMP:
    case IPPROTO_ICMPV6:
        header = 8;
        out[0] = spec->version == 4 ? 8 : 128;
        break;
    default:
        break;
    }
    random_fill(out + header, spec->payload);
    return header + spec->payload;
}

static void finish_transport(const uint8_t *ip, uint8_t *transport, size_t length, uint8_t protocol)
{
    size_t field = protocol == IPPROTO_TCP ? 16 : 6;
    if (protocol != IPPROTO_TCP && protocol != IPPROTO_UDP)
        return;
    uint16_t sum = slow_transport_checksum(ip, protocol, transport, length);
    store_be16(transport + field, sum == 0 ? 0xffff : sum);
}

static size_t build_ipv4(uint8_t *out, const struct packet_spec *spec)
{
    size_t header = 20 + spec->options_bytes;
    size_t transport = build_transport(out + header, spec);

    memset(out, 0, header);
    out[0] = (uint8_t)(0x40 | header / 4);
    out[1] = spec->tos;
    store_be16(out + 2, (uint16_t)(header + transport));
    store_be16(out + 4, 0xfffe);
    store_be16(out + 6, spec->fragment);
    out[8] = 64;
    out[9] = spec->protocol;
    memcpy(out + 12, (const uint8_t[]){192, 0, 2, 1, 198, 51, 100, 2}, 8);
    if (spec->options_bytes > 0)
        memcpy(out + 20, spec->options, spec->options_bytes);
    store_be16(out + 10, slow_checksum(out, header));
    finish_transport(out, out + header, transport, spec->protocol);
    return header + transport;
}

static size_t build_extensions(uint8_t *out, const struct packet_spec *spec)
{
    size_t at = 40, next_at = 6;

    for (size_t i = 0; i < spec->extension_count; i++) {
        uint8_t type = spec->extensions[i];
        size_t size = type == IPPROTO_AH ? 24 : 8;
        out[next_at] = type;
        next_at = at;
        memset(out + at, 0, size);
        if (type == IPPROTO_AH)
            out[at + 1] = 4;
        else if (type == IPPROTO_FRAGMENT)
            store_be16(out + at + 2, spec->fragment);
        else if (type != IPPROTO_ROUTING)
            memcpy(out + at + 2, (const uint8_t[]){1, 4}, 2); /* PadN */
        at += size;
    }
    out[next_at] = spec->protocol;
    return at;
}

static size_t build_ipv6(uint8_t *out, const struct packet_spec *spec)
{
    static const uint8_t addresses[32] = {0x20, 0x01, 0x0d, 0xb8, [15] = 1, [16] = 0x20,
                                          0x01, 0x0d, 0xb8, 0,    1,        [31] = 2};
    size_t header = build_extensions(out, spec);
    size_t transport = build_transport(out + header, spec);

    store_be32(out, 0x60000000 | (uint32_t)spec->tos << 20 | 0x12345);
    store_be16(out + 4, (uint16_t)(header - 40 + transport));
    out[7] = 64;
    memcpy(out + 8, addresses, sizeof(addresses));
    finish_transport(out, out + header, transport, spec->protocol);
    return header + transport;
}

size_t build_packet(uint8_t *out, const struct packet_spec *spec)
{
    return spec->version == 4 ? build_ipv4(out, spec) : build_ipv6(out, spec);
}

enum packet_error parse_exact(const uint8_t *bytes, size_t length, struct parsed_packet *parsed)
{
    uint8_t *copy = malloc(length > 0 ? length : 1);

    if (length > 0)
        memcpy(copy, bytes, length);
    enum packet_error error = packet_parse(length > 0 ? copy : copy + 1, length, parsed);
    free(copy);
    return error;
}

struct parsed_packet parse_good(const uint8_t *bytes, size_t length)
{
    struct parsed_packet parsed;
    assert_string_equal(packet_error_name(parse_exact(bytes, length, &parsed)), "ok");
    return parsed;
}

void assert_checksums(const uint8_t *packet, size_t length)
{
    struct parsed_packet parsed = parse_good(packet, length);
    const uint8_t *transport = packet + parsed.transport_offset;

    assert_int_equal(parsed.total_length, length);
    if (parsed.src.version == 4)
        assert_int_equal(slow_checksum(packet, (size_t)(packet[0] & 15) * 4), 0);
    if (parsed.is_fragment || (parsed.protocol != IPPROTO_TCP && parsed.protocol != IPPROTO_UDP))
        return;
    assert_int_equal(slow_transport_checksum(packet, parsed.protocol, transport,
                                             length - parsed.transport_offset),
                     0);
}
