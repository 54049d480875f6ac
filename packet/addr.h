/* SPDX-License-Identifier: Apache-2.0 */
/*
 * IP addresses and prefixes as values.
 *
 * An address is held in network byte order in 16 bytes; an IPv4 address uses the first four
 * and leaves the rest zero, so that two addresses of one family compare with memcmp().
 */
#ifndef CAUSEWAY_PACKET_ADDR_H
#define CAUSEWAY_PACKET_ADDR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Longest text of a prefix with its NUL: an IPv6 address (45) plus "/128". */
#define ADDR_TEXT_BYTES 50

struct ip_addr {
    uint8_t version; /* 4, 6, or 0 for "none" */
    uint8_t bytes[16];
};

struct ip_prefix {
    struct ip_addr addr;
    uint8_t length; /* bits, 0..32 or 0..128 */
};

/* Width of the family's addresses in bits: 32, 128, or 0 for "none". */
unsigned addr_bits(const struct ip_addr *addr);

bool addr_equal(const struct ip_addr *a, const struct ip_addr *b);

/* 0.0.0.0 or ::, and 127.0.0.0/8 or ::1. False for "none". */
bool addr_is_any(const struct ip_addr *addr);
bool addr_is_loopback(const struct ip_addr *addr);

/* Parses "192.0.2.1" or "2001:db8::1", nothing around it. False leaves *out untouched. */
bool addr_parse(const char *text, struct ip_addr *out);

/* Parses "192.0.2.0/24"; an address without a length is a host prefix. Host bits must be zero. */
bool prefix_parse(const char *text, struct ip_prefix *out);

/* The network that "10.1.2.3/8" lies in, 10.0.0.0/8. False for a text that is no address and
 * length. */
bool prefix_around(const char *text, struct ip_prefix *out);

/* Writes the text form into out[ADDR_TEXT_BYTES] and returns out; "none" for version 0. */
const char *addr_format(const struct ip_addr *addr, char *out);
const char *prefix_format(const struct ip_prefix *prefix, char *out);

/* Is addr inside prefix? False for different families. */
bool prefix_contains(const struct ip_prefix *prefix, const struct ip_addr *addr);

/* Is every address of inner inside outer? */
bool prefix_covers(const struct ip_prefix *outer, const struct ip_prefix *inner);

/*
 * The address at `index` counted from the first address of `prefix`.
 * False when the index does not fit in the prefix.
 */
bool prefix_nth(const struct ip_prefix *prefix, uint32_t index, struct ip_addr *out);

#endif
