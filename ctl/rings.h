/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A reader of the memory that a daemon's taps fill (runtime/base/tap_ring.h). A ring for each lane;
 * their packets come out oldest first.
 *
 * The daemon may write anything there, at any time: a header is copied before it is looked at, and
 * a ring whose positions or records contradict themselves gives nothing more.
 */
#ifndef CAUSEWAY_CTL_RINGS_H
#define CAUSEWAY_CTL_RINGS_H

#include <stdbool.h>
#include <stdint.h>

#include "runtime/base/tap_ring.h"

struct rings {
    struct tap_ring *memory; /* TAP_RINGS_MAX of them, borrowed */
    uint64_t tail[TAP_RINGS_MAX];
};

struct rings_packet {
    unsigned ring;
    struct tap_record record; /* captured bytes lie within the ring */
    const uint8_t *bytes;     /* in the ring until rings_release() */
};

/* How many rings are in use; they are used from the first on. */
unsigned rings_count(const struct rings *rings);
/* The name of ring i, as it is in the memory now, into out. */
void rings_name(const struct rings *rings, unsigned i, char out[TAP_NAME_BYTES + 1]);
/* The oldest packet of all rings. False: there is none. */
bool rings_oldest(struct rings *rings, struct rings_packet *out);
/* Gives the packet's room back to the daemon. */
void rings_release(struct rings *rings, const struct rings_packet *packet);
/* Packets of ring i that found no room. */
uint64_t rings_lost(const struct rings *rings, unsigned i);

#endif
