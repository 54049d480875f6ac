/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Answers for clients: an upstream's answer made fit for one asker, error answers, and answers of
 * our own making (local names).
 */
#ifndef CAUSEWAY_DNS_MESSAGE_RENDER_H
#define CAUSEWAY_DNS_MESSAGE_RENDER_H

#include "dns/message/message.h"

#define DNS_EDNS_UDP_BYTES                                                                         \
    1232 /* what we announce: fits every path without fragments (DNS flag day 2020) */

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

#define DNS_NO_KEEPALIVE UINT32_MAX

/*
 * The answer to `query` from a stored one (whose question must be the query's but for case): its
 * id, question in its case, RD and CD; RA set, AA not; AD only where asked for (DO or AD, RFC 6840
 * 5.7-5.8); an OPT of ours when the query had one. If it does not fit `limit` bytes, question and
 * OPT alone with TC (RFC 2181 9). Returns the length in out[limit], 0 if not even that fits.
 */
struct dns_render {
    size_t limit;             /* over UDP no more than query->udp_size */
    uint32_t age_s, floor_s;  /* every TTL is less by age_s, but not below floor_s */
    uint32_t keepalive_100ms; /* for a query that asked (RFC 7828); DNS_NO_KEEPALIVE: no option */
    bool fixed_ttl; /* serve-stale: every TTL is floor_s (RFC 8767 4: 30), and EDE says so */
};
size_t dns_render_stored(const struct dns_query *query, const struct dns_stored *stored,
                         const struct dns_render *how, uint8_t *out);

/* An answer without records: rcode may be extended. Question included if it was readable. Returns
 * the length in out[out_size], 0 if it does not fit. */
size_t dns_render_error(const struct dns_query *query, uint16_t rcode, uint8_t *out,
                        size_t out_size);

/* One record of a local answer; rdata borrowed: 4 or 16 bytes of address, or a name's wire form. */
struct dns_local_record {
    uint16_t type;
    uint16_t rdata_length;
    const uint8_t *rdata;
};
/*
 * Authoritative answer with `count` records owned by the question's name; with none, a SOA of ours
 * says how long that holds: it stands at the name (NOERROR), or at its last label (NXDOMAIN).
 * Limits as for dns_render_stored().
 */
size_t dns_render_local(const struct dns_query *query, uint16_t rcode,
                        const struct dns_local_record *records, size_t count, uint32_t ttl_s,
                        size_t limit, uint8_t *out);

#endif
