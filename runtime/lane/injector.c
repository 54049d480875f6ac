/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/lane/injector.h"

#include <assert.h>
#include <errno.h>
#include <netinet/in.h>
#include <string.h>

#include <linux/if_ether.h>

#include "packet/segment.h"
#include "runtime/lane/pages.h"

/* The contract of the way in: the headers that the kernel wants lie exactly where the frame header
 * was, so no byte of the packet is moved. */
static_assert(LINK_HEADER_BYTES == FRAME_HEADER_BYTES,
              "a frame header makes room for a virtio_net_hdr and an Ethernet header");

/* UDP super-packets alone are cut here: payload once, headers for every segment. */
#define SEGMENT_HEADER_MAX 512 /* IP header with extensions, and UDP */
#define SEGMENTS_BYTES                                                                             \
    (PACKET_MAX_BYTES + OFFLOAD_MAX_UDP_SEGMENTS * (LINK_HEADER_BYTES + SEGMENT_HEADER_MAX))

static ring_handler refused;

int injector_init(struct injector *injector, struct lane_context *lane)
{
    injector->lane = lane;
    ring_handle(lane->ring, RING_INJECT, refused, injector);
    return pages_map(&injector->segments, SEGMENTS_BYTES);
}

void injector_destroy(struct injector *injector)
{
    pages_unmap(injector->segments, SEGMENTS_BYTES);
}

void injector_start(struct injector *injector)
{
    injector->joined.count = 0;
}

static void put_ethernet_header(const struct lane_options *options, uint8_t *out, uint8_t version)
{
    memcpy(out, options->inject_destination.bytes, ETH_ALEN);
    memcpy(out + ETH_ALEN, options->inject_source.bytes, ETH_ALEN);
    store_be16(out + 2 * ETH_ALEN, version == 4 ? ETH_P_IP : ETH_P_IPV6);
}

/* For kernels whose virtio_net_hdr does not know UDP segmentation. */
static enum offload_error inject_segments(struct injector *injector, const uint8_t *packet,
                                          const struct parsed_packet *parsed,
                                          struct offload offload)
{
    struct lane_context *lane = injector->lane;
    struct segmenter segmenter;
    uint8_t *out = injector->segments;
    const uint8_t *end = injector->segments + SEGMENTS_BYTES;
    enum offload_error error = segment_init(&segmenter, packet, parsed, offload);
    size_t length;

    if (error != OFFLOAD_OK)
        return error;
    ring_flush(lane->ring); /* an earlier super-packet's segments may still be queued */
    while (out + LINK_HEADER_BYTES < end &&
           (length = segment_next(&segmenter, out + LINK_HEADER_BYTES,
                                  (size_t)(end - out) - LINK_HEADER_BYTES)) > 0) {
        memset(out, 0, VNET_HEADER_BYTES);
        put_ethernet_header(&lane->options, out + VNET_HEADER_BYTES, parsed->src.version);
        ring_inject(lane->ring, out, LINK_HEADER_BYTES + length);
        out += LINK_HEADER_BYTES + length;
    }
    stats_add(lane->stats.injected_segmented, 1);
    return OFFLOAD_OK;
}

static enum offload_error inject(struct injector *injector, uint8_t *packet,
                                 const struct parsed_packet *parsed, struct offload offload)
{
    struct lane_context *lane = injector->lane;
    uint8_t *frame = packet - FRAME_HEADER_BYTES;

    if (offload.gso_size != 0 && parsed->protocol == IPPROTO_UDP && !lane->options.inject_udp_gso)
        return inject_segments(injector, packet, parsed, offload);
    enum offload_error error = offload_to_vnet(packet, parsed, offload, frame);
    if (error != OFFLOAD_OK)
        return error;
    put_ethernet_header(&lane->options, frame + VNET_HEADER_BYTES, parsed->src.version);
    ring_inject(lane->ring, frame, LINK_HEADER_BYTES + parsed->total_length);
    return OFFLOAD_OK;
}

static void inject_joined(struct injector *injector)
{
    struct lane_context *lane = injector->lane;
    struct parsed_packet parsed;
    unsigned count = injector->joined.count;
    uint8_t *packet = injector->joined.packet;
    struct offload offload = coalesce_end(&injector->joined, &parsed);
    enum offload_error error = inject(injector, packet, &parsed, offload);

    if (error != OFFLOAD_OK) {
        lane_drop(lane, DROP_OFFLOAD + error);
        lane_log_bad_packet(lane, offload_error_name(error));
    } else if (count > 1) {
        stats_add(lane->stats.injected_joined, count);
    }
}

void injector_finish(struct injector *injector)
{
    if (injector->joined.count > 0)
        inject_joined(injector);
}

/* Datagrams of one read wait for each other, never for a later read. A tap wants to see each as it
 * came: joining would move its bytes. */
static enum offload_error add_datagram(struct injector *injector, uint8_t *packet,
                                       const struct parsed_packet *parsed, struct offload offload)
{
    const struct lane_context *lane = injector->lane;

    if (coalesce_add(&injector->joined, packet, parsed, offload))
        return OFFLOAD_OK;
    injector_finish(injector);
    if (lane->options.inject_udp_gso && !taps_are_there(&lane->taps) &&
        coalesce_begin(&injector->joined, packet, parsed, offload))
        return OFFLOAD_OK;
    return inject(injector, packet, parsed, offload);
}

/* What is no datagram ends the joining all the same: joining on would move bytes over it while it
 * is queued. */
enum offload_error injector_add(struct injector *injector, uint8_t *packet,
                                const struct parsed_packet *parsed, struct offload offload)
{
    if (parsed->protocol == IPPROTO_UDP)
        return add_datagram(injector, packet, parsed, offload);
    injector_finish(injector);
    return inject(injector, packet, parsed, offload);
}

static void refused(void *part, int result, unsigned source, uint32_t delivery)
{
    struct injector *injector = part;
    struct lane_context *lane = injector->lane;

    (void)source, (void)delivery;
    if (result >= 0)
        return;
    if (result == -EMSGSIZE) {
        lane_drop(lane, DROP_INJECT_TOO_LONG);
        return;
    }
    if (result == -ENOBUFS || result == -EAGAIN || result == -ENOMEM) {
        lane_drop(lane, DROP_INJECT_NO_BUFFER);
        return;
    }
    lane_drop(lane, DROP_INJECT_ERROR);
    log_limited(&injector->failures, LOG_LEVEL_WARNING, "%s: the kernel refused a packet: %s",
                lane->options.name, strerror(-result));
}
