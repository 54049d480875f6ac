/* SPDX-License-Identifier: Apache-2.0 */
#include "dns/serve/stream_output.h"

#include <stdlib.h>
#include <string.h>

struct block {
    uint32_t next;
    uint8_t bytes[STREAM_BLOCK_BYTES];
};

struct stream_blocks {
    uint32_t free, free_count;
    uint32_t untouched; /* from here on none was used yet: no memory behind them */
    struct block blocks[];
};

struct stream_blocks *stream_blocks_create(unsigned count)
{
    struct stream_blocks *blocks = calloc(1, sizeof(*blocks) + count * sizeof(struct block));

    if (blocks == NULL)
        return NULL;
    blocks->free = STREAM_NO_BLOCK;
    blocks->free_count = count;
    return blocks;
}

void stream_blocks_free(struct stream_blocks *blocks)
{
    free(blocks);
}

void stream_output_init(struct stream_output *output)
{
    *output = (struct stream_output){.first = STREAM_NO_BLOCK, .last = STREAM_NO_BLOCK};
}

/* Bytes that still fit the last block. */
static size_t room_at_end(const struct stream_output *output)
{
    return output->bytes == 0
               ? 0
               : (STREAM_BLOCK_BYTES - (output->offset + output->bytes) % STREAM_BLOCK_BYTES) %
                     STREAM_BLOCK_BYTES;
}

static void add_block(struct stream_blocks *blocks, struct stream_output *output)
{
    uint32_t index = blocks->free;

    if (index == STREAM_NO_BLOCK)
        index = blocks->untouched++;
    else
        blocks->free = blocks->blocks[index].next;
    blocks->free_count--;
    blocks->blocks[index].next = STREAM_NO_BLOCK;
    if (output->last == STREAM_NO_BLOCK)
        output->first = index;
    else
        blocks->blocks[output->last].next = index;
    output->last = index;
}

bool stream_output_add(struct stream_blocks *blocks, struct stream_output *output,
                       const uint8_t *bytes, size_t length)
{
    size_t room = room_at_end(output);

    if (output->bytes + length > STREAM_OUTPUT_MAX ||
        length > room + (size_t)blocks->free_count * STREAM_BLOCK_BYTES)
        return false;
    while (length > 0) {
        if (room == 0) {
            add_block(blocks, output);
            room = STREAM_BLOCK_BYTES;
        }
        size_t part = length < room ? length : room;
        memcpy(blocks->blocks[output->last].bytes + STREAM_BLOCK_BYTES - room, bytes, part);
        output->bytes += (uint32_t)part;
        bytes += part;
        length -= part;
        room -= part;
    }
    return true;
}

size_t stream_output_peek(const struct stream_blocks *blocks, const struct stream_output *output,
                          const uint8_t **bytes)
{
    size_t room = STREAM_BLOCK_BYTES - output->offset;

    if (output->bytes == 0)
        return 0;
    *bytes = blocks->blocks[output->first].bytes + output->offset;
    return output->bytes < room ? output->bytes : room;
}

static void drop_block(struct stream_blocks *blocks, struct stream_output *output)
{
    uint32_t index = output->first;

    output->first = blocks->blocks[index].next;
    output->offset = 0;
    blocks->blocks[index].next = blocks->free;
    blocks->free = index;
    blocks->free_count++;
}

void stream_output_drop(struct stream_blocks *blocks, struct stream_output *output, size_t length)
{
    output->bytes -= (uint32_t)length;
    output->offset += (uint32_t)length;
    if (output->bytes == 0)
        stream_output_clear(blocks, output);
    else if (output->offset == STREAM_BLOCK_BYTES)
        drop_block(blocks, output);
}

void stream_output_clear(struct stream_blocks *blocks, struct stream_output *output)
{
    while (output->first != STREAM_NO_BLOCK)
        drop_block(blocks, output);
    stream_output_init(output);
}
