/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The device's side of a split virtqueue (virtio 1.2, 2.7) whose driver is not trusted.
 *
 * The driver puts descriptor chains into the available ring; the device looks at the first one with
 * queue_peek() as often as it likes and gives it back with queue_finish(). Everything the driver
 * writes is read once, into variables of our own, and checked there: ring indices, the number of
 * descriptors in a chain, and that each buffer is inside the guest's memory. A queue in which
 * something is wrong is broken and stays so until the driver sets it up anew; nothing is guessed.
 *
 * Neither indirect descriptors nor event indices are offered, so both are errors here.
 */
#ifndef CAUSEWAY_TESTS_VM_SWITCH_QUEUE_H
#define CAUSEWAY_TESTS_VM_SWITCH_QUEUE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include "tests/vm/switch/memory.h"

#define QUEUE_SIZE_MAX                                                                             \
    1024 /* descriptors; over PCI QEMU has 128, memory-mapped as many as it can */

struct vring_desc;
struct vring_avail;
struct vring_used;

struct queue {
    /* What vhost-user has said so far. */
    unsigned size;                       /* descriptors; 0: not yet said */
    uint64_t desc_at, avail_at, used_at; /* user addresses */
    bool addressed, started, enabled;
    int kick, call; /* eventfds, owned; -1: none */

    /* Set by queue_map(). */
    struct vring_desc *desc;
    struct vring_avail *avail;
    struct vring_used *used;
    const char *broken; /* why; NULL: it is not */

    uint16_t next;      /* in the available ring */
    uint16_t used_next; /* in the used ring */
};

/* One chain: first what the device reads, then what it writes (2.7.4.2). */
struct queue_chain {
    uint16_t head;
    unsigned readable_count, writable_count;
    size_t readable_bytes, writable_bytes;
    struct iovec readable[QUEUE_SIZE_MAX], writable[QUEUE_SIZE_MAX];
};

void queue_init(struct queue *queue);

/* Closes what it owns and forgets everything. */
void queue_reset(struct queue *queue);

/* Finds the rings in memory; needed again whenever that changes. A queue that cannot be found is
 * not ready. */
void queue_map(struct queue *queue, const struct memory *memory);

bool queue_ready(const struct queue *queue);

/* Looks at the first available chain; buffers are borrowed from the guest's memory. False: there is
 * none, or the queue is not ready, or (then it is broken from here on) there is something wrong. */
bool queue_peek(struct queue *queue, const struct memory *memory, struct queue_chain *out);

/* Gives the peeked chain back with that many bytes written to it, and interrupts the driver unless
 * it asked for silence. */
void queue_finish(struct queue *queue, const struct queue_chain *chain, uint32_t written);

void queue_break(struct queue *queue, const char *why);

#endif
