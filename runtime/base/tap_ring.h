/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The memory that a daemon and a reader of its packets share: TAP_RINGS_MAX rings, one for each
 * lane that is captured. Either side may write anything there, so each keeps its own position and
 * takes of the other's only what is possible. runtime/lane/taps.h tells who writes and who reads.
 */
#ifndef CAUSEWAY_RUNTIME_BASE_TAP_RING_H
#define CAUSEWAY_RUNTIME_BASE_TAP_RING_H

#include <assert.h>
#include <stdint.h>

#define TAP_RINGS_MAX  32 /* lanes that one capture can watch */
#define TAP_NAME_BYTES 96
#define TAP_RING_BYTES (4u << 20) /* a power of two */

struct tap_ring {
    _Alignas(64) uint64_t head; /* bytes ever written; the lane's */
    uint64_t lost;              /* packets that found no room; the lane's */
    uint32_t in_use;            /* name is valid */
    char name[TAP_NAME_BYTES];  /* "web lane 0" */
    _Alignas(64) uint64_t tail; /* bytes ever read; the reader's */
    _Alignas(4096) uint8_t records[TAP_RING_BYTES];
};
#define TAP_MEMORY_BYTES (TAP_RINGS_MAX * sizeof(struct tap_ring))

enum tap_direction {
    TAP_TO_LINK = 1,   /* captured from the kernel */
    TAP_FROM_LINK = 2, /* to be injected into the kernel */
    TAP_SKIP = 3,      /* no packet: the rest of the ring up to its end */
};
#define TAP_PASSED UINT16_MAX /* reason of a packet that was not dropped */

/* Records follow each other at multiples of 8 and do not wrap around the ring's end. */
struct tap_record {
    uint32_t size;     /* of the record, this header included */
    uint32_t captured; /* bytes of the packet that follow */
    uint32_t length;   /* bytes of the packet */
    uint16_t reason;   /* enum drop_reason, or TAP_PASSED */
    uint8_t direction; /* enum tap_direction */
    uint8_t reserved;
    uint64_t time_ns; /* CLOCK_REALTIME */
};
static_assert(sizeof(struct tap_record) == 24, "part of the interface");

#endif
