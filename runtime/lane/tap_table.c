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

static void attach(struct tap_table *table, struct tap_capture *capture,
                   const struct tap_lane *lane)
{
    unsigned index = (unsigned)(capture - table->captures), place = capture->ring_count;

    if (capture->wish.enclave[0] != '\0' && strcmp(capture->wish.enclave, lane->enclave) != 0)
        return;
    if (place == TAP_RINGS_MAX) {
        capture->left_out++;
        return;
    }
    struct tap_ring *ring = &capture->rings[place];
    snprintf(ring->name, sizeof(ring->name), "%s%slane %u", lane->enclave,
             lane->enclave[0] ? " " : "", lane->number);
    __atomic_store_n(&ring->in_use, 1, __ATOMIC_RELEASE);
    capture->ports[place] = (struct tap_port){
        .ring = ring,
        .filter = capture->wish.filter,
        .filter_count = capture->wish.filter_count,
        .snap = capture->wish.snap,
        .directions = capture->wish.directions,
        .only_dropped = capture->wish.only_dropped,
    };
    capture->lanes[place] = lane->lane;
    capture->ring_count++;
    lane_set_tap(lane->lane, index, &capture->ports[place]);
}

void tap_add_lane(struct tap_table *table, struct lane *lane, const char *enclave, unsigned number)
{
    if (table->lane_count == TAP_LANES_MAX)
        return;
    struct tap_lane *added = &table->lanes[table->lane_count++];
    *added = (struct tap_lane){.lane = lane, .number = number};
    snprintf(added->enclave, sizeof(added->enclave), "%s", enclave);
    for (unsigned i = 0; i < TAP_CAPTURES_MAX; i++)
        if (table->captures[i].used && !table->captures[i].closing)
            attach(table, &table->captures[i], added);
}

void tap_remove_lane(struct tap_table *table, struct lane *lane)
{
    for (unsigned i = 0; i < table->lane_count; i++)
        if (table->lanes[i].lane == lane)
            table->lanes[i--] = table->lanes[--table->lane_count];
    for (unsigned i = 0; i < TAP_CAPTURES_MAX; i++)
        for (unsigned k = 0; k < table->captures[i].ring_count; k++)
            if (table->captures[i].lanes[k] == lane)
                table->captures[i].lanes[k] = NULL;
}

/* ---- captures ---- */

/* Sealed, so that a reader cannot cut the memory off under the lanes. */
static int make_memory(struct tap_capture *capture)
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
    capture->rings = memory;
    return fd;
}

struct tap_capture *tap_begin(struct tap_table *table, const struct tap_wish *wish, int *fd,
                              struct failure *failure)
{
    struct tap_capture *capture = NULL;

    for (unsigned i = 0; i < TAP_CAPTURES_MAX && capture == NULL; i++)
        if (!table->captures[i].used)
            capture = &table->captures[i];
    if (capture == NULL) {
        failure_set(failure, "%d captures run already", TAP_CAPTURES_MAX);
        return NULL;
    }
    *capture = (struct tap_capture){.wish = *wish};
    *fd = make_memory(capture);
    if (*fd < 0) {
        failure_set(failure, "no memory for a capture: %s", strerror(-*fd));
        return NULL;
    }
    capture->used = true;
    for (unsigned i = 0; i < table->lane_count; i++)
        attach(table, capture, &table->lanes[i]);
    return capture;
}

void tap_end(void *context)
{
    struct tap_capture *capture = context;

    capture->closing = true;
}

/* Have all lanes let go of the capture? Asks them to. */
static bool let_go(struct tap_capture *capture, unsigned index)
{
    bool all = true;

    for (unsigned i = 0; i < capture->ring_count; i++) {
        if (capture->lanes[i] == NULL)
            continue;
        lane_set_tap(capture->lanes[i], index, NULL);
        all &= lane_tap_gone(capture->lanes[i], index);
    }
    return all;
}

int tap_poll(struct tap_table *table)
{
    int due_ms = -1;

    for (unsigned i = 0; i < TAP_CAPTURES_MAX; i++) {
        struct tap_capture *capture = &table->captures[i];
        if (!capture->used || !capture->closing)
            continue;
        if (let_go(capture, i)) {
            munmap(capture->rings, TAP_MEMORY_BYTES);
            capture->used = false;
        } else {
            due_ms = SETTLE_MS;
        }
    }
    return due_ms;
}
