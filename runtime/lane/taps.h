/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Taps: copies of the packets that pass a daemon, for `causewayctl capture`.
 *
 *   lane --filter, copy--> ring (shared memory) --> causewayctl --> pcapng
 *
 * A capture is a block of shared memory that the control thread makes and hands to the client with
 * its answer. It holds one ring for each lane, with one writer (the lane's thread) and one reader
 * (the client). When the reader is slow its ring fills, and what comes then is counted and not
 * copied: a lane never waits. The reader can write into the memory as it likes; a lane keeps its
 * own position, and takes of the reader's only how much room that leaves.
 *
 * The control thread gives a lane its taps through the lane's mailbox, and takes them back the same
 * way when the client's connection ends; the memory goes when every lane has seen that. A lane that
 * has no tap spends one comparison a packet.
 *
 * Memory: rings are made of pages that appear when they are first written to, so at most
 * TAP_RINGS_MAX times TAP_RING_BYTES for each of TAP_CAPTURES_MAX captures, and nothing without
 * one.
 */
#ifndef CAUSEWAY_RUNTIME_LANE_TAPS_H
#define CAUSEWAY_RUNTIME_LANE_TAPS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "runtime/base/failure.h"
#include "packet/bpf.h"
#include "runtime/base/tap_ring.h"

#define TAP_CAPTURES_MAX 4
#define TAP_LANES_MAX    512 /* of the daemon */

/* ---- the lane's end ---- */

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

/* ---- the control thread's end ---- */

struct lane;

struct tap_wish {
    char enclave[64]; /* empty: all */
    uint32_t snap;
    uint8_t directions;
    bool only_dropped;
    unsigned filter_count;
    struct sock_filter filter[BPF_PROGRAM_MAX];
};

struct tap_capture {
    bool used, closing;
    int fd;
    struct tap_ring *rings;
    struct tap_wish wish;
    unsigned ring_count, left_out; /* lanes that found no ring */
    struct tap_port ports[TAP_RINGS_MAX];
    struct lane *lanes[TAP_RINGS_MAX];
};

/* Zero-initialised. */
struct tap_table {
    unsigned lane_count;
    struct tap_lane {
        struct lane *lane;
        unsigned number;
        char enclave[64];
    } lanes[TAP_LANES_MAX];
    struct tap_capture captures[TAP_CAPTURES_MAX];
};

/* Makes a lane known, for captures that run and that come. Whenever a lane is made. */
void tap_add_lane(struct tap_table *table, struct lane *lane, const char *enclave, unsigned number);
/* Forgets it: before lane_free(), while it does not run. */
void tap_remove_lane(struct tap_table *table, struct lane *lane);

/* Begins a capture. NULL with a sentence. *fd is the shared memory, the caller's to close. */
struct tap_capture *tap_begin(struct tap_table *table, const struct tap_wish *wish, int *fd,
                              struct failure *failure);

/* Ends it: lanes let go, then tap_poll() frees it. context is the capture (for control_hold()). */
void tap_end(void *context);

/* Frees what has ended; for how many milliseconds nothing will be due, -1 for ever. */
int tap_poll(struct tap_table *table);

/* "capture KEY=VALUE..." of the control protocol, docs/control.md. False with a sentence. */
bool tap_parse_wish(unsigned count, const char *const *words, struct tap_wish *out,
                    struct failure *failure);

#endif
