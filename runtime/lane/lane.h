/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A lane: one stream of the link and one thread, carrying packets both ways.
 *
 *   kernel --capture--> slot --frame header in place--> batch --one write--> stream         (out)
 *   stream --read--> mirrored buffer --check, rewrite header in place--> AF_PACKET --> kernel (in)
 *
 * Each part owns its state, and is a file:
 *
 *   outbound.h    from the capture sockets to frames
 *   batch.h       from frames to writes on the stream
 *   inbound.h     from the stream to checked packets
 *   injector.h    from checked packets to the kernel
 *   slots.h       the buffers that captured packets are in
 *   ring.h        the engine: io_uring
 *   mailbox.h     what the control thread says
 *   taps.h        copies for `causewayctl capture`
 *   liveness.h    is the peer alive?
 *   moderation.h  when to let packets gather
 *   context.h     what all of them stand on
 *
 * lane.c has the loop, the clock and the thread.
 *
 * Out. Captured packets are received into slots and appended to the filling batch. One write is in
 * flight at a time, so order holds; what arrives meanwhile becomes the next write. When batch and
 * slots are full the lane stops reading, and the kernel's queue fills and drops: memory and delay
 * are bounded.
 *
 * In. Each packet is parsed and checked where it was read, its frame header is overwritten by what
 * AF_PACKET wants, and a send is queued that the kernel executes while it takes the queue over
 * (ring.h, immediate requests). The following read stands behind these in the same queue, so it
 * finds their bytes free.
 *
 * Ownership: a slot belongs to the kernel while published, to the completion handler while it is
 * looked at, to a batch or the backlog while it holds unsent bytes, else to the free stack. The
 * filling batch is the handler's, the other one is the ring's until its write is done.
 *
 * Nothing is allocated while the lane runs; locks guard the mailbox and the list of taps alone,
 * which are not on the packet path.
 */
#ifndef CAUSEWAY_RUNTIME_LANE_LANE_H
#define CAUSEWAY_RUNTIME_LANE_LANE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "runtime/base/failure.h"
#include "runtime/lane/lane_options.h"
#include "runtime/lane/stats.h"
#include "runtime/lane/taps.h"

struct lane;

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

/* Exchanges options.policy, also while it runs. The one before is in use until the lane has looked.
 */
void lane_set_policy(struct lane *lane, const void *policy);
bool lane_uses_policy(struct lane *lane, const void *policy);

/* Gives the lane a port of the capture number `place`, or with NULL takes it back; it lets go of
 * that some time later, which lane_tap_gone() tells. Whether it runs or not. */
void lane_set_tap(struct lane *lane, unsigned place, struct tap_port *port);
bool lane_tap_gone(struct lane *lane, unsigned place);

/* Asks the thread to end. */
void lane_stop(struct lane *lane);
/* Waits for the thread, and says why it ended. */
enum lane_end lane_join(struct lane *lane);
int lane_error(const struct lane *lane); /* errno value behind LANE_BROKEN and LANE_FAILED */

/* Sends a control frame (header and payload, at most LANE_MAILBOX_BYTES). False: mailbox full. */
bool lane_post(struct lane *lane, const uint8_t *frame, size_t length);

/* Counters add up over all streams of the lane. */
const struct lane_stats *lane_stats(const struct lane *lane);

/* How the kernel runs the rings, as lane_probe() found it; a text. */
const char *lane_ring_mode(void);

/* Can this kernel do what a lane's ring needs? */
bool lane_probe(struct failure *failure);

#endif
