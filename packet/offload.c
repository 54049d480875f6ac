/* SPDX-License-Identifier: Apache-2.0 */
#include "packet/offload.h"

#include <assert.h>
#include <linux/virtio_net.h>
#include <netinet/in.h>
#include <string.h>

#include "packet/csum.h"

#ifndef VIRTIO_NET_HDR_GSO_UDP_L4
#define VIRTIO_NET_HDR_GSO_UDP_L4 5 /* Linux 6.2; not in the headers of 6.1 */
#endif

#define TCP_HEADER_MIN 20
#define TCP_FLAGS      13 /* offset of the flags byte */
#define TCP_CWR        0x80
#define TCP_CSUM       16
#define UDP_LENGTH     4
#define UDP_CSUM       6

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
static inline uint32_t csum_field(const struct packet_view *view)
{
    return view->protocol == IPPROTO_TCP ? TCP_CSUM : UDP_CSUM;
}

static inline uint32_t transport_bytes(const struct packet_view *view)
{
    return view->total_length - view->transport_offset;
}

/* Is the segment size one that a kernel makes? The packet has at least two segments. */
static bool segment_size_valid(const struct packet_view *view, uint32_t payload, uint32_t gso_size)
{
    if (view->protocol == IPPROTO_UDP)
        return payload <= gso_size * OFFLOAD_MAX_UDP_SEGMENTS;
    /* tcp_min_snd_mss counts the options in (linux: net/ipv4/tcp_output.c tcp_mtu_to_mss()). */
    return gso_size + view->transport_header - TCP_HEADER_MIN >= OFFLOAD_MIN_TCP_SEGMENT;
}

/* All but what needs the packet's bytes. Normalises meta as offload_check() says. */
static enum offload_error check_view(const struct packet_view *view, struct offload *meta)
{
    if (meta->flags & ~OFFLOAD_KNOWN_FLAGS)
        return OFFLOAD_FLAGS;
    if (meta->flags == 0 && meta->gso_size == 0)
        return OFFLOAD_OK;
    if (view->protocol != IPPROTO_TCP && view->protocol != IPPROTO_UDP)
        return OFFLOAD_PROTOCOL;
    if (view->is_fragment)
        return OFFLOAD_FRAGMENT;

    uint32_t payload = transport_bytes(view) - view->transport_header;
    if (payload <= meta->gso_size)
        meta->gso_size = 0;
    if (meta->gso_size == 0)
        return OFFLOAD_OK;
    meta->flags |= OFFLOAD_CHECKSUM_PARTIAL;
    return segment_size_valid(view, payload, meta->gso_size) ? OFFLOAD_OK : OFFLOAD_SEGMENT;
}

enum offload_error offload_check(const uint8_t *packet, const struct packet_view *view,
                                 struct offload *meta)
{
    enum offload_error error = check_view(view, meta);
    if (error || meta->flags == 0 || view->protocol != IPPROTO_UDP)
        return error;
    /* The kernel would sum, or cut up, all bytes of the packet whatever the length field says. */
    uint16_t announced = load_be16(packet + view->transport_offset + UDP_LENGTH);
    return announced == transport_bytes(view) ? OFFLOAD_OK : OFFLOAD_HEADER;
}

/* Does the GSO type belong to this packet, and does it come with a size? */
static bool gso_type_matches(const struct virtio_net_hdr *header, const struct packet_view *view)
{
    switch (header->gso_type) {
    case VIRTIO_NET_HDR_GSO_NONE:
        return header->gso_size == 0;
    case VIRTIO_NET_HDR_GSO_TCPV4:
    case VIRTIO_NET_HDR_GSO_TCPV4 | VIRTIO_NET_HDR_GSO_ECN:
        return header->gso_size != 0 && view->protocol == IPPROTO_TCP && view->src.version == 4;
    case VIRTIO_NET_HDR_GSO_TCPV6:
    case VIRTIO_NET_HDR_GSO_TCPV6 | VIRTIO_NET_HDR_GSO_ECN:
        return header->gso_size != 0 && view->protocol == IPPROTO_TCP && view->src.version == 6;
    case VIRTIO_NET_HDR_GSO_UDP_L4:
        return header->gso_size != 0 && view->protocol == IPPROTO_UDP;
    default:
        return false;
    }
}

enum offload_error offload_from_vnet(const uint8_t *bytes, const struct packet_view *view,
                                     struct offload *out)
{
    struct virtio_net_hdr header;

    memcpy(&header, bytes, sizeof(header));
    *out = (struct offload){.gso_size = header.gso_size};
    /* DATA_VALID says that the checksum was verified; nothing follows from it here. */
    if (header.flags & ~(VIRTIO_NET_HDR_F_NEEDS_CSUM | VIRTIO_NET_HDR_F_DATA_VALID))
        return OFFLOAD_FLAGS;
    if (!gso_type_matches(&header, view))
        return OFFLOAD_HEADER;

    if (header.flags & VIRTIO_NET_HDR_F_NEEDS_CSUM)
        out->flags = OFFLOAD_CHECKSUM_PARTIAL;
    enum offload_error error = check_view(view, out);
    if (error || !(header.flags & VIRTIO_NET_HDR_F_NEEDS_CSUM))
        return error;
    if (header.csum_start != ETHERNET_HEADER_BYTES + view->transport_offset ||
        header.csum_offset != csum_field(view))
        return OFFLOAD_HEADER;
    return OFFLOAD_OK;
}

static uint8_t gso_type(const uint8_t *packet, const struct packet_view *view)
{
    if (view->protocol == IPPROTO_UDP)
        return VIRTIO_NET_HDR_GSO_UDP_L4;
    uint8_t type = view->src.version == 4 ? VIRTIO_NET_HDR_GSO_TCPV4 : VIRTIO_NET_HDR_GSO_TCPV6;
    if (packet[view->transport_offset + TCP_FLAGS] & TCP_CWR)
        type |= VIRTIO_NET_HDR_GSO_ECN;
    return type;
}

enum offload_error offload_to_vnet(uint8_t *packet, const struct packet_view *view,
                                   struct offload meta, uint8_t *out)
{
    struct virtio_net_hdr header = {0};
    enum offload_error error = offload_check(packet, view, &meta);

    if (error)
        return error;
    if (meta.flags & OFFLOAD_CHECKSUM_PARTIAL) {
        uint32_t field = csum_field(view);
        uint16_t pseudo = csum_fold(csum_pseudo(view, transport_bytes(view)));
        memcpy(packet + view->transport_offset + field, &pseudo, sizeof(pseudo));
        header.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM;
        header.csum_start = (uint16_t)(ETHERNET_HEADER_BYTES + view->transport_offset);
        header.csum_offset = (uint16_t)field;
    }
    if (meta.gso_size != 0) {
        header.gso_type = gso_type(packet, view);
        header.gso_size = meta.gso_size;
        header.hdr_len =
            (uint16_t)(ETHERNET_HEADER_BYTES + view->transport_offset + view->transport_header);
    }
    memcpy(out, &header, sizeof(header));
    return OFFLOAD_OK;
}

void offload_complete_checksum(uint8_t *packet, const struct packet_view *view)
{
    uint8_t *transport = packet + view->transport_offset;
    uint32_t length = transport_bytes(view);
    bool udp = view->protocol == IPPROTO_UDP;

    if ((!udp && view->protocol != IPPROTO_TCP) || view->is_fragment)
        return;
    if (udp)
        length = load_be16(transport + UDP_LENGTH);
    uint8_t *field = transport + csum_field(view);
    memset(field, 0, 2);
    uint16_t sum = csum_finish(csum_add(csum_pseudo(view, length), transport, length));
    if (udp && sum == 0)
        sum = 0xffff;
    memcpy(field, &sum, sizeof(sum));
}
