/* SPDX-License-Identifier: Apache-2.0 */
#include "packet/offload.h"

#include <assert.h>
#include <string.h>

#include "packet/csum.h"
#include "packet/headers.h"

static_assert(sizeof(struct virtio_net_hdr) == VNET_HEADER_BYTES, "virtio 1.2 5.1.6");

const char *offload_error_name(enum offload_error error)
{
    static const char *const names[] = {
        [OFFLOAD_OK] = "ok",
        [OFFLOAD_FLAGS] = "flags",
        [OFFLOAD_PROTOCOL] = "protocol",
        [OFFLOAD_FRAGMENT] = "fragment",
        [OFFLOAD_SEGMENT] = "segment",
        [OFFLOAD_HEADER] = "header",
    };
    static_assert(sizeof(names) / sizeof(names[0]) == OFFLOAD_ERROR_COUNT, "a name for each error");
    return (unsigned)error < OFFLOAD_ERROR_COUNT ? names[error] : "unknown";
}

/* Where the checksum field of a TCP or UDP header is, from the start of that header. */
static inline uint32_t csum_field(const struct parsed_packet *parsed)
{
    return parsed->protocol == IPPROTO_TCP ? TCP_CSUM : UDP_CSUM;
}

static inline uint32_t transport_bytes(const struct parsed_packet *parsed)
{
    return parsed->total_length - parsed->transport_offset;
}

/* Is the segment size one that a kernel makes? The packet has at least two segments. */
static bool segment_size_valid(const struct parsed_packet *parsed, uint32_t payload,
                               uint32_t gso_size)
{
    if (parsed->protocol == IPPROTO_UDP)
        return payload <= gso_size * OFFLOAD_MAX_UDP_SEGMENTS;
    /* tcp_min_snd_mss counts the options in (linux: net/ipv4/tcp_output.c tcp_mtu_to_mss()). */
    return gso_size + parsed->transport_header - TCP_HEADER_MIN >= OFFLOAD_MIN_TCP_SEGMENT;
}

/* All but what needs the packet's bytes. Normalises meta as offload_check() says. */
static enum offload_error check_view(const struct parsed_packet *parsed, struct offload *meta)
{
    if (meta->flags & ~OFFLOAD_KNOWN_FLAGS)
        return OFFLOAD_FLAGS;
    if (meta->flags == 0 && meta->gso_size == 0)
        return OFFLOAD_OK;
    if (parsed->protocol != IPPROTO_TCP && parsed->protocol != IPPROTO_UDP)
        return OFFLOAD_PROTOCOL;
    if (parsed->is_fragment)
        return OFFLOAD_FRAGMENT;

    uint32_t payload = transport_bytes(parsed) - parsed->transport_header;
    if (payload <= meta->gso_size)
        meta->gso_size = 0;
    if (meta->gso_size == 0)
        return OFFLOAD_OK;
    meta->flags |= OFFLOAD_CHECKSUM_PARTIAL;
    return segment_size_valid(parsed, payload, meta->gso_size) ? OFFLOAD_OK : OFFLOAD_SEGMENT;
}

enum offload_error offload_check(const uint8_t *packet, const struct parsed_packet *parsed,
                                 struct offload *meta)
{
    enum offload_error error = check_view(parsed, meta);
    if (error || meta->flags == 0 || parsed->protocol != IPPROTO_UDP)
        return error;
    /* The kernel would sum, or cut up, all bytes of the packet whatever the length field says. */
    uint16_t announced = load_be16(packet + parsed->transport_offset + UDP_LENGTH);
    return announced == transport_bytes(parsed) ? OFFLOAD_OK : OFFLOAD_HEADER;
}

/* Does the GSO type belong to this packet, and does it come with a size? */
static bool gso_type_matches(const struct virtio_net_hdr *header,
                             const struct parsed_packet *parsed)
{
    switch (header->gso_type) {
    case VIRTIO_NET_HDR_GSO_NONE:
        return header->gso_size == 0;
    case VIRTIO_NET_HDR_GSO_TCPV4:
    case VIRTIO_NET_HDR_GSO_TCPV4 | VIRTIO_NET_HDR_GSO_ECN:
        return header->gso_size != 0 && parsed->protocol == IPPROTO_TCP && parsed->src.version == 4;
    case VIRTIO_NET_HDR_GSO_TCPV6:
    case VIRTIO_NET_HDR_GSO_TCPV6 | VIRTIO_NET_HDR_GSO_ECN:
        return header->gso_size != 0 && parsed->protocol == IPPROTO_TCP && parsed->src.version == 6;
    case VIRTIO_NET_HDR_GSO_UDP_L4:
        return header->gso_size != 0 && parsed->protocol == IPPROTO_UDP;
    default:
        return false;
    }
}

enum offload_error offload_from_vnet(const uint8_t *bytes, const struct parsed_packet *parsed,
                                     struct offload *out)
{
    struct virtio_net_hdr header;

    memcpy(&header, bytes, sizeof(header));
    *out = (struct offload){.gso_size = header.gso_size};
    /* DATA_VALID says that the checksum was verified; nothing follows from it here. */
    if (header.flags & ~(VIRTIO_NET_HDR_F_NEEDS_CSUM | VIRTIO_NET_HDR_F_DATA_VALID))
        return OFFLOAD_FLAGS;
    if (!gso_type_matches(&header, parsed))
        return OFFLOAD_HEADER;

    if (header.flags & VIRTIO_NET_HDR_F_NEEDS_CSUM)
        out->flags = OFFLOAD_CHECKSUM_PARTIAL;
    enum offload_error error = check_view(parsed, out);
    if (error || !(header.flags & VIRTIO_NET_HDR_F_NEEDS_CSUM))
        return error;
    if (header.csum_start != ETHERNET_HEADER_BYTES + parsed->transport_offset ||
        header.csum_offset != csum_field(parsed))
        return OFFLOAD_HEADER;
    return OFFLOAD_OK;
}

static uint8_t gso_type(const uint8_t *packet, const struct parsed_packet *parsed)
{
    if (parsed->protocol == IPPROTO_UDP)
        return VIRTIO_NET_HDR_GSO_UDP_L4;
    uint8_t type = parsed->src.version == 4 ? VIRTIO_NET_HDR_GSO_TCPV4 : VIRTIO_NET_HDR_GSO_TCPV6;
    if (packet[parsed->transport_offset + TCP_FLAGS] & TCP_CWR)
        type |= VIRTIO_NET_HDR_GSO_ECN;
    return type;
}

enum offload_error offload_to_vnet(uint8_t *packet, const struct parsed_packet *parsed,
                                   struct offload meta, uint8_t *out)
{
    struct virtio_net_hdr header = {0};
    enum offload_error error = offload_check(packet, parsed, &meta);

    if (error)
        return error;
    if (meta.flags & OFFLOAD_CHECKSUM_PARTIAL) {
        uint32_t field = csum_field(parsed);
        uint16_t pseudo = csum_fold(csum_pseudo(parsed, transport_bytes(parsed)));
        memcpy(packet + parsed->transport_offset + field, &pseudo, sizeof(pseudo));
        header.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM;
        header.csum_start = (uint16_t)(ETHERNET_HEADER_BYTES + parsed->transport_offset);
        header.csum_offset = (uint16_t)field;
    }
    if (meta.gso_size != 0) {
        header.gso_type = gso_type(packet, parsed);
        header.gso_size = meta.gso_size;
        header.hdr_len =
            (uint16_t)(ETHERNET_HEADER_BYTES + parsed->transport_offset + parsed->transport_header);
    }
    memcpy(out, &header, sizeof(header));
    return OFFLOAD_OK;
}

void offload_complete_checksum(uint8_t *packet, const struct parsed_packet *parsed)
{
    uint8_t *transport = packet + parsed->transport_offset;
    uint32_t length = transport_bytes(parsed);
    bool udp = parsed->protocol == IPPROTO_UDP;

    if ((!udp && parsed->protocol != IPPROTO_TCP) || parsed->is_fragment)
        return;
    if (udp)
        length = load_be16(transport + UDP_LENGTH);
    uint8_t *field = transport + csum_field(parsed);
    memset(field, 0, 2);
    uint16_t sum = csum_finish(csum_add(csum_pseudo(parsed, length), transport, length));
    if (udp && sum == 0)
        sum = 0xffff;
    memcpy(field, &sum, sizeof(sum));
}
