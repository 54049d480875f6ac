/* SPDX-License-Identifier: Apache-2.0 */
/* What the owner of a lane asks for, and how a lane can end. */
#ifndef CAUSEWAY_RUNTIME_LANE_LANE_OPTIONS_H
#define CAUSEWAY_RUNTIME_LANE_LANE_OPTIONS_H

#include <stdbool.h>
#include <stdint.h>

#include "packet/frame.h"
#include "packet/parse.h"
#include "packet/policy.h"
#include "packet/reassembly.h"
#include "runtime/base/link.h"
#include "runtime/host/netdev.h"

#define LANE_SOURCES_MAX   (WIRE_MAX_LANES + 1)   /* every queue, and the fragments */
#define LANE_NAME_BYTES    (LINK_TEXT_BYTES + 84) /* a name, the peer, the lane */
#define LANE_MAILBOX_BYTES (2 * (FRAME_HEADER_BYTES + FRAME_CONTROL_MAX))

enum lane_source_kind { LANE_SOURCE_PACKET, LANE_SOURCE_NFQUEUE };

struct lane_source {
    enum lane_source_kind kind;
    int fd;
    uint16_t queue; /* NFQUEUE: its number */
};

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

    uint32_t write_max; /* bytes of a write on the stream, at most; 0: BATCH_WRITE_MAX */

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

#endif
