/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A lane's byte stream, as the receiver walks it: header, packet, virtio_net_hdr. Input: the
 * stream.
 */
#include <linux/virtio_net.h>
#include <string.h>

#include "packet/frame.h"
#include "packet/offload.h"
#include "packet/parse.h"
#include "tests/fuzz/fuzz.h"

/* Whatever the metadata say, the kernel is told offsets inside the packet, and only the checksum
 * field changes. */
static void check_vnet(const uint8_t *before, const uint8_t *after,
                       const struct parsed_packet *parsed, const uint8_t *bytes)
{
    struct virtio_net_hdr header;
    uint32_t end = ETHERNET_HEADER_BYTES + parsed->total_length;
    uint32_t field = 0;

    memcpy(&header, bytes, sizeof(header));
    CHECK(header.flags == 0 || header.flags == VIRTIO_NET_HDR_F_NEEDS_CSUM);
    if (header.flags) {
        CHECK(!parsed->is_fragment);
        CHECK(header.csum_start == ETHERNET_HEADER_BYTES + parsed->transport_offset);
        field = (uint32_t)header.csum_start + header.csum_offset;
        CHECK(field + 2 <= end);
        CHECK(field + 2 <= (uint32_t)header.csum_start + parsed->transport_header);
    }
    if (header.gso_size) {
        CHECK(header.flags == VIRTIO_NET_HDR_F_NEEDS_CSUM);
        CHECK(header.gso_type != VIRTIO_NET_HDR_GSO_NONE);
        CHECK(header.hdr_len > field && (uint32_t)header.hdr_len + header.gso_size < end);
    } else {
        CHECK(header.gso_type == VIRTIO_NET_HDR_GSO_NONE);
    }
    for (uint32_t i = 0; i < parsed->total_length; i++)
        CHECK(before[i] == after[i] ||
              (header.flags && i + ETHERNET_HEADER_BYTES - field < 2)); /* unsigned: from 0 on */
}

static void run_packet(const uint8_t *packet, const struct frame_header *header)
{
    struct parsed_packet parsed;
    uint8_t vnet[VNET_HEADER_BYTES];

    if (packet_parse(packet, header->length, &parsed) != PACKET_OK)
        return;
    CHECK(parsed.total_length <= header->length);
    uint8_t *copy = malloc(parsed.total_length);
    memcpy(copy, packet, parsed.total_length);
    if (offload_to_vnet(copy, &parsed, header->offload, vnet) == OFFLOAD_OK)
        check_vnet(packet, copy, &parsed, vnet);
    else
        CHECK(memcmp(packet, copy, parsed.total_length) == 0);
    free(copy);
}

/* A header that was accepted is written again as it came; a part of it is not enough. */
static void check_header(const uint8_t *bytes, const struct frame_header *header)
{
    uint8_t again[FRAME_HEADER_BYTES];
    struct frame_header part;

    frame_put(again, header);
    CHECK(memcmp(bytes, again, sizeof(again)) == 0);
    CHECK(frame_get(bytes, FRAME_HEADER_BYTES - 1, &part) == FRAME_MORE);
    CHECK(header->length >= 1 && header->length <= FRAME_PAYLOAD_MAX);
    CHECK(header->type == FRAME_PACKET || header->length <= FRAME_CONTROL_MAX);
    CHECK(header->type >= FRAME_PACKET && header->type < FRAME_TYPE_END);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct frame_header header;

    while (frame_get(data, size, &header) == FRAME_OK) {
        check_header(data, &header);
        data += FRAME_HEADER_BYTES;
        size -= FRAME_HEADER_BYTES;
        if (header.length > size)
            break;
        /* The packet alone in its block: a read beyond it is seen. */
        uint8_t *payload = malloc(header.length);
        memcpy(payload, data, header.length);
        if (header.type == FRAME_PACKET)
            run_packet(payload, &header);
        free(payload);
        data += header.length;
        size -= header.length;
    }
    return 0;
}
