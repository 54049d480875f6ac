/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The lane's way out, second half: frames gather in a batch, a batch is one write on the stream.
 *
 * Two batches take turns: one fills, the other is under way (the ring's until its completion). Only
 * one write is in flight, so order holds; what arrives meanwhile becomes the next. Small frames are
 * copied together, large ones go by reference and keep their slot until the write is done. Frames
 * that find the filling batch full wait in the backlog, which has a place for every slot.
 *
 * A batch is written in pieces of at most options.write_max bytes, one at a time: vsock damages
 * longer writes on some kernels (runtime/base/link.h). Pieces end anywhere in a frame.
 */
#ifndef CAUSEWAY_RUNTIME_LANE_BATCH_H
#define CAUSEWAY_RUNTIME_LANE_BATCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include "runtime/lane/context.h"
#include "runtime/lane/slots.h"

#define BATCH_WRITE_MAX     (128 * 1024) /* bytes of packets in a batch */
#define BATCH_CONTROL_BYTES 4096         /* control frames waiting for the next write */
#define BATCH_IOVECS        (2 * SLOT_COUNT + 2)

struct batch {
    struct iovec iov[BATCH_IOVECS];
    unsigned iov_count;
    unsigned iov_first; /* where what is not written yet begins */
    unsigned piece_end; /* the iovec behind the piece that is being written */
    size_t cut;         /* bytes that the piece's last iovec is shorter for now */
    unsigned frames;
    size_t bytes;
    size_t staged;
    unsigned slot_count;
    uint16_t slots[SLOT_COUNT]; /* released when the write is done */
    uint8_t *staging;           /* for small frames */
    struct msghdr message;
};

struct waiting { /* a whole frame in a slot, for which there was no room yet */
    uint16_t slot;
    uint32_t offset, length;
};

struct batches {
    struct lane_context *lane;
    struct slots *slots;
    struct batch batch[2];
    size_t write_max; /* bytes of a write */
    size_t small_max; /* bytes of a batch up to which small frames are added: whole writes */
    unsigned filling; /* index into batch */
    bool in_flight;   /* the other one is */
    bool moved;       /* a write has ended, wholly or in part, since batches_moved() */
    struct waiting backlog[SLOT_COUNT];
    unsigned backlog_first, backlog_count;
    uint8_t control[BATCH_CONTROL_BYTES];
    size_t control_bytes;
    unsigned control_frames;
};

/* Maps the memory, and takes the ring's word on writes: 0 or negative errno. batches_destroy() also
 * after a failure. */
int batches_init(struct batches *batches, struct lane_context *lane, struct slots *slots);
void batches_destroy(struct batches *batches);

/* Empties everything: at the start of a stream. */
void batches_start(struct batches *batches);

/* Takes a whole frame that lies in a slot. */
enum slot_fate batches_append(struct batches *batches, const uint8_t *frame, uint32_t length,
                              uint16_t slot);

/* Takes a whole frame by copying it. False: no room, and it does not wait. */
bool batches_copy(struct batches *batches, const uint8_t *frame, uint32_t length);

/* Takes control frames for the next write. False: too many wait already. */
bool batches_control(struct batches *batches, const uint8_t *frames, size_t length);

/* Queues the next write, unless one is in flight or nothing waits. Once in a turn. */
void batches_submit(struct batches *batches);

/* Has a write ended, wholly or in part, since the last call, or is none in flight? */
bool batches_moved(struct batches *batches);

#endif
