/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/vm/switch/exchange.h"

#include <endian.h>
#include <stddef.h>
#include <string.h>

#define HEADER_BYTES sizeof(struct virtio_vsock_hdr)

void exchange_guest_init(struct exchange_guest *guest, uint64_t cid)
{
    memset(guest, 0, sizeof(*guest));
    guest->cid = cid;
    for (int i = 0; i < EXCHANGE_QUEUES; i++)
        queue_init(&guest->queues[i]);
}

void exchange_guest_detach(struct exchange_guest *guest)
{
    for (int i = 0; i < EXCHANGE_QUEUES; i++)
        queue_reset(&guest->queues[i]);
    memory_clear(&guest->memory);
    guest->first.known = false;
}

/* Copies between two lists of buffers, each from its own offset; both are long enough. */
static void copy(const struct iovec *to, size_t to_offset, const struct iovec *from,
                 size_t from_offset, size_t length)
{
    while (length > 0) {
        size_t piece = length;

        if (to_offset >= to->iov_len) {
            to_offset -= (to++)->iov_len;
            continue;
        }
        if (from_offset >= from->iov_len) {
            from_offset -= (from++)->iov_len;
            continue;
        }
        if (piece > to->iov_len - to_offset)
            piece = to->iov_len - to_offset;
        if (piece > from->iov_len - from_offset)
            piece = from->iov_len - from_offset;
        memcpy((uint8_t *)to->iov_base + to_offset, (const uint8_t *)from->iov_base + from_offset,
               piece);
        to_offset += piece;
        from_offset += piece;
        length -= piece;
    }
}

static void drop_first(struct exchange_guest *from, const struct queue_chain *sent)
{
    from->first.known = false;
    queue_finish(&from->queues[EXCHANGE_TX], sent, 0);
}

/* Takes the header of a chain that is seen for the first time. False: the chain is dropped. */
static bool learn(struct exchange_guest *from, const struct queue_chain *sent)
{
    struct exchange_packet *first = &from->first;
    struct iovec header = {.iov_base = &first->header, .iov_len = HEADER_BYTES};

    if (sent->readable_bytes < HEADER_BYTES) {
        from->malformed++;
        drop_first(from, sent);
        return false;
    }
    copy(&header, 0, sent->readable, 0, HEADER_BYTES);
    if (le32toh(first->header.len) > sent->readable_bytes - HEADER_BYTES ||
        (first->header.len != 0 && le16toh(first->header.op) != VIRTIO_VSOCK_OP_RW)) {
        from->malformed++;
        drop_first(from, sent);
        return false;
    }
    if (le64toh(first->header.src_cid) != from->cid) {
        from->foreign_source++;
        drop_first(from, sent);
        return false;
    }
    first->known = true;
    first->passed_on = 0;
    return true;
}

/* The answer of a host on which nobody has that CID (5.10.6.4.1). */
static struct virtio_vsock_hdr reset_for(const struct virtio_vsock_hdr *header)
{
    return (struct virtio_vsock_hdr){
        .src_cid = header->dst_cid,
        .dst_cid = header->src_cid,
        .src_port = header->dst_port,
        .dst_port = header->src_port,
        .type = header->type,
        .op = htole16(VIRTIO_VSOCK_OP_RST),
    };
}

/* Puts a header and a piece of the payload of `sent` into a receive buffer. */
static void deliver(struct exchange_guest *to, const struct queue_chain *buffer,
                    struct virtio_vsock_hdr header, const struct queue_chain *sent, size_t offset,
                    uint32_t length)
{
    struct iovec head = {.iov_base = &header, .iov_len = HEADER_BYTES};

    header.len = htole32(length);
    copy(buffer->writable, 0, &head, 0, HEADER_BYTES);
    if (length > 0)
        copy(buffer->writable, HEADER_BYTES, sent->readable, HEADER_BYTES + offset, length);
    queue_finish(&to->queues[EXCHANGE_RX], buffer, (uint32_t)HEADER_BYTES + length);
}

/* A receive buffer that holds a header and, if wanted, some payload. */
static bool receive_buffer(struct exchange_guest *to, struct queue_chain *out, bool payload)
{
    struct queue *queue = &to->queues[EXCHANGE_RX];

    if (!queue_peek(queue, &to->memory, out))
        return false;
    if (out->writable_bytes < HEADER_BYTES + payload) {
        queue_break(queue, "a receive buffer that is too small");
        return false;
    }
    return true;
}

static bool answer_with_reset(struct exchange_guest *from, const struct queue_chain *sent)
{
    static struct queue_chain buffer;

    if (le16toh(from->first.header.op) != VIRTIO_VSOCK_OP_RST) {
        if (!receive_buffer(from, &buffer, false))
            return false;
        deliver(from, &buffer, reset_for(&from->first.header), NULL, 0, 0);
        from->resets++;
    }
    drop_first(from, sent);
    return true;
}

static bool pass_on(struct exchange_guest *from, const struct queue_chain *sent,
                    struct exchange_guest *to)
{
    static struct queue_chain buffer;
    struct exchange_packet *first = &from->first;
    uint32_t left = le32toh(first->header.len) - first->passed_on;

    /* Looked at again, the chain may have become shorter than it was. */
    if (sent->readable_bytes < HEADER_BYTES + (size_t)first->passed_on + left) {
        queue_break(&from->queues[EXCHANGE_TX], "a chain that changes while it is sent");
        return false;
    }
    if (!receive_buffer(to, &buffer, left > 0))
        return false;
    if (left > buffer.writable_bytes - HEADER_BYTES)
        left = (uint32_t)(buffer.writable_bytes - HEADER_BYTES);
    deliver(to, &buffer, first->header, sent, first->passed_on, left);
    first->passed_on += left;
    from->bytes += left;
    if (first->passed_on == le32toh(first->header.len)) {
        from->packets++;
        drop_first(from, sent);
    }
    return true;
}

/* The guest with that CID, if its driver is there: one that is still booting is as good as none. */
static struct exchange_guest *by_cid(struct exchange_guest *guests, unsigned count, uint64_t cid)
{
    for (unsigned i = 0; i < count; i++) {
        if (guests[i].cid == cid && queue_ready(&guests[i].queues[EXCHANGE_RX]))
            return &guests[i];
    }
    return NULL;
}

/* One step for the first packet that a guest sends. False: nothing could be done. */
static bool step(struct exchange_guest *guests, unsigned count, struct exchange_guest *from)
{
    static struct queue_chain sent;
    struct exchange_guest *to;

    if (!queue_peek(&from->queues[EXCHANGE_TX], &from->memory, &sent))
        return false;
    if (!from->first.known && !learn(from, &sent))
        return true;
    to = by_cid(guests, count, le64toh(from->first.header.dst_cid));
    if (to == NULL || to == from || le16toh(from->first.header.type) != VIRTIO_VSOCK_TYPE_STREAM)
        return answer_with_reset(from, &sent);
    return pass_on(from, &sent, to);
}

bool exchange_run(struct exchange_guest *guests, unsigned count, unsigned budget)
{
    bool moved = true;

    while (moved && budget > 0) {
        moved = false;
        for (unsigned i = 0; i < count && budget > 0; i++) {
            if (step(guests, count, &guests[i])) {
                moved = true;
                budget--;
            }
        }
    }
    return moved;
}
