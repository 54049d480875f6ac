/* SPDX-License-Identifier: Apache-2.0 */
/* Fields of the IP headers that are written here (RFC 791 3.1, RFC 8200 3), as offsets. */
#ifndef CAUSEWAY_PACKET_HEADERS_H
#define CAUSEWAY_PACKET_HEADERS_H

#include <stdint.h>
#include <string.h>

#include "packet/csum.h"
#include "packet/parse.h"

#define IPV4_TOTAL_LENGTH   2
#define IPV4_IDENTIFICATION 4
#define IPV4_FRAGMENT       6
#define IPV4_HEADER_CSUM    10
#define IPV4_HEADER_MIN     20
#define IPV6_PAYLOAD_LENGTH 4
#define IPV6_NEXT_HEADER    6
#define IPV6_HEADER         40

static inline uint32_t ipv4_header_bytes(const uint8_t *ip)
{
    return (uint32_t)(ip[0] & 0x0f) * 4;
}

/* Sets the packet's length field; for IPv4 finishes the header checksum, so it comes last. total:
 * bytes of the whole packet, header included. */
static inline void ip_finish(uint8_t *ip, uint8_t version, uint32_t total)
{
    if (version == 6) {
        store_be16(ip + IPV6_PAYLOAD_LENGTH, (uint16_t)(total - IPV6_HEADER));
        return;
    }
    store_be16(ip + IPV4_TOTAL_LENGTH, (uint16_t)total);
    memset(ip + IPV4_HEADER_CSUM, 0, 2);
    uint16_t sum = csum_finish(csum_add(0, ip, ipv4_header_bytes(ip)));
    memcpy(ip + IPV4_HEADER_CSUM, &sum, sizeof(sum));
}

#endif
