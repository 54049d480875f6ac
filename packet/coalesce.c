/* SPDX-License-Identifier: Apache-2.0 */
#include "packet/coalesce.h"

#include <string.h>

#include "packet/csum.h"
#include "packet/headers.h"

static inline uint32_t header_bytes(const struct parsed_packet *parsed)
{
    return (uint32_t)parsed->transport_offset + UDP_HEADER;
}

static bool is_candidate(const uint8_t *packet, const struct parsed_packet *parsed,
                         struct offload offload)
{
    uint32_t plain = parsed->src.version == 4 ? IPV4_HEADER_MIN : IPV6_HEADER;

    if (parsed->protocol != IPPROTO_UDP || parsed->is_fragment ||
        parsed->transport_offset != plain || parsed->total_length <= header_bytes(parsed) ||
        offload.gso_size != 0 || (offload.flags & ~OFFLOAD_CHECKSUM_PARTIAL))
        return false;
    return load_be16(packet + plain + UDP_LENGTH) == parsed->total_length - plain;
}

/* Are the IPv4 header's checksum and the UDP one what segmentation will write? */
static bool checksums_right(const uint8_t *packet, const struct parsed_packet *parsed,
                            struct offload offload)
{
    const uint8_t *udp = packet + parsed->transport_offset;
    uint32_t length = parsed->total_length - parsed->transport_offset;

    if (parsed->src.version == 4 && csum_finish(csum_add(0, packet, IPV4_HEADER_MIN)) != 0)
        return false;
    if (offload.flags & OFFLOAD_CHECKSUM_PARTIAL)
        return true;
    if (load_be16(udp + UDP_CSUM) == 0) /* none was made, RFC 768: none may be there afterwards */
        return false;
    return csum_finish(csum_add(csum_pseudo(parsed, length), udp, length)) == 0;
}

static bool same_bytes(const uint8_t *a, const uint8_t *b, uint32_t from, uint32_t to)
{
    return memcmp(a + from, b + from, to - from) == 0;
}

/* All of both IP headers and the ports, but for lengths, identification and checksums. */
static bool same_headers(const struct coalescer *c, const uint8_t *packet)
{
    const uint8_t *first = c->packet;

    if (c->parsed.src.version == 6)
        return same_bytes(first, packet, 0, IPV6_PAYLOAD_LENGTH) &&
               same_bytes(first, packet, IPV6_PAYLOAD_LENGTH + 2, IPV6_HEADER + UDP_LENGTH);
    if (!same_bytes(first, packet, 0, IPV4_TOTAL_LENGTH) ||
        !same_bytes(first, packet, IPV4_IDENTIFICATION + 2, IPV4_HEADER_CSUM) ||
        !same_bytes(first, packet, IPV4_HEADER_CSUM + 2, IPV4_HEADER_MIN + UDP_LENGTH))
        return false;
    uint16_t next = (uint16_t)(load_be16(first + IPV4_IDENTIFICATION) + c->count);
    return c->parsed.dont_fragment || load_be16(packet + IPV4_IDENTIFICATION) == next;
}

bool coalesce_begin(struct coalescer *c, uint8_t *packet, const struct parsed_packet *parsed,
                    struct offload offload)
{
    c->count = 0;
    if (!is_candidate(packet, parsed, offload))
        return false;
    *c = (struct coalescer){
        .packet = packet,
        .parsed = *parsed,
        .offload = offload,
        .segment = parsed->total_length - header_bytes(parsed),
        .count = 1,
    };
    return true;
}

/* Looks at the bytes of the first one only when there is a second: a lone datagram costs nothing.
 */
static bool first_is_right(const struct coalescer *c)
{
    return c->count > 1 || checksums_right(c->packet, &c->parsed, c->offload);
}

bool coalesce_add(struct coalescer *c, const uint8_t *packet, const struct parsed_packet *parsed,
                  struct offload offload)
{
    if (c->count == 0 || c->closed || c->count == COALESCE_MAX ||
        parsed->src.version != c->parsed.src.version || !is_candidate(packet, parsed, offload))
        return false;
    uint32_t payload = parsed->total_length - header_bytes(parsed);
    if (payload > c->segment || c->parsed.total_length + payload > PACKET_MAX_BYTES ||
        !same_headers(c, packet) || !first_is_right(c) || !checksums_right(packet, parsed, offload))
        return false;
    memmove(c->packet + c->parsed.total_length, packet + header_bytes(parsed), payload);
    c->parsed.total_length += payload;
    c->closed = payload < c->segment;
    c->count++;
    return true;
}

struct offload coalesce_end(struct coalescer *c, struct parsed_packet *parsed)
{
    struct offload offload = c->offload;

    *parsed = c->parsed;
    if (c->count > 1) {
        store_be16(c->packet + parsed->transport_offset + UDP_LENGTH,
                   (uint16_t)(parsed->total_length - parsed->transport_offset));
        ip_finish(c->packet, parsed->src.version, parsed->total_length);
        offload =
            (struct offload){.gso_size = (uint16_t)c->segment, .flags = OFFLOAD_CHECKSUM_PARTIAL};
    }
    c->count = 0;
    return offload;
}
