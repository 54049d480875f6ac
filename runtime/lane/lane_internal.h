/* SPDX-License-Identifier: Apache-2.0 */
/* The lane's inside, shared by lane*.c alone. Theory of operation: runtime/lane/lane.h. */
#ifndef CAUSEWAY_RUNTIME_LANE_LANE_INTERNAL_H
#define CAUSEWAY_RUNTIME_LANE_LANE_INTERNAL_H

#include <assert.h>
#include <liburing.h>
#include <pthread.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include "packet/coalesce.h"
#include "runtime/lane/lane.h"
#include "runtime/base/log.h"
#include "runtime/base/mirror.h"
#include "runtime/lane/moderation.h"
#include "runtime/host/nfqueue.h"

#define LANE_TICK_MS 250
#define PING_MAX_MS  1000

#define RING_ENTRIES    256
#define RING_CQ_ENTRIES 1024

/* A slot holds the largest message of either capture kind. */
#define SLOT_COUNT 64 /* a power of two: it is the buffer ring's size */
#define SLOT_BYTES (17 * 4096)
static_assert(SLOT_BYTES >= NFQUEUE_MESSAGE_MAX, "an NFQUEUE message fits a slot");
static_assert(SLOT_BYTES >= FRAME_BYTES_MAX, "an AF_PACKET frame fits a slot");
#define SLOT_GROUP 0 /* provided-buffer group id */

/*
 * How many slots the kernel may fill before it hears from us again. Few when packets are large, so
 * that the bytes are still in the cache when they are written; all when they are small.
 */
#define PUBLISH_LARGE     8
#define LARGE_CAPTURE     8192 /* bytes, of the running average */
#define SMALL_FRAME_BYTES 2048 /* up to this, copying beats keeping a slot and an iovec */

#define BATCH_IOVECS  (2 * SLOT_COUNT + 2)
#define CONTROL_BYTES 4096 /* control frames waiting for the next write */
#define STAGING_BYTES (LANE_WRITE_MAX + CONTROL_BYTES)

#define RECEIVE_RING_BYTES (512 * 1024)
#define RECEIVE_MAX_BYTES  (256 * 1024)
static_assert(RECEIVE_RING_BYTES >= FRAME_BYTES_MAX + RECEIVE_MAX_BYTES,
              "a whole frame always fits beside a read");

/* UDP super-packets alone are segmented here: payload once, headers for every segment. */
#define SEGMENTS_BYTES                                                                             \
    (PACKET_MAX_BYTES + OFFLOAD_MAX_UDP_SEGMENTS * (LINK_HEADER_BYTES + SEGMENT_HEADER_MAX))
#define SEGMENT_HEADER_MAX 512 /* IP header with extensions, and UDP */

/* Fixed file numbers of the ring; capture sources follow. */
enum {
    FILE_STREAM,
    FILE_INJECT,
    FILE_WAKE,
    FILE_SOURCES,
    FILE_COUNT = FILE_SOURCES + LANE_SOURCES_MAX
};

enum lane_op { OP_CAPTURE, OP_RECEIVE, OP_SEND, OP_INJECT, OP_VERDICT, OP_TICK, OP_WAKE };

struct captured { /* bytes of a slot that wait for room in a batch: a whole frame */
    uint16_t slot;
    uint32_t offset, length;
};

struct batch {
    struct iovec iov[BATCH_IOVECS];
    unsigned iov_count;
    unsigned iov_first; /* of a write that ended short: where the rest begins */
    unsigned frames;
    size_t bytes;
    size_t staged;
    unsigned slot_count;
    uint16_t slots[SLOT_COUNT]; /* given back when the write is done */
    uint8_t *staging;           /* STAGING_BYTES, for small frames */
    struct msghdr message;
};

struct source_state {
    bool armed;
    bool retry_at_tick;
    bool verdict_due;
    uint32_t verdict_id;
    uint8_t verdict[NFQUEUE_VERDICT_BYTES];
};

struct lane {
    struct lane_options options;
    struct io_uring ring;
    enum lane_end end;
    int error;

    /* out */
    struct source_state sources[LANE_SOURCES_MAX];
    struct io_uring_buf_ring *slot_ring;
    uint8_t *slots;
    uint16_t free_slots[SLOT_COUNT];
    unsigned free_count, published;
    uint32_t average_capture; /* bytes, running */
    struct captured backlog[SLOT_COUNT];
    unsigned backlog_first, backlog_count;
    struct batch batches[2];
    unsigned filling; /* index into batches */
    bool send_in_flight;
    uint8_t control[CONTROL_BYTES];
    size_t control_bytes;
    unsigned control_frames;
    uint32_t fragment_identification;

    /* in */
    struct mirror receive_ring;
    size_t head, tail; /* free-running; head - tail bytes are not consumed yet */
    bool receive_armed;
    struct coalescer joined;     /* datagrams of the read that is looked at, not injected yet */
    struct reassembly fragments; /* outlives streams: the kernel keeps what they brought */
    uint8_t *segments;           /* SEGMENTS_BYTES, software segmentation's output */

    /* time */
    struct moderation moderation;
    struct __kernel_timespec tick;
    bool tick_armed;
    uint64_t now_ms, heard_ms, sent_ms, pinged_ms;
    bool heard_since_tick, sent_since_tick;

    unsigned tap_count;
    struct tap_port *taps[TAP_CAPTURES_MAX]; /* written by the lane, under the mailbox's lock */

    struct log_limit limits[4];
    struct lane_stats stats;

    /* shared with the control thread */
    pthread_t thread;
    bool started;
    bool finished; /* atomic */
    int exit_fd;
    int wake_fd;
    bool wake_armed;
    uint64_t wake_value;
    pthread_mutex_t mailbox_lock;
    bool stop_requested;
    struct tap_port *wanted_taps[TAP_CAPTURES_MAX];
    size_t mailbox_bytes;
    uint8_t mailbox[LANE_MAILBOX_BYTES];
};

enum { LIMIT_BAD_PACKET, LIMIT_POLICY, LIMIT_INJECT, LIMIT_CAPTURE };

/* lane.c: a free submission entry (submitting what is queued when there is none), with user_data
 * set. */
struct io_uring_sqe *lane_sqe(struct lane *lane, enum lane_op op, unsigned index);
void lane_fail(struct lane *lane, enum lane_end end, int error);
static inline void lane_drop(struct lane *lane, unsigned reason)
{
    stats_add(lane->stats.drops[reason], 1);
}

/* lane.c: shows a packet to the taps. */
void lane_show(struct lane *lane, const uint8_t *packet, size_t length,
               enum tap_direction direction, uint16_t reason);
static inline void lane_tap(struct lane *lane, const uint8_t *packet, size_t length,
                            enum tap_direction direction, uint16_t reason)
{
    if (__builtin_expect(lane->tap_count > 0, 0))
        lane_show(lane, packet, length, direction, reason);
}
/* Counts a packet that is dropped, and shows it. */
static inline void lane_drop_packet(struct lane *lane, const uint8_t *packet, size_t length,
                                    enum tap_direction direction, unsigned reason)
{
    lane_drop(lane, reason);
    lane_tap(lane, packet, length, direction, (uint16_t)reason);
}

/* lane_capture.c */
void capture_start(struct lane *lane);
void capture_arm(struct lane *lane);
void capture_complete(struct lane *lane, unsigned source, int result, uint32_t flags);
void capture_verdicts(struct lane *lane);
void capture_tick(struct lane *lane);
void capture_release_slot(struct lane *lane, uint16_t slot);

/* lane_send.c */
void send_start(struct lane *lane);
/* Takes a whole frame. slot: whose bytes they are, or NO_SLOT for bytes that must be copied now. */
#define NO_SLOT UINT16_MAX
bool send_append(struct lane *lane, const uint8_t *frame, uint32_t length, uint16_t slot);
/* Takes a control frame for the next write. False: too many wait already. */
bool send_control(struct lane *lane, const uint8_t *frame, size_t length);
void send_submit(struct lane *lane);
void send_complete(struct lane *lane, int result);

/* lane_receive.c */
void receive_start(struct lane *lane);
void receive_arm(struct lane *lane);
void receive_complete(struct lane *lane, int result);
void inject_complete(struct lane *lane, int result);

#endif
