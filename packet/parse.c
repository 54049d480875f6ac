/* SPDX-License-Identifier: Apache-2.0 */
#include "packet/parse.h"

#include <assert.h>
#include <string.h>

#include "packet/headers.h"

const char *packet_error_name(enum packet_error error)
{
    static const char *const names[] = {
        [PACKET_OK] = "ok",
        [PACKET_SHORT] = "short",
        [PACKET_IP_VERSION] = "ip_version",
        [PACKET_HEADER_LENGTH] = "header_length",
        [PACKET_TOTAL_LENGTH] = "total_length",
        [PACKET_EXTENSIONS] = "extensions",
        [PACKET_FRAGMENT] = "fragment",
        [PACKET_OPTIONS] = "options",
        [PACKET_TRANSPORT] = "transport",
    };
    static_assert(sizeof(names) / sizeof(names[0]) == PACKET_ERROR_COUNT, "a name for each error");
    return (unsigned)error < PACKET_ERROR_COUNT ? names[error] : "unknown";
}

static bool tcp_header(const uint8_t *tcp, uint32_t left, uint32_t *header)
{
    if (left < TCP_HEADER_MIN)
        return false;
    *header = (uint32_t)(tcp[TCP_DATA_OFFSET] >> 4) * 4;
    return *header >= TCP_HEADER_MIN && *header <= left;
}

/* A first fragment announces the length of the whole datagram. */
static bool udp_header(const uint8_t *udp, uint32_t left, bool is_fragment, uint32_t *header)
{
    if (left < UDP_HEADER)
        return false;
    uint32_t announced = load_be16(udp + UDP_LENGTH);
    *header = UDP_HEADER;
    return announced >= UDP_HEADER && (announced <= left || is_fragment);
}

static enum packet_error parse_transport(const uint8_t *bytes, uint8_t icmp,
                                         struct parsed_packet *parsed)
{
    const uint8_t *transport = bytes + parsed->transport_offset;
    uint32_t left = parsed->total_length - parsed->transport_offset;
    uint32_t header = 0;
    bool whole = true;

    if (parsed->protocol == IPPROTO_TCP) {
        whole = tcp_header(transport, left, &header);
    } else if (parsed->protocol == IPPROTO_UDP) {
        whole = udp_header(transport, left, parsed->is_fragment, &header);
    } else if (parsed->protocol == icmp) {
        header = ICMP_HEADER;
        whole = left >= ICMP_HEADER;
    }
    parsed->transport_header = (uint16_t)header;
    return whole ? PACKET_OK : PACKET_TRANSPORT;
}

/* Walks the options as every receiver has to (RFC 791 3.1). */
static enum packet_error check_options(const uint8_t *options, uint32_t left)
{
    while (left > 0 && options[0] != IPV4_OPTION_END) {
        uint32_t size = 1;

        if (options[0] == IPV4_OPTION_LSRR || options[0] == IPV4_OPTION_SSRR)
            return PACKET_OPTIONS;
        if (options[0] != IPV4_OPTION_NOP) {
            size = left < 2 ? 0 : options[1];
            if (size < 2 || size > left)
                return PACKET_OPTIONS;
        }
        options += size;
        left -= size;
    }
    return PACKET_OK;
}

static enum packet_error parse_ipv4(const uint8_t *bytes, size_t length,
                                    struct parsed_packet *parsed)
{
    if (length < IPV4_HEADER_MIN)
        return PACKET_SHORT;
    uint32_t header = ipv4_header_bytes(bytes);
    uint32_t total = load_be16(bytes + IPV4_TOTAL_LENGTH);
    uint32_t fragment = load_be16(bytes + IPV4_FRAGMENT);
    if (header < IPV4_HEADER_MIN || header > length)
        return PACKET_HEADER_LENGTH;
    if (total < header || total > length)
        return PACKET_TOTAL_LENGTH;
    if (header > IPV4_HEADER_MIN &&
        check_options(bytes + IPV4_HEADER_MIN, header - IPV4_HEADER_MIN))
        return PACKET_OPTIONS;

    parsed->src.version = parsed->dst.version = 4;
    memcpy(parsed->src.bytes, bytes + IPV4_SOURCE, 4);
    memcpy(parsed->dst.bytes, bytes + IPV4_DESTINATION, 4);
    parsed->protocol = bytes[IPV4_PROTOCOL];
    parsed->ttl = bytes[IPV4_TTL];
    parsed->ecn = bytes[1] & 3;
    parsed->dont_fragment = (fragment & IPV4_DF) != 0;
    parsed->total_length = total;
    parsed->transport_offset = (uint16_t)header;

    if (fragment & (IPV4_MF | IPV4_OFFSET)) {
        parsed->is_fragment = true;
        parsed->more_fragments = (fragment & IPV4_MF) != 0;
        parsed->fragment_offset = (fragment & IPV4_OFFSET) * 8;
        parsed->fragment_header = (uint16_t)header;
        if (parsed->fragment_offset + total > PACKET_MAX_BYTES)
            return PACKET_FRAGMENT;
        if (parsed->fragment_offset != 0)
            return PACKET_OK; /* no transport header here */
    }
    return parse_transport(bytes, IPPROTO_ICMP, parsed);
}

/* Fills in what the fragment header at `offset` says. */
static enum packet_error parse_fragment_header(const uint8_t *bytes, uint32_t offset,
                                               struct parsed_packet *parsed)
{
    uint32_t field = load_be16(bytes + offset + IPV6_FRAGMENT_FIELD);
    uint32_t data = parsed->total_length - offset - IPV6_FRAGMENT_HEADER;

    parsed->more_fragments = (field & IPV6_MF) != 0;
    parsed->fragment_offset = field & IPV6_OFFSET;
    parsed->is_fragment = parsed->fragment_offset != 0 || parsed->more_fragments;
    parsed->fragment_header = (uint16_t)offset;
    /* What is limited is the payload length of the reassembled packet (RFC 8200 4.5). */
    if (offset - IPV6_HEADER + parsed->fragment_offset + data > 65535)
        return PACKET_FRAGMENT;
    return PACKET_OK;
}

/*
 * Walks from the header at `offset` of kind `next` to the upper-layer header; sets protocol and
 * transport_offset. Hop-by-hop options only in first place (RFC 8200 4.1), one fragment header at
 * most, and no source route: where segments are left, dst is not where the packet goes, so neither
 * a policy nor the pseudo header could be judged (RFC 5095 on why nobody misses it).
 */
static enum packet_error walk_extensions(const uint8_t *bytes, struct parsed_packet *parsed)
{
    uint32_t offset = IPV6_HEADER;
    uint8_t next = bytes[IPV6_NEXT_HEADER];
    bool fragment_seen = false;

    for (unsigned walked = 0;; walked++) {
        if (!ipv6_is_extension(next))
            break;
        if (walked == PACKET_MAX_EXTENSIONS || parsed->total_length - offset < IPV6_EXTENSION_MIN)
            return PACKET_EXTENSIONS;

        const uint8_t *header = bytes + offset;
        uint32_t size = ipv6_extension_bytes(next, header);
        if (next == IPPROTO_FRAGMENT) {
            enum packet_error error = parse_fragment_header(bytes, offset, parsed);
            if (error || fragment_seen)
                return error ? error : PACKET_EXTENSIONS;
            fragment_seen = true;
        } else if ((next == IPPROTO_HOPOPTS && walked != 0) ||
                   (next == IPPROTO_ROUTING && header[IPV6_SEGMENTS_LEFT] != 0)) {
            return PACKET_EXTENSIONS;
        }
        if (size < IPV6_EXTENSION_MIN || size > parsed->total_length - offset)
            return PACKET_EXTENSIONS;
        next = header[0];
        offset += size;
        if (parsed->fragment_offset != 0)
            break; /* the rest of the chain is in the first fragment */
    }
    parsed->protocol = next;
    parsed->transport_offset = (uint16_t)offset;
    return PACKET_OK;
}

static enum packet_error parse_ipv6(const uint8_t *bytes, size_t length,
                                    struct parsed_packet *parsed)
{
    if (length < IPV6_HEADER)
        return PACKET_SHORT;
    uint32_t payload = load_be16(bytes + IPV6_PAYLOAD_LENGTH);
    uint32_t total = IPV6_HEADER + payload;
    if (total > length || total > PACKET_MAX_BYTES)
        return PACKET_TOTAL_LENGTH;
    if (payload == 0 && bytes[IPV6_NEXT_HEADER] == IPPROTO_HOPOPTS)
        return PACKET_TOTAL_LENGTH; /* jumbogram (RFC 2675 3) */

    parsed->src.version = parsed->dst.version = 6;
    memcpy(parsed->src.bytes, bytes + IPV6_SOURCE, 16);
    memcpy(parsed->dst.bytes, bytes + IPV6_DESTINATION, 16);
    parsed->ttl = bytes[IPV6_HOP_LIMIT];
    parsed->ecn = bytes[1] >> 4 & 3;
    parsed->dont_fragment = true;
    parsed->total_length = total;

    enum packet_error error = walk_extensions(bytes, parsed);
    if (error || parsed->fragment_offset != 0)
        return error;
    return parse_transport(bytes, IPPROTO_ICMPV6, parsed);
}

enum packet_error packet_parse(const uint8_t *bytes, size_t length, struct parsed_packet *out)
{
    if (length == 0)
        return PACKET_SHORT;
    *out = (struct parsed_packet){0};
    switch (bytes[0] >> 4) {
    case 4:
        return parse_ipv4(bytes, length, out);
    case 6:
        return parse_ipv6(bytes, length, out);
    default:
        return PACKET_IP_VERSION;
    }
}
