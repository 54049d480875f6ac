/* SPDX-License-Identifier: Apache-2.0 */
#include "ctl/rings.h"

#include <string.h>

unsigned rings_count(const struct rings *rings)
{
    unsigned count = 0;

    while (count < TAP_RINGS_MAX &&
           __atomic_load_n(&rings->memory[count].in_use, __ATOMIC_ACQUIRE) != 0)
        count++;
    return count;
}

void rings_name(const struct rings *rings, unsigned i, char out[TAP_NAME_BYTES + 1])
{
    memcpy(out, rings->memory[i].name, TAP_NAME_BYTES);
    out[TAP_NAME_BYTES] = '\0';
}

uint64_t rings_lost(const struct rings *rings, unsigned i)
{
    return __atomic_load_n(&rings->memory[i].lost, __ATOMIC_RELAXED);
}

static void advance(struct rings *rings, unsigned i, uint32_t bytes)
{
    rings->tail[i] += bytes;
    __atomic_store_n(&rings->memory[i].tail, rings->tail[i], __ATOMIC_RELEASE);
}

/* A whole record within `space` bytes, the next one at a multiple of 8 again. */
static bool is_possible(const struct tap_record *record, uint64_t space)
{
    return record->size >= sizeof(*record) && record->size <= space && record->size % 8 == 0 &&
           record->captured <= record->size - sizeof(*record);
}

/* The next record of a ring; what fills the ring up to its end is skipped. */
static bool next_record(struct rings *rings, unsigned i, struct rings_packet *out)
{
    struct tap_ring *ring = &rings->memory[i];

    for (;;) {
        uint64_t there = __atomic_load_n(&ring->head, __ATOMIC_ACQUIRE) - rings->tail[i];
        uint32_t at = rings->tail[i] % TAP_RING_BYTES, to_end = TAP_RING_BYTES - at;
        bool skip = to_end < sizeof(out->record);
        if (there == 0 || there > TAP_RING_BYTES)
            return false;
        if (!skip) {
            memcpy(&out->record, ring->records + at, sizeof(out->record));
            __atomic_signal_fence(__ATOMIC_SEQ_CST); /* from here on the copy, never the ring */
            skip = out->record.direction == TAP_SKIP;
        }
        if (!skip) {
            out->ring = i;
            out->bytes = ring->records + at + sizeof(out->record);
            return is_possible(&out->record, there < to_end ? there : to_end);
        }
        if (there < to_end)
            return false;
        advance(rings, i, to_end);
    }
}

bool rings_oldest(struct rings *rings, struct rings_packet *out)
{
    unsigned count = rings_count(rings);
    struct rings_packet packet;
    bool any = false;

    for (unsigned i = 0; i < count; i++) {
        if (next_record(rings, i, &packet) &&
            (!any || packet.record.time_ns < out->record.time_ns)) {
            *out = packet;
            any = true;
        }
    }
    return any;
}

void rings_release(struct rings *rings, const struct rings_packet *packet)
{
    advance(rings, packet->ring, packet->record.size);
}
