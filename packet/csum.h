/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The Internet checksum (RFC 1071), in parts that compose.
 *
 * A partial sum is a 64-bit number in host order of 16-bit words as they lie in memory; sums of
 * even-length pieces add up. csum_finish() folds and complements; the result is stored with
 * memcpy() as it is (the sum is byte-order independent, RFC 1071 2B).
 */
#ifndef CAUSEWAY_PACKET_CSUM_H
#define CAUSEWAY_PACKET_CSUM_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "packet/bytes.h"
#include "packet/headers.h"
#include "packet/parse.h"

/* Adds length bytes to sum. An odd last byte is padded with zero: only the last piece may be odd.
 */
uint64_t csum_add(uint64_t sum, const uint8_t *bytes, size_t length);

/* Folds to 16 bits without complementing: the value a CHECKSUM_PARTIAL packet carries. */
uint16_t csum_fold(uint64_t sum);

/* Folds and complements. */
uint16_t csum_finish(uint64_t sum);

/*
 * Sum of the pseudo header (RFC 9293 3.1, RFC 768, RFC 8200 8.1) of the packet that parsed
 * describes, with the given transport length in bytes.
 */
uint64_t csum_pseudo(const struct parsed_packet *parsed, uint32_t transport_length);

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
