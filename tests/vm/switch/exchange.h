/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Packets of virtio-vsock (virtio 1.2, 5.10) from one guest's transmit queue into another's receive
 * queue.
 *
 * The guests are the end points: connections, credit and flow control (5.10.6.3) are between them
 * and pass through unread. The switch stores no packet. A packet leaves the transmit queue once the
 * whole of it is in receive buffers of the other guest; where that guest has none, the transmit
 * queue waits, and so, when it is full, does the sender. So memory is bounded by construction, and
 * a guest that stops taking packets stalls those who send to it (and what they have queued behind).
 * A packet larger than a receive buffer goes over in pieces: for a stream, many small packets say
 * the same as one.
 *
 * Not trusted: what is in the guests' memory. A packet must name its sender's own CID; one that
 * does not, or is malformed, is dropped and counted. One to a CID that nobody has (or has yet) is
 * answered with a reset, as a host would.
 */
#ifndef CAUSEWAY_TESTS_VM_SWITCH_EXCHANGE_H
#define CAUSEWAY_TESTS_VM_SWITCH_EXCHANGE_H

#include <linux/virtio_vsock.h>
#include <stdbool.h>
#include <stdint.h>

#include "tests/vm/switch/memory.h"
#include "tests/vm/switch/queue.h"

enum exchange_queue {
    EXCHANGE_RX,
    EXCHANGE_TX,
    EXCHANGE_QUEUES
}; /* 5.10.2; QEMU keeps the third */

/* What the first packet of the transmit queue turned out to be. */
struct exchange_packet {
    bool known;                     /* the rest is valid */
    struct virtio_vsock_hdr header; /* our copy: the guest may change its own at any time */
    uint32_t passed_on;             /* bytes of the payload */
};

struct exchange_guest {
    uint64_t cid;
    struct memory memory;
    struct queue queues[EXCHANGE_QUEUES];
    struct exchange_packet first;
    uint64_t packets, bytes; /* sent by this guest and delivered */
    uint64_t malformed, foreign_source, resets;
};

void exchange_guest_init(struct exchange_guest *guest, uint64_t cid);

/* The guest is gone: forgets its memory and queues, keeps its CID and counters. */
void exchange_guest_detach(struct exchange_guest *guest);

/* Moves at most `budget` packets (or pieces) in all. True: it was used up, there may be more. */
bool exchange_run(struct exchange_guest *guests, unsigned count, unsigned budget);

#endif
