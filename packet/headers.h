/* SPDX-License-Identifier: Apache-2.0 */
/* The headers of IP, TCP, UDP and ICMP: offsets, sizes and bits of their fields. The protocol
 * numbers are IPPROTO_* of netinet/in.h. */
#ifndef CAUSEWAY_PACKET_HEADERS_H
#define CAUSEWAY_PACKET_HEADERS_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>

/* IPv4, RFC 791 3.1 */
#define IPV4_TOTAL_LENGTH   2
#define IPV4_IDENTIFICATION 4
#define IPV4_FRAGMENT       6
#define IPV4_TTL            8
#define IPV4_PROTOCOL       9
#define IPV4_HEADER_CSUM    10
#define IPV4_SOURCE         12
#define IPV4_DESTINATION    16
#define IPV4_HEADER_MIN     20
/* in IPV4_FRAGMENT */
#define IPV4_DF             0x4000
#define IPV4_MF             0x2000
#define IPV4_OFFSET         0x1fff /* in units of 8 bytes */
/* kinds of options */
#define IPV4_OPTION_END     0
#define IPV4_OPTION_NOP     1
#define IPV4_OPTION_COPIED  0x80 /* this bit: in every fragment */
#define IPV4_OPTION_LSRR    0x83 /* loose source route */
#define IPV4_OPTION_SSRR    0x89 /* strict source route */

/* IPv6, RFC 8200 3 */
#define IPV6_PAYLOAD_LENGTH   4
#define IPV6_NEXT_HEADER      6
#define IPV6_HOP_LIMIT        7
#define IPV6_SOURCE           8
#define IPV6_DESTINATION      24
#define IPV6_HEADER           40
/* extension headers, RFC 8200 4: the next header comes first, then the length */
#define IPV6_EXTENSION_LENGTH 1
#define IPV6_EXTENSION_MIN    8 /* with a length of 0 */
#define IPV6_SEGMENTS_LEFT    3 /* in a routing header */
#define IPV6_FRAGMENT_HEADER  8
#define IPV6_FRAGMENT_FIELD   2
#define IPV6_FRAGMENT_ID      4
/* in IPV6_FRAGMENT_FIELD */
#define IPV6_MF               0x0001
#define IPV6_OFFSET           0xfff8 /* in bytes */

/* TCP, RFC 9293 3.1 */
#define TCP_SEQUENCE    4
#define TCP_DATA_OFFSET 12
#define TCP_FLAGS       13
#define TCP_CSUM        16
#define TCP_HEADER_MIN  20
/* in TCP_FLAGS */
#define TCP_FIN         0x01
#define TCP_PSH         0x08
#define TCP_CWR         0x80

/* UDP, RFC 768 */
#define UDP_LENGTH 4
#define UDP_CSUM   6
#define UDP_HEADER 8

/* ICMP, RFC 792, and every ICMPv6 message of RFC 4443 and 4861: type, code, checksum, and 4 bytes
 * of the type's own. In an error the quoted packet is next. */
#define ICMP_HEADER 8

static inline uint32_t ipv4_header_bytes(const uint8_t *ip)
{
    return (uint32_t)(ip[0] & 0x0f) * 4;
}

/* Is it an extension header that stands between the IPv6 header and the upper layer's? */
static inline bool ipv6_is_extension(uint8_t protocol)
{
    return protocol == IPPROTO_HOPOPTS || protocol == IPPROTO_ROUTING ||
           protocol == IPPROTO_DSTOPTS || protocol == IPPROTO_FRAGMENT || protocol == IPPROTO_AH;
}

/* Bytes of the extension header of this kind, as it says. Reads two bytes. */
static inline uint32_t ipv6_extension_bytes(uint8_t protocol, const uint8_t *header)
{
    uint32_t length = header[IPV6_EXTENSION_LENGTH];

    if (protocol == IPPROTO_FRAGMENT)
        return IPV6_FRAGMENT_HEADER;
    if (protocol == IPPROTO_AH)
        return (length + 2) * 4; /* RFC 4302 2.2 */
    return IPV6_EXTENSION_MIN + length * 8;
}

#endif
