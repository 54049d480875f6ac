/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/vm/switch/queue.h"

#include <endian.h>
#include <linux/virtio_ring.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

void queue_init(struct queue *queue)
{
    memset(queue, 0, sizeof(*queue));
    queue->kick = queue->call = -1;
}

void queue_reset(struct queue *queue)
{
    if (queue->kick >= 0)
        close(queue->kick);
    if (queue->call >= 0)
        close(queue->call);
    queue_init(queue);
}

void queue_break(struct queue *queue, const char *why)
{
    queue->broken = why;
}

static void *ring(const struct memory *memory, uint64_t address, size_t bytes, size_t alignment)
{
    void *found = memory_at_user(memory, address, bytes);

    return (uintptr_t)found % alignment == 0 ? found : NULL;
}

void queue_map(struct queue *queue, const struct memory *memory)
{
    queue->desc = NULL;
    queue->avail = NULL;
    queue->used = NULL;
    if (!queue->addressed || queue->size == 0)
        return;
    queue->desc = ring(memory, queue->desc_at, sizeof(struct vring_desc) * queue->size,
                       VRING_DESC_ALIGN_SIZE);
    queue->avail =
        ring(memory, queue->avail_at, sizeof(struct vring_avail) + sizeof(uint16_t) * queue->size,
             VRING_AVAIL_ALIGN_SIZE);
    queue->used = ring(memory, queue->used_at,
                       sizeof(struct vring_used) + sizeof(struct vring_used_elem) * queue->size,
                       VRING_USED_ALIGN_SIZE);
    if (queue->used != NULL)
        queue->used_next = le16toh(__atomic_load_n(&queue->used->idx, __ATOMIC_RELAXED));
}

bool queue_ready(const struct queue *queue)
{
    return queue->started && queue->enabled && queue->broken == NULL && queue->desc != NULL &&
           queue->avail != NULL && queue->used != NULL;
}

/* A descriptor, field by field: the driver may be writing to it at this moment. */
static struct vring_desc read_descriptor(const struct queue *queue, uint16_t index)
{
    const struct vring_desc *shared = &queue->desc[index];

    return (struct vring_desc){
        .addr = le64toh(__atomic_load_n(&shared->addr, __ATOMIC_RELAXED)),
        .len = le32toh(__atomic_load_n(&shared->len, __ATOMIC_RELAXED)),
        .flags = le16toh(__atomic_load_n(&shared->flags, __ATOMIC_RELAXED)),
        .next = le16toh(__atomic_load_n(&shared->next, __ATOMIC_RELAXED)),
    };
}

/* NULL, or what is wrong with this descriptor. */
static const char *add_buffer(struct queue_chain *chain, const struct vring_desc *desc,
                              const struct memory *memory)
{
    void *buffer = memory_at_guest(memory, desc->addr, desc->len);
    struct iovec piece = {.iov_base = buffer, .iov_len = desc->len};

    if (desc->flags & VRING_DESC_F_INDIRECT)
        return "an indirect descriptor, which was not offered";
    if (buffer == NULL)
        return "a buffer outside of the guest's memory";
    if (desc->flags & VRING_DESC_F_WRITE) {
        chain->writable[chain->writable_count++] = piece;
        chain->writable_bytes += desc->len;
    } else if (chain->writable_count > 0) {
        return "a readable buffer behind a writable one";
    } else {
        chain->readable[chain->readable_count++] = piece;
        chain->readable_bytes += desc->len;
    }
    return NULL;
}

static const char *walk(const struct queue *queue, const struct memory *memory,
                        struct queue_chain *chain)
{
    uint16_t index = chain->head;

    for (unsigned i = 0; i < queue->size; i++) {
        struct vring_desc desc;
        const char *wrong;

        if (index >= queue->size)
            return "a descriptor beyond the table";
        desc = read_descriptor(queue, index);
        wrong = add_buffer(chain, &desc, memory);
        if (wrong != NULL || !(desc.flags & VRING_DESC_F_NEXT))
            return wrong;
        index = desc.next;
    }
    return "a chain without an end";
}

bool queue_peek(struct queue *queue, const struct memory *memory, struct queue_chain *out)
{
    const char *wrong;
    uint16_t waiting;

    if (!queue_ready(queue))
        return false;
    /* Acquire: the chain was written before the index was. */
    waiting =
        (uint16_t)(le16toh(__atomic_load_n(&queue->avail->idx, __ATOMIC_ACQUIRE)) - queue->next);
    if (waiting == 0)
        return false;
    if (waiting > queue->size) {
        queue_break(queue, "more chains available than there are descriptors");
        return false;
    }
    out->head = le16toh(
        __atomic_load_n(&queue->avail->ring[queue->next & (queue->size - 1)], __ATOMIC_RELAXED));
    out->readable_count = out->writable_count = 0;
    out->readable_bytes = out->writable_bytes = 0;
    wrong = walk(queue, memory, out);
    if (wrong != NULL)
        queue_break(queue, wrong);
    return wrong == NULL;
}

void queue_finish(struct queue *queue, const struct queue_chain *chain, uint32_t written)
{
    struct vring_used_elem *element = &queue->used->ring[queue->used_next & (queue->size - 1)];
    uint16_t flags;

    element->id = htole32(chain->head);
    element->len = htole32(written);
    queue->next++;
    queue->used_next++;
    __atomic_store_n(&queue->used->idx, htole16(queue->used_next), __ATOMIC_RELEASE);
    /* The index is visible before the flag is read: else the driver could switch interrupts on,
     * miss the index and sleep (2.7.7.2). */
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    flags = le16toh(__atomic_load_n(&queue->avail->flags, __ATOMIC_RELAXED));
    if (queue->call >= 0 && !(flags & VRING_AVAIL_F_NO_INTERRUPT))
        eventfd_write(queue->call, 1);
}
