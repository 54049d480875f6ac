/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/lane/tap_table.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define SETTLE_MS 20 /* between looks whether lanes have let go */

/* ---- lanes ---- */

static void attach(struct tap_table *table, struct tap *tap, const struct tap_lane *lane)
{
    unsigned index = (unsigned)(tap - table->taps), place = tap->ring_count;

    if (tap->wish.enclave[0] != '\0' && strcmp(tap->wish.enclave, lane->enclave) != 0)
        return;
    if (place == TAP_RINGS_MAX) {
        tap->left_out++;
        return;
    }
    struct tap_ring *ring = &tap->rings[place];
    snprintf(ring->name, sizeof(ring->name), "%s%slane %u", lane->enclave,
             lane->enclave[0] ? " " : "", lane->number);
    __atomic_store_n(&ring->in_use, 1, __ATOMIC_RELEASE);
    tap->ports[place] = (struct tap_port){
        .ring = ring,
        .filter = tap->wish.filter,
        .filter_count = tap->wish.filter_count,
        .snap = tap->wish.snap,
        .directions = tap->wish.directions,
        .only_dropped = tap->wish.only_dropped,
    };
    tap->lanes[place] = lane->lane;
    tap->ring_count++;
    lane_set_tap(lane->lane, index, &tap->ports[place]);
}

void tap_add_lane(struct tap_table *table, struct lane *lane, const char *enclave, unsigned number)
{
    if (table->lane_count == TAP_LANES_MAX)
        return;
    struct tap_lane *added = &table->lanes[table->lane_count++];
    *added = (struct tap_lane){.lane = lane, .number = number};
    snprintf(added->enclave, sizeof(added->enclave), "%s", enclave);
    for (unsigned i = 0; i < TAPS_MAX; i++)
        if (table->taps[i].used && !table->taps[i].closing)
            attach(table, &table->taps[i], added);
}

void tap_remove_lane(struct tap_table *table, struct lane *lane)
{
    for (unsigned i = 0; i < table->lane_count; i++)
        if (table->lanes[i].lane == lane)
            table->lanes[i--] = table->lanes[--table->lane_count];
    for (unsigned i = 0; i < TAPS_MAX; i++)
        for (unsigned k = 0; k < table->taps[i].ring_count; k++)
            if (table->taps[i].lanes[k] == lane)
                table->taps[i].lanes[k] = NULL;
}

/* ---- taps ---- */

/* Sealed, so that a reader cannot cut the memory off under the lanes. */
static int make_memory(struct tap *tap)
{
    int fd = memfd_create("causeway-tap", MFD_CLOEXEC | MFD_ALLOW_SEALING);

    if (fd < 0)
        return -errno;
    void *memory = MAP_FAILED;
    if (ftruncate(fd, TAP_MEMORY_BYTES) == 0 &&
        fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) == 0)
        memory = mmap(NULL, TAP_MEMORY_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (memory == MAP_FAILED) {
        int error = errno;
        close(fd);
        return -error;
    }
    tap->rings = memory;
    return fd;
}

struct tap *tap_begin(struct tap_table *table, const struct tap_wish *wish, int *fd,
                      struct failure *failure)
{
    struct tap *tap = NULL;

    for (unsigned i = 0; i < TAPS_MAX && tap == NULL; i++)
        if (!table->taps[i].used)
            tap = &table->taps[i];
    if (tap == NULL) {
        failure_set(failure, "%d captures run already", TAPS_MAX);
        return NULL;
    }
    *tap = (struct tap){.wish = *wish};
    *fd = make_memory(tap);
    if (*fd < 0) {
        failure_set(failure, "no memory for a capture: %s", strerror(-*fd));
        return NULL;
    }
    tap->used = true;
    for (unsigned i = 0; i < table->lane_count; i++)
        attach(table, tap, &table->lanes[i]);
    return tap;
}

void tap_end(void *context)
{
    struct tap *tap = context;

    tap->closing = true;
}

/* Have all lanes let go of it? Asks them to. */
static bool let_go(struct tap *tap, unsigned index)
{
    bool all = true;

    for (unsigned i = 0; i < tap->ring_count; i++) {
        if (tap->lanes[i] == NULL)
            continue;
        lane_set_tap(tap->lanes[i], index, NULL);
        all &= lane_tap_gone(tap->lanes[i], index);
    }
    return all;
}

int tap_poll(struct tap_table *table)
{
    int due_ms = -1;

    for (unsigned i = 0; i < TAPS_MAX; i++) {
        struct tap *tap = &table->taps[i];
        if (!tap->used || !tap->closing)
            continue;
        if (let_go(tap, i)) {
            munmap(tap->rings, TAP_MEMORY_BYTES);
            tap->used = false;
        } else {
            due_ms = SETTLE_MS;
        }
    }
    return due_ms;
}
