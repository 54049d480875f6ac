/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The control thread's end of the taps (runtime/lane/taps.h): which there are, and on which lanes.
 * It gives a lane its ports and takes them back when the client's connection ends; the memory goes
 * when every lane has let go.
 */
#ifndef CAUSEWAY_RUNTIME_LANE_TAP_TABLE_H
#define CAUSEWAY_RUNTIME_LANE_TAP_TABLE_H

#include <stdbool.h>
#include <stdint.h>

#include "packet/bpf.h"
#include "runtime/base/failure.h"
#include "runtime/base/tap_ring.h"
#include "runtime/lane/lane.h"
#include "runtime/lane/taps.h"

#define TAP_LANES_MAX 512 /* of the daemon */

struct tap_wish {
    char enclave[64]; /* empty: all */
    uint32_t snap;
    uint8_t directions;
    bool only_dropped;
    unsigned filter_count;
    struct sock_filter filter[BPF_PROGRAM_MAX];
};

struct tap {
    bool used, closing;
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
    struct tap taps[TAPS_MAX];
};

/* Makes a lane known, for taps that are there and that come. Whenever a lane is made. */
void tap_add_lane(struct tap_table *table, struct lane *lane, const char *enclave, unsigned number);
/* Forgets it: before lane_free(), while it does not run. */
void tap_remove_lane(struct tap_table *table, struct lane *lane);

/* Makes a tap. NULL with a sentence. *fd is the shared memory, the caller's to close. */
struct tap *tap_begin(struct tap_table *table, const struct tap_wish *wish, int *fd,
                      struct failure *failure);

/* Ends it: lanes let go, then tap_poll() frees it. context is the tap (for control_hold()). */
void tap_end(void *context);

/* Frees what has ended; for how many milliseconds nothing will be due, -1 for ever. */
int tap_poll(struct tap_table *table);

#endif
