/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Joins what can be joined of a row of packets, takes it apart again, and compares. Input: records
 * of flags (1 byte), length (2, little endian), packet; they lie in memory as on the link, with
 * room for a frame header in between.
 */
#include <netinet/in.h>
#include <string.h>

#include "packet/coalesce.h"
#include "packet/segment.h"
#include "tests/fuzz/fuzz.h"

#define RECORD_BYTES 3
#define GAP          24
#define INPUT_MAX    65536

struct original {
    uint8_t *packet;
    struct parsed_packet parsed;
    struct offload offload;
};

static struct original joined[COALESCE_MAX];
static struct coalescer coalescer;

/* What goes out of this original by itself, its sum filled in; without the fields that have no
 * meaning when DF is set. */
static void finish(uint8_t *packet, const struct original *original)
{
    if (original->offload.flags)
        offload_complete_checksum(packet, &original->parsed);
    if (original->parsed.src.version == 4 && original->parsed.dont_fragment) {
        memset(packet + 4, 0, 2);
        memset(packet + 10, 0, 2);
    }
}

static void compare_segments(const uint8_t *whole, const struct parsed_packet *parsed,
                             struct offload offload, unsigned count)
{
    static uint8_t out[PACKET_MAX_BYTES];
    struct segmenter segmenter;

    CHECK(segment_init(&segmenter, whole, parsed, offload) == OFFLOAD_OK);
    for (unsigned i = 0; i < count; i++) {
        struct original *original = &joined[i];
        CHECK(segment_next(&segmenter, out, sizeof(out)) == original->parsed.total_length);
        finish(out, &(struct original){.parsed = original->parsed});
        finish(original->packet, original);
        CHECK(memcmp(out, original->packet, original->parsed.total_length) == 0);
    }
    CHECK(segment_next(&segmenter, out, sizeof(out)) == 0);
}

static void take_apart(void)
{
    unsigned count = coalescer.count;
    const uint8_t *whole = coalescer.packet;
    struct parsed_packet parsed, again;

    if (count == 0)
        return;
    struct offload offload = coalesce_end(&coalescer, &parsed);
    CHECK(packet_parse(whole, parsed.total_length, &again) == PACKET_OK);
    CHECK(again.total_length == parsed.total_length);
    if (count > 1)
        compare_segments(whole, &parsed, offload, count);
    else
        CHECK(memcmp(whole, joined[0].packet, parsed.total_length) == 0 &&
              offload.flags == joined[0].offload.flags && offload.gso_size == 0);
    for (unsigned i = 0; i < count; i++)
        free(joined[i].packet);
}

static void run_packet(uint8_t *packet, size_t length, uint8_t flags)
{
    struct original now = {.offload = {.flags = flags & 3, .gso_size = (uint16_t)(flags >> 2)}};
    unsigned count = coalescer.count;

    if (packet_parse(packet, length, &now.parsed) != PACKET_OK || now.parsed.total_length != length)
        return;
    now.packet = malloc(length);
    memcpy(now.packet, packet, length);
    if (coalesce_add(&coalescer, packet, &now.parsed, now.offload)) {
        CHECK(count > 0 && count < COALESCE_MAX);
        joined[count] = now;
        return;
    }
    CHECK(coalescer.count == count && memcmp(now.packet, packet, length) == 0);
    take_apart();
    if (coalesce_begin(&coalescer, packet, &now.parsed, now.offload))
        joined[0] = now;
    else
        free(now.packet);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size > INPUT_MAX)
        return 0;
    uint8_t *memory = malloc(size / RECORD_BYTES * GAP + size + GAP), *at = memory;
    while (size >= RECORD_BYTES) {
        size_t length = load_le16(data + 1);
        if (length > size - RECORD_BYTES)
            break;
        at += GAP;
        memcpy(at, data + RECORD_BYTES, length);
        run_packet(at, length, data[0]);
        at += length;
        data += RECORD_BYTES + length;
        size -= RECORD_BYTES + length;
    }
    take_apart();
    free(memory);
    return 0;
}
