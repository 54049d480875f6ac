/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Answers kept for as long as their TTL says, and a while longer for when no upstream answers.
 * All memory is taken at start; a full cache makes room by dropping the oldest answers that nobody
 * asked for again.
 */
#ifndef CAUSEWAY_DNS_RESOLVE_CACHE_H
#define CAUSEWAY_DNS_RESOLVE_CACHE_H

#include "dns/message/message.h"
#include "dns/message/render.h"
#include "runtime/base/counters.h"

struct dns_cache; /* opaque: one allocation */

/* What an answer depends on besides the question: DO and CD change what upstreams send. */
struct dns_cache_key {
    const struct dns_question *question;
    bool dnssec_ok, checking_disabled;
};

enum dns_cache_result { DNS_CACHE_MISS, DNS_CACHE_FRESH, DNS_CACHE_STALE };

struct dns_cache_hit {
    struct dns_stored stored; /* borrowed until the next call that changes the cache */
    uint32_t age_s;
};

struct dns_cache_stats {
    DNS_CACHE_SIZE(COUNTER_MEMBER) /* bytes of the entries alone */
    DNS_CACHE_COUNTERS(COUNTER_MEMBER)
};

#define DNS_CACHE_BYTES_MIN 65536

/*
 * bytes: all memory it may use, DNS_CACHE_BYTES_MIN at least; pages come into being as they are
 * filled. stale_s: how long past its TTL an answer is kept (RFC 8767 5). NULL: no memory. The hash
 * is keyed with random bytes.
 */
struct dns_cache *dns_cache_create(size_t bytes, uint32_t stale_s);
void dns_cache_free(struct dns_cache *cache); /* NULL is allowed */

/* FRESH: hit->age_s is below the TTL. STALE: past its TTL by less than stale_s. */
enum dns_cache_result dns_cache_find(struct dns_cache *cache, const struct dns_cache_key *key,
                                     uint64_t now_ms, struct dns_cache_hit *hit);
/*
 * Stores an answer and what dns_stored_make() made of it (copied). One that is not cacheable or
 * whose TTL is 0 changes nothing.
 */
void dns_cache_insert(struct dns_cache *cache, const struct dns_cache_key *key,
                      const struct dns_answer *answer, const struct dns_stored *stored,
                      uint64_t now_ms);
/*
 * A fresh answer came: what it contradicts must not come back as an expired one. NXDOMAIN takes the
 * usual types of the name along, an answer that is not to be kept the earlier one to its question.
 * Before dns_cache_insert().
 */
void dns_cache_contradict(struct dns_cache *cache, const struct dns_cache_key *key,
                          const struct dns_answer *answer);
/* How long past their TTL answers are kept from now on. */
void dns_cache_set_stale(struct dns_cache *cache, uint32_t stale_s);
void dns_cache_flush(struct dns_cache *cache);
const struct dns_cache_stats *dns_cache_stats(const struct dns_cache *cache);

#endif
