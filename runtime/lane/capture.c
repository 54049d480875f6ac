/* SPDX-License-Identifier: Apache-2.0 */
/* The lane's way out, first half: from the kernel's capture sockets to frames. */
#include <assert.h>
#include <errno.h>
#include <string.h>

#include <linux/virtio_net.h>

#include "packet/segment.h"
#include "runtime/lane/lane_internal.h"
#include "runtime/host/tc_mark.h"

void capture_start(struct lane *lane)
{
    io_uring_buf_ring_init(lane->slot_ring);
    lane->published = 0;
    lane->free_count = SLOT_COUNT;
    for (unsigned i = 0; i < SLOT_COUNT; i++)
        lane->free_slots[i] = (uint16_t)(SLOT_COUNT - 1 - i);
    memset(lane->sources, 0, sizeof(lane->sources));
    lane->average_capture = 0;
}

void capture_release_slot(struct lane *lane, uint16_t slot)
{
    lane->free_slots[lane->free_count++] = slot;
}

/* Hands free slots to the kernel, the most recently used first: they are still in the cache. */
static void publish_slots(struct lane *lane)
{
    unsigned target = lane->average_capture > LARGE_CAPTURE ? PUBLISH_LARGE : SLOT_COUNT;
    int added = 0;

    while (lane->published < target && lane->free_count > 0) {
        uint16_t slot = lane->free_slots[--lane->free_count];
        io_uring_buf_ring_add(lane->slot_ring, lane->slots + (size_t)slot * SLOT_BYTES, SLOT_BYTES,
                              slot, SLOT_COUNT - 1, added++);
        lane->published++;
    }
    if (added > 0)
        io_uring_buf_ring_advance(lane->slot_ring, added);
}

void capture_arm(struct lane *lane)
{
    publish_slots(lane);
    if (lane->published == 0)
        return;
    for (unsigned i = 0; i < lane->options.source_count; i++) {
        struct source_state *source = &lane->sources[i];
        if (source->armed || source->retry_at_tick)
            continue;
        struct io_uring_sqe *sqe = lane_sqe(lane, OP_CAPTURE, i);
        io_uring_prep_recv_multishot(sqe, FILE_SOURCES + (int)i, NULL, 0, 0);
        sqe->flags |= IOSQE_FIXED_FILE | IOSQE_BUFFER_SELECT;
        sqe->buf_group = SLOT_GROUP;
        source->armed = true;
    }
}

void capture_tick(struct lane *lane)
{
    for (unsigned i = 0; i < lane->options.source_count; i++)
        lane->sources[i].retry_at_tick = false;
}

/* One batch verdict for each queue that delivered something in this round. */
void capture_verdicts(struct lane *lane)
{
    for (unsigned i = 0; i < lane->options.source_count; i++) {
        struct source_state *source = &lane->sources[i];
        if (!source->verdict_due)
            continue;
        source->verdict_due = false;
        nfqueue_verdict(source->verdict, lane->options.sources[i].queue, source->verdict_id);
        struct io_uring_sqe *sqe = lane_sqe(lane, OP_VERDICT, i);
        io_uring_prep_send(sqe, FILE_SOURCES + (int)i, source->verdict, NFQUEUE_VERDICT_BYTES,
                           MSG_DONTWAIT);
        sqe->flags |= IOSQE_FIXED_FILE | IOSQE_CQE_SKIP_SUCCESS;
        stats_add(lane->stats.verdict_batches, 1);
    }
}

static void count_packet(struct lane *lane, const struct parsed_packet *parsed,
                         struct offload offload)
{
    stats_add(lane->stats.captured_packets, 1);
    stats_add(lane->stats.captured_bytes, parsed->total_length);
    if (offload.gso_size != 0)
        stats_add(lane->stats.captured_super, 1);
    lane->average_capture =
        (uint32_t)((int32_t)lane->average_capture +
                   ((int32_t)parsed->total_length - (int32_t)lane->average_capture) / 16);
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

/* Puts the header into the FRAME_HEADER_BYTES in front of the packet, which are inside the slot.
 * True: the slot now belongs to the batch or the backlog. */
static bool queue_packet(struct lane *lane, uint8_t *packet, const struct parsed_packet *parsed,
                         struct offload offload, uint16_t slot)
{
    uint8_t *frame = packet - FRAME_HEADER_BYTES;

    if (is_multicast(&parsed->dst)) {
        lane_drop_packet(lane, packet, parsed->total_length, TAP_TO_LINK, DROP_CAPTURE_MULTICAST);
        return false;
    }
    count_packet(lane, parsed, offload);
    lane_tap(lane, packet, parsed->total_length, TAP_TO_LINK, TAP_PASSED);
    put_packet_header(frame, parsed->total_length, offload);
    return send_append(lane, frame, FRAME_HEADER_BYTES + parsed->total_length, slot);
}

/*
 * A datagram that conntrack put together before it reached the queue (no tc program, so fragments
 * came this way): it goes out in fragments again. They are copied, the slot is free afterwards.
 */
static void queue_fragments(struct lane *lane, uint8_t *packet, const struct parsed_packet *parsed,
                            struct offload offload, uint32_t mtu)
{
    uint8_t frame[FRAME_HEADER_BYTES + 65536];
    struct fragmenter fragmenter;
    size_t length;

    if (offload.flags & OFFLOAD_CHECKSUM_PARTIAL)
        offload_complete_checksum(packet, parsed);
    if (!fragment_init(&fragmenter, packet, parsed, mtu, lane->fragment_identification++)) {
        lane_drop_packet(lane, packet, parsed->total_length, TAP_TO_LINK,
                         DROP_PACKET + PACKET_TOTAL_LENGTH);
        return;
    }
    count_packet(lane, parsed, (struct offload){0});
    lane_tap(lane, packet, parsed->total_length, TAP_TO_LINK, TAP_PASSED);
    stats_add(lane->stats.captured_refragmented, 1);
    while ((length = fragment_next(&fragmenter, frame + FRAME_HEADER_BYTES, 65536)) > 0) {
        put_packet_header(frame, (uint32_t)length, (struct offload){0});
        if (!send_append(lane, frame, FRAME_HEADER_BYTES + (uint32_t)length, NO_SLOT)) {
            lane_drop(lane, DROP_CAPTURE_FULL);
            return;
        }
    }
}

/* Returns true when the slot has been passed on. */
static bool capture_nfqueue(struct lane *lane, unsigned index, uint8_t *bytes, size_t length,
                            uint16_t slot)
{
    struct nfqueue_packet message;
    struct parsed_packet parsed;
    struct offload offload = {0};

    if (!nfqueue_parse(bytes, length, &message))
        return false;
    lane->sources[index].verdict_id = message.id;
    lane->sources[index].verdict_due = true;
    if (message.payload == NULL || message.truncated) {
        lane_drop(lane, DROP_CAPTURE_TRUNCATED);
        return false;
    }
    enum packet_error error = packet_parse(message.payload, message.length, &parsed);
    if (error != PACKET_OK) {
        lane_drop_packet(lane, message.payload, message.length, TAP_TO_LINK, DROP_PACKET + error);
        return false;
    }
    if (message.checksum_partial)
        offload.flags = OFFLOAD_CHECKSUM_PARTIAL;
    if (message.super)
        offload.gso_size = (uint16_t)(message.mark & TC_MARK_GSO_MASK);
    uint32_t mtu = __atomic_load_n(lane->options.capture_mtu, __ATOMIC_RELAXED);
    if (offload.gso_size == 0 && parsed.total_length > mtu) {
        queue_fragments(lane, message.payload, &parsed, offload, mtu);
        return false;
    }
    return queue_packet(lane, message.payload, &parsed, offload, slot);
}
/* What stands in front of the payload is longer than a frame header. */
static_assert(FRAME_HEADER_BYTES <= 16 + 4 + 4 + 8,
              "the frame header fits over the netlink headers");

static bool capture_packet(struct lane *lane, uint8_t *bytes, size_t length, uint16_t slot)
{
    struct parsed_packet parsed;
    struct offload offload;

    if (length < LINK_HEADER_BYTES) {
        lane_drop(lane, DROP_CAPTURE_NOT_IP);
        return false;
    }
    uint8_t *packet = bytes + LINK_HEADER_BYTES;
    enum packet_error error = packet_parse(packet, length - LINK_HEADER_BYTES, &parsed);
    if (error != PACKET_OK) {
        lane_drop_packet(lane, packet, length - LINK_HEADER_BYTES, TAP_TO_LINK,
                         DROP_PACKET + error);
        return false;
    }
    enum offload_error offload_error = offload_from_vnet(bytes, &parsed, &offload);
    if (offload_error != OFFLOAD_OK) {
        lane_drop_packet(lane, packet, parsed.total_length, TAP_TO_LINK,
                         DROP_OFFLOAD + offload_error);
        return false;
    }
    return queue_packet(lane, packet, &parsed, offload, slot);
}
static_assert(LINK_HEADER_BYTES == FRAME_HEADER_BYTES, "headers are exchanged in place");

void capture_complete(struct lane *lane, unsigned index, int result, uint32_t flags)
{
    struct source_state *source = &lane->sources[index];

    if (!(flags & IORING_CQE_F_MORE))
        source->armed = false;
    if (result == -ENOBUFS) {
        stats_add(lane->stats.capture_pauses, 1); /* flow control, not failure */
    } else if (result < 0 && result != -EAGAIN && result != -EINTR) {
        source->retry_at_tick = true;
        log_limited(&lane->limits[LIMIT_CAPTURE], LOG_LEVEL_WARNING, "%s: capture failed: %s",
                    lane->options.name, strerror(-result));
    }
    if (!(flags & IORING_CQE_F_BUFFER))
        return;
    uint16_t slot = (uint16_t)(flags >> IORING_CQE_BUFFER_SHIFT);
    uint8_t *bytes = lane->slots + (size_t)slot * SLOT_BYTES;
    lane->published--;
    bool passed_on = false;
    if (result > 0 && lane->options.sources[index].kind == LANE_SOURCE_NFQUEUE)
        passed_on = capture_nfqueue(lane, index, bytes, (size_t)result, slot);
    else if (result > 0)
        passed_on = capture_packet(lane, bytes, (size_t)result, slot);
    if (!passed_on)
        capture_release_slot(lane, slot);
}
