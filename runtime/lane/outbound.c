/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/lane/outbound.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

#include "packet/segment.h"
#include "runtime/host/tc_mark.h"

/*
 * The contract of both kinds of source: in front of the packet, inside the slot, lie at least
 * FRAME_HEADER_BYTES that nobody needs once the packet has been looked at. The frame header goes
 * there, and the frame is whole without a byte being moved.
 */
static_assert(LINK_HEADER_BYTES == FRAME_HEADER_BYTES,
              "AF_PACKET: a virtio_net_hdr and an Ethernet header stand in front of the packet");
static_assert(FRAME_HEADER_BYTES <= 16 + 4 + 4 + 8,
              "NFQUEUE: nlmsghdr, nfgenmsg, the payload's nlattr and the packet's header do");

/*
 * How many slots the kernel may fill before it hears from us again. Few when packets are large, so
 * that the bytes are still in the cache when they are written; all when they are small.
 */
#define PUBLISH_LARGE 8
#define LARGE_CAPTURE 8192 /* bytes, of the running average */

static ring_handler captured;

void outbound_init(struct outbound *outbound, struct lane_context *lane, struct slots *slots,
                   struct batches *batches)
{
    outbound->lane = lane;
    outbound->slots = slots;
    outbound->batches = batches;
    ring_handle(lane->ring, RING_CAPTURE, captured, outbound);
}

void outbound_start(struct outbound *outbound)
{
    memset(outbound->sources, 0, sizeof(outbound->sources));
    outbound->average_capture = 0;
}

/* ---- asking ---- */

void outbound_arm(struct outbound *outbound)
{
    struct lane_context *lane = outbound->lane;

    ring_publish(lane->ring, outbound->slots,
                 outbound->average_capture > LARGE_CAPTURE ? PUBLISH_LARGE : SLOT_COUNT);
    if (!slots_are_published(outbound->slots))
        return;
    for (unsigned i = 0; i < lane->options.source_count; i++) {
        struct source_state *source = &outbound->sources[i];
        if (source->armed || source->retry_at_tick)
            continue;
        ring_capture(lane->ring, i);
        source->armed = true;
    }
}

void outbound_tick(struct outbound *outbound)
{
    for (unsigned i = 0; i < outbound->lane->options.source_count; i++)
        outbound->sources[i].retry_at_tick = false;
}

void outbound_verdicts(struct outbound *outbound)
{
    struct lane_context *lane = outbound->lane;

    for (unsigned i = 0; i < lane->options.source_count; i++) {
        struct source_state *source = &outbound->sources[i];
        if (!source->verdict_due)
            continue;
        source->verdict_due = false;
        nfqueue_verdict(source->verdict, lane->options.sources[i].queue, source->verdict_id);
        ring_verdict(lane->ring, i, source->verdict, NFQUEUE_VERDICT_BYTES);
        stats_add(lane->stats.verdict_batches, 1);
    }
}

/* ---- from message to frame ---- */

static void count_packet(struct outbound *outbound, const struct parsed_packet *parsed,
                         struct offload offload)
{
    struct lane_stats *stats = &outbound->lane->stats;
    int32_t average = (int32_t)outbound->average_capture;

    stats_add(stats->captured_packets, 1);
    stats_add(stats->captured_bytes, parsed->total_length);
    if (offload.gso_size != 0)
        stats_add(stats->captured_super, 1);
    outbound->average_capture =
        (uint32_t)(average + ((int32_t)parsed->total_length - average) / 16);
}

static void put_packet_header(uint8_t *out, uint32_t length, struct offload offload)
{
    struct frame_header header = {.length = length, .type = FRAME_PACKET, .offload = offload};

    frame_put(out, &header);
}

/* Multicast does not cross the tunnel; the other side would refuse it, and log that. */
static bool is_multicast(const struct ip_addr *address)
{
    return address->version == 4 ? address->bytes[0] >= 0xe0 : address->bytes[0] == 0xff;
}

/* The packet becomes a frame where it lies. */
static enum slot_fate queue_packet(struct outbound *outbound, uint8_t *packet,
                                   const struct parsed_packet *parsed, struct offload offload,
                                   uint16_t slot)
{
    struct lane_context *lane = outbound->lane;
    uint8_t *frame = packet - FRAME_HEADER_BYTES;

    if (is_multicast(&parsed->dst)) {
        lane_drop_packet(lane, packet, parsed->total_length, TAP_TO_LINK, DROP_CAPTURE_MULTICAST);
        return SLOT_FREE;
    }
    count_packet(outbound, parsed, offload);
    lane_show(lane, packet, parsed->total_length, TAP_TO_LINK, TAP_PASSED);
    put_packet_header(frame, parsed->total_length, offload);
    return batches_append(outbound->batches, frame, FRAME_HEADER_BYTES + parsed->total_length,
                          slot);
}

/*
 * A datagram that conntrack put together before it reached the queue (no tc program, so fragments
 * came this way): it goes out in fragments again. They are copied, the slot is free afterwards.
 */
static void queue_fragments(struct outbound *outbound, uint8_t *packet,
                            const struct parsed_packet *parsed, struct offload offload,
                            uint32_t mtu)
{
    struct lane_context *lane = outbound->lane;
    uint8_t frame[FRAME_HEADER_BYTES + 65536];
    struct fragmenter fragmenter;
    size_t length;

    if (offload.flags & OFFLOAD_CHECKSUM_PARTIAL)
        offload_complete_checksum(packet, parsed);
    if (!fragment_init(&fragmenter, packet, parsed, mtu, outbound->fragment_identification++)) {
        lane_drop_packet(lane, packet, parsed->total_length, TAP_TO_LINK,
                         DROP_PACKET + PACKET_TOTAL_LENGTH);
        return;
    }
    count_packet(outbound, parsed, (struct offload){0});
    lane_show(lane, packet, parsed->total_length, TAP_TO_LINK, TAP_PASSED);
    stats_add(lane->stats.captured_refragmented, 1);
    while ((length = fragment_next(&fragmenter, frame + FRAME_HEADER_BYTES, 65536)) > 0) {
        put_packet_header(frame, (uint32_t)length, (struct offload){0});
        if (!batches_copy(outbound->batches, frame, FRAME_HEADER_BYTES + (uint32_t)length)) {
            lane_drop(lane, DROP_CAPTURE_FULL);
            return;
        }
    }
}

static enum slot_fate take_nfqueue(struct outbound *outbound, unsigned index, uint8_t *bytes,
                                   size_t length, uint16_t slot)
{
    struct lane_context *lane = outbound->lane;
    struct nfqueue_packet message;
    struct parsed_packet parsed;
    struct offload offload = {0};

    if (!nfqueue_parse(bytes, length, &message))
        return SLOT_FREE;
    outbound->sources[index].verdict_id = message.id;
    outbound->sources[index].verdict_due = true;
    if (message.payload == NULL || message.truncated) {
        lane_drop(lane, DROP_CAPTURE_TRUNCATED);
        return SLOT_FREE;
    }
    enum packet_error error = packet_parse(message.payload, message.length, &parsed);
    if (error != PACKET_OK) {
        lane_drop_packet(lane, message.payload, message.length, TAP_TO_LINK, DROP_PACKET + error);
        return SLOT_FREE;
    }
    if (message.checksum_partial)
        offload.flags = OFFLOAD_CHECKSUM_PARTIAL;
    if (message.super)
        offload.gso_size = (uint16_t)(message.mark & TC_MARK_GSO_MASK);
    uint32_t mtu = __atomic_load_n(lane->options.capture_mtu, __ATOMIC_RELAXED);
    if (offload.gso_size == 0 && parsed.total_length > mtu) {
        queue_fragments(outbound, message.payload, &parsed, offload, mtu);
        return SLOT_FREE;
    }
    return queue_packet(outbound, message.payload, &parsed, offload, slot);
}

static enum slot_fate take_packet(struct outbound *outbound, uint8_t *bytes, size_t length,
                                  uint16_t slot)
{
    struct lane_context *lane = outbound->lane;
    struct parsed_packet parsed;
    struct offload offload;

    if (length < LINK_HEADER_BYTES) {
        lane_drop(lane, DROP_CAPTURE_NOT_IP);
        return SLOT_FREE;
    }
    uint8_t *packet = bytes + LINK_HEADER_BYTES;
    enum packet_error error = packet_parse(packet, length - LINK_HEADER_BYTES, &parsed);
    if (error != PACKET_OK) {
        lane_drop_packet(lane, packet, length - LINK_HEADER_BYTES, TAP_TO_LINK,
                         DROP_PACKET + error);
        return SLOT_FREE;
    }
    enum offload_error offload_error = offload_from_vnet(bytes, &parsed, &offload);
    if (offload_error != OFFLOAD_OK) {
        lane_drop_packet(lane, packet, parsed.total_length, TAP_TO_LINK,
                         DROP_OFFLOAD + offload_error);
        return SLOT_FREE;
    }
    return queue_packet(outbound, packet, &parsed, offload, slot);
}

static enum slot_fate take(struct outbound *outbound, unsigned source, size_t length, uint16_t slot)
{
    uint8_t *bytes = slots_bytes(outbound->slots, slot);

    if (outbound->lane->options.sources[source].kind == LANE_SOURCE_NFQUEUE)
        return take_nfqueue(outbound, source, bytes, length, slot);
    return take_packet(outbound, bytes, length, slot);
}

static void note_failure(struct outbound *outbound, struct source_state *source, int result)
{
    if (result == -ENOBUFS) {
        stats_add(outbound->lane->stats.capture_pauses, 1); /* flow control, not failure */
    } else if (result != -EAGAIN && result != -EINTR) {
        source->retry_at_tick = true;
        log_limited(&outbound->failures, LOG_LEVEL_WARNING, "%s: capture failed: %s",
                    outbound->lane->options.name, strerror(-result));
    }
}

static void captured(void *part, int result, unsigned source, uint32_t delivery)
{
    struct outbound *outbound = part;
    uint16_t slot = ring_slot(delivery);

    if (!(delivery & RING_MORE))
        outbound->sources[source].armed = false;
    if (result < 0)
        note_failure(outbound, &outbound->sources[source], result);
    if (slot == NO_SLOT)
        return;
    slots_arrived(outbound->slots);
    if (result <= 0 || take(outbound, source, (size_t)result, slot) == SLOT_FREE)
        slots_release(outbound->slots, slot);
}
