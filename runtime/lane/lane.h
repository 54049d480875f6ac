/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A lane: one stream of the link, one thread and one io_uring, carrying packets both ways.
 *
 *   kernel --capture--> slot --frame header in place--> batch --one sendmsg--> stream      (out)
 *   stream --recv--> mirrored ring --check, rewrite header in place--> AF_PACKET --> kernel (in)
 *
 * Out. Capture sockets (NFQUEUE or AF_PACKET) are read by multishot receives into slots of a
 * provided-buffer ring. Captured packets are appended to the filling batch: small ones are
 * copied together, large ones go by reference and keep their slot until the write is done. One
 * write is in flight at a time, so order holds; what arrives meanwhile becomes the next write. When
 * batch and slots are full the lane stops reading, and the kernel's queue fills and drops: memory
 * and delay have an end.
 *
 * In. The stream is read into a ring buffer that is mapped twice, so every frame is contiguous
 * where it lies. Each packet is parsed and checked, its frame header is overwritten by the
 * virtio_net_hdr and Ethernet header that AF_PACKET wants, and a send is queued. Sends carry
 * MSG_DONTWAIT and are executed, in order, within the next submission: once that has returned their
 * bytes are free again. The following receive stands behind them in the same submission.
 *
 * Ownership: a slot belongs to the kernel while published, to the completion handler while it is
 * looked at, to a batch or the backlog while it holds unsent bytes, else to the free stack. The
 * filling batch is the handler's, the flying batch is the kernel's until its completion.
 *
 * The ring lives as long as the stream: a completion of an earlier stream cannot be mistaken for
 * one of this. Nothing is allocated while the lane runs; the only lock guards the mailbox, which is
 * not on the packet path.
 */
#ifndef CAUSEWAY_RUNTIME_LANE_LANE_H
#define CAUSEWAY_RUNTIME_LANE_LANE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "runtime/base/failure.h"
#include "packet/frame.h"
#include "packet/policy.h"
#include "packet/reassembly.h"
#include "packet/parse.h"
#include "runtime/base/link.h"
#include "runtime/host/netdev.h"
#include "runtime/lane/stats.h"
#include "runtime/lane/taps.h"

#define LANE_SOURCES_MAX (WIRE_MAX_LANES + 1)   /* every queue, and the fragments */
#define LANE_WRITE_MAX   (128 * 1024)           /* bytes per write on the link */
#define LANE_NAME_BYTES  (LINK_TEXT_BYTES + 84) /* a name, the peer, the lane */

enum lane_source_kind { LANE_SOURCE_PACKET, LANE_SOURCE_NFQUEUE };

struct lane_source {
    enum lane_source_kind kind;
    int fd;
    uint16_t queue; /* NFQUEUE: its number */
};

struct lane;

struct lane_options {
    char name[LANE_NAME_BYTES]; /* for messages: the peer and the lane number */
    int stream_fd;              /* connected, non-blocking; closed by the owner after lane_join() */
    int inject_fd;              /* packet_socket_inject() */
    bool inject_udp_gso;        /* the kernel takes UDP super-packets there */
    struct mac inject_source, inject_destination;
    unsigned source_count;
    struct lane_source sources[LANE_SOURCES_MAX]; /* their sockets stay the owner's */
    const uint32_t *capture_mtu; /* read atomically: longer captured packets are fragmented */
    uint32_t dead_ms;            /* silence, or a write that does not end, after which to give up */

    /* Judges a packet that came over the link, before it is injected. On the lane's thread. */
    enum policy_verdict (*check)(const void *policy, const uint8_t *packet,
                                 const struct parsed_packet *parsed);
    const void *policy;
    /* What the peer may have the kernel keep for reassembly, shared by its lanes; NULL: no limit.
     */
    struct reassembly_budget *fragments;
    uint8_t number; /* of the lane, among these */

    /* A CONFIG frame arrived. On the lane's thread; must not block. NULL: none is expected. */
    void (*config)(void *context, const struct wire_config *config);
    void *config_context;
};

enum lane_end {
    LANE_RUNNING = 0,
    LANE_STOPPED, /* lane_stop() */
    LANE_CLOSED,  /* the peer closed the stream */
    LANE_BROKEN,  /* the stream failed: see lane_error() */
    LANE_SILENT,  /* nothing came for dead_ms */
    LANE_STALLED, /* a write did not end for dead_ms */
    LANE_LOST,    /* framing lost: not our protocol, or a hostile peer */
    LANE_FAILED,  /* this side could not go on: see lane_error() */
};
const char *lane_end_name(enum lane_end end);

/* Allocates a lane with all its buffers; NULL with errno. Reused from stream to stream. */
struct lane *lane_new(void);
void lane_free(struct lane *lane); /* not while it runs */

/*
 * Starts the thread. *options is copied. When the thread ends it adds 1 to the eventfd exit_fd;
 * lane_join() then returns at once. 0 or negative errno.
 */
int lane_start(struct lane *lane, const struct lane_options *options, int exit_fd);

/* Has the thread of a started lane ended by itself? */
bool lane_finished(const struct lane *lane);

/* Changes options.dead_ms, also while it runs. */
void lane_set_dead_ms(struct lane *lane, uint32_t dead_ms);

/* Gives the lane a tap, or with NULL takes it back; it lets go of that some time later, which
 * lane_tap_gone() tells. Whether it runs or not. */
void lane_set_tap(struct lane *lane, unsigned slot, struct tap_port *port);
bool lane_tap_gone(struct lane *lane, unsigned slot);

/* Asks the thread to end. */
void lane_stop(struct lane *lane);
/* Waits for the thread, and says why it ended. */
enum lane_end lane_join(struct lane *lane);
int lane_error(const struct lane *lane); /* errno value behind LANE_BROKEN and LANE_FAILED */

/* Sends a control frame (header and payload, at most LANE_MAILBOX_BYTES). False: mailbox full. */
#define LANE_MAILBOX_BYTES (2 * (FRAME_HEADER_BYTES + FRAME_CONTROL_MAX))
bool lane_post(struct lane *lane, const uint8_t *frame, size_t length);

/* Counters add up over all streams of the lane. */
const struct lane_stats *lane_stats(const struct lane *lane);

/* How the kernel runs the rings, as lane_probe() found it; a text. */
const char *lane_ring_mode(void);

/* Can this kernel do what a lane's ring needs? 0 or negative errno, with a sentence in error. */
int lane_probe(struct failure *failure);

#endif
