/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Bytes that a stream's client has not read yet. They lie in blocks of a pool that all streams
 * share: who reads at once, as nearly all do, needs none.
 */
#ifndef CAUSEWAY_DNS_SERVE_STREAM_OUTPUT_H
#define CAUSEWAY_DNS_SERVE_STREAM_OUTPUT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define STREAM_BLOCK_BYTES 4096
#define STREAM_OUTPUT_MAX  (256 * 1024) /* of one stream: a few of the longest answers */

struct stream_blocks; /* opaque: one allocation */
struct stream_blocks *stream_blocks_create(unsigned count);
void stream_blocks_free(struct stream_blocks *blocks);

#define STREAM_NO_BLOCK UINT32_MAX

/* One stream's queue; empty: {STREAM_NO_BLOCK, STREAM_NO_BLOCK, 0, 0}. */
struct stream_output {
    uint32_t first, last; /* blocks */
    uint32_t offset;      /* of the first byte in the first block */
    uint32_t bytes;       /* in all */
};
void stream_output_init(struct stream_output *output);

/* Queues bytes. False, and nothing queued: the pool is empty, or the stream has too many. */
bool stream_output_add(struct stream_blocks *blocks, struct stream_output *output,
                       const uint8_t *bytes, size_t length);
/* The next contiguous bytes (0: none), to be written; then how many of them were. */
size_t stream_output_peek(const struct stream_blocks *blocks, const struct stream_output *output,
                          const uint8_t **bytes);
void stream_output_drop(struct stream_blocks *blocks, struct stream_output *output, size_t length);
/* Gives all blocks back. */
void stream_output_clear(struct stream_blocks *blocks, struct stream_output *output);

#endif
