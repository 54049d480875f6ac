/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A virtio_net_hdr with its packet, as AF_PACKET delivers them. Input: 10 bytes, then the packet.
 * What is accepted at one end of the link is accepted at the other, and means the same there.
 */
#include <linux/virtio_net.h>
#include <netinet/in.h>
#include <string.h>

#include "packet/offload.h"
#include "packet/parse.h"
#include "tests/fuzz/fuzz.h"

static bool padded_udp(const uint8_t *packet, const struct parsed_packet *parsed)
{
    return parsed->protocol == IPPROTO_UDP && load_be16(packet + parsed->transport_offset + 4) !=
                                                  parsed->total_length - parsed->transport_offset;
}

static void check_same(const struct virtio_net_hdr *in, struct offload meta,
                       const struct virtio_net_hdr *back)
{
    CHECK((back->flags & VIRTIO_NET_HDR_F_NEEDS_CSUM) == (meta.flags & OFFLOAD_CHECKSUM_PARTIAL));
    CHECK(back->gso_size == meta.gso_size);
    if (in->flags & VIRTIO_NET_HDR_F_NEEDS_CSUM) {
        CHECK(back->csum_start == in->csum_start);
        CHECK(back->csum_offset == in->csum_offset);
    }
    if (back->gso_size) {
        CHECK(back->gso_size == in->gso_size);
        CHECK((back->gso_type & ~VIRTIO_NET_HDR_GSO_ECN) ==
              (in->gso_type & ~VIRTIO_NET_HDR_GSO_ECN));
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct virtio_net_hdr in, back;
    struct parsed_packet parsed;
    struct offload meta;

    if (size < VNET_HEADER_BYTES)
        return 0;
    memcpy(&in, data, sizeof(in));
    data += VNET_HEADER_BYTES;
    size -= VNET_HEADER_BYTES;
    if (packet_parse(data, size, &parsed) != PACKET_OK ||
        offload_from_vnet((const uint8_t *)&in, &parsed, &meta) != OFFLOAD_OK)
        return 0;
    uint8_t *packet = malloc(parsed.total_length);
    memcpy(packet, data, parsed.total_length);
    enum offload_error error = offload_to_vnet(packet, &parsed, meta, (uint8_t *)&back);
    if (error == OFFLOAD_OK)
        check_same(&in, meta, &back);
    else
        CHECK(error == OFFLOAD_HEADER && padded_udp(packet, &parsed));
    free(packet);
    return 0;
}
