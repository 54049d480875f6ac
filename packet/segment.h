/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Software segmentation and fragmentation: one packet in, several MTU-sized ones out, for the few
 * edges where the kernel will not do it (a kernel without UDP GSO in PACKET_VNET_HDR, a captured
 * packet that conntrack had reassembled).
 *
 * Both are iterators over a packet that stays untouched: init checks once, next writes one output
 * packet at a time into the caller's buffer. Output packets carry finished checksums.
 */
#ifndef CAUSEWAY_PACKET_SEGMENT_H
#define CAUSEWAY_PACKET_SEGMENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "packet/offload.h"
#include "packet/parse.h"

struct segmenter {
    const uint8_t *packet; /* borrowed until the last segment_next() */
    struct parsed_packet parsed;
    uint32_t gso_size;
    uint32_t header_bytes; /* IP and transport headers, repeated in each segment */
    uint32_t done;         /* payload bytes already given out */
    uint32_t payload;      /* payload bytes in all */
    uint16_t index;        /* of the next segment, counted from 0 */
    bool finished;         /* nothing is left to do: the packet goes out as it is */
};

/*
 * Prepares TCP segmentation or UDP GSO splitting of a super-packet. IPv4 identification counts up
 * per segment; TCP: sequence numbers advance, FIN and PSH only on the last, CWR only on the first
 * (RFC 3168 6.1.2, linux net/ipv4/tcp_offload.c). Same checks and errors as offload_to_vnet();
 * a packet that is no super-packet comes out as one, with its checksum completed if it was partial.
 */
enum offload_error segment_init(struct segmenter *s, const uint8_t *packet,
                                const struct parsed_packet *parsed, struct offload meta);

/* Writes the next segment to out and returns its bytes; 0 when done or when capacity is short. */
size_t segment_next(struct segmenter *s, uint8_t *out, size_t capacity);

struct fragmenter {
    const uint8_t *packet; /* borrowed until the last fragment_next() */
    struct parsed_packet parsed;
    uint32_t mtu;
    uint32_t identification; /* for IPv6; IPv4 keeps the packet's own */
    uint32_t header_bytes;   /* per-fragment (unfragmentable) header of the original */
    uint32_t done, payload;  /* bytes behind that header */
    uint16_t next_header_at; /* IPv6: where the fragment header is announced in its turn */
    uint8_t next_header;     /* IPv6: what the fragment header announces */
};

/*
 * Prepares fragmentation to mtu bytes (RFC 791 3.2, RFC 8200 4.5). A partial transport checksum
 * must be completed by the caller before. IPv4 options are copied to the later fragments only when
 * their copied flag is set (the header length stays: others become NOP padding). The DF bit is kept
 * as it is. False when the packet is a fragment already (or has a fragment header), fits, or the
 * mtu leaves no room: under 68 / 1280, or too small for all headers in the first fragment (RFC
 * 7112).
 */
bool fragment_init(struct fragmenter *f, const uint8_t *packet, const struct parsed_packet *parsed,
                   uint32_t mtu, uint32_t identification);
size_t fragment_next(struct fragmenter *f, uint8_t *out, size_t capacity);

#endif
