/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A budget for what a peer makes the kernel keep for reassembly.
 *
 * The kernel holds fragments until their datagram is whole or 30 to 60 s old, in memory that all of
 * a host share and that has an end (net.ipv4.ipfrag_high_thresh and its IPv6 siblings, 4 MB). So
 * one peer's datagrams that never become whole keep everybody's fragments out. Here each datagram
 * under way is charged to its peer, and given back once it is whole; beyond the budget a peer's
 * fragments are dropped.
 *
 * A datagram is taken for whole when its fragments came in order, from the first to the last, and
 * nothing else: as a kernel sends them and a lane carries them. Of those that come otherwise the
 * kernel may make more than is seen here, never less: they stay charged until they are too old.
 * What another lane does to the same datagram would not be seen, so the fragments to one
 * destination have to come by one lane at a time: an honest sender's do (they have one flow hash).
 */
#ifndef CAUSEWAY_PACKET_REASSEMBLY_H
#define CAUSEWAY_PACKET_REASSEMBLY_H

#include <stdbool.h>
#include <stdint.h>

#include "packet/addr.h"
#include "packet/parse.h"

#define REASSEMBLY_DATAGRAMS 512  /* under way at once, of a lane */
#define REASSEMBLY_LEASES    1024 /* a power of two */

/* What one peer holds, over all its lanes. */
struct reassembly_budget {
    uint32_t limit; /* bytes of the kernel's memory */
    uint32_t held;  /* read and written atomically, as all below */
    /* For the destinations that share a place: the lane that sends there, and when it last did. */
    uint64_t leases[REASSEMBLY_LEASES];
};

struct reassembly_datagram {
    struct ip_addr dst; /* the source is the peer's own address */
    uint32_t identification;
    uint8_t protocol;
    uint32_t next;   /* bytes that have come in order; UINT32_MAX: out of order */
    uint32_t charge; /* bytes of the budget */
    uint64_t old_ms; /* when the kernel has let go of it */
};

/* The limit of each of so many peers, by what the kernel keeps at most (bytes): together no more
 * than half of that, the rest is the host's own; and in any case what a few datagrams need. */
uint32_t reassembly_share(uint64_t kernel_limit, unsigned peers);

/* The datagrams under way on one lane; zeroed at first. It outlives the lane's streams, as the
 * kernel's memory does. */
struct reassembly {
    uint8_t lane; /* its number among those that share the budget */
    unsigned count;
    uint64_t next_old_ms; /* no datagram here is old before */
    struct reassembly_datagram datagrams[REASSEMBLY_DATAGRAMS];
};

/*
 * May this fragment (parsed->is_fragment) be passed on? packet: as parsed into *parsed. now_ms: a
 * steady clock. The budget may be shared with other threads.
 */
bool reassembly_admit(struct reassembly *table, struct reassembly_budget *budget,
                      const uint8_t *packet, const struct parsed_packet *parsed, uint64_t now_ms);

#endif
