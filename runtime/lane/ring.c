/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/lane/ring.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <liburing.h>

#include "runtime/lane/pages.h"

#define ENTRIES     256
#define COMPLETIONS 1024

#define SLOT_GROUP      0 /* provided-buffer group id */
#define SLOT_RING_BYTES (SLOT_COUNT * sizeof(struct io_uring_buf))

/* Fixed file numbers; capture sources follow. */
enum {
    FILE_STREAM,
    FILE_INJECT,
    FILE_WAKE,
    FILE_SOURCES,
    FILE_COUNT = FILE_SOURCES + LANE_SOURCES_MAX
};

struct ring {
    struct io_uring uring;
    uint8_t *slot_ring; /* a struct io_uring_buf_ring: published slots */
    struct {
        ring_handler *run;
        void *part;
    } handlers[RING_OPS];
    struct __kernel_timespec tick;
    uint64_t wake_value;
};

/* ---- open and close ---- */

static void ignore(void *part, int result, unsigned source, uint32_t delivery)
{
    (void)part, (void)result, (void)source, (void)delivery;
}

struct ring *ring_new(void)
{
    struct ring *ring = calloc(1, sizeof(*ring));

    if (ring == NULL)
        return NULL;
    int error = pages_map(&ring->slot_ring, SLOT_RING_BYTES);
    if (error < 0) {
        free(ring);
        errno = -error;
        return NULL;
    }
    for (int op = 0; op < RING_OPS; op++)
        ring_handle(ring, (enum ring_op)op, ignore, NULL);
    return ring;
}

void ring_free(struct ring *ring)
{
    if (ring == NULL)
        return;
    pages_unmap(ring->slot_ring, SLOT_RING_BYTES);
    free(ring);
}

void ring_handle(struct ring *ring, enum ring_op op, ring_handler *handler, void *part)
{
    ring->handlers[op].run = handler;
    ring->handlers[op].part = part;
}

/*
 * One thread submits (SINGLE_ISSUER) and completions are run when it asks for them (DEFER_TASKRUN,
 * since 6.1): a burst of packets costs one wakeup. Older kernels get the plain form. The ring
 * starts disabled, so that it can be restricted before its first use.
 */
static int set_up(struct io_uring_params *params)
{
    static const unsigned wishes[] = {
        IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN,
        IORING_SETUP_COOP_TASKRUN,
        0,
    };
    long fd = -1;

    errno = EINVAL;
    for (size_t i = 0; i < sizeof(wishes) / sizeof(wishes[0]) && fd < 0 && errno == EINVAL; i++) {
        *params = (struct io_uring_params){
            .flags = IORING_SETUP_CQSIZE | IORING_SETUP_R_DISABLED | wishes[i],
            .cq_entries = COMPLETIONS,
        };
        fd = syscall(SYS_io_uring_setup, ENTRIES, params);
    }
    return fd < 0 ? -errno : (int)fd;
}

/* liburing 2.3 declares these registrations and does not export them. */
static int uring_register(int fd, unsigned operation, const void *argument, unsigned count)
{
    long result = syscall(SYS_io_uring_register, fd, operation, argument, count);

    return result < 0 ? -errno : 0;
}

/* The operations a lane uses; a hijacked daemon gets no more out of this ring. */
static int restrict_operations(int fd)
{
    static const uint8_t operations[] = {
        IORING_OP_RECV, IORING_OP_SEND, IORING_OP_SENDMSG, IORING_OP_READ, IORING_OP_TIMEOUT,
    };
    static const uint8_t registrations[] = {
        IORING_REGISTER_ENABLE_RINGS, /* in ring_open() */
        IORING_REGISTER_SYNC_CANCEL,  /* in ring_close() */
        IORING_UNREGISTER_FILES,
    };
    enum { COUNT = sizeof(operations) + 1 + sizeof(registrations) };
    struct io_uring_restriction restrictions[COUNT] = {0};

    for (size_t i = 0; i < sizeof(operations); i++) {
        restrictions[i].opcode = IORING_RESTRICTION_SQE_OP;
        restrictions[i].sqe_op = operations[i];
    }
    struct io_uring_restriction *next = restrictions + sizeof(operations);
    next->opcode = IORING_RESTRICTION_SQE_FLAGS_ALLOWED;
    next->sqe_flags = IOSQE_FIXED_FILE | IOSQE_BUFFER_SELECT | IOSQE_CQE_SKIP_SUCCESS;
    for (size_t i = 0; i < sizeof(registrations); i++) {
        (++next)->opcode = IORING_RESTRICTION_REGISTER_OP;
        next->register_op = registrations[i];
    }
    return uring_register(fd, IORING_REGISTER_RESTRICTIONS, restrictions, COUNT);
}

/* What the kernel said about a ring of ours, once and for all; written by ring_probe(). */
static struct io_uring_params probed;

static int make(struct io_uring_params *params)
{
    int fd = set_up(params);

    /* In the sandbox the kernel has asked somebody else, who did all of this and could not say
     * where in the ring is what: where it was in the one that was probed. */
    if (fd >= 0 && params->features == 0) {
        *params = probed;
        return fd;
    }
    int error = fd < 0 ? fd : restrict_operations(fd);
    if (error < 0 && fd >= 0)
        close(fd);
    return error < 0 ? error : fd;
}

int ring_make(void)
{
    struct io_uring_params params;
    int fd = make(&params);

    if (fd >= 0 && memcmp(&params, &probed, sizeof(params)) != 0) {
        close(fd);
        return -EIO;
    }
    return fd;
}

static int create(struct io_uring *uring)
{
    struct io_uring_params params;
    int fd = make(&params);

    if (fd < 0)
        return fd;
    int error = io_uring_queue_mmap(fd, &params, uring);
    if (error < 0) {
        close(fd);
        return error;
    }
    uring->features = params.features;
    /* Entry n is always at place n; liburing up to 2.3 writes that with each entry, later ones
     * once, when they make a ring themselves. */
    for (unsigned i = 0; i < params.sq_entries; i++)
        uring->sq.array[i] = i;
    return 0;
}

static struct io_uring_buf_ring *slot_ring(struct ring *ring)
{
    return (struct io_uring_buf_ring *)ring->slot_ring;
}

static int register_slots(struct ring *ring)
{
    struct io_uring_buf_reg registration = {
        .ring_addr = (uintptr_t)ring->slot_ring,
        .ring_entries = SLOT_COUNT,
        .bgid = SLOT_GROUP,
    };

    io_uring_buf_ring_init(slot_ring(ring));
    return io_uring_register_buf_ring(&ring->uring, &registration, 0);
}

static int register_files(struct ring *ring, const struct lane_options *options, int wake_fd)
{
    int files[FILE_COUNT] = {
        [FILE_STREAM] = options->stream_fd,
        [FILE_INJECT] = options->inject_fd,
        [FILE_WAKE] = wake_fd,
    };

    for (unsigned i = 0; i < options->source_count; i++)
        files[FILE_SOURCES + i] = options->sources[i].fd;
    return io_uring_register_files(&ring->uring, files, FILE_SOURCES + options->source_count);
}

int ring_open(struct ring *ring, const struct lane_options *options, int wake_fd)
{
    int error = create(&ring->uring);

    if (error < 0)
        return error;
    error = register_files(ring, options, wake_fd);
    if (error == 0)
        error = register_slots(ring);
    if (error == 0)
        error = uring_register(ring->uring.ring_fd, IORING_REGISTER_ENABLE_RINGS, NULL, 0);
    if (error < 0)
        io_uring_queue_exit(&ring->uring);
    return error;
}

/*
 * Lets go of the sockets. By itself the kernel does that some tens of milliseconds after the ring
 * was closed (io_ring_exit_work()): so long a dead AF_PACKET socket takes its share of the fanout
 * group's packets, and a queue or group cannot be opened anew. Tried in tests/unit/lane.c.
 */
void ring_close(struct ring *ring)
{
    struct io_uring_sync_cancel_reg all = {
        .fd = -1,
        .flags = IORING_ASYNC_CANCEL_ANY | IORING_ASYNC_CANCEL_ALL,
        .timeout = {.tv_sec = 1},
    };
    struct io_uring *uring = &ring->uring;
    int result = uring_register(uring->ring_fd, IORING_REGISTER_SYNC_CANCEL, &all, 1);

    io_uring_get_events(uring); /* with DEFER_TASKRUN the cancelled requests end here */
    if (result >= 0 || result == -ENOENT)
        uring_register(uring->ring_fd, IORING_UNREGISTER_FILES, NULL, 0);
    io_uring_queue_exit(uring);
}

/* ---- probe ---- */

const char *ring_mode(void)
{
    if (probed.flags & IORING_SETUP_DEFER_TASKRUN)
        return "deferred task run";
    return probed.flags & IORING_SETUP_COOP_TASKRUN ? "cooperative task run" : "plain";
}

/* Any descriptor will do for sockets that nothing is asked of. */
static int try_open(struct ring *ring)
{
    int fd = eventfd(0, EFD_CLOEXEC);

    if (fd < 0)
        return -errno;
    int error = ring_open(ring, &(struct lane_options){.stream_fd = fd, .inject_fd = fd}, fd);
    if (error == 0)
        io_uring_queue_exit(&ring->uring);
    close(fd);
    return error;
}

static int probe(void)
{
    struct io_uring_params params;
    int fd = make(&params);

    if (fd < 0)
        return fd;
    probed = params; /* before any other thread is there */
    close(fd);
    struct ring *ring = ring_new();
    int error = ring == NULL ? -errno : try_open(ring);
    ring_free(ring);
    return error;
}

bool ring_probe(struct failure *failure)
{
    int result = probe();

    return result == 0 ||
           failure_set(failure, "io_uring is not usable here (Linux 6.0 or newer, %s): %s",
                       "sysctl kernel.io_uring_disabled = 0", strerror(-result));
}

/* ---- requests ---- */

/* A free entry: handing over what is queued when there is none. */
static struct io_uring_sqe *next_entry(struct ring *ring, enum ring_op op, unsigned index)
{
    struct io_uring_sqe *sqe = io_uring_get_sqe(&ring->uring);

    if (sqe == NULL) {
        ring_flush(ring);
        sqe = io_uring_get_sqe(&ring->uring); /* without SQPOLL that has emptied the queue */
    }
    /* The prep functions of liburing 2.3 leave user_data alone. */
    io_uring_sqe_set_data64(sqe, (uint64_t)op << 8 | index);
    return sqe;
}

void ring_publish(struct ring *ring, struct slots *slots, unsigned target)
{
    int added = 0;
    uint16_t slot;

    while ((slot = slots_publish(slots, target)) != NO_SLOT)
        io_uring_buf_ring_add(slot_ring(ring), slots_bytes(slots, slot), SLOT_BYTES, slot,
                              SLOT_COUNT - 1, added++);
    if (added > 0)
        io_uring_buf_ring_advance(slot_ring(ring), added);
}

void ring_capture(struct ring *ring, unsigned source)
{
    struct io_uring_sqe *sqe = next_entry(ring, RING_CAPTURE, source);

    io_uring_prep_recv_multishot(sqe, FILE_SOURCES + (int)source, NULL, 0, 0);
    sqe->flags |= IOSQE_FIXED_FILE | IOSQE_BUFFER_SELECT;
    sqe->buf_group = SLOT_GROUP;
}

void ring_receive(struct ring *ring, uint8_t *bytes, size_t room)
{
    struct io_uring_sqe *sqe = next_entry(ring, RING_RECEIVE, 0);

    io_uring_prep_recv(sqe, FILE_STREAM, bytes, room, 0);
    sqe->flags |= IOSQE_FIXED_FILE;
}

void ring_write(struct ring *ring, const struct msghdr *message)
{
    struct io_uring_sqe *sqe = next_entry(ring, RING_WRITE, 0);

    io_uring_prep_sendmsg(sqe, FILE_STREAM, message, MSG_NOSIGNAL | MSG_WAITALL);
    sqe->flags |= IOSQE_FIXED_FILE;
}

/* MSG_DONTWAIT: a socket without room fails the request, which the kernel would otherwise put off
 * until there is room, with bytes that are somebody else's by then. */
static void send_immediately(struct io_uring_sqe *sqe, int file, const uint8_t *bytes,
                             size_t length)
{
    io_uring_prep_send(sqe, file, bytes, length, MSG_DONTWAIT);
    sqe->flags |= IOSQE_FIXED_FILE | IOSQE_CQE_SKIP_SUCCESS;
}

void ring_inject(struct ring *ring, const uint8_t *bytes, size_t length)
{
    send_immediately(next_entry(ring, RING_INJECT, 0), FILE_INJECT, bytes, length);
}

void ring_verdict(struct ring *ring, unsigned source, const uint8_t *bytes, size_t length)
{
    send_immediately(next_entry(ring, RING_VERDICT, source), FILE_SOURCES + (int)source, bytes,
                     length);
}

void ring_tick(struct ring *ring, uint32_t after_ms)
{
    ring->tick = (struct __kernel_timespec){.tv_sec = after_ms / 1000,
                                            .tv_nsec = after_ms % 1000 * 1000000LL};
    io_uring_prep_timeout(next_entry(ring, RING_TICK, 0), &ring->tick, 0, 0);
}

void ring_wake(struct ring *ring)
{
    struct io_uring_sqe *sqe = next_entry(ring, RING_WAKE, 0);

    io_uring_prep_read(sqe, FILE_WAKE, &ring->wake_value, sizeof(ring->wake_value), 0);
    sqe->flags |= IOSQE_FIXED_FILE;
}

void ring_flush(struct ring *ring)
{
    io_uring_submit(&ring->uring);
}

/* ---- completions ---- */

static_assert(RING_HAS_SLOT == IORING_CQE_F_BUFFER && RING_MORE == IORING_CQE_F_MORE &&
                  RING_SLOT_SHIFT == IORING_CQE_BUFFER_SHIFT,
              "a delivery is what io_uring calls the flags of a completion");

static void complete(struct ring *ring, const struct io_uring_cqe *cqe)
{
    unsigned op = (unsigned)(cqe->user_data >> 8), source = cqe->user_data & 0xff;

    ring->handlers[op].run(ring->handlers[op].part, cqe->res, source, cqe->flags);
}

static void drain_completions(struct ring *ring)
{
    struct io_uring_cqe *cqe;
    unsigned head, count = 0;

    io_uring_for_each_cqe(&ring->uring, head, cqe)
    {
        complete(ring, cqe);
        count++;
    }
    io_uring_cq_advance(&ring->uring, count);
}

/* The kernel does not wake a lane that waits for more completions than there are. */
static int submit_and_pause(struct ring *ring, uint32_t pause_us)
{
    struct __kernel_timespec pause = {.tv_nsec = pause_us * 1000LL};
    struct io_uring_cqe *cqe;
    int result = io_uring_submit_and_wait_timeout(&ring->uring, &cqe, COMPLETIONS, &pause, NULL);

    return result == -ETIME ? 0 : result;
}

int ring_turn(struct ring *ring, uint32_t pause_us)
{
    int result = pause_us == 0 ? io_uring_submit_and_wait(&ring->uring, 1)
                               : submit_and_pause(ring, pause_us);

    if (result < 0 && result != -EINTR && result != -EAGAIN && result != -EBUSY)
        return result;
    drain_completions(ring);
    return 0;
}
