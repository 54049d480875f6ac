/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From a query to its answer.
 *
 *   query -> readable? -> ours to answer? -> local name? -> in the cache? -> fetch -> upstreams
 *              FORMERR      REFUSED, ANY      answer          answer           |
 *                                                                              v
 *   answers of all who wait <- cache <---------------------------------- answer or failure
 *
 * A fetch is a question that the upstreams are working on (fetches.h); whoever asks the same
 * meanwhile waits with it, each for its own time. Each client gets its answer in its own case, with
 * its id, and cut to what it can take.
 *
 * A question that failed a moment ago fails again without being asked (failures.h). Who has EDNS is
 * told why a question failed (RFC 8914).
 *
 * An answer that has expired is used when the upstreams have nothing better (RFC 8767): at once
 * if the latest question failed, or this one a moment ago, else when the client has waited
 * RESOLVER_STALE_MS. The fetch goes on then, to refresh the cache.
 */
#ifndef CAUSEWAY_DNS_RESOLVE_RESOLVER_H
#define CAUSEWAY_DNS_RESOLVE_RESOLVER_H

#include "dns/resolve/cache.h"
#include "dns/resolve/client.h"
#include "dns/resolve/counters.h"
#include "dns/resolve/local.h"
#include "dns/upstream/upstreams.h"

#define RESOLVER_STALE_MS    1800 /* client response timer, RFC 8767 5 */
#define RESOLVER_STALE_TTL_S 30   /* RFC 8767 4 */

struct resolver; /* opaque */

struct resolver_config {
    unsigned queries;         /* waiting clients, and fetches, in all */
    unsigned client_limit;    /* waiting questions of one client */
    uint32_t negative_s;      /* longest that a denial is kept */
    uint32_t timeout_ms;      /* when a client gets SERVFAIL, and how long upstreams are asked */
    uint32_t keepalive_100ms; /* idle time of streams, told to clients that ask (RFC 7828) */
    struct dns_cache *cache;  /* NULL: none */
    struct dns_local *local;  /* refreshed from here */
    struct dns_counters *counters;
};

/* What config points at is the caller's and outlives the resolver. NULL: no memory. */
struct resolver *resolver_create(const struct resolver_config *config);
void resolver_free(struct resolver *resolver);
/* Before the first query. The upstreams' done is resolver_done with the resolver as context. */
void resolver_use(struct resolver *resolver, struct upstreams *upstreams);
upstream_done resolver_done;

enum resolver_result {
    RESOLVER_ANSWERED,
    RESOLVER_WAITING, /* the client's send() will be called */
    RESOLVER_DROPPED, /* no answer, ever */
};
enum resolver_result resolver_ask(struct resolver *resolver, const struct dns_client *client,
                                  const uint8_t *bytes, size_t length, uint64_t now_ms);

/* Milliseconds until resolver_tick() must be called, -1: nothing waits. */
int resolver_timeout(const struct resolver *resolver, uint64_t now_ms);
void resolver_tick(struct resolver *resolver, uint64_t now_ms);

/* For questions from now on. */
void resolver_change(struct resolver *resolver, struct dns_local *local, uint32_t timeout_ms,
                     uint32_t negative_s);

/* Failures are not remembered any more. */
void resolver_flush(struct resolver *resolver);

/* Clients that wait now; questions that the upstreams are working on. */
unsigned resolver_waiting(const struct resolver *resolver);
unsigned resolver_asking(const struct resolver *resolver);

#endif
