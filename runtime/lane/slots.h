/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Slots: the buffers that captured packets are received into, a fixed number in each lane.
 *
 *   free --slots_publish()--> the kernel's --slots_arrived()--> the handler's --+-- FREE --> free
 *    ^                                                                          |
 *    +------------------ slots_release() <-- a batch's, or the backlog's <-- KEPT
 *
 * Whoever is shown a slot's bytes answers with its fate: SLOT_KEPT, and he releases it later, or
 * SLOT_FREE, and whoever showed it does that. The slot that was released last is published first:
 * its memory is still in the cache.
 */
#ifndef CAUSEWAY_RUNTIME_LANE_SLOTS_H
#define CAUSEWAY_RUNTIME_LANE_SLOTS_H

#include <assert.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "packet/frame.h"
#include "runtime/host/nfqueue.h"

#define SLOT_COUNT 64 /* a power of two: the ring has as many places */
#define SLOT_BYTES (17 * 4096)
static_assert(SLOT_BYTES >= NFQUEUE_MESSAGE_MAX, "an NFQUEUE message fits a slot");
static_assert(SLOT_BYTES >= FRAME_BYTES_MAX, "an AF_PACKET frame fits a slot");
#define NO_SLOT UINT16_MAX

enum slot_fate {
    SLOT_FREE, /* nothing more is wanted of its bytes */
    SLOT_KEPT, /* its bytes stay where they are until they are written */
};

struct slots {
    uint8_t *memory;
    uint16_t free[SLOT_COUNT]; /* a stack */
    unsigned free_count;
    unsigned published; /* the kernel's */
};

/* Maps the memory: 0 or negative errno. slots_unmap() also after a failure. */
int slots_map(struct slots *slots);
void slots_unmap(struct slots *slots);

/* All are free: at the start of a stream. */
void slots_start(struct slots *slots);

static inline uint8_t *slots_bytes(const struct slots *slots, uint16_t slot)
{
    return slots->memory + (size_t)slot * SLOT_BYTES;
}

static inline void slots_release(struct slots *slots, uint16_t slot)
{
    slots->free[slots->free_count++] = slot;
}

/* A free slot becomes the kernel's, unless it has `target` already or none is free: NO_SLOT. */
static inline uint16_t slots_publish(struct slots *slots, unsigned target)
{
    if (slots->published >= target || slots->free_count == 0)
        return NO_SLOT;
    slots->published++;
    return slots->free[--slots->free_count];
}

/* The kernel has given one back, filled. */
static inline void slots_arrived(struct slots *slots)
{
    slots->published--;
}

static inline bool slots_are_published(const struct slots *slots)
{
    return slots->published > 0;
}

#endif
