/* SPDX-License-Identifier: Apache-2.0 */
/*
 * For the tests of runtime/lane*.c: a lane between a stream, whose other end is the test, and a
 * veth pair, whose other end is the test, too.
 *
 *   world.peer <--stream--> lane --inject--> lb ==veth== la --> world.from_lane
 *                                <--capture-            <-- world.to_lane
 */
#ifndef CAUSEWAY_TESTS_UNIT_LANE_WORLD_H
#define CAUSEWAY_TESTS_UNIT_LANE_WORLD_H

#include "runtime/lane/lane.h"
#include "tests/unit/packet_build.h"
#include "tests/unit/support.h"

struct lane_world {
    struct netdev netdev;
    struct support_pair pair; /* la (index), lb (peer_index) */
    struct lane *lane;
    struct lane_options options; /* may be changed until world_start() */
    int exit_fd, stream, peer, to_lane, from_lane;
    uint32_t mtu;
    enum policy_verdict verdict; /* of every packet; atomic */
    unsigned configs;            /* CONFIG frames so far; atomic */
    struct wire_config config;   /* the last one */
    unsigned fds;
};
extern struct lane_world world;

/* cmocka's setup and teardown; *state may point to the devices' MTU (uint32_t), else 1500.
 * The teardown fails the test if descriptors were lost. */
int world_open(void **state);
int world_close(void **state);

/* Starts the lane on a fresh stream. world_end() waits until it has ended by itself or, with
 * stop, ends it; both ends of the stream are closed. */
void world_start(void);
enum lane_end world_end(bool stop);
/* What the policy says of every packet from now on; the lane may be running. */
void world_decide(enum policy_verdict verdict);

/* A packet of the length, of a protocol without transport checks, numbered. */
size_t world_plain(uint8_t *out, uint8_t version, size_t length, uint32_t number);

/* ---- the peer of the stream ---- */
void peer_send(const void *bytes, size_t length);
void peer_send_packet(const uint8_t *packet, size_t length, struct offload offload);
void peer_send_ping(uint64_t token);
/* The next frame that is not a PING; fails the test when none comes. payload: FRAME_PAYLOAD_MAX */
struct frame_header peer_frame(uint8_t *payload);
/* Until everything that was sent before has been looked at. Frames that come meanwhile are lost. */
void peer_barrier(void);

/* ---- la ---- */
/* The next packet that came out of lb, behind LINK_HEADER_BYTES; its bytes, those included. */
size_t la_receive(uint8_t *out);
bool la_is_quiet(void);
/* Sends a packet to lb; vnet (VNET_HEADER_BYTES) may be NULL. */
void la_send(const uint8_t *packet, size_t length, const void *vnet);

/* Sends numbered packets of the size, counted in *sent, until the lane, whose peer does not read,
 * has stopped reading: the kernel's queue overflows and no counter moves any more. */
void world_stall(size_t size, uint32_t *sent);

#define COUNTER(name) __atomic_load_n(&lane_stats(world.lane)->name, __ATOMIC_RELAXED)
#define DROPS(reason) COUNTER(drops[reason])
uint64_t world_all_drops(void);

#endif
