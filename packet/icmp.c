/* SPDX-License-Identifier: Apache-2.0 */
#include "packet/icmp.h"

#include <string.h>

#include "packet/headers.h"

#define QUOTED_MIN      8 /* bytes behind the quoted IP header (RFC 792) */
#define EXTENSIONS_MOST PACKET_MAX_EXTENSIONS

static enum icmp_kind kind4(uint8_t type)
{
    switch (type) {
    case 0:  /* echo reply (RFC 792) */
    case 8:  /* echo */
    case 13: /* timestamp */
    case 14: /* timestamp reply */
        return ICMP_QUERY;
    case 3:  /* destination unreachable */
    case 11: /* time exceeded */
    case 12: /* parameter problem */
        return ICMP_ERROR;
    default:
        return ICMP_LOCAL;
    }
}

static enum icmp_kind kind6(uint8_t type)
{
    if (type == 128 || type == 129) /* echo request, echo reply (RFC 4443 4) */
        return ICMP_QUERY;
    /* Unreachable, too big, time exceeded, parameter problem (RFC 4443 3). */
    return type >= 1 && type <= 4 ? ICMP_ERROR : ICMP_LOCAL;
}

enum icmp_kind icmp_kind(const uint8_t *packet, const struct parsed_packet *parsed)
{
    if (parsed->transport_header == 0) /* then there may be no byte at all */
        return ICMP_NONE;
    uint8_t type = packet[parsed->transport_offset];
    if (parsed->src.version == 4)
        return parsed->protocol == IPPROTO_ICMP ? kind4(type) : ICMP_NONE;
    return parsed->protocol == IPPROTO_ICMPV6 ? kind6(type) : ICMP_NONE;
}

static bool quoted4(const uint8_t *quoted, size_t there, struct icmp_quote *quote)
{
    if (there < IPV4_HEADER_MIN || quoted[0] >> 4 != 4)
        return false;
    size_t header = ipv4_header_bytes(quoted);
    if (header < IPV4_HEADER_MIN || there < header + QUOTED_MIN)
        return false;
    if (quoted[IPV4_PROTOCOL] == IPPROTO_ICMP &&
        (load_be16(quoted + IPV4_FRAGMENT) & IPV4_OFFSET) == 0 &&
        kind4(quoted[header]) != ICMP_QUERY)
        return false;
    quote->src = quote->dst = (struct ip_addr){.version = 4};
    memcpy(quote->src.bytes, quoted + IPV4_SOURCE, 4);
    memcpy(quote->dst.bytes, quoted + IPV4_DESTINATION, 4);
    return true;
}

/* Where the quoted upper-layer header is, and its protocol: past the extensions that routers on the
 * way leave alone. Later fragments have none: *protocol is IPPROTO_NONE. */
static bool quoted_transport(const uint8_t *quoted, size_t there, uint8_t *protocol, size_t *offset)
{
    *protocol = quoted[IPV6_NEXT_HEADER];
    *offset = IPV6_HEADER;
    for (unsigned walked = 0; walked <= EXTENSIONS_MOST; walked++) {
        const uint8_t *header = quoted + *offset;
        size_t left = there - *offset;

        if (left < QUOTED_MIN)
            return false;
        if (*protocol == IPPROTO_FRAGMENT &&
            (load_be16(header + IPV6_FRAGMENT_FIELD) & IPV6_OFFSET) != 0)
            *protocol = IPPROTO_NONE;
        if (*protocol == IPPROTO_ROUTING && header[IPV6_SEGMENTS_LEFT] != 0)
            return false;
        if (!ipv6_is_extension(*protocol))
            return true;
        size_t size = ipv6_extension_bytes(*protocol, header);
        if (size > left)
            return false;
        *protocol = header[0];
        *offset += size;
    }
    return false;
}

static bool quoted6(const uint8_t *quoted, size_t there, struct icmp_quote *quote)
{
    uint8_t protocol;
    size_t offset;

    if (there < IPV6_HEADER || quoted[0] >> 4 != 6 ||
        !quoted_transport(quoted, there, &protocol, &offset))
        return false;
    if (protocol == IPPROTO_ICMPV6 && kind6(quoted[offset]) != ICMP_QUERY)
        return false;
    quote->src = quote->dst = (struct ip_addr){.version = 6};
    memcpy(quote->src.bytes, quoted + IPV6_SOURCE, 16);
    memcpy(quote->dst.bytes, quoted + IPV6_DESTINATION, 16);
    return true;
}

bool icmp_quoted(const uint8_t *packet, const struct parsed_packet *parsed,
                 struct icmp_quote *quote)
{
    size_t start = (size_t)parsed->transport_offset + ICMP_HEADER;
    size_t there = parsed->total_length - start;

    if (parsed->is_fragment)
        return false;
    return parsed->src.version == 4 ? quoted4(packet + start, there, quote)
                                    : quoted6(packet + start, there, quote);
}
