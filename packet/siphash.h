/* SPDX-License-Identifier: Apache-2.0 */
/*
 * SipHash-1-3 (Aumasson and Bernstein, "SipHash: a fast short-input PRF"): a keyed hash for tables
 * whose keys a stranger chooses. Who does not know the key cannot make names that share a bucket.
 */
#ifndef CAUSEWAY_PACKET_SIPHASH_H
#define CAUSEWAY_PACKET_SIPHASH_H

#include <stddef.h>
#include <stdint.h>

#define SIPHASH_KEY_BYTES 16

uint64_t siphash13(const uint8_t key[SIPHASH_KEY_BYTES], const void *bytes, size_t length);

#endif
