/* SPDX-License-Identifier: Apache-2.0 */
/* The lane's ring, loop, clock and thread. Theory of operation: runtime/lane/lane.h. */
#include "runtime/lane/lane.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "runtime/base/clock.h"
#include "runtime/lane/lane_internal.h"

static const char *const end_names[] = {
    [LANE_RUNNING] = "running",           [LANE_STOPPED] = "stopped",
    [LANE_CLOSED] = "closed by the peer", [LANE_BROKEN] = "broken",
    [LANE_SILENT] = "the peer is silent", [LANE_STALLED] = "the stream is stalled",
    [LANE_LOST] = "framing lost",         [LANE_FAILED] = "failed here",
};
static_assert(sizeof(end_names) / sizeof(end_names[0]) == LANE_FAILED + 1, "every end has a name");

const char *lane_end_name(enum lane_end end)
{
    return end_names[end];
}

/* ---- memory ---- */

static void *map_pages(size_t bytes)
{
    void *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    return memory == MAP_FAILED ? NULL : memory;
}

static void unmap_pages(void *memory, size_t bytes)
{
    if (memory != NULL)
        munmap(memory, bytes);
}

#define SLOT_RING_BYTES (SLOT_COUNT * sizeof(struct io_uring_buf))

void lane_free(struct lane *lane)
{
    if (lane == NULL)
        return;
    unmap_pages(lane->slots, (size_t)SLOT_COUNT * SLOT_BYTES);
    unmap_pages(lane->slot_ring, SLOT_RING_BYTES);
    unmap_pages(lane->batches[0].staging, STAGING_BYTES);
    unmap_pages(lane->batches[1].staging, STAGING_BYTES);
    unmap_pages(lane->segments, SEGMENTS_BYTES);
    mirror_unmap(&lane->receive_ring);
    if (lane->wake_fd >= 0)
        close(lane->wake_fd);
    pthread_mutex_destroy(&lane->mailbox_lock);
    free(lane);
}

struct lane *lane_new(void)
{
    struct lane *lane = calloc(1, sizeof(*lane));

    if (lane == NULL)
        return NULL;
    pthread_mutex_init(&lane->mailbox_lock, NULL);
    lane->slots = map_pages((size_t)SLOT_COUNT * SLOT_BYTES);
    lane->slot_ring = map_pages(SLOT_RING_BYTES);
    lane->batches[0].staging = map_pages(STAGING_BYTES);
    lane->batches[1].staging = map_pages(STAGING_BYTES);
    lane->segments = map_pages(SEGMENTS_BYTES);
    lane->wake_fd = eventfd(0, EFD_CLOEXEC);
    int error = mirror_map(&lane->receive_ring, RECEIVE_RING_BYTES);
    if (error < 0 || lane->slots == NULL || lane->slot_ring == NULL || lane->wake_fd < 0 ||
        lane->batches[0].staging == NULL || lane->batches[1].staging == NULL ||
        lane->segments == NULL) {
        lane_free(lane);
        errno = error < 0 ? -error : ENOMEM;
        return NULL;
    }
    return lane;
}

/* ---- ring ---- */

/*
 * One thread submits (SINGLE_ISSUER) and completions are run when it asks for them (DEFER_TASKRUN,
 * since 6.1): a burst of packets costs one wakeup. Older kernels get the plain form. The ring
 * starts disabled, so that it can be restricted before its first use.
 */
static int ring_create(struct io_uring *ring)
{
    static const unsigned wishes[] = {
        IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN,
        IORING_SETUP_COOP_TASKRUN,
        0,
    };
    int error = -EINVAL;

    for (size_t i = 0; i < sizeof(wishes) / sizeof(wishes[0]) && error == -EINVAL; i++) {
        struct io_uring_params params = {
            .flags = IORING_SETUP_CQSIZE | IORING_SETUP_R_DISABLED | wishes[i],
            .cq_entries = RING_CQ_ENTRIES,
        };
        error = io_uring_queue_init_params(RING_ENTRIES, ring, &params);
    }
    return error;
}

/* liburing 2.3 declares these two registrations and does not export them. */
static int ring_register(struct io_uring *ring, unsigned operation, const void *argument,
                         unsigned count)
{
    long result = syscall(SYS_io_uring_register, ring->ring_fd, operation, argument, count);

    return result < 0 ? -errno : 0;
}

/* The operations a lane uses; a hijacked daemon gets no more out of this ring. */
static int ring_restrict(struct io_uring *ring)
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
    return ring_register(ring, IORING_REGISTER_RESTRICTIONS, restrictions, COUNT);
}

static int register_slots(struct lane *lane)
{
    struct io_uring_buf_reg registration = {
        .ring_addr = (uintptr_t)lane->slot_ring,
        .ring_entries = SLOT_COUNT,
        .bgid = SLOT_GROUP,
    };

    return io_uring_register_buf_ring(&lane->ring, &registration, 0);
}

static int ring_open(struct lane *lane)
{
    int files[FILE_COUNT] = {
        [FILE_STREAM] = lane->options.stream_fd,
        [FILE_INJECT] = lane->options.inject_fd,
        [FILE_WAKE] = lane->wake_fd,
    };
    unsigned count = FILE_SOURCES + lane->options.source_count;
    int error = ring_create(&lane->ring);

    if (error < 0)
        return error;
    for (unsigned i = 0; i < lane->options.source_count; i++)
        files[FILE_SOURCES + i] = lane->options.sources[i].fd;
    error = io_uring_register_files(&lane->ring, files, count);
    if (error == 0)
        error = register_slots(lane);
    if (error == 0)
        error = ring_restrict(&lane->ring);
    if (error == 0)
        error = ring_register(&lane->ring, IORING_REGISTER_ENABLE_RINGS, NULL, 0);
    if (error < 0)
        io_uring_queue_exit(&lane->ring);
    return error;
}

/*
 * Lets go of the sockets. By itself the kernel does that some tens of milliseconds after the ring
 * was closed (io_ring_exit_work()): so long a dead AF_PACKET socket takes its share of the fanout
 * group's packets, and a queue or group cannot be opened anew. Tried in tests/unit/lane.c.
 */
static void ring_close(struct io_uring *ring)
{
    struct io_uring_sync_cancel_reg all = {
        .fd = -1,
        .flags = IORING_ASYNC_CANCEL_ANY | IORING_ASYNC_CANCEL_ALL,
        .timeout = {.tv_sec = 1},
    };
    int result = ring_register(ring, IORING_REGISTER_SYNC_CANCEL, &all, 1);

    io_uring_get_events(ring); /* with DEFER_TASKRUN the cancelled requests end here */
    if (result >= 0 || result == -ENOENT)
        ring_register(ring, IORING_UNREGISTER_FILES, NULL, 0);
    io_uring_queue_exit(ring);
}

static unsigned probed_flags; /* written before any other thread is there */

const char *lane_ring_mode(void)
{
    if (probed_flags & IORING_SETUP_DEFER_TASKRUN)
        return "deferred task run";
    return probed_flags & IORING_SETUP_COOP_TASKRUN ? "cooperative task run" : "plain";
}

int lane_probe(struct failure *failure)
{
    struct lane *lane = lane_new();
    int result = -ENOMEM;

    if (lane != NULL) {
        int fd = lane->wake_fd;
        lane->options = (struct lane_options){.stream_fd = fd, .inject_fd = fd};
        result = ring_open(lane);
        if (result == 0) {
            probed_flags = lane->ring.flags;
            io_uring_queue_exit(&lane->ring);
        }
        lane_free(lane);
    }
    if (result < 0)
        failure_set(failure, "io_uring is not usable here (Linux 6.0 or newer, %s): %s",
                    "sysctl kernel.io_uring_disabled = 0", strerror(-result));
    return result;
}

struct io_uring_sqe *lane_sqe(struct lane *lane, enum lane_op op, unsigned index)
{
    struct io_uring_sqe *sqe = io_uring_get_sqe(&lane->ring);

    if (sqe == NULL) {
        io_uring_submit(&lane->ring);
        sqe = io_uring_get_sqe(&lane->ring); /* a submission without SQPOLL empties the queue */
    }
    /* The prep functions of liburing 2.3 leave user_data alone. */
    io_uring_sqe_set_data64(sqe, (uint64_t)op << 8 | index);
    return sqe;
}

void lane_fail(struct lane *lane, enum lane_end end, int error)
{
    if (lane->end != LANE_RUNNING)
        return;
    lane->end = end;
    lane->error = error;
}

/* ---- mailbox ---- */

static void arm_wake(struct lane *lane)
{
    if (lane->wake_armed)
        return;
    struct io_uring_sqe *sqe = lane_sqe(lane, OP_WAKE, 0);
    io_uring_prep_read(sqe, FILE_WAKE, &lane->wake_value, sizeof(lane->wake_value), 0);
    sqe->flags |= IOSQE_FIXED_FILE;
    lane->wake_armed = true;
}

static void wake(const struct lane *lane)
{
    uint64_t one = 1;

    if (write(lane->wake_fd, &one, sizeof(one)) < 0)
        log_error("%s: cannot wake the lane: %s", lane->options.name, strerror(errno));
}

static void take_taps(struct lane *lane)
{
    lane->tap_count = 0;
    for (unsigned i = 0; i < TAP_CAPTURES_MAX; i++) {
        lane->taps[i] = lane->wanted_taps[i];
        lane->tap_count += lane->taps[i] != NULL;
    }
}

/* What finds no room behind a flood of answers to pings stays for the next tick. */
static void read_mailbox(struct lane *lane)
{
    pthread_mutex_lock(&lane->mailbox_lock);
    if (lane->stop_requested)
        lane_fail(lane, LANE_STOPPED, 0);
    take_taps(lane);
    if (lane->mailbox_bytes > 0 && send_control(lane, lane->mailbox, lane->mailbox_bytes))
        lane->mailbox_bytes = 0;
    pthread_mutex_unlock(&lane->mailbox_lock);
}

bool lane_post(struct lane *lane, const uint8_t *frame, size_t length)
{
    bool posted = false;

    pthread_mutex_lock(&lane->mailbox_lock);
    if (lane->mailbox_bytes + length <= sizeof(lane->mailbox)) {
        memcpy(lane->mailbox + lane->mailbox_bytes, frame, length);
        lane->mailbox_bytes += length;
        posted = true;
    }
    pthread_mutex_unlock(&lane->mailbox_lock);
    if (posted)
        wake(lane);
    return posted;
}

/* ---- taps ---- */

void lane_set_tap(struct lane *lane, unsigned slot, struct tap_port *port)
{
    pthread_mutex_lock(&lane->mailbox_lock);
    bool changed = lane->wanted_taps[slot] != port;
    lane->wanted_taps[slot] = port;
    pthread_mutex_unlock(&lane->mailbox_lock);
    if (changed && lane->started)
        wake(lane);
}

bool lane_tap_gone(struct lane *lane, unsigned slot)
{
    pthread_mutex_lock(&lane->mailbox_lock);
    bool gone = lane->taps[slot] == NULL;
    pthread_mutex_unlock(&lane->mailbox_lock);
    return gone;
}

static void drop_taps(struct lane *lane)
{
    pthread_mutex_lock(&lane->mailbox_lock);
    memset(lane->taps, 0, sizeof(lane->taps));
    lane->tap_count = 0;
    pthread_mutex_unlock(&lane->mailbox_lock);
}

void lane_show(struct lane *lane, const uint8_t *packet, size_t length,
               enum tap_direction direction, uint16_t reason)
{
    struct timespec now;

    clock_gettime(CLOCK_REALTIME, &now);
    uint64_t time_ns = (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
    for (unsigned i = 0; i < TAP_CAPTURES_MAX; i++)
        if (lane->taps[i] != NULL)
            tap_packet(lane->taps[i], packet, (uint32_t)length, direction, reason, time_ns);
}

/* ---- clock ---- */

static void send_ping(struct lane *lane)
{
    uint8_t frame[FRAME_HEADER_BYTES + FRAME_CONTROL_MAX];

    lane->pinged_ms = lane->now_ms;
    if (send_control(lane, frame, wire_put_ping(frame, FRAME_PING, clock_us())))
        stats_add(lane->stats.pings_sent, 1);
}

static void tick(struct lane *lane)
{
    uint32_t dead_ms = __atomic_load_n(&lane->options.dead_ms, __ATOMIC_RELAXED);
    uint32_t ping_ms = dead_ms / 4 < PING_MAX_MS ? dead_ms / 4 : PING_MAX_MS;

    lane->now_ms = clock_ms();
    if (lane->heard_since_tick)
        lane->heard_ms = lane->now_ms;
    if (lane->sent_since_tick || !lane->send_in_flight)
        lane->sent_ms = lane->now_ms;
    lane->heard_since_tick = lane->sent_since_tick = false;
    if (lane->now_ms - lane->heard_ms >= dead_ms)
        lane_fail(lane, LANE_SILENT, 0);
    else if (lane->now_ms - lane->sent_ms >= dead_ms)
        lane_fail(lane, LANE_STALLED, 0);
    else if (lane->now_ms - lane->pinged_ms >= ping_ms)
        send_ping(lane);
    read_mailbox(lane);
    capture_tick(lane);
}

static void arm_tick(struct lane *lane)
{
    if (lane->tick_armed)
        return;
    lane->tick = (struct __kernel_timespec){.tv_nsec = LANE_TICK_MS * 1000000LL};
    struct io_uring_sqe *sqe = lane_sqe(lane, OP_TICK, 0);
    io_uring_prep_timeout(sqe, &lane->tick, 0, 0);
    lane->tick_armed = true;
}

/* ---- loop ---- */

static void complete(struct lane *lane, const struct io_uring_cqe *cqe)
{
    unsigned index = cqe->user_data & 0xff;

    switch ((enum lane_op)(cqe->user_data >> 8)) {
    case OP_CAPTURE:
        capture_complete(lane, index, cqe->res, cqe->flags);
        break;
    case OP_RECEIVE:
        receive_complete(lane, cqe->res);
        break;
    case OP_SEND:
        send_complete(lane, cqe->res);
        break;
    case OP_INJECT:
        inject_complete(lane, cqe->res);
        break;
    case OP_VERDICT: /* only failures complete; the next burst's verdict covers this one's */
        break;
    case OP_TICK:
        lane->tick_armed = false;
        tick(lane);
        break;
    case OP_WAKE:
        lane->wake_armed = false;
        read_mailbox(lane);
        break;
    }
}

static void drain_completions(struct lane *lane)
{
    struct io_uring_cqe *cqe;
    unsigned head, count = 0;

    io_uring_for_each_cqe(&lane->ring, head, cqe)
    {
        complete(lane, cqe);
        count++;
    }
    io_uring_cq_advance(&lane->ring, count);
}

static uint64_t packets_carried(const struct lane *lane)
{
    return lane->stats.captured_packets + lane->stats.received_frames;
}

static uint64_t bytes_carried(const struct lane *lane)
{
    return lane->stats.captured_bytes + lane->stats.received_bytes;
}

/* Submits and sleeps until something completes, or for the whole pause where packets are to gather.
 * The kernel does not wake a lane that waits for more completions than there are. */
static int submit_and_wait(struct lane *lane)
{
    struct __kernel_timespec pause = {.tv_nsec = MODERATION_PAUSE_US * 1000LL};
    struct io_uring_cqe *cqe;

    if (!lane->moderation.pause)
        return io_uring_submit_and_wait(&lane->ring, 1);
    int result = io_uring_submit_and_wait_timeout(&lane->ring, &cqe, RING_CQ_ENTRIES, &pause, NULL);
    return result == -ETIME ? 0 : result;
}

/*
 * The order within a submission: write to the link (the other side starts working), release what
 * was captured, inject (queued while frames were decoded, so ahead of these two), then read again.
 */
static void loop(struct lane *lane)
{
    while (lane->end == LANE_RUNNING) {
        send_submit(lane);
        capture_verdicts(lane);
        capture_arm(lane);
        receive_arm(lane);
        arm_tick(lane);
        arm_wake(lane);
        int result = submit_and_wait(lane);
        if (result < 0 && result != -EINTR && result != -EAGAIN && result != -EBUSY) {
            lane_fail(lane, LANE_FAILED, -result);
            break;
        }
        drain_completions(lane);
        moderation_note(&lane->moderation, packets_carried(lane), bytes_carried(lane), clock_us());
    }
}

static void run(struct lane *lane)
{
    int error = ring_open(lane);

    if (error < 0) {
        lane_fail(lane, LANE_FAILED, -error);
        return;
    }
    capture_start(lane);
    send_start(lane);
    receive_start(lane);
    lane->tick_armed = lane->wake_armed = false;
    lane->heard_ms = lane->sent_ms = clock_ms();
    lane->pinged_ms = 0; /* the first tick pings */
    lane->heard_since_tick = lane->sent_since_tick = false;
    moderation_start(&lane->moderation, packets_carried(lane), bytes_carried(lane), clock_us());
    stats_add(lane->stats.streams, 1);
    read_mailbox(lane);
    loop(lane);
    drop_taps(lane);
    /* The peer learns of it now, not when the control thread closes the stream. */
    shutdown(lane->options.stream_fd, SHUT_RDWR);
    ring_close(&lane->ring);
}

/* ---- thread ---- */

static void *thread_main(void *argument)
{
    struct lane *lane = argument;
    uint64_t one = 1;

    /* The default, 50 us, would more than double the pauses. */
    prctl(PR_SET_TIMERSLACK, 1000UL);
    run(lane);
    __atomic_store_n(&lane->finished, true, __ATOMIC_RELEASE);
    if (write(lane->exit_fd, &one, sizeof(one)) < 0)
        log_error("%s: cannot report the end of the lane: %s", lane->options.name, strerror(errno));
    return NULL;
}

int lane_start(struct lane *lane, const struct lane_options *options, int exit_fd)
{
    lane->options = *options;
    lane->fragments.lane = options->number;
    lane->exit_fd = exit_fd;
    lane->end = LANE_RUNNING;
    lane->error = 0;
    lane->finished = lane->stop_requested = false;
    lane->mailbox_bytes = 0;
    /* A wake-up of the last stream that came too late is not one for this stream. */
    close(lane->wake_fd);
    lane->wake_fd = eventfd(0, EFD_CLOEXEC);
    if (lane->wake_fd < 0)
        return -errno;
    int error = pthread_create(&lane->thread, NULL, thread_main, lane);
    lane->started = error == 0;
    return -error;
}

bool lane_finished(const struct lane *lane)
{
    return lane->started && __atomic_load_n(&lane->finished, __ATOMIC_ACQUIRE);
}

void lane_set_dead_ms(struct lane *lane, uint32_t dead_ms)
{
    __atomic_store_n(&lane->options.dead_ms, dead_ms, __ATOMIC_RELAXED);
}

void lane_stop(struct lane *lane)
{
    pthread_mutex_lock(&lane->mailbox_lock);
    lane->stop_requested = true;
    pthread_mutex_unlock(&lane->mailbox_lock);
    wake(lane);
}

enum lane_end lane_join(struct lane *lane)
{
    pthread_join(lane->thread, NULL);
    lane->started = false;
    return lane->end;
}

int lane_error(const struct lane *lane)
{
    return lane->error;
}

const struct lane_stats *lane_stats(const struct lane *lane)
{
    return &lane->stats;
}
