/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/vm/switch/vhost_user.h"

#include <errno.h>
#include <inttypes.h>
#include <linux/virtio_config.h>
#include <stddef.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "runtime/base/log.h"

enum request {
    GET_FEATURES = 1,
    SET_FEATURES = 2,
    SET_OWNER = 3,
    SET_MEM_TABLE = 5,
    SET_VRING_NUM = 8,
    SET_VRING_ADDR = 9,
    SET_VRING_BASE = 10,
    GET_VRING_BASE = 11,
    SET_VRING_KICK = 12,
    SET_VRING_CALL = 13,
    SET_VRING_ERR = 14,
    GET_PROTOCOL_FEATURES = 15,
    SET_PROTOCOL_FEATURES = 16,
    SET_VRING_ENABLE = 18,
    GET_CONFIG = 24,
};

#define HEADER_VERSION      0x1u
#define HEADER_VERSION_MASK 0x3u
#define HEADER_REPLY        0x4u

#define F_PROTOCOL_FEATURES (1ULL << 30)
#define FEATURES            ((1ULL << VIRTIO_F_VERSION_1) | F_PROTOCOL_FEATURES)
#define PROTOCOL_F_CONFIG   (1ULL << 9) /* the guest's CID is in the configuration space */

#define VRING_INDEX_MASK 0xffu
#define VRING_NO_FD      0x100u

#define CONFIG_BYTES_MAX 256

struct header {
    uint32_t request, flags, size;
};

struct region {
    uint64_t guest, size, user, offset;
};

union payload {
    uint64_t number;
    struct {
        uint32_t index, value;
    } vring;
    struct {
        uint32_t index, flags;
        uint64_t desc, used, avail, log;
    } address;
    struct {
        uint32_t count, padding;
        struct region regions[MEMORY_REGIONS_MAX];
    } memory;
    struct {
        uint32_t offset, size, flags;
        uint8_t bytes[CONFIG_BYTES_MAX];
    } config;
};

/* A message, and the descriptors that came with it: closed behind its handler unless that has taken
 * them (-1 in their place). */
struct message {
    struct header header;
    union payload payload;
    int fds[MEMORY_REGIONS_MAX];
    unsigned fd_count;
};

struct session {
    int connection;
    struct exchange_guest *guest;
    const struct vhost_user_watch *watch;
};

static int receive_exactly(int connection, void *to, size_t length)
{
    ssize_t got = length > 0 ? recv(connection, to, length, MSG_WAITALL) : 0;

    if (got < 0)
        return -errno;
    return (size_t)got == length ? 0 : -ECONNRESET;
}

static void take_fds(struct message *message, struct msghdr *received)
{
    for (struct cmsghdr *c = CMSG_FIRSTHDR(received); c != NULL; c = CMSG_NXTHDR(received, c)) {
        if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
            continue;
        message->fd_count = (unsigned)((c->cmsg_len - CMSG_LEN(0)) / sizeof(int));
        memcpy(message->fds, CMSG_DATA(c), message->fd_count * sizeof(int));
    }
}

static void close_fds(struct message *message)
{
    for (unsigned i = 0; i < message->fd_count; i++) {
        if (message->fds[i] >= 0)
            close(message->fds[i]);
    }
    message->fd_count = 0;
}

/* Room for exactly fds[]: what else comes, the kernel closes. */
static int receive(int connection, struct message *message)
{
    union {
        struct cmsghdr align;
        char bytes[CMSG_SPACE(sizeof(((struct message *)0)->fds))];
    } control;
    struct iovec iov = {.iov_base = &message->header, .iov_len = sizeof(message->header)};
    struct msghdr msg = {.msg_iov = &iov,
                         .msg_iovlen = 1,
                         .msg_control = &control,
                         .msg_controllen = CMSG_LEN(sizeof(message->fds))};
    ssize_t got = recvmsg(connection, &msg, MSG_WAITALL | MSG_CMSG_CLOEXEC);

    message->fd_count = 0;
    if (got <= 0)
        return got < 0 ? -errno : -ECONNRESET;
    take_fds(message, &msg);
    if ((size_t)got < sizeof(message->header))
        return -ECONNRESET;
    if ((message->header.flags & HEADER_VERSION_MASK) != HEADER_VERSION ||
        message->header.size > sizeof(message->payload))
        return -EBADMSG;
    memset(&message->payload, 0, sizeof(message->payload));
    return receive_exactly(connection, &message->payload, message->header.size);
}

static int reply(const struct session *session, struct message *message, uint32_t size)
{
    struct iovec iov[2] = {{.iov_base = &message->header, .iov_len = sizeof(message->header)},
                           {.iov_base = &message->payload, .iov_len = size}};
    ssize_t length = (ssize_t)(sizeof(message->header) + size);

    message->header.flags = HEADER_VERSION | HEADER_REPLY;
    message->header.size = size;
    return writev(session->connection, iov, 2) == length ? 0 : -EPIPE;
}

static int reply_number(const struct session *session, struct message *message, uint64_t number)
{
    message->payload.number = number;
    return reply(session, message, sizeof(message->payload.number));
}

static int set_features(const struct session *session, uint64_t features)
{
    if (features & ~FEATURES)
        return -EPROTO;
    /* Without protocol features there is no SET_VRING_ENABLE: queues are enabled from the start. */
    for (int i = 0; i < EXCHANGE_QUEUES; i++) {
        if (!(features & F_PROTOCOL_FEATURES))
            session->guest->queues[i].enabled = true;
    }
    return 0;
}

static void map_queues(struct exchange_guest *guest)
{
    for (int i = 0; i < EXCHANGE_QUEUES; i++)
        queue_map(&guest->queues[i], &guest->memory);
}

static int set_memory(const struct session *session, const struct message *message)
{
    struct exchange_guest *guest = session->guest;
    uint32_t count = message->payload.memory.count;
    int result = 0;

    if (count > MEMORY_REGIONS_MAX || count != message->fd_count)
        return -EPROTO;
    memory_clear(&guest->memory);
    for (uint32_t i = 0; i < count && result == 0; i++) {
        const struct region *region = &message->payload.memory.regions[i];
        result = memory_add(&guest->memory, region->guest, region->user, region->size,
                            message->fds[i], region->offset);
    }
    map_queues(guest);
    return result;
}

static int set_size(struct queue *queue, uint32_t size)
{
    if (size == 0 || size > QUEUE_SIZE_MAX || (size & (size - 1)) != 0)
        return -EPROTO;
    queue->size = size;
    return 0;
}

static int set_address(const struct session *session, struct queue *queue,
                       const struct message *message)
{
    queue->desc_at = message->payload.address.desc;
    queue->avail_at = message->payload.address.avail;
    queue->used_at = message->payload.address.used;
    queue->addressed = true;
    queue_map(queue, &session->guest->memory);
    return 0;
}

/* The descriptor of a SET_VRING_KICK, CALL or ERR; ownership passes to the caller. -1: none. */
static int take_vring_fd(struct message *message)
{
    int fd = -1;

    if (message->fd_count == 1 && !(message->payload.number & VRING_NO_FD)) {
        fd = message->fds[0];
        message->fds[0] = -1;
    }
    return fd;
}

static void close_kick(const struct session *session, unsigned index)
{
    struct queue *queue = &session->guest->queues[index];

    if (queue->kick < 0)
        return;
    session->watch->kick_closing(session->watch->context, (enum exchange_queue)index);
    close(queue->kick);
    queue->kick = -1;
}

/* A kick starts the queue. One without a descriptor asks for polling, which we do not do. */
static int set_kick(const struct session *session, unsigned index, struct message *message)
{
    struct queue *queue = &session->guest->queues[index];

    close_kick(session, index);
    queue->kick = take_vring_fd(message);
    if (queue->kick < 0)
        return -EPROTO;
    queue->started = true;
    queue->broken = NULL;
    session->watch->kick_opened(session->watch->context, (enum exchange_queue)index);
    return 0;
}

static int set_call(struct queue *queue, struct message *message)
{
    if (queue->call >= 0)
        close(queue->call);
    queue->call = take_vring_fd(message);
    return 0;
}

/* Stops the queue and says where it was. */
static int get_base(const struct session *session, unsigned index, struct message *message)
{
    struct queue *queue = &session->guest->queues[index];

    close_kick(session, index);
    queue->started = false;
    if (index == EXCHANGE_TX)
        session->guest->first.known = false;
    message->payload.vring.value = queue->next;
    return reply(session, message, sizeof(message->payload.vring));
}

static int get_config(const struct session *session, struct message *message)
{
    struct virtio_vsock_config config = {.guest_cid = session->guest->cid};
    uint32_t offset = message->payload.config.offset, size = message->payload.config.size;

    if (size > CONFIG_BYTES_MAX || offset > sizeof(config) || size > sizeof(config) - offset)
        return -EPROTO;
    memcpy(message->payload.config.bytes, (const uint8_t *)&config + offset, size);
    return reply(session, message, offsetof(union payload, config.bytes) + size);
}

/* Messages about one queue; its index is the first thing in each. */
static int obey_vring(const struct session *session, struct message *message)
{
    uint32_t request = message->header.request;
    uint32_t index = message->payload.vring.index;
    struct queue *queue;

    if (request == SET_VRING_KICK || request == SET_VRING_CALL || request == SET_VRING_ERR)
        index &= VRING_INDEX_MASK;
    if (index >= EXCHANGE_QUEUES)
        return -EPROTO;
    queue = &session->guest->queues[index];
    switch (request) {
    case SET_VRING_NUM:
        return set_size(queue, message->payload.vring.value);
    case SET_VRING_ADDR:
        return set_address(session, queue, message);
    case SET_VRING_BASE:
        queue->next = (uint16_t)message->payload.vring.value;
        return 0;
    case GET_VRING_BASE:
        return get_base(session, index, message);
    case SET_VRING_KICK:
        return set_kick(session, index, message);
    case SET_VRING_CALL:
        return set_call(queue, message);
    case SET_VRING_ENABLE:
        queue->enabled = message->payload.vring.value != 0;
        return 0;
    default: /* SET_VRING_ERR: its descriptor is closed with the message */
        return 0;
    }
}

static int obey(const struct session *session, struct message *message)
{
    switch (message->header.request) {
    case GET_FEATURES:
        return reply_number(session, message, FEATURES);
    case SET_FEATURES:
        return set_features(session, message->payload.number);
    case GET_PROTOCOL_FEATURES:
        return reply_number(session, message, PROTOCOL_F_CONFIG);
    case SET_OWNER:
    case SET_PROTOCOL_FEATURES:
        return 0;
    case SET_MEM_TABLE:
        return set_memory(session, message);
    case GET_CONFIG:
        return get_config(session, message);
    case SET_VRING_NUM:
    case SET_VRING_ADDR:
    case SET_VRING_BASE:
    case GET_VRING_BASE:
    case SET_VRING_KICK:
    case SET_VRING_CALL:
    case SET_VRING_ERR:
    case SET_VRING_ENABLE:
        return obey_vring(session, message);
    default:
        return -EOPNOTSUPP;
    }
}

int vhost_user_serve(int connection, struct exchange_guest *guest,
                     const struct vhost_user_watch *watch)
{
    const struct session session = {.connection = connection, .guest = guest, .watch = watch};
    struct message message;
    int result = receive(connection, &message);

    if (result == 0) {
        result = obey(&session, &message);
        if (result < 0)
            log_warning("cid %" PRIu64 ": message %" PRIu32 " of %" PRIu32
                        " bytes with %u descriptors: %s",
                        guest->cid, message.header.request, message.header.size, message.fd_count,
                        strerror(-result));
    }
    close_fds(&message);
    return result;
}
