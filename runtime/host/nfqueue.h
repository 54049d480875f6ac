/* SPDX-License-Identifier: Apache-2.0 */
/*
 * NFQUEUE as a source of packets: the queue's socket, what its messages say, and the verdict.
 *
 * Every packet is taken: its copy travels through the tunnel, and the kernel's own is dropped by a
 * batch verdict, one per burst. A batch covers all older packets of the queue too, so packets whose
 * messages were lost with a broken lane are released with the next burst.
 */
#ifndef CAUSEWAY_RUNTIME_HOST_NFQUEUE_H
#define CAUSEWAY_RUNTIME_HOST_NFQUEUE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define NFQUEUE_PAYLOAD_MAX   65531 /* a netlink attribute's 16-bit length less its header */
#define NFQUEUE_MESSAGE_MAX   (NFQUEUE_PAYLOAD_MAX + 1024)
#define NFQUEUE_VERDICT_BYTES 32

struct nfqueue_packet {
    uint32_t id;      /* for the verdict; counts up in a queue, wraps */
    uint8_t *payload; /* inside the message; NULL when the message holds no packet */
    uint32_t length;
    uint32_t mark;
    bool checksum_partial; /* NFQA_SKB_CSUMNOTREADY */
    bool super;            /* NFQA_SKB_GSO: only with a mark from the tc program */
    bool truncated;        /* payload is not the whole packet */
};

/* Has this kernel NFQUEUE? Asks it, so that one with modules loads them. Needs CAP_NET_ADMIN. */
bool nfqueue_available(void);

/*
 * Opens and configures the queue: whole packets, GSO if wanted, at most max_packets waiting.
 * Needs CAP_NET_ADMIN. Socket or negative errno (-EPERM also when another socket has this queue:
 * linux net/netfilter/nfnetlink_queue.c, nfqnl_recv_config()).
 */
int nfqueue_open(uint16_t queue, bool gso, uint32_t max_packets);

/* Reads one netlink message. False when it is not a packet message (then *out is unspecified). */
bool nfqueue_parse(uint8_t *message, size_t length, struct nfqueue_packet *out);

/* Writes a batch verdict "drop everything up to and including id" to out[NFQUEUE_VERDICT_BYTES]. */
void nfqueue_verdict(uint8_t *out, uint16_t queue, uint32_t id);

/* Packets that the kernel dropped since the queue was made, for want of room in the queue or in the
 * socket's buffer
 * (/proc/net/netfilter/nfnetlink_queue). */
uint64_t nfqueue_lost(uint16_t queue);

/* Packets in the queue, handed over or not, that have no verdict yet. */
uint32_t nfqueue_waiting(uint16_t queue);

#endif
