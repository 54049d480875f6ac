/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The lane's engine: all that a running lane asks of the kernel. It is made of one io_uring, which
 * nothing else in the lane knows; another engine would offer these same functions.
 *
 * A request is queued, and handed over by the next ring_turn(), in the order of queueing. When one
 * is done, the handler of its kind is called with the part it belongs to. There is one thread.
 *
 * Immediate requests (ring_inject(), ring_verdict()) are different: they carry MSG_DONTWAIT and
 * nothing that would make the kernel put them off, so it executes them, in order, while it takes
 * them over. Hence the rule that the lane's memory rests on: when the queue has been handed over,
 * the bytes of every immediate request are free again. ring_flush() hands it over at once; a full
 * queue does so by itself. Tried in tests/unit/ring.c.
 *
 * A ring lives as long as the stream: a completion of an earlier stream cannot be mistaken for one
 * of this.
 */
#ifndef CAUSEWAY_RUNTIME_LANE_RING_H
#define CAUSEWAY_RUNTIME_LANE_RING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#include "runtime/base/failure.h"
#include "runtime/lane/lane_options.h"
#include "runtime/lane/slots.h"

enum ring_op {
    RING_CAPTURE, /* a source delivered a message, or cannot */
    RING_RECEIVE,
    RING_WRITE,
    RING_INJECT,  /* failures alone complete */
    RING_VERDICT, /* failures alone complete */
    RING_TICK,
    RING_WAKE,
};
#define RING_OPS (RING_WAKE + 1)

/*
 * result: bytes, or negative errno. source: the index of one, for RING_CAPTURE and RING_VERDICT.
 * delivery: for RING_CAPTURE, see below.
 */
typedef void ring_handler(void *part, int result, unsigned source, uint32_t delivery);

/* A delivery in one word, because there is one for each packet. */
#define RING_HAS_SLOT   0x1u
#define RING_MORE       0x2u /* the source delivers on, unasked */
#define RING_SLOT_SHIFT 16

/* Where the message is, or NO_SLOT. */
static inline uint16_t ring_slot(uint32_t delivery)
{
    return delivery & RING_HAS_SLOT ? (uint16_t)(delivery >> RING_SLOT_SHIFT) : NO_SLOT;
}

struct ring;

/* NULL with errno. */
struct ring *ring_new(void);
void ring_free(struct ring *ring); /* after ring_close(); NULL is allowed */

/* Who is called for a kind of request; nobody, if never said. Before ring_open(). */
void ring_handle(struct ring *ring, enum ring_op op, ring_handler *handler, void *part);

/* Opens the ring over the sockets of these options and the eventfd wake_fd, restricted to what the
 * lane does. On the thread that uses it. 0 or negative errno. */
int ring_open(struct ring *ring, const struct lane_options *options, int wake_fd);
/* Ends what is under way and lets go of all sockets before it returns. */
void ring_close(struct ring *ring);

/* Hands free slots to the kernel until it has `target`. At once, no request. */
void ring_publish(struct ring *ring, struct slots *slots, unsigned target);

/* Receives messages of a source into published slots until RING_MORE is missing; -ENOBUFS: no slot
 * was left. */
void ring_capture(struct ring *ring, unsigned source);

/* Reads what is there of the stream, at least one byte. bytes are the ring's until then. */
void ring_receive(struct ring *ring, uint8_t *bytes, size_t room);

/* Writes to the stream. The message and all it names are the ring's until then. */
void ring_write(struct ring *ring, const struct msghdr *message);

/* Sends one link frame to the kernel. Immediate. */
void ring_inject(struct ring *ring, const uint8_t *bytes, size_t length);

/* Sends a verdict to a source's queue. Immediate. */
void ring_verdict(struct ring *ring, unsigned source, const uint8_t *bytes, size_t length);

/* One tick after so long; one wake-up by the eventfd. */
void ring_tick(struct ring *ring, uint32_t after_ms);
void ring_wake(struct ring *ring);

/* Hands over what is queued. The bytes of immediate requests are free when it returns. */
void ring_flush(struct ring *ring);

/*
 * Hands over what is queued, sleeps until something completes, and calls the handlers. pause_us
 * not 0: sleeps so long whatever completes, so that more can gather. 0 or negative errno.
 */
int ring_turn(struct ring *ring, uint32_t pause_us);

/*
 * A ring that can do no more than a lane does, its descriptor or negative errno; for a process
 * that makes them for another, which cannot (runtime/base/broker.h). Behind ring_probe().
 */
int ring_make(void);

/* Can this kernel do what a ring needs? */
bool ring_probe(struct failure *failure);

/* How the kernel runs the rings, as ring_probe() found it; a text. */
const char *ring_mode(void);

#endif
