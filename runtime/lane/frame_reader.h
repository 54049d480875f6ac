/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reads one control frame from a non-blocking stream during the handshake, and not a byte more:
 * what follows belongs to the lane.
 */
#ifndef CAUSEWAY_RUNTIME_LANE_FRAME_READER_H
#define CAUSEWAY_RUNTIME_LANE_FRAME_READER_H

#include <stddef.h>
#include <stdint.h>

#include "packet/frame.h"

struct frame_reader {
    size_t have;
    struct frame_header header; /* valid after frame_reader_read() returned 1 */
    uint8_t bytes[FRAME_HEADER_BYTES + FRAME_CONTROL_MAX];
};

/* 1: complete; 0: more is needed; -EPROTO: not a control frame; -ECONNRESET: closed; else -errno.
 */
int frame_reader_read(struct frame_reader *reader, int fd);

static inline const uint8_t *frame_reader_payload(const struct frame_reader *reader)
{
    return reader->bytes + FRAME_HEADER_BYTES;
}

#endif
