/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/lane/inbound.h"

#include <assert.h>
#include <errno.h>

#include "runtime/base/clock.h"

static_assert(INBOUND_BUFFER_BYTES >= FRAME_BYTES_MAX + INBOUND_READ_MAX,
              "a whole frame always fits beside a read");

static ring_handler received;

int inbound_init(struct inbound *inbound, struct lane_context *lane, struct injector *injector,
                 struct batches *batches)
{
    inbound->lane = lane;
    inbound->injector = injector;
    inbound->batches = batches;
    ring_handle(lane->ring, RING_RECEIVE, received, inbound);
    return mirror_map(&inbound->buffer, INBOUND_BUFFER_BYTES);
}

void inbound_destroy(struct inbound *inbound)
{
    mirror_unmap(&inbound->buffer);
}

void inbound_start(struct inbound *inbound)
{
    inbound->head = inbound->tail = 0;
    inbound->armed = inbound->heard = false;
}

void inbound_is_lane(struct inbound *inbound, uint8_t number)
{
    inbound->fragments.lane = number;
}

bool inbound_heard(struct inbound *inbound)
{
    bool heard = inbound->heard;

    inbound->heard = false;
    return heard;
}

void inbound_arm(struct inbound *inbound)
{
    if (inbound->armed)
        return;
    if (inbound->head == inbound->tail)
        inbound->head = inbound->tail = 0; /* start over in memory that is still in the cache */
    size_t room = INBOUND_BUFFER_BYTES - (inbound->head - inbound->tail);
    if (room > INBOUND_READ_MAX)
        room = INBOUND_READ_MAX;
    ring_receive(inbound->lane->ring, inbound->buffer.base + inbound->head % INBOUND_BUFFER_BYTES,
                 room);
    inbound->armed = true;
}

/* ---- packets ---- */

static void log_policy(struct inbound *inbound, const struct parsed_packet *parsed,
                       enum policy_verdict verdict)
{
    char src[ADDR_TEXT_BYTES], dst[ADDR_TEXT_BYTES];

    log_limited(&inbound->refused, LOG_LEVEL_WARNING,
                "%s: dropped a packet from %s to %s: %s not allowed", inbound->lane->options.name,
                addr_format(&parsed->src, src), addr_format(&parsed->dst, dst),
                policy_verdict_name(verdict));
}

static bool fragment_admitted(struct inbound *inbound, const uint8_t *packet,
                              const struct parsed_packet *parsed)
{
    struct lane_context *lane = inbound->lane;

    return lane->options.fragments == NULL ||
           reassembly_admit(&inbound->fragments, lane->options.fragments, packet, parsed,
                            clock_ms());
}

static void receive_packet(struct inbound *inbound, uint8_t *frame,
                           const struct frame_header *header)
{
    struct lane_context *lane = inbound->lane;
    uint8_t *packet = frame + FRAME_HEADER_BYTES;
    struct parsed_packet parsed;
    enum packet_error error = packet_parse(packet, header->length, &parsed);

    if (error == PACKET_OK && parsed.total_length != header->length)
        error = PACKET_TOTAL_LENGTH; /* the sender trims: bytes behind the packet are no accident */
    if (error != PACKET_OK) {
        lane_drop_packet(lane, packet, header->length, TAP_FROM_LINK, DROP_PACKET + error);
        lane_log_bad_packet(lane, packet_error_name(error));
        return;
    }
    enum policy_verdict verdict = lane->options.check(lane->options.policy, packet, &parsed);
    if (verdict != POLICY_PASS) {
        lane_drop_packet(lane, packet, header->length, TAP_FROM_LINK, DROP_POLICY + verdict);
        log_policy(inbound, &parsed, verdict);
        return;
    }
    if (parsed.is_fragment && !fragment_admitted(inbound, packet, &parsed)) {
        lane_drop_packet(lane, packet, header->length, TAP_FROM_LINK, DROP_FRAGMENT_BUDGET);
        lane_log_bad_packet(lane, "too many fragments that wait for others");
        return;
    }
    enum offload_error offload_error =
        injector_add(inbound->injector, packet, &parsed, header->offload);
    if (offload_error != OFFLOAD_OK) {
        lane_drop_packet(lane, packet, header->length, TAP_FROM_LINK, DROP_OFFLOAD + offload_error);
        lane_log_bad_packet(lane, offload_error_name(offload_error));
        return;
    }
    lane_show(lane, packet, header->length, TAP_FROM_LINK, TAP_PASSED);
    stats_add(lane->stats.injected_packets, 1);
    stats_add(lane->stats.injected_bytes, parsed.total_length);
    if (header->offload.gso_size != 0)
        stats_add(lane->stats.injected_super, 1);
}

/* ---- control frames ---- */

static bool receive_pong(struct lane_stats *stats, const uint8_t *payload, size_t length)
{
    uint64_t token;

    if (wire_get_ping(payload, length, &token) != WIRE_OK)
        return false;
    uint64_t now_us = clock_us();
    if (token > now_us)
        return false;
    uint64_t rtt = now_us - token;
    stats_set(stats->rtt_us, rtt);
    if (stats->rtt_min_us == 0 || rtt < stats->rtt_min_us)
        stats_set(stats->rtt_min_us, rtt);
    return true;
}

static bool receive_control(struct inbound *inbound, const struct frame_header *header,
                            const uint8_t *payload)
{
    struct lane_context *lane = inbound->lane;
    uint8_t answer[FRAME_HEADER_BYTES + FRAME_CONTROL_MAX];
    struct wire_config config;
    uint64_t token;

    switch (header->type) {
    case FRAME_PING:
        if (wire_get_ping(payload, header->length, &token) != WIRE_OK)
            return false;
        if (!batches_control(inbound->batches, answer, wire_put_ping(answer, FRAME_PONG, token)))
            lane_drop(lane, DROP_CONTROL_FULL);
        return true;
    case FRAME_PONG:
        return receive_pong(&lane->stats, payload, header->length);
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

/* ---- frames ---- */

static void receive_frame(struct inbound *inbound, uint8_t *frame,
                          const struct frame_header *header)
{
    struct lane_context *lane = inbound->lane;

    stats_add(lane->stats.received_frames, 1);
    if (header->type == FRAME_PACKET) {
        receive_packet(inbound, frame, header);
    } else if (!receive_control(inbound, header, frame + FRAME_HEADER_BYTES)) {
        lane_drop(lane, DROP_CONTROL);
        lane_log_bad_packet(lane, "unexpected or malformed control frame");
    }
}

/* Frames in one read have ascending addresses, by the ring's second mapping: joining moves bytes
 * from one to another. */
static void receive_frames(struct inbound *inbound)
{
    uint8_t *frame = inbound->buffer.base + inbound->tail % INBOUND_BUFFER_BYTES;
    struct frame_header header;

    while (inbound->head > inbound->tail) {
        size_t there = inbound->head - inbound->tail;
        enum frame_status status = frame_get(frame, there, &header);
        if (status == FRAME_LOST) {
            lane_fail(inbound->lane, LANE_LOST, 0);
            return;
        }
        size_t length = FRAME_HEADER_BYTES + header.length;
        if (status == FRAME_MORE || there < length)
            return;
        receive_frame(inbound, frame, &header);
        frame += length;
        inbound->tail += length;
    }
}

static void received(void *part, int result, unsigned source, uint32_t delivery)
{
    struct inbound *inbound = part;
    struct lane_context *lane = inbound->lane;

    (void)source, (void)delivery;
    inbound->armed = false;
    if (result == -EAGAIN || result == -EINTR)
        return;
    if (result <= 0) {
        lane_fail(lane, result == 0 || result == -ECONNRESET ? LANE_CLOSED : LANE_BROKEN, -result);
        return;
    }
    inbound->head += (size_t)result;
    inbound->heard = true;
    stats_add(lane->stats.received_bytes, result);
    stats_add(lane->stats.received_reads, 1);
    receive_frames(inbound);
    injector_finish(inbound->injector);
}
