/* SPDX-License-Identifier: Apache-2.0 */
/*
 * For the tests of packet/: makes packets, and checks them by slow code that shares nothing with
 * the product.
 */
#ifndef CAUSEWAY_TESTS_UNIT_PACKET_BUILD_H
#define CAUSEWAY_TESTS_UNIT_PACKET_BUILD_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "packet/parse.h"

/* A fixed sequence of pseudo-random numbers (xorshift64*): every run tests the same cases. */
uint64_t random_u64(void);
uint32_t random_below(uint32_t limit);
void random_fill(uint8_t *out, size_t length);

struct packet_spec {
    uint8_t version;           /* 4 or 6 */
    uint8_t protocol;          /* TCP, UDP, ICMP get a header; others only the payload */
    const uint8_t *options;    /* IPv4 */
    size_t options_bytes;      /* a multiple of 4 */
    const uint8_t *extensions; /* IPv6: header types in order; 8 bytes each, AH 24 */
    size_t extension_count;
    uint16_t fragment; /* field of the IPv4 header or of the IPv6 fragment header */
    uint8_t tos;
    uint8_t tcp_flags;
    size_t tcp_options; /* bytes, a multiple of 4 */
    size_t payload;     /* bytes, random */
};

#define BUILD_MAX 70000

/* Writes the packet with correct checksums to out[BUILD_MAX] and returns its bytes. Addresses:
 * 192.0.2.1 to 198.51.100.2, or 2001:db8::1 to 2001:db8:1::2. */
size_t build_packet(uint8_t *out, const struct packet_spec *spec);

/* RFC 1071 word by word. The result is the number in host order. */
uint16_t slow_checksum(const uint8_t *bytes, size_t length);

/* The checksum over the pseudo header and transport[length], the checksum field counted as it
 * stands: 0 for a correct segment. ip is the packet's IP header. */
uint16_t slow_transport_checksum(const uint8_t *ip, uint8_t protocol, const uint8_t *transport,
                                 size_t length);

/* Fails the test unless the IPv4 header checksum is right, and for an unfragmented TCP or UDP
 * packet the transport checksum is. */
void assert_checksums(const uint8_t *packet, size_t length);

/* Parses a copy that ends where its allocation ends, so that ASan sees a read beyond it. */
enum packet_error parse_exact(const uint8_t *bytes, size_t length, struct parsed_packet *parsed);

/* Parses; fails the test on an error. */
struct parsed_packet parse_good(const uint8_t *bytes, size_t length);

#endif
