/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The memory of a capture as a hostile daemon may write it. Input: how far from the ring's end the
 * positions are (4 bytes), how far the head is ahead (8 bytes), then what is in the ring. Packets
 * lie within the ring, and the reader never gets ahead of the writer, nor stops coming to an end.
 */
#include <string.h>
#include <sys/mman.h>

#include "ctl/pcapng.h"
#include "ctl/rings.h"
#include "tests/fuzz/fuzz.h"

#define HEAD_BYTES 12

static struct tap_ring *memory;

/* Copies into the ring from a position on, around its end. */
static void fill(uint64_t position, const uint8_t *data, size_t size)
{
    for (size_t i = 0; i < size; i++)
        memory->records[(position + i) % TAP_RING_BYTES] = data[i];
}

static void read_all(struct rings *rings, uint64_t head, FILE *out)
{
    const uint8_t *end = memory->records + TAP_RING_BYTES;
    struct rings_packet packet;
    unsigned count = 0;

    while (rings_oldest(rings, &packet)) {
        CHECK(packet.ring == 0 && packet.bytes >= memory->records && packet.bytes <= end);
        CHECK(packet.record.captured <= (size_t)(end - packet.bytes));
        pcapng_packet(out, &(struct pcapng_packet){.captured = packet.record.captured,
                                                   .length = packet.record.length,
                                                   .bytes = packet.bytes});
        rings_release(rings, &packet);
        CHECK(head - rings->tail[0] <= TAP_RING_BYTES && memory->tail == rings->tail[0]);
        CHECK(++count <= TAP_RING_BYTES / sizeof(struct tap_record));
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static FILE *nowhere;
    struct rings rings = {0};
    uint32_t from_end;
    uint64_t ahead;

    if (memory == NULL)
        memory = mmap(NULL, TAP_MEMORY_BYTES, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (nowhere == NULL)
        nowhere = fopen("/dev/null", "w");
    CHECK(memory != MAP_FAILED && nowhere != NULL);
    if (size < HEAD_BYTES || size > TAP_RING_BYTES)
        return 0;
    memcpy(&from_end, data, sizeof(from_end));
    memcpy(&ahead, data + 4, sizeof(ahead));
    uint64_t start = 3ull * TAP_RING_BYTES - from_end % TAP_RING_BYTES / 8 * 8;
    rings.memory = memory;
    rings.tail[0] = memory->tail = start;
    memory->head = start + ahead;
    memory->in_use = 1;
    fill(start, data + HEAD_BYTES, size - HEAD_BYTES);
    read_all(&rings, memory->head, nowhere);
    for (size_t i = 0; i < size; i++) /* all that was written, for the next input */
        memory->records[(start + i) % TAP_RING_BYTES] = 0;
    return 0;
}
