/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Questions that failed a moment ago (RFC 9520): they are failed again without asking, for
 * FAILURES_FIRST_S at first and twice as long each time the question fails anew, up to
 * FAILURES_MOST_S. Only what is about the question counts: an answer with SERVFAIL, REFUSED and the
 * like, silence, junk. Whether the upstreams can be reached is theirs to know.
 *
 * A table of fixed size; a question takes the place of another that falls on it. Questions are told
 * apart by a keyed hash of 64 bits.
 */
#ifndef CAUSEWAY_DNS_RESOLVE_FAILURES_H
#define CAUSEWAY_DNS_RESOLVE_FAILURES_H

#include "dns/resolve/cache.h"

#define FAILURES_FIRST_S 1 /* RFC 9520 3.2: "at least 1 second" */
#define FAILURES_MOST_S  32

struct failures; /* opaque: one allocation */

struct failures *failures_create(void);        /* NULL: no memory */
void failures_free(struct failures *failures); /* NULL is allowed */

void failures_note(struct failures *failures, const struct dns_cache_key *key, uint16_t rcode,
                   uint64_t now_ms);
void failures_forget(struct failures *failures, const struct dns_cache_key *key);
/* Did it fail a moment ago, and with what rcode? */
bool failures_find(const struct failures *failures, const struct dns_cache_key *key,
                   uint64_t now_ms, uint16_t *rcode);
void failures_flush(struct failures *failures);

#endif
