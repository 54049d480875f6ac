/* SPDX-License-Identifier: Apache-2.0 */
/* An upstream's answer made fit to be kept, and given to many. */
#ifndef CAUSEWAY_DNS_MESSAGE_STORE_H
#define CAUSEWAY_DNS_MESSAGE_STORE_H

#include "dns/message/message.h"

/*
 * A stored answer: header, question and records without OPT, and where its TTLs stand, so that a
 * cached answer is one copy and a few additions. Made by dns_stored_make(), kept by the cache.
 */
struct dns_stored {
    const uint8_t *bytes; /* borrowed: the message, and behind it the EDE options */
    uint16_t length;      /* of the message */
    uint16_t ede_length;  /* extended errors of the upstream (RFC 8914), as options; 0: none */
    uint16_t rcode;
    uint16_t ttl_count;
    const uint16_t *ttl_offsets; /* borrowed; offsets of TTL fields in bytes */
};

/* More records than this no message can hold: 11 bytes are the least of one. */
#define DNS_RECORDS_MAX (DNS_MESSAGE_BYTES / 11)

/*
 * Strips OPT from an answer, and AD unless answer->authentic_data, and lists its TTLs, which are
 * made what they mean: none above DNS_MAX_TTL_S, 0 for one with the top bit set (RFC 2181 8), in a
 * negative answer none above its own (RFC 2308 5). bytes_out[answer->length] and offsets_out are
 * the caller's; *out borrows them. False when the answer cannot be stored: more records than
 * offsets_max, or a name that would be another one when the OPT has gone and TTLs have changed,
 * because it leads through a TTL, into the OPT or behind it.
 */
bool dns_stored_make(const struct dns_answer *answer, uint8_t *bytes_out, uint16_t *offsets_out,
                     size_t offsets_max, struct dns_stored *out);

#endif
