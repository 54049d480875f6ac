/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The lane's way in, second half: packets that passed all checks are handed to the kernel.
 *
 * The frame header in front of a packet is overwritten with the virtio_net_hdr and Ethernet header
 * that AF_PACKET wants, and a send is queued. UDP datagrams of one read that follow each other are
 * joined into one super-packet first (packet/coalesce.h); a UDP super-packet that the kernel would
 * not take is cut here.
 */
#ifndef CAUSEWAY_RUNTIME_LANE_INJECTOR_H
#define CAUSEWAY_RUNTIME_LANE_INJECTOR_H

#include <stdint.h>

#include "packet/coalesce.h"
#include "packet/offload.h"
#include "packet/parse.h"
#include "runtime/lane/context.h"

struct injector {
    struct lane_context *lane;
    struct coalescer joined; /* datagrams of the read that is looked at, not injected yet */
    uint8_t *segments;       /* software segmentation's output */
    struct log_limit failures;
};

/* Maps the memory, and takes the ring's word on failures: 0 or negative errno. injector_destroy()
 * also after a failure. */
int injector_init(struct injector *injector, struct lane_context *lane);
void injector_destroy(struct injector *injector);

/* At the start of a stream. */
void injector_start(struct injector *injector);

/*
 * Injects the packet now, or holds it back to join it with what follows. packet lies behind
 * FRAME_HEADER_BYTES that may be overwritten, and behind all packets of this read that came before,
 * in the same linear memory; its bytes are borrowed until the ring has been handed what is queued
 * after injector_finish(). Anything but OFFLOAD_OK: the packet was not taken, the caller drops it.
 */
enum offload_error injector_add(struct injector *injector, uint8_t *packet,
                                const struct parsed_packet *parsed, struct offload offload);

/* Injects what was held back: at the end of a read. */
void injector_finish(struct injector *injector);

#endif
