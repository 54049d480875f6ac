/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Taps: copies of the packets that pass a daemon, for `causewayctl capture`.
 *
 *   lane --filter, copy--> ring (shared memory) --> causewayctl --> pcapng
 *
 * A tap is a block of shared memory that the control thread makes and hands to the client with its
 * answer. It holds one ring for each lane, with one writer (the lane's thread) and one reader (the
 * client). When the reader is slow its ring fills, and what comes then is counted and not copied: a
 * lane never waits. The reader can write into the memory as it likes; a lane keeps its own
 * position, and takes of the reader's only how much room that leaves.
 *
 * This file is the lane's end of it: ports, one for each tap that wants its packets. The control
 * thread (runtime/lane/tap_table.h) says under a lock which ports it wants, the lane takes them
 * over when it is woken, and so lets go of them. A lane that has no tap spends one comparison a
 * packet.
 *
 * Memory: rings are made of pages that appear when they are first written to, so at most
 * TAP_RINGS_MAX times TAP_RING_BYTES for each of TAPS_MAX taps, and nothing without one.
 */
#ifndef CAUSEWAY_RUNTIME_LANE_TAPS_H
#define CAUSEWAY_RUNTIME_LANE_TAPS_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "packet/bpf.h"
#include "runtime/base/tap_ring.h"

#define TAPS_MAX 4

/* ---- one port ---- */

struct tap_port {
    struct tap_ring *ring;
    uint64_t head; /* the lane's own copy */
    const struct sock_filter *filter;
    unsigned filter_count; /* 0: every packet */
    uint32_t snap;         /* bytes copied at most */
    uint8_t directions;    /* bits 1 << enum tap_direction */
    bool only_dropped;
};

/* Copies the packet if it is wanted and there is room. On the lane's thread. */
void tap_packet(struct tap_port *port, const uint8_t *packet, uint32_t length,
                enum tap_direction direction, uint16_t reason, uint64_t time_ns);

/* ---- a lane's taps ---- */

struct taps {
    unsigned count; /* of ports; the lane's thread's own */
    pthread_mutex_t lock;
    struct tap_port *ports[TAPS_MAX]; /* the lane's thread alone writes them, under it */
    struct tap_port *wanted[TAPS_MAX];
};

/* Of a zero-initialised one. */
void taps_init(struct taps *taps);
void taps_destroy(struct taps *taps);

/* The control thread's: which port the tap number `place` has here from now on, NULL for none.
 * True: the lane must be woken to learn of it. */
bool taps_want(struct taps *taps, unsigned place, struct tap_port *port);
/* The control thread's: has the lane no port there? */
bool taps_gone(struct taps *taps, unsigned place);

/* The lane's thread's: takes over what is wanted; or lets go of all, at its end. */
void taps_update(struct taps *taps);
void taps_drop(struct taps *taps);

static inline bool taps_are_there(const struct taps *taps)
{
    return taps->count > 0;
}

/* Shows a packet to all of them. On the lane's thread. */
void taps_show(struct taps *taps, const uint8_t *packet, size_t length,
               enum tap_direction direction, uint16_t reason);

#endif
