/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/lane/batch.h"

#include <errno.h>
#include <string.h>

#include "runtime/lane/pages.h"

#define SMALL_FRAME_BYTES 2048 /* up to this, copying beats keeping a slot and an iovec */
#define STAGING_BYTES     (BATCH_WRITE_MAX + BATCH_CONTROL_BYTES)

static ring_handler written;

int batches_init(struct batches *batches, struct lane_context *lane, struct slots *slots)
{
    batches->lane = lane;
    batches->slots = slots;
    int error = pages_map(&batches->batch[0].staging, STAGING_BYTES);
    if (error == 0)
        error = pages_map(&batches->batch[1].staging, STAGING_BYTES);
    if (error == 0)
        ring_handle(lane->ring, RING_WRITE, written, batches);
    return error;
}

void batches_destroy(struct batches *batches)
{
    pages_unmap(batches->batch[0].staging, STAGING_BYTES);
    pages_unmap(batches->batch[1].staging, STAGING_BYTES);
}

static void batch_reset(struct batch *batch)
{
    batch->iov_count = batch->iov_first = batch->frames = batch->slot_count = 0;
    batch->bytes = batch->staged = batch->cut = 0;
    batch->piece_end = 0;
}

void batches_start(struct batches *batches)
{
    uint32_t write_max = batches->lane->options.write_max;

    batches->write_max = write_max > 0 && write_max < BATCH_WRITE_MAX ? write_max : BATCH_WRITE_MAX;
    batches->small_max = BATCH_WRITE_MAX - BATCH_WRITE_MAX % batches->write_max;
    batch_reset(&batches->batch[0]);
    batch_reset(&batches->batch[1]);
    batches->filling = 0;
    batches->in_flight = batches->moved = false;
    batches->backlog_count = 0;
    batches->control_bytes = batches->control_frames = 0;
}

/* ---- filling ---- */

/*
 * Small frames do not begin a write that would end short; control frames that wait have their
 * place. Two super-packets are more than that and fit all the same.
 */
static bool has_room(const struct batches *batches, uint32_t length)
{
    const struct batch *batch = &batches->batch[batches->filling];
    size_t after = batch->bytes + length;

    if (batch->iov_count == BATCH_IOVECS)
        return false;
    return length > SMALL_FRAME_BYTES ? after <= BATCH_WRITE_MAX
                                      : after + batches->control_bytes <= batches->small_max;
}

/* Copies bytes into the staging area, as part of the last iovec where that ends there. */
static void stage(struct batch *batch, const uint8_t *bytes, size_t length)
{
    uint8_t *target = batch->staging + batch->staged;
    struct iovec *last = batch->iov_count > 0 ? &batch->iov[batch->iov_count - 1] : NULL;

    memcpy(target, bytes, length);
    batch->staged += length;
    if (last != NULL && (uint8_t *)last->iov_base + last->iov_len == target)
        last->iov_len += length;
    else
        batch->iov[batch->iov_count++] = (struct iovec){target, length};
    batch->bytes += length;
}

/* For a frame that there is room for. */
static enum slot_fate batch_append(struct batch *batch, const uint8_t *frame, uint32_t length,
                                   uint16_t slot)
{
    batch->frames++;
    if (length <= SMALL_FRAME_BYTES) {
        stage(batch, frame, length);
        return SLOT_FREE;
    }
    batch->iov[batch->iov_count++] = (struct iovec){(void *)frame, length};
    batch->bytes += length;
    batch->slots[batch->slot_count++] = slot;
    return SLOT_KEPT;
}

/* Never overflows: there are as many places as slots. */
static void wait_for_room(struct batches *batches, const uint8_t *frame, uint32_t length,
                          uint16_t slot)
{
    unsigned place = (batches->backlog_first + batches->backlog_count++) % SLOT_COUNT;

    batches->backlog[place] = (struct waiting){
        .slot = slot,
        .offset = (uint32_t)(frame - slots_bytes(batches->slots, slot)),
        .length = length,
    };
}

enum slot_fate batches_append(struct batches *batches, const uint8_t *frame, uint32_t length,
                              uint16_t slot)
{
    struct batch *batch = &batches->batch[batches->filling];

    if (batches->backlog_count == 0 && has_room(batches, length))
        return batch_append(batch, frame, length, slot);
    wait_for_room(batches, frame, length, slot);
    return SLOT_KEPT;
}

bool batches_copy(struct batches *batches, const uint8_t *frame, uint32_t length)
{
    struct batch *batch = &batches->batch[batches->filling];

    if (batches->backlog_count > 0 || !has_room(batches, length))
        return false;
    batch->frames++;
    stage(batch, frame, length);
    return true;
}

static void drain_backlog(struct batches *batches)
{
    struct batch *batch = &batches->batch[batches->filling];

    while (batches->backlog_count > 0) {
        const struct waiting *next = &batches->backlog[batches->backlog_first];
        const uint8_t *frame = slots_bytes(batches->slots, next->slot) + next->offset;
        if (!has_room(batches, next->length))
            return;
        if (batch_append(batch, frame, next->length, next->slot) == SLOT_FREE)
            slots_release(batches->slots, next->slot);
        batches->backlog_first = (batches->backlog_first + 1) % SLOT_COUNT;
        batches->backlog_count--;
    }
}

bool batches_control(struct batches *batches, const uint8_t *frames, size_t length)
{
    if (batches->control_bytes + length > BATCH_CONTROL_BYTES)
        return false;
    memcpy(batches->control + batches->control_bytes, frames, length);
    batches->control_bytes += length;
    batches->control_frames++;
    return true;
}

/*
 * Control frames follow the packets of the batch that is about to be written, which they may make
 * longer than BATCH_WRITE_MAX: a lane under full load still answers pings.
 */
static void take_control(struct batches *batches, struct batch *batch)
{
    if (batches->control_bytes == 0 || batch->iov_count == BATCH_IOVECS)
        return;
    stage(batch, batches->control, batches->control_bytes);
    batch->frames += batches->control_frames;
    batches->control_bytes = batches->control_frames = 0;
}

/* ---- writing ---- */

/* The piece begins at iov_first and is within the limit; its last iovec is shortened for it. */
static void cut_piece(struct batch *batch, size_t limit)
{
    unsigned end = batch->iov_first;

    if (batch->bytes <= limit) {
        batch->piece_end = batch->iov_count;
        return;
    }
    for (; limit > 0; end++) {
        struct iovec *iov = &batch->iov[end];
        if (iov->iov_len > limit) {
            batch->cut = iov->iov_len - limit;
            iov->iov_len = limit;
        }
        limit -= iov->iov_len;
    }
    batch->piece_end = end;
}

/*
 * MSG_WAITALL makes io_uring go on with a write that ended short (since 6.0), in the kernel and
 * with what is left of the piece: a write is within the limit there as well.
 */
static void submit_piece(struct batches *batches, struct batch *batch)
{
    cut_piece(batch, batches->write_max);
    batch->message = (struct msghdr){
        .msg_iov = batch->iov + batch->iov_first,
        .msg_iovlen = batch->piece_end - batch->iov_first,
    };
    stats_add(batches->lane->stats.sent_writes, 1);
    ring_write(batches->lane->ring, &batch->message);
    batches->in_flight = true;
}

void batches_submit(struct batches *batches)
{
    struct batch *batch = &batches->batch[batches->filling];
    struct lane_stats *stats = &batches->lane->stats;

    if (batches->in_flight)
        return;
    take_control(batches, batch);
    if (batch->bytes == 0)
        return;
    stats_add(stats->sent_frames, batch->frames);
    stats_add(stats->sent_bytes, batch->bytes);
    batches->filling ^= 1;
    submit_piece(batches, batch);
    drain_backlog(batches);
}

/* Skips what a write has taken. True when nothing of the batch is left. */
static bool batch_advance(struct batch *batch, size_t taken)
{
    batch->iov[batch->piece_end - 1].iov_len += batch->cut;
    batch->cut = 0;
    batch->bytes -= taken;
    while (batch->iov_first < batch->iov_count) {
        struct iovec *iov = &batch->iov[batch->iov_first];
        if (taken < iov->iov_len) {
            iov->iov_base = (uint8_t *)iov->iov_base + taken;
            iov->iov_len -= taken;
            return false;
        }
        taken -= iov->iov_len;
        batch->iov_first++;
    }
    return true;
}

static void written(void *part, int result, unsigned source, uint32_t delivery)
{
    struct batches *batches = part;
    struct batch *batch = &batches->batch[batches->filling ^ 1];

    (void)source, (void)delivery;
    if (result <= 0) {
        lane_fail(batches->lane,
                  result == -EPIPE || result == -ECONNRESET ? LANE_CLOSED : LANE_BROKEN, -result);
        return;
    }
    batches->moved = true;
    /* The next piece; or the rest of this one, which kernels before 6.0 leave when a sendmsg met a
     * full buffer half-way. */
    if ((size_t)result < batch->bytes && !batch_advance(batch, (size_t)result)) {
        submit_piece(batches, batch);
        return;
    }
    for (unsigned i = 0; i < batch->slot_count; i++)
        slots_release(batches->slots, batch->slots[i]);
    batch_reset(batch);
    batches->in_flight = false;
}

bool batches_moved(struct batches *batches)
{
    bool moved = batches->moved || !batches->in_flight;

    batches->moved = false;
    return moved;
}
