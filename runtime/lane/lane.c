/* SPDX-License-Identifier: Apache-2.0 */
/* The lane's loop, clock and thread. Theory of operation: runtime/lane/lane.h. */
#include "runtime/lane/lane.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "runtime/base/clock.h"
#include "runtime/lane/batch.h"
#include "runtime/lane/context.h"
#include "runtime/lane/inbound.h"
#include "runtime/lane/injector.h"
#include "runtime/lane/liveness.h"
#include "runtime/lane/mailbox.h"
#include "runtime/lane/moderation.h"
#include "runtime/lane/outbound.h"
#include "runtime/lane/ring.h"
#include "runtime/lane/slots.h"

#define TICK_MS 250

struct lane {
    struct lane_context context;
    struct slots slots;
    struct batches batches;
    struct outbound outbound;
    struct injector injector;
    struct inbound inbound;
    struct mailbox mailbox;

    /* clock */
    struct liveness liveness;
    struct moderation moderation;
    bool tick_armed, wake_armed;

    /* thread */
    pthread_t thread;
    bool started;
    bool finished; /* atomic */
    int exit_fd;
};

static const char *const end_names[] = {
    [LANE_RUNNING] = "running",           [LANE_STOPPED] = "stopped",
    [LANE_CLOSED] = "closed by the peer", [LANE_BROKEN] = "broken",
    [LANE_SILENT] = "the peer is silent", [LANE_STALLED] = "the stream is stalled",
    [LANE_LOST] = "framing lost",         [LANE_FAILED] = "failed here",
};
static_assert(sizeof(end_names) / sizeof(end_names[0]) == LANE_FAILED + 1, "every end has a name");

const char *lane_end_name(enum lane_end end)
{
    return end_names[end];
}

/* ---- memory ---- */

void lane_free(struct lane *lane)
{
    if (lane == NULL)
        return;
    mailbox_destroy(&lane->mailbox);
    inbound_destroy(&lane->inbound);
    injector_destroy(&lane->injector);
    batches_destroy(&lane->batches);
    slots_unmap(&lane->slots);
    taps_destroy(&lane->context.taps);
    ring_free(lane->context.ring);
    free(lane);
}

static ring_handler tick;
static ring_handler woken;

static int init(struct lane *lane)
{
    struct lane_context *context = &lane->context;
    int error = mailbox_init(&lane->mailbox, context->options.name);

    taps_init(&context->taps);
    context->ring = ring_new();
    if (context->ring == NULL)
        return -errno;
    ring_handle(context->ring, RING_TICK, tick, lane);
    ring_handle(context->ring, RING_WAKE, woken, lane);
    outbound_init(&lane->outbound, context, &lane->slots, &lane->batches);
    if (error == 0)
        error = slots_map(&lane->slots);
    if (error == 0)
        error = batches_init(&lane->batches, context, &lane->slots);
    if (error == 0)
        error = injector_init(&lane->injector, context);
    if (error == 0)
        error = inbound_init(&lane->inbound, context, &lane->injector, &lane->batches);
    return error;
}

struct lane *lane_new(void)
{
    struct lane *lane = calloc(1, sizeof(*lane));

    if (lane == NULL)
        return NULL;
    int error = init(lane);
    if (error < 0) {
        lane_free(lane);
        errno = -error;
        return NULL;
    }
    return lane;
}

/* ---- mailbox ---- */

static void arm_wake(struct lane *lane)
{
    if (!lane->wake_armed)
        ring_wake(lane->context.ring);
    lane->wake_armed = true;
}

static void read_mailbox(struct lane *lane)
{
    if (!mailbox_read(&lane->mailbox, &lane->batches, &lane->context.options.policy))
        lane_fail(&lane->context, LANE_STOPPED, 0);
    taps_update(&lane->context.taps);
}

static void woken(void *part, int result, unsigned source, uint32_t delivery)
{
    struct lane *lane = part;

    (void)result, (void)source, (void)delivery;
    lane->wake_armed = false;
    read_mailbox(lane);
}

bool lane_post(struct lane *lane, const uint8_t *frame, size_t length)
{
    return mailbox_post(&lane->mailbox, frame, length);
}

void lane_set_policy(struct lane *lane, const void *policy)
{
    mailbox_set_policy(&lane->mailbox, policy);
    if (lane->started)
        mailbox_wake(&lane->mailbox);
}

bool lane_uses_policy(struct lane *lane, const void *policy)
{
    return mailbox_has_policy(&lane->mailbox, policy);
}

void lane_set_tap(struct lane *lane, unsigned place, struct tap_port *port)
{
    if (taps_want(&lane->context.taps, place, port) && lane->started)
        mailbox_wake(&lane->mailbox);
}

bool lane_tap_gone(struct lane *lane, unsigned place)
{
    return taps_gone(&lane->context.taps, place);
}

/* ---- clock ---- */

static void send_ping(struct lane *lane)
{
    uint8_t frame[FRAME_HEADER_BYTES + FRAME_CONTROL_MAX];

    if (batches_control(&lane->batches, frame, wire_put_ping(frame, FRAME_PING, clock_us())))
        stats_add(lane->context.stats.pings_sent, 1);
}

static void look_at_peer(struct lane *lane)
{
    uint32_t dead_ms = __atomic_load_n(&lane->context.options.dead_ms, __ATOMIC_RELAXED);

    switch (liveness_tick(&lane->liveness, clock_ms(), dead_ms, inbound_heard(&lane->inbound),
                          batches_moved(&lane->batches))) {
    case LIVENESS_FINE:
        break;
    case LIVENESS_PING:
        send_ping(lane);
        break;
    case LIVENESS_SILENT:
        lane_fail(&lane->context, LANE_SILENT, 0);
        break;
    case LIVENESS_STALLED:
        lane_fail(&lane->context, LANE_STALLED, 0);
        break;
    }
}

static void tick(void *part, int result, unsigned source, uint32_t delivery)
{
    struct lane *lane = part;

    (void)result, (void)source, (void)delivery;
    lane->tick_armed = false;
    look_at_peer(lane);
    read_mailbox(lane);
    outbound_tick(&lane->outbound);
}

static void arm_tick(struct lane *lane)
{
    if (!lane->tick_armed)
        ring_tick(lane->context.ring, TICK_MS);
    lane->tick_armed = true;
}

/* ---- loop ---- */

static uint64_t packets_carried(const struct lane_stats *stats)
{
    return stats->captured_packets + stats->received_frames;
}

static uint64_t bytes_carried(const struct lane_stats *stats)
{
    return stats->captured_bytes + stats->received_bytes;
}

/*
 * The order within a turn: write to the link (the other side starts working), release what was
 * captured, inject (queued while frames were decoded, so ahead of these two), then read again.
 */
static void loop(struct lane *lane)
{
    const struct lane_stats *stats = &lane->context.stats;

    while (lane->context.end == LANE_RUNNING) {
        batches_submit(&lane->batches);
        outbound_verdicts(&lane->outbound);
        outbound_arm(&lane->outbound);
        inbound_arm(&lane->inbound);
        arm_tick(lane);
        arm_wake(lane);
        int error = ring_turn(lane->context.ring, lane->moderation.pause ? MODERATION_PAUSE_US : 0);
        if (error < 0) {
            lane_fail(&lane->context, LANE_FAILED, -error);
            break;
        }
        moderation_note(&lane->moderation, packets_carried(stats), bytes_carried(stats),
                        clock_us());
    }
}

/* Every part begins anew with the stream. */
static void start_parts(struct lane *lane)
{
    const struct lane_stats *stats = &lane->context.stats;

    slots_start(&lane->slots);
    outbound_start(&lane->outbound);
    batches_start(&lane->batches);
    injector_start(&lane->injector);
    inbound_start(&lane->inbound);
    lane->tick_armed = lane->wake_armed = false;
    liveness_start(&lane->liveness, clock_ms());
    moderation_start(&lane->moderation, packets_carried(stats), bytes_carried(stats), clock_us());
}

static void run(struct lane *lane)
{
    struct lane_context *context = &lane->context;
    int error = ring_open(context->ring, &context->options, lane->mailbox.wake_fd);

    if (error < 0) {
        lane_fail(context, LANE_FAILED, -error);
        return;
    }
    start_parts(lane);
    stats_add(context->stats.streams, 1);
    read_mailbox(lane);
    loop(lane);
    taps_drop(&context->taps);
    /* The peer learns of it now, not when the control thread closes the stream. */
    shutdown(context->options.stream_fd, SHUT_RDWR);
    ring_close(context->ring);
}

/* ---- thread ---- */

static void *thread_main(void *argument)
{
    struct lane *lane = argument;
    uint64_t one = 1;

    /* The default, 50 us, would more than double the pauses. */
    prctl(PR_SET_TIMERSLACK, 1000UL);
    run(lane);
    __atomic_store_n(&lane->finished, true, __ATOMIC_RELEASE);
    if (write(lane->exit_fd, &one, sizeof(one)) < 0)
        log_error("%s: cannot report the end of the lane: %s", lane->context.options.name,
                  strerror(errno));
    return NULL;
}

int lane_start(struct lane *lane, const struct lane_options *options, int exit_fd)
{
    lane->context.options = *options;
    inbound_is_lane(&lane->inbound, options->number);
    lane->exit_fd = exit_fd;
    lane->context.end = LANE_RUNNING;
    lane->context.error = 0;
    lane->finished = false;
    int error = mailbox_start(&lane->mailbox, options->policy);
    if (error < 0)
        return error;
    error = pthread_create(&lane->thread, NULL, thread_main, lane);
    lane->started = error == 0;
    return -error;
}

bool lane_finished(const struct lane *lane)
{
    return lane->started && __atomic_load_n(&lane->finished, __ATOMIC_ACQUIRE);
}

void lane_set_dead_ms(struct lane *lane, uint32_t dead_ms)
{
    __atomic_store_n(&lane->context.options.dead_ms, dead_ms, __ATOMIC_RELAXED);
}

void lane_stop(struct lane *lane)
{
    mailbox_stop(&lane->mailbox);
}

enum lane_end lane_join(struct lane *lane)
{
    pthread_join(lane->thread, NULL);
    lane->started = false;
    return lane->context.end;
}

int lane_error(const struct lane *lane)
{
    return lane->context.error;
}

const struct lane_stats *lane_stats(const struct lane *lane)
{
    return &lane->context.stats;
}

const char *lane_ring_mode(void)
{
    return ring_mode();
}

bool lane_probe(struct failure *failure)
{
    return ring_probe(failure);
}
