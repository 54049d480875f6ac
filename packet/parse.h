/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Bytes become headers here and nowhere else.
 *
 * packet_parse() walks one IP packet and checks every length in it against the bytes that are
 * really there; what it returns may be used as offsets into the same bytes without a second check.
 */
#ifndef CAUSEWAY_PACKET_PARSE_H
#define CAUSEWAY_PACKET_PARSE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "packet/addr.h"
#include "packet/bytes.h"

#define PACKET_MAX_BYTES      65535 /* RFC 791 3.1 total length; IPv6 jumbograms are not carried */
#define PACKET_MAX_EXTENSIONS 8     /* IPv6 extension headers walked before the packet is refused */

/* Why bytes are not an acceptable IP packet. Each is a drop reason with a counter of its own. */
enum packet_error {
    PACKET_OK = 0,
    PACKET_SHORT,         /* fewer bytes than the fixed IP header */
    PACKET_IP_VERSION,    /* neither 4 nor 6 */
    PACKET_HEADER_LENGTH, /* IHL under 5, or beyond the bytes (RFC 791 3.1) */
    PACKET_TOTAL_LENGTH,  /* total length below the header, beyond the bytes or PACKET_MAX_BYTES; a
                             jumbogram */
    PACKET_EXTENSIONS, /* IPv6 extension chain broken, too long, out of the bytes; a source route */
    PACKET_FRAGMENT,   /* fragment that would end beyond 65,535 bytes (RFC 791, RFC 8200 4.5) */
    PACKET_OPTIONS,    /* IPv4 options that run out of the header, or a source route */
    PACKET_TRANSPORT,  /* TCP, UDP or ICMP header cut short, TCP data offset under 5,
                          UDP length that contradicts the packet's */
    PACKET_ERROR_COUNT
};

const char *packet_error_name(enum packet_error error);

/* What packet_parse() found. Offsets count bytes from the start of the IP header. */
struct parsed_packet {
    struct ip_addr src, dst;
    uint8_t protocol;          /* upper-layer protocol, IPPROTO_* */
    uint8_t ttl;               /* or hop limit */
    uint8_t ecn;               /* low two bits of TOS / traffic class (RFC 3168) */
    bool dont_fragment;        /* IPv4 DF; always true for IPv6 */
    bool is_fragment;          /* offset nonzero or more to come */
    bool more_fragments;       /* of a fragment */
    uint32_t fragment_offset;  /* bytes; 0 when not a fragment */
    uint16_t fragment_header;  /* of a fragment: IPv4, bytes of the IP header, behind which its data
                                  are; IPv6, where the fragment header is */
    uint32_t total_length;     /* bytes of the packet; trailing bytes beyond it are not of it */
    uint16_t transport_offset; /* first byte behind the IP headers */
    uint16_t transport_header; /* bytes of the TCP (with options), UDP or ICMP header;
                                  0 for other protocols and for all but the first fragment */
};

/*
 * Parses one IPv4 packet (options allowed, but no source route: where it points is where the packet
 * goes, not dst; RFC 7126 4.3) or IPv6 packet (hop-by-hop, routing, destination
 * options, fragment and authentication headers are walked; RFC 8200 4). Checksums are not looked
 * at. The first fragment's transport header is checked if the fragment holds it whole; a first
 * fragment too short for it is PACKET_TRANSPORT (RFC 1858, RFC 7112).
 * A UDP length must be at least 8 (0, RFC 2675's jumbo form, is refused), and for an unfragmented
 * packet at most the bytes there are. An IPv6 routing header is accepted only with no segments
 * left: otherwise dst is not where the packet goes.
 * On an error *out is unspecified. bytes is borrowed for the call.
 */
enum packet_error packet_parse(const uint8_t *bytes, size_t length, struct parsed_packet *out);

#endif
