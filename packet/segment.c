/* SPDX-License-Identifier: Apache-2.0 */
#include "packet/segment.h"

#include <string.h>

#include "packet/csum.h"
#include "packet/headers.h"

#define IPV4_MTU_MIN 68 /* RFC 791 3.2 */

#define IPV6_MTU_MIN 1280 /* RFC 8200 5 */

#define FRAGMENT_UNIT 8 /* RFC 791 3.1, RFC 8200 4.5: offsets count 8 bytes */

static inline uint32_t min_u32(uint32_t a, uint32_t b)
{
    return a < b ? a : b;
}

/* ---- segmentation ---- */

enum offload_error segment_init(struct segmenter *s, const uint8_t *packet,
                                const struct parsed_packet *parsed, struct offload meta)
{
    enum offload_error error = offload_check(packet, parsed, &meta);
    if (error)
        return error;

    *s = (struct segmenter){.packet = packet, .parsed = *parsed};
    s->finished = !(meta.flags & OFFLOAD_CHECKSUM_PARTIAL);
    s->header_bytes = (uint32_t)parsed->transport_offset + parsed->transport_header;
    s->payload = parsed->total_length - s->header_bytes;
    s->gso_size = meta.gso_size ? meta.gso_size : s->payload;
    return OFFLOAD_OK;
}

/* Makes the transport header in out that of the segment with `take` bytes at s->done. */
static void adjust_transport(const struct segmenter *s, uint8_t *transport, uint32_t take)
{
    if (s->parsed.protocol == IPPROTO_UDP) {
        store_be16(transport + UDP_LENGTH, (uint16_t)(s->parsed.transport_header + take));
        return;
    }
    store_be32(transport + TCP_SEQUENCE, load_be32(transport + TCP_SEQUENCE) + s->done);
    if (s->done + take < s->payload)
        transport[TCP_FLAGS] &= (uint8_t) ~(TCP_FIN | TCP_PSH);
    if (s->index > 0)
        transport[TCP_FLAGS] &= (uint8_t)~TCP_CWR;
}

static void adjust_segment(const struct segmenter *s, uint8_t *out, uint32_t take)
{
    struct parsed_packet parsed = s->parsed;

    parsed.total_length = s->header_bytes + take;
    adjust_transport(s, out + parsed.transport_offset, take);
    if (parsed.src.version == 4)
        store_be16(out + IPV4_IDENTIFICATION,
                   (uint16_t)(load_be16(out + IPV4_IDENTIFICATION) + s->index));
    ip_finish(out, parsed.src.version, parsed.total_length);
    offload_complete_checksum(out, &parsed);
}

size_t segment_next(struct segmenter *s, uint8_t *out, size_t capacity)
{
    uint32_t take = min_u32(s->gso_size, s->payload - s->done);
    uint32_t total = s->header_bytes + take;

    /* A packet without payload is one segment all the same. */
    if ((take == 0 && s->index > 0) || total > capacity)
        return 0;
    memcpy(out, s->packet, s->header_bytes);
    memcpy(out + s->header_bytes, s->packet + s->header_bytes + s->done, take);
    if (!s->finished)
        adjust_segment(s, out, take);
    s->done += take;
    s->index++;
    return total;
}

/* ---- fragmentation ---- */

/*
 * The headers that every fragment repeats end behind the routing header, or else the hop-by-hop
 * header, or else the IPv6 header (RFC 8200 4.5). False when there is a fragment header already, or
 * when one more header would be too many for packet_parse() at the other end.
 */
static bool ipv6_unfragmentable(struct fragmenter *f)
{
    const uint8_t *packet = f->packet;
    uint32_t offset = IPV6_HEADER;
    uint8_t next = packet[IPV6_NEXT_HEADER];
    uint32_t next_at = IPV6_NEXT_HEADER;
    unsigned walked = 0;

    f->header_bytes = offset;
    f->next_header = next;
    f->next_header_at = (uint16_t)next_at;
    while (offset < f->parsed.transport_offset) {
        if (next == IPPROTO_FRAGMENT || ++walked == PACKET_MAX_EXTENSIONS)
            return false;
        bool repeated = next == IPPROTO_HOPOPTS || next == IPPROTO_ROUTING;
        next_at = offset;
        offset += ipv6_extension_bytes(next, packet + offset);
        next = packet[next_at];
        if (repeated) {
            f->header_bytes = offset;
            f->next_header = next;
            f->next_header_at = (uint16_t)next_at;
        }
    }
    return true;
}

/* Bytes of a fragment in front of its data. */
static inline uint32_t front_bytes(const struct fragmenter *f)
{
    return f->header_bytes + (f->parsed.src.version == 6 ? IPV6_FRAGMENT_HEADER : 0);
}

/* Data bytes of every fragment but the last. */
static inline uint32_t data_bytes(const struct fragmenter *f)
{
    return (f->mtu - front_bytes(f)) / FRAGMENT_UNIT * FRAGMENT_UNIT;
}

bool fragment_init(struct fragmenter *f, const uint8_t *packet, const struct parsed_packet *parsed,
                   uint32_t mtu, uint32_t identification)
{
    bool ipv6 = parsed->src.version == 6;

    if (parsed->is_fragment || parsed->total_length <= mtu ||
        mtu < (ipv6 ? IPV6_MTU_MIN : IPV4_MTU_MIN))
        return false;
    *f = (struct fragmenter){
        .packet = packet, .parsed = *parsed, .mtu = mtu, .identification = identification};
    if (!ipv6)
        f->header_bytes = parsed->transport_offset;
    else if (!ipv6_unfragmentable(f))
        return false;
    f->payload = parsed->total_length - f->header_bytes;

    uint32_t chain =
        (uint32_t)parsed->transport_offset + parsed->transport_header - f->header_bytes;
    return front_bytes(f) + FRAGMENT_UNIT <= mtu && chain <= data_bytes(f);
}

/* Blanks the options that belong in the first fragment only. Behind a malformed one all of them. */
static void keep_copied_options(uint8_t *ip)
{
    uint32_t end = ipv4_header_bytes(ip);

    for (uint32_t at = IPV4_HEADER_MIN; at < end;) {
        uint8_t type = ip[at];
        uint32_t length = 1;
        if (type == IPV4_OPTION_END)
            return;
        if (type != IPV4_OPTION_NOP) {
            length = at + 1 < end ? ip[at + 1] : 0;
            if (length < 2 || length > end - at) {
                memset(ip + at, IPV4_OPTION_NOP, end - at);
                return;
            }
        }
        if (!(type & IPV4_OPTION_COPIED))
            memset(ip + at, IPV4_OPTION_NOP, length);
        at += length;
    }
}

static void adjust_ipv4_fragment(const struct fragmenter *f, uint8_t *out, bool more)
{
    uint32_t field = load_be16(out + IPV4_FRAGMENT) | f->done / FRAGMENT_UNIT;

    if (f->done > 0)
        keep_copied_options(out);
    store_be16(out + IPV4_FRAGMENT, (uint16_t)(field | (more ? IPV4_MF : 0)));
}

static void put_ipv6_fragment_header(const struct fragmenter *f, uint8_t *out, bool more)
{
    uint8_t *header = out + f->header_bytes;

    out[f->next_header_at] = IPPROTO_FRAGMENT;
    header[0] = f->next_header;
    header[1] = 0;
    store_be16(header + IPV6_FRAGMENT_FIELD, (uint16_t)(f->done | (more ? IPV6_MF : 0)));
    store_be32(header + IPV6_FRAGMENT_ID, f->identification);
}

size_t fragment_next(struct fragmenter *f, uint8_t *out, size_t capacity)
{
    uint32_t left = f->payload - f->done;
    uint32_t front = front_bytes(f);
    bool more = left > f->mtu - front;
    uint32_t take = more ? data_bytes(f) : left;

    if (left == 0 || front + take > capacity)
        return 0;
    memcpy(out, f->packet, f->header_bytes);
    memcpy(out + front, f->packet + f->header_bytes + f->done, take);
    if (f->parsed.src.version == 4)
        adjust_ipv4_fragment(f, out, more);
    else
        put_ipv6_fragment_header(f, out, more);
    ip_finish(out, f->parsed.src.version, front + take);
    f->done += take;
    return front + take;
}
