/* SPDX-License-Identifier: Apache-2.0 */
/* The lane's way in: bytes of the stream become frames, frames are checked, packets are injected.
 */
#include <errno.h>
#include <netinet/in.h>
#include <string.h>

#include <linux/if_ether.h>

#include "packet/segment.h"
#include "runtime/base/clock.h"
#include "runtime/lane/lane_internal.h"

void receive_start(struct lane *lane)
{
    lane->head = lane->tail = 0;
    lane->receive_armed = false;
    lane->joined.count = 0;
}

void receive_arm(struct lane *lane)
{
    if (lane->receive_armed)
        return;
    if (lane->head == lane->tail)
        lane->head = lane->tail = 0; /* start over in memory that is still in the cache */
    size_t room = RECEIVE_RING_BYTES - (lane->head - lane->tail);
    if (room > RECEIVE_MAX_BYTES)
        room = RECEIVE_MAX_BYTES;
    struct io_uring_sqe *sqe = lane_sqe(lane, OP_RECEIVE, 0);
    io_uring_prep_recv(sqe, FILE_STREAM, lane->receive_ring.base + lane->head % RECEIVE_RING_BYTES,
                       room, 0);
    sqe->flags |= IOSQE_FIXED_FILE;
    lane->receive_armed = true;
}

/* Queues one link frame: virtio_net_hdr, Ethernet header, packet. Its bytes stay until the next
 * submission has returned. */
static void inject(struct lane *lane, const uint8_t *bytes, size_t length)
{
    struct io_uring_sqe *sqe = lane_sqe(lane, OP_INJECT, 0);

    io_uring_prep_send(sqe, FILE_INJECT, bytes, length, MSG_DONTWAIT);
    sqe->flags |= IOSQE_FIXED_FILE | IOSQE_CQE_SKIP_SUCCESS;
}

static void put_ethernet_header(const struct lane *lane, uint8_t *out, uint8_t version)
{
    memcpy(out, lane->options.inject_destination.bytes, ETH_ALEN);
    memcpy(out + ETH_ALEN, lane->options.inject_source.bytes, ETH_ALEN);
    store_be16(out + 2 * ETH_ALEN, version == 4 ? ETH_P_IP : ETH_P_IPV6);
}

/* For kernels whose virtio_net_hdr does not know UDP segmentation. */
static enum offload_error inject_segments(struct lane *lane, const uint8_t *packet,
                                          const struct parsed_packet *parsed,
                                          struct offload offload)
{
    struct segmenter segmenter;
    uint8_t *out = lane->segments;
    const uint8_t *end = lane->segments + SEGMENTS_BYTES;
    enum offload_error error = segment_init(&segmenter, packet, parsed, offload);
    size_t length;

    if (error != OFFLOAD_OK)
        return error;
    io_uring_submit(&lane->ring); /* an earlier super-packet's segments may still be queued */
    while (out + LINK_HEADER_BYTES < end &&
           (length = segment_next(&segmenter, out + LINK_HEADER_BYTES,
                                  (size_t)(end - out) - LINK_HEADER_BYTES)) > 0) {
        memset(out, 0, VNET_HEADER_BYTES);
        put_ethernet_header(lane, out + VNET_HEADER_BYTES, parsed->src.version);
        inject(lane, out, LINK_HEADER_BYTES + length);
        out += LINK_HEADER_BYTES + length;
    }
    stats_add(lane->stats.injected_segmented, 1);
    return OFFLOAD_OK;
}

/* packet: behind FRAME_HEADER_BYTES that may be overwritten. */
static enum offload_error inject_packet(struct lane *lane, uint8_t *packet,
                                        const struct parsed_packet *parsed, struct offload offload)
{
    uint8_t *frame = packet - FRAME_HEADER_BYTES;

    if (offload.gso_size != 0 && parsed->protocol == IPPROTO_UDP && !lane->options.inject_udp_gso)
        return inject_segments(lane, packet, parsed, offload);
    enum offload_error error = offload_to_vnet(packet, parsed, offload, frame);
    if (error != OFFLOAD_OK)
        return error;
    put_ethernet_header(lane, frame + VNET_HEADER_BYTES, parsed->src.version);
    inject(lane, frame, LINK_HEADER_BYTES + parsed->total_length);
    return OFFLOAD_OK;
}

static void log_bad_packet(struct lane *lane, const char *what)
{
    log_limited(&lane->limits[LIMIT_BAD_PACKET], LOG_LEVEL_WARNING, "%s: dropped a packet: %s",
                lane->options.name, what);
}

static void log_policy(struct lane *lane, const struct parsed_packet *parsed,
                       enum policy_verdict verdict)
{
    char src[ADDR_TEXT_BYTES], dst[ADDR_TEXT_BYTES];

    log_limited(&lane->limits[LIMIT_POLICY], LOG_LEVEL_WARNING,
                "%s: dropped a packet from %s to %s: %s not allowed", lane->options.name,
                addr_format(&parsed->src, src), addr_format(&parsed->dst, dst),
                policy_verdict_name(verdict));
}

/* Injects the datagrams that were held back until one came that does not follow them. */
static void inject_joined(struct lane *lane)
{
    struct parsed_packet parsed;
    unsigned count = lane->joined.count;
    uint8_t *packet = lane->joined.packet;

    if (count == 0)
        return;
    struct offload offload = coalesce_end(&lane->joined, &parsed);
    enum offload_error error = inject_packet(lane, packet, &parsed, offload);
    if (error != OFFLOAD_OK) {
        lane_drop(lane, DROP_OFFLOAD + error);
        log_bad_packet(lane, offload_error_name(error));
    } else if (count > 1) {
        stats_add(lane->stats.injected_joined, count);
    }
}

/* Datagrams of one read wait for each other, never for a later read. A tap wants to see each as it
 * came: joining would move its bytes. */
static enum offload_error join_or_inject(struct lane *lane, uint8_t *packet,
                                         const struct parsed_packet *parsed, struct offload offload)
{
    if (coalesce_add(&lane->joined, packet, parsed, offload))
        return OFFLOAD_OK;
    inject_joined(lane);
    if (lane->options.inject_udp_gso && lane->tap_count == 0 &&
        coalesce_begin(&lane->joined, packet, parsed, offload))
        return OFFLOAD_OK;
    return inject_packet(lane, packet, parsed, offload);
}

static bool fragment_admitted(struct lane *lane, const uint8_t *packet,
                              const struct parsed_packet *parsed)
{
    return lane->options.fragments == NULL ||
           reassembly_admit(&lane->fragments, lane->options.fragments, packet, parsed,
                            lane->now_ms);
}

static void receive_packet(struct lane *lane, uint8_t *frame, const struct frame_header *header)
{
    uint8_t *packet = frame + FRAME_HEADER_BYTES;
    struct parsed_packet parsed;
    enum packet_error error = packet_parse(packet, header->length, &parsed);

    if (error == PACKET_OK && parsed.total_length != header->length)
        error = PACKET_TOTAL_LENGTH; /* the sender trims: bytes behind the packet are no accident */
    if (error != PACKET_OK) {
        lane_drop_packet(lane, packet, header->length, TAP_FROM_LINK, DROP_PACKET + error);
        log_bad_packet(lane, packet_error_name(error));
        return;
    }
    enum policy_verdict verdict = lane->options.check(lane->options.policy, packet, &parsed);
    if (verdict != POLICY_PASS) {
        lane_drop_packet(lane, packet, header->length, TAP_FROM_LINK, DROP_POLICY + verdict);
        log_policy(lane, &parsed, verdict);
        return;
    }
    if (parsed.is_fragment && !fragment_admitted(lane, packet, &parsed)) {
        lane_drop_packet(lane, packet, header->length, TAP_FROM_LINK, DROP_FRAGMENT_BUDGET);
        log_bad_packet(lane, "too many fragments that wait for others");
        return;
    }
    enum offload_error offload_error = join_or_inject(lane, packet, &parsed, header->offload);
    if (offload_error != OFFLOAD_OK) {
        lane_drop_packet(lane, packet, header->length, TAP_FROM_LINK, DROP_OFFLOAD + offload_error);
        log_bad_packet(lane, offload_error_name(offload_error));
        return;
    }
    lane_tap(lane, packet, header->length, TAP_FROM_LINK, TAP_PASSED);
    stats_add(lane->stats.injected_packets, 1);
    stats_add(lane->stats.injected_bytes, parsed.total_length);
    if (header->offload.gso_size != 0)
        stats_add(lane->stats.injected_super, 1);
}

static bool receive_pong(struct lane *lane, const uint8_t *payload, size_t length)
{
    uint64_t token;

    if (wire_get_ping(payload, length, &token) != WIRE_OK)
        return false;
    uint64_t now_us = clock_us();
    if (token > now_us)
        return false;
    uint64_t rtt = now_us - token;
    stats_set(lane->stats.rtt_us, rtt);
    if (lane->stats.rtt_min_us == 0 || rtt < lane->stats.rtt_min_us)
        stats_set(lane->stats.rtt_min_us, rtt);
    return true;
}

static bool receive_control(struct lane *lane, const struct frame_header *header,
                            const uint8_t *payload)
{
    uint8_t answer[FRAME_HEADER_BYTES + FRAME_CONTROL_MAX];
    struct wire_config config;
    uint64_t token;

    switch (header->type) {
    case FRAME_PING:
        if (wire_get_ping(payload, header->length, &token) != WIRE_OK)
            return false;
        if (!send_control(lane, answer, wire_put_ping(answer, FRAME_PONG, token)))
            lane_drop(lane, DROP_CONTROL_FULL);
        return true;
    case FRAME_PONG:
        return receive_pong(lane, payload, header->length);
    case FRAME_CONFIG:
        if (lane->options.config == NULL ||
            wire_get_config(payload, header->length, &config) != WIRE_OK)
            return false;
        lane->options.config(lane->options.config_context, &config);
        return true;
    default:
        return false;
    }
}

static void receive_frame(struct lane *lane, uint8_t *frame, const struct frame_header *header)
{
    stats_add(lane->stats.received_frames, 1);
    if (header->type == FRAME_PACKET) {
        receive_packet(lane, frame, header);
    } else if (!receive_control(lane, header, frame + FRAME_HEADER_BYTES)) {
        lane_drop(lane, DROP_CONTROL);
        log_bad_packet(lane, "unexpected or malformed control frame");
    }
}

/* Frames in one read have ascending addresses, by the ring's second mapping: joining moves bytes
 * from one to another. */
static void receive_frames(struct lane *lane)
{
    uint8_t *frame = lane->receive_ring.base + lane->tail % RECEIVE_RING_BYTES;
    struct frame_header header;

    while (lane->head > lane->tail) {
        size_t there = lane->head - lane->tail;
        enum frame_status status = frame_get(frame, there, &header);
        if (status == FRAME_LOST) {
            lane_fail(lane, LANE_LOST, 0);
            return;
        }
        size_t length = FRAME_HEADER_BYTES + header.length;
        if (status == FRAME_MORE || there < length)
            return;
        receive_frame(lane, frame, &header);
        frame += length;
        lane->tail += length;
    }
}

void receive_complete(struct lane *lane, int result)
{
    lane->receive_armed = false;
    if (result == -EAGAIN || result == -EINTR)
        return;
    if (result <= 0) {
        lane_fail(lane, result == 0 || result == -ECONNRESET ? LANE_CLOSED : LANE_BROKEN, -result);
        return;
    }
    lane->head += (size_t)result;
    lane->heard_since_tick = true;
    stats_add(lane->stats.received_bytes, result);
    stats_add(lane->stats.received_reads, 1);
    receive_frames(lane);
    inject_joined(lane);
}

void inject_complete(struct lane *lane, int result)
{
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
    log_limited(&lane->limits[LIMIT_INJECT], LOG_LEVEL_WARNING,
                "%s: the kernel refused a packet: %s", lane->options.name, strerror(-result));
}
