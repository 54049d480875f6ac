/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The vsock switch of the guest tests (tests/vm/switch): guests made of a memfd, with a driver of
 * our own that can be as wrong as a test wants, plugged in by vhost-user messages as QEMU does it.
 */
#include <endian.h>
#include <errno.h>
#include <linux/virtio_config.h>
#include <linux/virtio_ring.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/unit/support.h"
#include "tests/vm/switch/exchange.h"
#include "tests/vm/switch/vhost_user.h"

#define MEMORY_BYTES (1u << 20)
#define GUEST_BASE   0x40000000ull /* where the guest sees its memory */
#define USER_BASE    0x7f0000000000ull
#define RING_SIZE    16u
#define BUFFERS_AT   0x10000u
#define HEADER_BYTES sizeof(struct virtio_vsock_hdr)
#define PIECE        1000u /* bytes of a receive buffer */

struct driver_queue {
    struct vring_desc *desc;
    struct vring_avail *avail;
    struct vring_used *used;
    uint16_t seen; /* of the used ring */
    int kick, call;
};

struct driver {
    uint8_t *memory;
    int file, connection, remote;
    struct driver_queue queues[EXCHANGE_QUEUES];
    uint32_t next_buffer;
};

static struct exchange_guest guests[2];
static struct driver drivers[2];
static unsigned watched[EXCHANGE_QUEUES];

/* ---- vhost-user messages ---- */

struct message {
    uint32_t request, flags, size;
    uint8_t payload[sizeof(uint64_t) + MEMORY_REGIONS_MAX * 4 * sizeof(uint64_t)];
};

static void count_opened(void *context, enum exchange_queue queue)
{
    (void)context;
    watched[queue]++;
}

static void count_closing(void *context, enum exchange_queue queue)
{
    (void)context;
    watched[queue]--;
}

static int serve(struct driver *driver)
{
    static const struct vhost_user_watch watch = {.kick_opened = count_opened,
                                                  .kick_closing = count_closing};

    return vhost_user_serve(driver->connection, &guests[driver - drivers], &watch);
}

static void send_message(struct driver *driver, uint32_t request, const void *payload,
                         uint32_t size, const int *fds, unsigned fd_count)
{
    struct message message = {.request = request, .flags = 1, .size = size};
    union {
        struct cmsghdr align;
        char bytes[CMSG_SPACE(sizeof(int) * MEMORY_REGIONS_MAX)];
    } control = {0};
    struct iovec iov = {.iov_base = &message, .iov_len = 12 + size};
    struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1};

    memcpy(message.payload, payload, size);
    if (fd_count > 0) {
        msg.msg_control = &control;
        msg.msg_controllen = CMSG_SPACE(sizeof(int) * fd_count);
        struct cmsghdr *c = CMSG_FIRSTHDR(&msg);
        c->cmsg_level = SOL_SOCKET;
        c->cmsg_type = SCM_RIGHTS;
        c->cmsg_len = CMSG_LEN(sizeof(int) * fd_count);
        memcpy(CMSG_DATA(c), fds, sizeof(int) * fd_count);
    }
    assert_int_equal(sendmsg(driver->remote, &msg, 0), 12 + size);
}

static int tell(struct driver *driver, uint32_t request, const void *payload, uint32_t size)
{
    send_message(driver, request, payload, size, NULL, 0);
    return serve(driver);
}

static int tell_number(struct driver *driver, uint32_t request, uint64_t number)
{
    return tell(driver, request, &number, sizeof(number));
}

static int tell_vring(struct driver *driver, uint32_t request, uint32_t index, uint32_t value)
{
    uint32_t payload[2] = {index, value};

    return tell(driver, request, payload, sizeof(payload));
}

static int tell_fd(struct driver *driver, uint32_t request, uint64_t index, int fd)
{
    send_message(driver, request, &index, sizeof(index), &fd, 1);
    return serve(driver);
}

static int tell_memory(struct driver *driver, uint64_t size, uint64_t offset)
{
    struct {
        uint32_t count, padding;
        uint64_t guest, size, user, offset;
    } table = {1, 0, GUEST_BASE, size, USER_BASE, offset};

    send_message(driver, 5, &table, sizeof(table), &driver->file, 1);
    return serve(driver);
}

static uint64_t answered_number(struct driver *driver)
{
    struct message message;

    assert_int_equal(recv(driver->remote, &message, 20, 0), 20);
    assert_int_equal(message.flags, 1 | 4);
    uint64_t number;
    memcpy(&number, message.payload, sizeof(number));
    return number;
}

/* ---- the driver ---- */

static uint64_t user_address(const struct driver *driver, const void *place)
{
    return USER_BASE + (uint64_t)((const uint8_t *)place - driver->memory);
}

static int tell_address(struct driver *driver, uint32_t index, uint64_t shift)
{
    const struct driver_queue *queue = &driver->queues[index];
    struct {
        uint32_t index, flags;
        uint64_t desc, used, avail, log;
    } address = {index,
                 0,
                 user_address(driver, queue->desc) + shift,
                 user_address(driver, queue->used),
                 user_address(driver, queue->avail),
                 0};

    return tell(driver, 9, &address, sizeof(address));
}

static void start_queue(struct driver *driver, uint32_t index)
{
    struct driver_queue *queue = &driver->queues[index];
    uint8_t *at = driver->memory + index * 0x4000;

    queue->desc = (struct vring_desc *)at;
    queue->avail = (struct vring_avail *)(at + 0x1000);
    queue->used = (struct vring_used *)(at + 0x2000);
    assert_int_equal(tell_vring(driver, 8, index, RING_SIZE), 0);
    assert_int_equal(tell_vring(driver, 10, index, 0), 0);
    assert_int_equal(tell_address(driver, index, 0), 0);
    assert_int_equal(tell_fd(driver, 13, index, queue->call), 0);
    assert_int_equal(tell_fd(driver, 12, index, queue->kick), 0);
    assert_int_equal(tell_vring(driver, 18, index, 1), 0);
}

static void start_driver(struct driver *driver)
{
    int pair[2];

    memset(driver, 0, sizeof(*driver));
    driver->file = memfd_create("guest", 0);
    assert_int_equal(ftruncate(driver->file, MEMORY_BYTES), 0);
    driver->memory = mmap(NULL, MEMORY_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, driver->file, 0);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
    driver->connection = pair[0];
    driver->remote = pair[1];
    driver->next_buffer = BUFFERS_AT;
    for (unsigned i = 0; i < EXCHANGE_QUEUES; i++) {
        driver->queues[i].kick = eventfd(0, EFD_NONBLOCK);
        driver->queues[i].call = eventfd(0, EFD_NONBLOCK);
    }
    assert_int_equal(tell_number(driver, 2, 1ull << VIRTIO_F_VERSION_1 | 1ull << 30), 0);
    assert_int_equal(tell_memory(driver, MEMORY_BYTES, 0), 0);
    for (uint32_t i = 0; i < EXCHANGE_QUEUES; i++)
        start_queue(driver, i);
}

static int start(void **state)
{
    (void)state;
    memset(watched, 0, sizeof(watched));
    for (unsigned i = 0; i < 2; i++) {
        exchange_guest_init(&guests[i], 3 + i);
        start_driver(&drivers[i]);
    }
    return 0;
}

static int stop(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 2; i++) {
        exchange_guest_detach(&guests[i]);
        munmap(drivers[i].memory, MEMORY_BYTES);
        close(drivers[i].file);
        close(drivers[i].connection);
        close(drivers[i].remote);
        for (unsigned q = 0; q < EXCHANGE_QUEUES; q++) {
            close(drivers[i].queues[q].kick);
            close(drivers[i].queues[q].call);
        }
    }
    return 0;
}

/* A fresh buffer of the guest's, as an offset into its memory. */
static uint32_t buffer(struct driver *driver, uint32_t bytes)
{
    uint32_t at = driver->next_buffer;

    driver->next_buffer += (bytes + 15) & ~15u;
    assert_true(driver->next_buffer <= MEMORY_BYTES);
    return at;
}

static void set_descriptor(struct driver_queue *queue, unsigned index, uint64_t address,
                           uint32_t length, unsigned flags, uint16_t next)
{
    queue->desc[index] = (struct vring_desc){address, length, (uint16_t)flags, next};
}

static void offer(struct driver_queue *queue, uint16_t head)
{
    queue->avail->ring[queue->avail->idx % RING_SIZE] = head;
    queue->avail->idx++;
}

static struct virtio_vsock_hdr header_to(uint64_t source, uint64_t target, uint32_t length)
{
    return (struct virtio_vsock_hdr){.src_cid = source,
                                     .dst_cid = target,
                                     .src_port = 1000,
                                     .dst_port = 5005,
                                     .len = length,
                                     .type = VIRTIO_VSOCK_TYPE_STREAM,
                                     .op = VIRTIO_VSOCK_OP_RW,
                                     .buf_alloc = 7,
                                     .fwd_cnt = 9};
}

/* A packet in two descriptors, header and payload, from number `head` on. */
static void send_packet(struct driver *driver, uint16_t head, struct virtio_vsock_hdr header,
                        uint32_t payload)
{
    struct driver_queue *queue = &driver->queues[EXCHANGE_TX];
    uint32_t at = buffer(driver, HEADER_BYTES), data = buffer(driver, payload);

    memcpy(driver->memory + at, &header, HEADER_BYTES);
    for (uint32_t i = 0; i < payload; i++)
        driver->memory[data + i] = (uint8_t)(i * 7);
    set_descriptor(queue, head, GUEST_BASE + at, HEADER_BYTES, VRING_DESC_F_NEXT, head + 1);
    set_descriptor(queue, head + 1u, GUEST_BASE + data, payload, 0, 0);
    offer(queue, head);
}

/* A receive buffer of one descriptor; returns where it is. */
static uint32_t give_buffer(struct driver *driver, uint16_t head, uint32_t bytes)
{
    struct driver_queue *queue = &driver->queues[EXCHANGE_RX];
    uint32_t at = buffer(driver, bytes);

    set_descriptor(queue, head, GUEST_BASE + at, bytes, VRING_DESC_F_WRITE, 0);
    offer(queue, head);
    return at;
}

static bool used(struct driver *driver, unsigned index, uint32_t *id, uint32_t *length)
{
    struct driver_queue *queue = &driver->queues[index];

    *id = *length = 0;
    if (queue->used->idx == queue->seen)
        return false;
    *id = queue->used->ring[queue->seen % RING_SIZE].id;
    *length = queue->used->ring[queue->seen % RING_SIZE].len;
    queue->seen++;
    return true;
}

static struct virtio_vsock_hdr header_at(const struct driver *driver, uint32_t at)
{
    struct virtio_vsock_hdr header;

    memcpy(&header, driver->memory + at, sizeof(header));
    return header;
}

/* ---- packets ---- */

static void test_passes_on(void **state)
{
    uint32_t at = give_buffer(&drivers[1], 0, 4096), id, length;
    eventfd_t calls;

    (void)state;
    send_packet(&drivers[0], 0, header_to(3, 4, 600), 600);
    assert_false(exchange_run(guests, 2, 100));
    assert_true(used(&drivers[1], EXCHANGE_RX, &id, &length));
    assert_int_equal(length, HEADER_BYTES + 600);
    struct virtio_vsock_hdr got = header_at(&drivers[1], at), sent = header_to(3, 4, 600);
    assert_memory_equal(&got, &sent, sizeof(got));
    for (uint32_t i = 0; i < 600; i++)
        assert_int_equal(drivers[1].memory[at + HEADER_BYTES + i], (uint8_t)(i * 7));
    assert_true(used(&drivers[0], EXCHANGE_TX, &id, &length));
    assert_int_equal(length, 0);
    assert_int_equal(eventfd_read(drivers[1].queues[EXCHANGE_RX].call, &calls), 0);
    assert_int_equal(eventfd_read(drivers[0].queues[EXCHANGE_TX].call, &calls), 0);
    assert_int_equal(guests[0].packets, 1);
    assert_int_equal(guests[0].bytes, 600);
}

static void test_no_interrupt_if_not_wanted(void **state)
{
    eventfd_t calls;

    (void)state;
    give_buffer(&drivers[1], 0, 4096);
    drivers[1].queues[EXCHANGE_RX].avail->flags = VRING_AVAIL_F_NO_INTERRUPT;
    send_packet(&drivers[0], 0, header_to(3, 4, 1), 1);
    exchange_run(guests, 2, 100);
    assert_int_equal(guests[0].packets, 1);
    assert_true(eventfd_read(drivers[1].queues[EXCHANGE_RX].call, &calls) < 0);
}

/* A packet larger than the receive buffers: in pieces, each with the header of its own length. */
static void test_in_pieces(void **state)
{
    uint32_t at[4], id, length, total = 0;

    (void)state;
    send_packet(&drivers[0], 0, header_to(3, 4, 3 * PIECE), 3 * PIECE);
    for (uint16_t i = 0; i < 2; i++)
        at[i] = give_buffer(&drivers[1], i, HEADER_BYTES + PIECE - 1);
    exchange_run(guests, 2, 100);
    assert_false(used(&drivers[0], EXCHANGE_TX, &id, &length)); /* not yet: it waits for buffers */
    for (uint16_t i = 2; i < 4; i++)
        at[i] = give_buffer(&drivers[1], i, HEADER_BYTES + PIECE - 1);
    exchange_run(guests, 2, 100);
    assert_true(used(&drivers[0], EXCHANGE_TX, &id, &length));
    for (unsigned i = 0; i < 4; i++) {
        struct virtio_vsock_hdr header = header_at(&drivers[1], at[i]);

        assert_true(used(&drivers[1], EXCHANGE_RX, &id, &length));
        assert_int_equal(header.len, length - HEADER_BYTES);
        for (uint32_t k = 0; k < header.len; k++, total++)
            assert_int_equal(drivers[1].memory[at[i] + HEADER_BYTES + k], (uint8_t)(total * 7));
    }
    assert_int_equal(total, 3 * PIECE);
}

static void test_nobody_there_is_a_reset(void **state)
{
    uint32_t at = give_buffer(&drivers[0], 0, 4096), id, length;

    (void)state;
    send_packet(&drivers[0], 0, header_to(3, 99, 10), 10);
    exchange_run(guests, 2, 100);
    assert_true(used(&drivers[0], EXCHANGE_RX, &id, &length));
    assert_int_equal(length, HEADER_BYTES);
    struct virtio_vsock_hdr got = header_at(&drivers[0], at);
    assert_int_equal(got.op, VIRTIO_VSOCK_OP_RST);
    assert_int_equal(got.src_cid, 99);
    assert_int_equal(got.dst_cid, 3);
    assert_int_equal(got.src_port, 5005);
    assert_int_equal(got.dst_port, 1000);
    assert_int_equal(got.len, 0);
}

static void test_reset_is_not_answered(void **state)
{
    struct virtio_vsock_hdr header = header_to(3, 99, 0);
    uint32_t id, length;

    (void)state;
    give_buffer(&drivers[0], 0, 4096);
    header.op = VIRTIO_VSOCK_OP_RST;
    send_packet(&drivers[0], 0, header, 0);
    exchange_run(guests, 2, 100);
    assert_true(used(&drivers[0], EXCHANGE_TX, &id, &length));
    assert_false(used(&drivers[0], EXCHANGE_RX, &id, &length));
}

/* A guest speaks to itself by its own loopback, not through us. */
static void test_own_cid_is_a_reset(void **state)
{
    (void)state;
    give_buffer(&drivers[0], 0, 4096);
    send_packet(&drivers[0], 0, header_to(3, 3, 10), 10);
    exchange_run(guests, 2, 100);
    assert_int_equal(guests[0].resets, 1);
    assert_int_equal(guests[0].packets, 0);
}

/* A guest whose driver has stopped is as good as none; its other half may come back. */
static void test_stopped_guest(void **state)
{
    (void)state;
    assert_int_equal(tell_vring(&drivers[1], 11, EXCHANGE_RX, 0), 0);
    assert_int_equal(watched[EXCHANGE_RX], 1);
    give_buffer(&drivers[0], 0, 4096);
    send_packet(&drivers[0], 0, header_to(3, 4, 10), 10);
    exchange_run(guests, 2, 100);
    assert_int_equal(guests[0].resets, 1);
}

static void test_foreign_source_is_dropped(void **state)
{
    uint32_t id, length;

    (void)state;
    give_buffer(&drivers[1], 0, 4096);
    send_packet(&drivers[0], 0, header_to(4, 4, 10), 10);
    exchange_run(guests, 2, 100);
    assert_int_equal(guests[0].foreign_source, 1);
    assert_false(used(&drivers[1], EXCHANGE_RX, &id, &length));
    assert_true(used(&drivers[0], EXCHANGE_TX, &id, &length));
}

static void test_malformed_is_dropped(void **state)
{
    struct driver_queue *queue = &drivers[0].queues[EXCHANGE_TX];
    struct virtio_vsock_hdr payload_on_request = header_to(3, 4, 10);
    uint32_t id, length;

    (void)state;
    give_buffer(&drivers[1], 0, 4096);
    send_packet(&drivers[0], 0, header_to(3, 4, 11), 10); /* one byte too few */
    send_packet(&drivers[0], 2, header_to(3, 4, UINT32_MAX), 10);
    payload_on_request.op = VIRTIO_VSOCK_OP_REQUEST;
    send_packet(&drivers[0], 4, payload_on_request, 10);
    set_descriptor(queue, 6, GUEST_BASE + BUFFERS_AT, HEADER_BYTES - 1, 0, 0); /* no header */
    offer(queue, 6);
    exchange_run(guests, 2, 100);
    assert_int_equal(guests[0].malformed, 4);
    assert_false(used(&drivers[1], EXCHANGE_RX, &id, &length));
    assert_true(queue_ready(&guests[0].queues[EXCHANGE_TX]));
}

static void test_budget(void **state)
{
    (void)state;
    for (uint16_t i = 0; i < 4; i++) {
        give_buffer(&drivers[1], i, 256);
        send_packet(&drivers[0], (uint16_t)(2 * i), header_to(3, 4, 10), 10);
    }
    assert_true(exchange_run(guests, 2, 3));
    assert_int_equal(guests[0].packets, 3);
    assert_false(exchange_run(guests, 2, 3));
    assert_int_equal(guests[0].packets, 4);
}

/* ---- rings ---- */

/* Breaks guest 0's transmit queue with whatever is in its descriptors 0 and 1. */
static void assert_breaks(const char *why)
{
    give_buffer(&drivers[1], 0, 4096);
    offer(&drivers[0].queues[EXCHANGE_TX], 0);
    assert_false(exchange_run(guests, 2, 100));
    assert_non_null(guests[0].queues[EXCHANGE_TX].broken);
    assert_string_equal(guests[0].queues[EXCHANGE_TX].broken, why);
    assert_int_equal(drivers[1].queues[EXCHANGE_RX].used->idx, 0);
}

static void test_endless_chain(void **state)
{
    struct driver_queue *queue = &drivers[0].queues[EXCHANGE_TX];

    (void)state;
    set_descriptor(queue, 0, GUEST_BASE, 64, VRING_DESC_F_NEXT, 1);
    set_descriptor(queue, 1, GUEST_BASE, 64, VRING_DESC_F_NEXT, 0);
    assert_breaks("a chain without an end");
}

static void test_descriptor_beyond(void **state)
{
    (void)state;
    set_descriptor(&drivers[0].queues[EXCHANGE_TX], 0, GUEST_BASE, 64, VRING_DESC_F_NEXT,
                   RING_SIZE);
    assert_breaks("a descriptor beyond the table");
}

static void test_buffer_outside(void **state)
{
    const struct {
        uint64_t address;
        uint32_t length;
    } outside[] = {
        {GUEST_BASE - 1, 64},           {GUEST_BASE + MEMORY_BYTES - 63, 64},
        {GUEST_BASE + MEMORY_BYTES, 1}, {GUEST_BASE, MEMORY_BYTES + 1},
        {UINT64_MAX - 10, 64},          {GUEST_BASE, UINT32_MAX},
    };

    for (unsigned i = 0; i < sizeof(outside) / sizeof(*outside); i++) {
        if (i > 0) {
            stop(state);
            start(state);
        }
        set_descriptor(&drivers[0].queues[EXCHANGE_TX], 0, outside[i].address, outside[i].length, 0,
                       0);
        assert_breaks("a buffer outside of the guest's memory");
    }
}

static void test_indirect(void **state)
{
    (void)state;
    set_descriptor(&drivers[0].queues[EXCHANGE_TX], 0, GUEST_BASE, 64, VRING_DESC_F_INDIRECT, 0);
    assert_breaks("an indirect descriptor, which was not offered");
}

static void test_readable_behind_writable(void **state)
{
    struct driver_queue *queue = &drivers[0].queues[EXCHANGE_TX];

    (void)state;
    set_descriptor(queue, 0, GUEST_BASE, 64, VRING_DESC_F_WRITE | VRING_DESC_F_NEXT, 1);
    set_descriptor(queue, 1, GUEST_BASE, 64, 0, 0);
    assert_breaks("a readable buffer behind a writable one");
}

static void test_too_many_available(void **state)
{
    (void)state;
    drivers[0].queues[EXCHANGE_TX].avail->idx = RING_SIZE;
    assert_breaks("more chains available than there are descriptors");
}

static void test_receive_buffer_too_small(void **state)
{
    (void)state;
    give_buffer(&drivers[1], 0, HEADER_BYTES); /* room for a header, none for its payload */
    send_packet(&drivers[0], 0, header_to(3, 4, 10), 10);
    assert_false(exchange_run(guests, 2, 100));
    assert_non_null(guests[1].queues[EXCHANGE_RX].broken);
}

/* The guest shortens a chain of which a part has been sent. */
static void test_chain_that_shrinks(void **state)
{
    (void)state;
    send_packet(&drivers[0], 0, header_to(3, 4, 2 * PIECE), 2 * PIECE);
    give_buffer(&drivers[1], 0, HEADER_BYTES + PIECE);
    exchange_run(guests, 2, 100);
    drivers[0].queues[EXCHANGE_TX].desc[1].len = PIECE;
    give_buffer(&drivers[1], 1, HEADER_BYTES + PIECE);
    exchange_run(guests, 2, 100);
    assert_non_null(guests[0].queues[EXCHANGE_TX].broken);
}

/* ---- messages ---- */

static void test_queue_set_up_anew_works_again(void **state)
{
    (void)state;
    set_descriptor(&drivers[0].queues[EXCHANGE_TX], 0, 0, 64, 0, 0);
    assert_breaks("a buffer outside of the guest's memory");
    assert_int_equal(tell_vring(&drivers[0], 11, EXCHANGE_TX, 0), 0);
    memset(drivers[0].memory + 0x4000, 0, 0x4000);
    drivers[0].queues[EXCHANGE_TX].seen = 0;
    start_queue(&drivers[0], EXCHANGE_TX);
    send_packet(&drivers[0], 0, header_to(3, 4, 5), 5);
    exchange_run(guests, 2, 100);
    assert_int_equal(guests[0].packets, 1);
}

static void test_base_is_answered(void **state)
{
    (void)state;
    give_buffer(&drivers[1], 0, 4096);
    send_packet(&drivers[0], 0, header_to(3, 4, 5), 5);
    exchange_run(guests, 2, 100);
    assert_int_equal(tell_vring(&drivers[0], 11, EXCHANGE_TX, 0), 0);
    assert_true(answered_number(&drivers[0]) == ((uint64_t)1 << 32 | EXCHANGE_TX));
}

static void test_features_and_config(void **state)
{
    uint8_t config[12 + 8] = {0};
    struct message message;

    (void)state;
    assert_int_equal(tell(&drivers[0], 1, "", 0), 0);
    assert_true(answered_number(&drivers[0]) == (1ull << 32 | 1ull << 30));
    assert_int_equal(tell(&drivers[0], 15, "", 0), 0);
    assert_true(answered_number(&drivers[0]) == 1ull << 9);
    config[4] = 8; /* size */
    assert_int_equal(tell(&drivers[0], 24, config, sizeof(config)), 0);
    assert_int_equal(recv(drivers[0].remote, &message, sizeof(message), 0), 12 + 12 + 8);
    assert_int_equal(message.payload[12], 3); /* the CID */
    config[4] = 9;
    assert_true(tell(&drivers[0], 24, config, sizeof(config)) < 0);
}

static void test_bad_messages(void **state)
{
    struct driver *driver = &drivers[0];

    (void)state;
    assert_true(tell(driver, 77, "", 0) < 0);
    assert_true(tell_vring(driver, 8, EXCHANGE_QUEUES, 16) < 0);
    assert_true(tell_vring(driver, 8, 0, 0) < 0);
    assert_true(tell_vring(driver, 8, 0, 24) < 0); /* not a power of two */
    assert_true(tell_vring(driver, 8, 0, QUEUE_SIZE_MAX * 2) < 0);
    assert_true(tell_number(driver, 12, 0x100) < 0); /* polling */
    assert_true(tell_number(driver, 2, 1) < 0);      /* a feature that was not offered */
    assert_true(tell_memory(driver, MEMORY_BYTES + 4096, 0) < 0);
    assert_true(tell_memory(driver, MEMORY_BYTES, 4096) < 0);
    assert_true(tell_memory(driver, 0, 0) < 0);
    assert_true(tell_memory(driver, MEMORY_BYTES, UINT64_MAX - 4095) < 0);
    close(driver->remote);
    driver->remote = -1;
    assert_int_equal(serve(driver), -ECONNRESET);
}

static void test_too_long_a_message(void **state)
{
    uint32_t header[3] = {1, 1, 1u << 30};

    (void)state;
    assert_int_equal(send(drivers[0].remote, header, sizeof(header), 0), sizeof(header));
    assert_int_equal(serve(&drivers[0]), -EBADMSG);
}

/* Rings that are not in the guest's memory, or not aligned: the queue stays off. */
static void test_rings_outside(void **state)
{
    (void)state;
    assert_true(queue_ready(&guests[0].queues[0]));
    assert_int_equal(tell_address(&drivers[0], 0, 8), 0);
    assert_false(queue_ready(&guests[0].queues[0]));
    assert_int_equal(tell_address(&drivers[0], 0, MEMORY_BYTES), 0);
    assert_false(queue_ready(&guests[0].queues[0]));
    assert_int_equal(tell_address(&drivers[0], 0, 0), 0);
    assert_true(queue_ready(&guests[0].queues[0]));
    /* Nor are they, when the memory has become smaller. */
    assert_int_equal(tell_memory(&drivers[0], 4096, 0), 0);
    assert_false(queue_ready(&guests[0].queues[0]));
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, start, stop)
    const struct CMUnitTest tests[] = {
        TEST(test_passes_on),
        TEST(test_no_interrupt_if_not_wanted),
        TEST(test_in_pieces),
        TEST(test_nobody_there_is_a_reset),
        TEST(test_reset_is_not_answered),
        TEST(test_own_cid_is_a_reset),
        TEST(test_stopped_guest),
        TEST(test_foreign_source_is_dropped),
        TEST(test_malformed_is_dropped),
        TEST(test_budget),
        TEST(test_endless_chain),
        TEST(test_descriptor_beyond),
        TEST(test_buffer_outside),
        TEST(test_indirect),
        TEST(test_readable_behind_writable),
        TEST(test_too_many_available),
        TEST(test_receive_buffer_too_small),
        TEST(test_chain_that_shrinks),
        TEST(test_queue_set_up_anew_works_again),
        TEST(test_base_is_answered),
        TEST(test_features_and_config),
        TEST(test_bad_messages),
        TEST(test_too_long_a_message),
        TEST(test_rings_outside),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
