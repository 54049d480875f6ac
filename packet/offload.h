/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Offload metadata: what a packet's checksum and segmentation still need.
 *
 * Across the link travel only two facts that cannot be read off the packet itself: whether its
 * transport checksum is still to be filled in, and the size of a super-packet's segments. All the
 * rest of a virtio_net_hdr is rebuilt here from the packet's own headers, on the receiving side,
 * so a peer cannot make the kernel write or read at an offset of its choosing.
 */
#ifndef CAUSEWAY_PACKET_OFFLOAD_H
#define CAUSEWAY_PACKET_OFFLOAD_H

#include <linux/virtio_net.h>
#include <stdint.h>

#include "packet/parse.h"

#ifndef VIRTIO_NET_HDR_GSO_UDP_L4
#define VIRTIO_NET_HDR_GSO_UDP_L4 5 /* virtio 1.2 5.1.6, Linux 6.2; not in the headers of 6.1 */
#endif

#define ETHERNET_HEADER_BYTES 14
#define VNET_HEADER_BYTES     10 /* struct virtio_net_hdr, virtio 1.2 5.1.6 without num_buffers */
#define LINK_HEADER_BYTES     (VNET_HEADER_BYTES + ETHERNET_HEADER_BYTES)

#define OFFLOAD_MIN_TCP_SEGMENT  48  /* linux: tcp_min_snd_mss: payload and TCP options together */
#define OFFLOAD_MAX_UDP_SEGMENTS 128 /* linux: include/linux/udp.h UDP_MAX_SEGMENTS */

enum offload_flag {
    OFFLOAD_CHECKSUM_PARTIAL = 1, /* the transport checksum covers the pseudo header only */
};
#define OFFLOAD_KNOWN_FLAGS OFFLOAD_CHECKSUM_PARTIAL

struct offload {
    uint16_t gso_size; /* payload bytes of each segment; 0: not a super-packet */
    uint8_t flags;     /* enum offload_flag */
};

enum offload_error {
    OFFLOAD_OK = 0,
    OFFLOAD_FLAGS,    /* an unknown flag */
    OFFLOAD_PROTOCOL, /* asks for what its protocol has not: only TCP and UDP have both */
    OFFLOAD_FRAGMENT, /* a fragment can be neither a super-packet nor partially summed */
    OFFLOAD_SEGMENT,  /* segment size or count out of range */
    OFFLOAD_HEADER,   /* virtio_net_hdr, or UDP length, that contradicts the packet */
    OFFLOAD_ERROR_COUNT
};

const char *offload_error_name(enum offload_error error);

/*
 * From a virtio_net_hdr that AF_PACKET reported (csum_start and hdr_len count from the Ethernet
 * header there; linux net/packet/af_packet.c) to metadata, normalised as by offload_check().
 * bytes[VNET_HEADER_BYTES] in host order, borrowed. GSO types known: TCPV4, TCPV6 (either with the
 * ECN bit), UDP_L4. On an error *out is unspecified.
 */
enum offload_error offload_from_vnet(const uint8_t *bytes, const struct parsed_packet *parsed,
                                     struct offload *out);

/*
 * Is meta possible for this packet? On success *meta is normalised: a gso_size that does not make
 * at least two segments becomes 0, and one that does sets OFFLOAD_CHECKSUM_PARTIAL. packet has
 * parsed->total_length bytes, borrowed.
 */
enum offload_error offload_check(const uint8_t *packet, const struct parsed_packet *parsed,
                                 struct offload *meta);

/*
 * Checks meta with offload_check() and writes the virtio_net_hdr that AF_PACKET expects in front of
 * the Ethernet header into out[VNET_HEADER_BYTES] (host order, offsets from the Ethernet header).
 * Where the checksum is partial, or the packet is a super-packet (which implies it), the
 * pseudo-header sum is written into the packet's checksum field, whatever stood there. A gso_size
 * that does not make at least two segments is ignored (the packet is sent as one). packet has
 * parsed->total_length bytes.
 */
enum offload_error offload_to_vnet(uint8_t *packet, const struct parsed_packet *parsed,
                                   struct offload meta, uint8_t *out);

/*
 * Fills in the transport checksum of a packet with OFFLOAD_CHECKSUM_PARTIAL in software.
 * A UDP sum of zero becomes 0xffff (RFC 768). No effect for other protocols and fragments.
 */
void offload_complete_checksum(uint8_t *packet, const struct parsed_packet *parsed);

#endif
