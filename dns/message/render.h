/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Answers for clients: an upstream's answer made fit for one asker, error answers, and answers of
 * our own making (local names).
 */
#ifndef CAUSEWAY_DNS_MESSAGE_RENDER_H
#define CAUSEWAY_DNS_MESSAGE_RENDER_H

#include "dns/message/store.h"

#define DNS_EDNS_UDP_BYTES                                                                         \
    1232 /* what we announce: fits every path without fragments (DNS flag day 2020) */

#define DNS_NO_KEEPALIVE UINT32_MAX

/*
 * The answer to `query` from a stored one (whose question must be the query's but for case): its
 * id, question in its case, RD and CD; RA set, AA not; AD only where asked for (DO or AD, RFC 6840
 * 5.7-5.8); an OPT of ours when the query had one. If it does not fit `limit` bytes, as many whole
 * records as do, from the first on; TC is set if one of the answer or authority section is missing
 * (RFC 2181 9). Some clients never ask again over TCP (musl before 1.2.4): they get what there is.
 * Returns the length in out[limit], 0 if not even question and OPT fit.
 */
struct dns_render {
    size_t limit;             /* over UDP no more than query->udp_size */
    uint32_t age_s, floor_s;  /* every TTL is less by age_s, but not below floor_s */
    uint32_t keepalive_100ms; /* for a query that asked (RFC 7828); DNS_NO_KEEPALIVE: no option */
    bool fixed_ttl; /* serve-stale: every TTL is floor_s (RFC 8767 4: 30), and EDE says so */
};
size_t dns_render_stored(const struct dns_query *query, const struct dns_stored *stored,
                         const struct dns_render *how, uint8_t *out);

/* Why a question was not answered, for whoever reads it (RFC 8914): a code of its registry and a
 * sentence. */
struct dns_explanation {
    uint16_t code;
    const char *text;
};

/* An answer without records: rcode may be extended. Question included if it was readable; why is
 * NULL or goes to who has EDNS. Returns the length in out[out_size], 0 if it does not fit. */
size_t dns_render_error(const struct dns_query *query, uint16_t rcode,
                        const struct dns_explanation *why, uint8_t *out, size_t out_size);

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
