/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/lane/taps.h"

#include <string.h>
#include <time.h>

/* ---- one port ---- */

static bool is_wanted(const struct tap_port *port, const uint8_t *packet, uint32_t length,
                      enum tap_direction direction, uint16_t reason)
{
    if (!(port->directions & 1u << direction) || (port->only_dropped && reason == TAP_PASSED))
        return false;
    return port->filter_count == 0 || bpf_run(port->filter, packet, length) != 0;
}

/* Makes head the place of a record of this size, behind a skip if it would cross the end. False: no
 * room. */
static bool make_room(struct tap_port *port, uint32_t size)
{
    struct tap_ring *ring = port->ring;
    uint64_t used = port->head - __atomic_load_n(&ring->tail, __ATOMIC_ACQUIRE);
    uint32_t at = port->head % TAP_RING_BYTES, to_end = TAP_RING_BYTES - at;
    uint32_t skip = size > to_end ? to_end : 0;

    /* A reader that claims more than was written has no room to give. */
    if (used > TAP_RING_BYTES || TAP_RING_BYTES - used < (uint64_t)size + skip)
        return false;
    /* A record's header is as long as three steps: the end may be too near for one. */
    if (skip >= sizeof(struct tap_record))
        *(struct tap_record *)(ring->records + at) =
            (struct tap_record){.size = skip, .direction = TAP_SKIP};
    port->head += skip;
    return true;
}

void tap_packet(struct tap_port *port, const uint8_t *packet, uint32_t length,
                enum tap_direction direction, uint16_t reason, uint64_t time_ns)
{
    uint32_t captured = length < port->snap ? length : port->snap;
    uint32_t size = (uint32_t)(sizeof(struct tap_record) + captured + 7) & ~7u;

    if (!is_wanted(port, packet, length, direction, reason))
        return;
    if (!make_room(port, size)) {
        __atomic_store_n(&port->ring->lost, port->ring->lost + 1, __ATOMIC_RELAXED);
        return;
    }
    struct tap_record *record =
        (struct tap_record *)(port->ring->records + port->head % TAP_RING_BYTES);
    *record = (struct tap_record){
        .size = size,
        .captured = captured,
        .length = length,
        .reason = reason,
        .direction = (uint8_t)direction,
        .time_ns = time_ns,
    };
    memcpy(record + 1, packet, captured);
    port->head += size;
    __atomic_store_n(&port->ring->head, port->head, __ATOMIC_RELEASE);
}

/* ---- a lane's taps ---- */

void taps_init(struct taps *taps)
{
    pthread_mutex_init(&taps->lock, NULL);
}

void taps_destroy(struct taps *taps)
{
    pthread_mutex_destroy(&taps->lock);
}

bool taps_want(struct taps *taps, unsigned place, struct tap_port *port)
{
    pthread_mutex_lock(&taps->lock);
    bool changed = taps->wanted[place] != port;
    taps->wanted[place] = port;
    pthread_mutex_unlock(&taps->lock);
    return changed;
}

bool taps_gone(struct taps *taps, unsigned place)
{
    pthread_mutex_lock(&taps->lock);
    bool gone = taps->ports[place] == NULL;
    pthread_mutex_unlock(&taps->lock);
    return gone;
}

void taps_update(struct taps *taps)
{
    pthread_mutex_lock(&taps->lock);
    taps->count = 0;
    for (unsigned i = 0; i < TAPS_MAX; i++) {
        taps->ports[i] = taps->wanted[i];
        taps->count += taps->ports[i] != NULL;
    }
    pthread_mutex_unlock(&taps->lock);
}

void taps_drop(struct taps *taps)
{
    pthread_mutex_lock(&taps->lock);
    memset(taps->ports, 0, sizeof(taps->ports));
    taps->count = 0;
    pthread_mutex_unlock(&taps->lock);
}

void taps_show(struct taps *taps, const uint8_t *packet, size_t length,
               enum tap_direction direction, uint16_t reason)
{
    struct timespec now;

    clock_gettime(CLOCK_REALTIME, &now);
    uint64_t time_ns = (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
    for (unsigned i = 0; i < TAPS_MAX; i++)
        if (taps->ports[i] != NULL)
            tap_packet(taps->ports[i], packet, (uint32_t)length, direction, reason, time_ns);
}
