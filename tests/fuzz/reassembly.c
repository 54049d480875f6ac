/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The budget of fragments of one peer with two lanes. Input: for each packet two bytes of
 * milliseconds that pass, one whose lowest bit is the lane, two of its length, and its bytes. At
 * any time what the budget holds is what the datagrams of all lanes are charged.
 */
#include <string.h>

#include "packet/bytes.h"
#include "packet/reassembly.h"
#include "tests/fuzz/fuzz.h"

#define LANES     2
#define ROW_BYTES 5
#define LIMIT     20000

static struct reassembly lanes[LANES];
static struct reassembly_budget budget;

static void check_charges(uint64_t now_ms)
{
    uint64_t charged = 0;

    for (unsigned lane = 0; lane < LANES; lane++) {
        CHECK(lanes[lane].count <= REASSEMBLY_DATAGRAMS);
        for (unsigned i = 0; i < lanes[lane].count; i++) {
            charged += lanes[lane].datagrams[i].charge;
            CHECK(lanes[lane].datagrams[i].charge > 0);
            CHECK(lanes[lane].datagrams[i].old_ms >= lanes[lane].next_old_ms);
            CHECK(lanes[lane].datagrams[i].old_ms <= now_ms + 61000);
        }
    }
    CHECK(charged == budget.held && budget.held <= LIMIT);
}

static void admit(struct reassembly *lane, const uint8_t *bytes, size_t length, uint64_t now_ms)
{
    struct parsed_packet parsed;
    uint8_t *packet = malloc(length > 0 ? length : 1);

    memcpy(packet, bytes, length);
    if (packet_parse(packet, length, &parsed) == PACKET_OK && parsed.is_fragment) {
        uint32_t before = budget.held;
        if (!reassembly_admit(lane, &budget, packet, &parsed, now_ms))
            CHECK(budget.held <= before);
    }
    free(packet);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint64_t now_ms = 1000;

    memset(lanes, 0, sizeof(lanes));
    memset(&budget, 0, sizeof(budget));
    lanes[1].lane = 1;
    budget.limit = LIMIT;
    while (size >= ROW_BYTES) {
        size_t length = load_be16(data + 3);
        now_ms += load_be16(data);
        struct reassembly *lane = &lanes[data[2] % LANES];
        data += ROW_BYTES;
        size -= ROW_BYTES;
        if (length > size)
            length = size;
        admit(lane, data, length, now_ms);
        check_charges(now_ms);
        data += length;
        size -= length;
    }
    return 0;
}
