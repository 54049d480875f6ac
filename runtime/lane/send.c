/* SPDX-License-Identifier: Apache-2.0 */
/* The lane's way out, second half: frames gather in a batch, a batch is one write on the stream. */
#include <errno.h>
#include <string.h>

#include "runtime/lane/lane_internal.h"

static void batch_reset(struct batch *batch)
{
    batch->iov_count = batch->iov_first = batch->frames = batch->slot_count = 0;
    batch->bytes = batch->staged = 0;
}

void send_start(struct lane *lane)
{
    batch_reset(&lane->batches[0]);
    batch_reset(&lane->batches[1]);
    lane->filling = 0;
    lane->send_in_flight = false;
    lane->backlog_count = 0;
    lane->control_bytes = lane->control_frames = 0;
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

static bool batch_append(struct lane *lane, const uint8_t *frame, uint32_t length, uint16_t slot)
{
    struct batch *batch = &lane->batches[lane->filling];

    if (batch->bytes + length > LANE_WRITE_MAX || batch->iov_count == BATCH_IOVECS)
        return false;
    batch->frames++;
    if (slot == NO_SLOT || length <= SMALL_FRAME_BYTES) {
        stage(batch, frame, length);
        if (slot != NO_SLOT)
            capture_release_slot(lane, slot);
        return true;
    }
    batch->iov[batch->iov_count++] = (struct iovec){(void *)frame, length};
    batch->bytes += length;
    batch->slots[batch->slot_count++] = slot;
    return true;
}

bool send_append(struct lane *lane, const uint8_t *frame, uint32_t length, uint16_t slot)
{
    if (lane->backlog_count == 0 && batch_append(lane, frame, length, slot))
        return true;
    if (slot == NO_SLOT)
        return false;
    /* Never overflows: there are as many places as slots. */
    unsigned place = (lane->backlog_first + lane->backlog_count++) % SLOT_COUNT;
    lane->backlog[place] = (struct captured){
        .slot = slot,
        .offset = (uint32_t)(frame - (lane->slots + (size_t)slot * SLOT_BYTES)),
        .length = length,
    };
    return true;
}

static void drain_backlog(struct lane *lane)
{
    while (lane->backlog_count > 0) {
        const struct captured *next = &lane->backlog[lane->backlog_first];
        const uint8_t *frame = lane->slots + (size_t)next->slot * SLOT_BYTES + next->offset;
        if (!batch_append(lane, frame, next->length, next->slot))
            return;
        lane->backlog_first = (lane->backlog_first + 1) % SLOT_COUNT;
        lane->backlog_count--;
    }
}

bool send_control(struct lane *lane, const uint8_t *frame, size_t length)
{
    if (lane->control_bytes + length > CONTROL_BYTES)
        return false;
    memcpy(lane->control + lane->control_bytes, frame, length);
    lane->control_bytes += length;
    lane->control_frames++;
    return true;
}

/*
 * Control frames follow the packets of the write that is about to start, which they may make
 * longer than LANE_WRITE_MAX: a lane under full load still answers pings.
 */
static void take_control(struct lane *lane, struct batch *batch)
{
    if (lane->control_bytes == 0 || batch->iov_count == BATCH_IOVECS)
        return;
    stage(batch, lane->control, lane->control_bytes);
    batch->frames += lane->control_frames;
    lane->control_bytes = lane->control_frames = 0;
}

static void submit_batch(struct lane *lane, struct batch *batch)
{
    struct io_uring_sqe *sqe = lane_sqe(lane, OP_SEND, 0);

    batch->message = (struct msghdr){
        .msg_iov = batch->iov + batch->iov_first,
        .msg_iovlen = batch->iov_count - batch->iov_first,
    };
    io_uring_prep_sendmsg(sqe, FILE_STREAM, &batch->message, MSG_NOSIGNAL | MSG_WAITALL);
    sqe->flags |= IOSQE_FIXED_FILE;
    lane->send_in_flight = true;
}

void send_submit(struct lane *lane)
{
    struct batch *batch = &lane->batches[lane->filling];

    if (lane->send_in_flight)
        return;
    take_control(lane, batch);
    if (batch->bytes == 0)
        return;
    stats_add(lane->stats.sent_frames, batch->frames);
    stats_add(lane->stats.sent_bytes, batch->bytes);
    stats_add(lane->stats.sent_writes, 1);
    lane->filling ^= 1;
    submit_batch(lane, batch);
    drain_backlog(lane);
}

/* Skips what a short write has taken. True when nothing is left. */
static bool batch_advance(struct batch *batch, size_t taken)
{
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

void send_complete(struct lane *lane, int result)
{
    struct batch *batch = &lane->batches[lane->filling ^ 1];

    if (result <= 0) {
        lane_fail(lane, result == -EPIPE || result == -ECONNRESET ? LANE_CLOSED : LANE_BROKEN,
                  -result);
        return;
    }
    lane->sent_since_tick = true;
    /* Kernels before 6.0 do not finish a sendmsg that met a full buffer half-way. */
    if ((size_t)result < batch->bytes && !batch_advance(batch, (size_t)result)) {
        submit_batch(lane, batch);
        return;
    }
    for (unsigned i = 0; i < batch->slot_count; i++)
        capture_release_slot(lane, batch->slots[i]);
    batch_reset(batch);
    lane->send_in_flight = false;
}
