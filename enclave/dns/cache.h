/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Answers kept for as long as their TTL says, and a while longer for when no upstream answers.
 * All memory is taken at start; a full cache makes room by dropping what was used least lately.
 */
#ifndef CAUSEWAY_ENCLAVE_DNS_CACHE_H
#define CAUSEWAY_ENCLAVE_DNS_CACHE_H

#include "packet/dns_message.h"
#include "packet/dns_render.h"

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
    uint64_t entries, bytes_used, inserted, evicted, expired, too_large;
};

/* bytes: all memory it may use. NULL: no memory. The hash is keyed with random bytes. */
struct dns_cache *dns_cache_create(size_t bytes, uint32_t stale_s);
void dns_cache_free(struct dns_cache *cache);

/* STALE: past its TTL by no more than stale_s. */
enum dns_cache_result dns_cache_find(struct dns_cache *cache, const struct dns_cache_key *key,
                                     uint64_t now_ms, struct dns_cache_hit *hit);
/*
 * Stores an answer and what dns_stored_make() made of it (copied). One that is not cacheable or
 * whose TTL is 0 changes nothing.
 */
void dns_cache_insert(struct dns_cache *cache, const struct dns_cache_key *key,
                      const struct dns_answer *answer, const struct dns_stored *stored,
                      uint64_t now_ms);
void dns_cache_flush(struct dns_cache *cache);
const struct dns_cache_stats *dns_cache_stats(const struct dns_cache *cache);

#endif
