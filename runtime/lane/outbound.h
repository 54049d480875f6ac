/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The lane's way out, first half: from the kernel's capture sockets to frames.
 *
 * Sources (NFQUEUE or AF_PACKET) are read by multishot receives into published slots. What arrives
 * is parsed, gets its frame header written in front of it, and goes to the batches. While no slot
 * is free nothing is read, and the kernel's queue fills and drops: memory and delay are bounded.
 */
#ifndef CAUSEWAY_RUNTIME_LANE_OUTBOUND_H
#define CAUSEWAY_RUNTIME_LANE_OUTBOUND_H

#include <stdbool.h>
#include <stdint.h>

#include "runtime/host/nfqueue.h"
#include "runtime/lane/batch.h"
#include "runtime/lane/context.h"
#include "runtime/lane/slots.h"

struct source_state {
    bool armed;
    bool retry_at_tick;
    bool verdict_due;
    uint32_t verdict_id;
    uint8_t verdict[NFQUEUE_VERDICT_BYTES];
};

struct outbound {
    struct lane_context *lane;
    struct slots *slots;
    struct batches *batches;
    struct source_state sources[LANE_SOURCES_MAX];
    uint32_t average_capture; /* bytes, running */
    uint32_t fragment_identification;
    struct log_limit failures;
};

void outbound_init(struct outbound *outbound, struct lane_context *lane, struct slots *slots,
                   struct batches *batches);

/* At the start of a stream. */
void outbound_start(struct outbound *outbound);

/* Queues one batch verdict for each queue that delivered something in this turn. */
void outbound_verdicts(struct outbound *outbound);

/* Publishes free slots and asks the sources to deliver into them. */
void outbound_arm(struct outbound *outbound);

/* Sources that failed are tried again. */
void outbound_tick(struct outbound *outbound);

#endif
