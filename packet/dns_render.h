/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Answers for clients: an upstream's answer made fit for one asker, error answers, and answers of
 * our own making (local names).
 */
#ifndef CAUSEWAY_PACKET_DNS_RENDER_H
#define CAUSEWAY_PACKET_DNS_RENDER_H

#include "packet/dns_message.h"

#define DNS_EDNS_UDP_BYTES                                                                         \
    1232 /* what we announce: fits every path without fragments (DNS flag day 2020) */

/*
 * A stored answer: header, question and records without OPT, and where its TTLs stand, so that a
 * cached answer is one copy and a few additions. Made by dns_stored_make(), kept by the cache.
 */
struct dns_stored {
    const uint8_t *bytes; /* borrowed */
    uint16_t length;
    uint16_t rcode;
    uint16_t ttl_count;
    const uint16_t *ttl_offsets; /* borrowed; offsets of TTL fields in bytes */
};

/*
 * Strips OPT from an answer and lists its TTLs. bytes_out[answer->length] and offsets_out are the
 * caller's; *out borrows them. False when the answer cannot be stored (more records than
 * offsets_max, an OPT that other records' names point behind).
 */
bool dns_stored_make(const struct dns_answer *answer, uint8_t *bytes_out, uint16_t *offsets_out,
                     size_t offsets_max, struct dns_stored *out);

/*
 * The answer to `query` from a stored one: its id, question in its case, RD; RA set; AD only where
 * asked for (DO or AD, RFC 6840 5.7-5.8); CD; an OPT of ours when the query had one; every TTL less
 * age_s, not below floor_s (serve-stale gives 30, RFC 8767 4). If it does not fit `limit`
 * bytes, question and OPT alone with TC (RFC 2181 9). keepalive_100ms UINT32_MAX: no option.
 * Returns the length in out[limit].
 */
struct dns_render {
    size_t limit;
    uint32_t age_s, floor_s;
    uint32_t keepalive_100ms;
    bool fixed_ttl; /* serve-stale: every TTL becomes floor_s */
};
size_t dns_render_stored(const struct dns_query *query, const struct dns_stored *stored,
                         const struct dns_render *how, uint8_t *out);

/* An answer without records: rcode may be extended. Question included if it was readable. */
size_t dns_render_error(const struct dns_query *query, uint16_t rcode, uint8_t *out,
                        size_t out_size);

/* One record of a local answer; rdata borrowed: 4 or 16 bytes of address, or a name's wire form. */
struct dns_local_record {
    uint16_t type;
    uint16_t rdata_length;
    const uint8_t *rdata;
};
/* Answer with `count` records owned by the question's name (0: NOERROR without data, with a SOA of
 * ours). */
size_t dns_render_local(const struct dns_query *query, uint16_t rcode,
                        const struct dns_local_record *records, size_t count, uint32_t ttl_s,
                        size_t limit, uint8_t *out);

#endif
