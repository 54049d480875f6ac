/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An io_uring without a kernel: this file's functions take the place of liburing's when the program
 * is linked, so that a lane runs its own loop on a fixed replay. What a kernel would do (fill
 * slots, take writes) costs no counted instruction: counting is off from a submission until it
 * returns.
 */
#ifndef CAUSEWAY_TESTS_COUNTS_RING_H
#define CAUSEWAY_TESTS_COUNTS_RING_H

#include <stddef.h>
#include <stdint.h>

struct message { /* what one receive on a capture socket delivers */
    const uint8_t *bytes;
    uint32_t length;
};

/* What the next lane meets: captured messages, `burst` at a time, then the stream's bytes, `chunk`
 * at a time, then the stream's end. All borrowed while the lane runs. */
struct ring_script {
    const struct message *messages;
    unsigned message_count, burst;
    const uint8_t *stream;
    size_t stream_bytes, chunk;
    uint8_t *sent; /* NULL, or room for what the lane writes to the stream */
    size_t sent_room;
};

/* What the lane did. */
struct ring_result {
    size_t sent_bytes;
    unsigned writes, injected, verdicts, submissions;
};

void ring_script(const struct ring_script *script);
struct ring_result ring_result(void);

#endif
