/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The lane's way in, first half: bytes of the stream become frames, frames are checked.
 *
 * The stream is read into a ring buffer that is mapped twice, so every frame is contiguous where it
 * lies. Packets that pass all checks go to the injector; control frames are answered here.
 */
#ifndef CAUSEWAY_RUNTIME_LANE_INBOUND_H
#define CAUSEWAY_RUNTIME_LANE_INBOUND_H

#include <stdbool.h>
#include <stddef.h>

#include "packet/reassembly.h"
#include "runtime/base/mirror.h"
#include "runtime/lane/batch.h"
#include "runtime/lane/context.h"
#include "runtime/lane/injector.h"

#define INBOUND_BUFFER_BYTES (512 * 1024)
#define INBOUND_READ_MAX     (256 * 1024)

struct inbound {
    struct lane_context *lane;
    struct injector *injector;
    struct batches *batches; /* for answers */
    struct mirror buffer;
    size_t head, tail; /* free-running; head - tail bytes are not consumed yet */
    bool armed;
    bool heard;                  /* something has come since inbound_heard() */
    struct reassembly fragments; /* outlives streams: the kernel keeps what they brought */
    struct log_limit refused;
};

/* Maps the memory, and takes the ring's word on reads: 0 or negative errno. inbound_destroy() also
 * after a failure. */
int inbound_init(struct inbound *inbound, struct lane_context *lane, struct injector *injector,
                 struct batches *batches);
void inbound_destroy(struct inbound *inbound);

/* Which of the enclave's lanes this is: before its first stream. */
void inbound_is_lane(struct inbound *inbound, uint8_t number);

/* At the start of a stream. */
void inbound_start(struct inbound *inbound);

/* Queues the next read. The packets of the last one were queued for injection before it, so their
 * bytes are free when it is executed. */
void inbound_arm(struct inbound *inbound);

/* Has anything come since the last call? */
bool inbound_heard(struct inbound *inbound);

#endif
