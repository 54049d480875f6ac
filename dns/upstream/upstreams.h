/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where questions go: upstreams in order of preference, those that prove who they are first.
 */
#ifndef CAUSEWAY_DNS_UPSTREAM_UPSTREAMS_H
#define CAUSEWAY_DNS_UPSTREAM_UPSTREAMS_H

#include "dns/upstream/stats.h"
#include "runtime/base/event.h"

struct upstreams; /* opaque */

/*
 * Called once per question, never from within upstreams_ask(). With UPSTREAM_ANSWERED *answer is a
 * checked answer to the very question (any rcode; SERVFAIL, REFUSED, NOTIMP and FORMERR only after
 * the other upstreams were tried too), borrowed for the call, and `from` names the upstream that
 * gave it; otherwise both are NULL. It may ask; it must not replace or free.
 */
typedef void upstream_done(void *context, uint64_t token, enum upstream_failure failure,
                           const struct dns_answer *answer, const char *from);

#define UPSTREAM_ATTEMPT_MS 1500
#define UPSTREAM_HEDGE_MS   25
#define UPSTREAM_IDLE_MS    10000

struct upstreams_config {
    struct upstream_spec specs[UPSTREAMS_MAX];
    unsigned count;
    const char *tls_ca;     /* PEM bundle or directory; NULL: the system's */
    unsigned in_flight_max; /* questions in all, 1..UPSTREAM_IN_FLIGHT_LIMIT */
    unsigned idle_ms;       /* close a connection unused this long (RFC 7766 6.2.3) */
    unsigned attempt_ms;    /* how long one upstream may take before the next is asked, too */
    unsigned hedge_ms;      /* above a round trip: how long a connection may be quiet */
    upstream_done *done;
    void *context;
    uint64_t (*clock_us)(void); /* NULL: the machine's; read when a connection has something */
};

/*
 * NULL with a sentence in failure. config is copied. Opens what it will ever need from the file
 * system (certificates); the sandbox may be entered behind it.
 */
struct upstreams *upstreams_create(struct event_loop *loop, const struct upstreams_config *config,
                                   struct failure *failure);
void upstreams_free(struct upstreams *upstreams);

/*
 * Replaces the upstreams (handshake, resolv.conf changed): questions in flight go on; an upstream
 * that stays keeps its connections. tls:// only if there was one at creation.
 */
void upstreams_replace(struct upstreams *upstreams, const struct upstream_spec *specs,
                       unsigned count);

/*
 * Asks; query is copied. deadline_ms: monotonic, when done() must have come. False: the table of
 * questions is full, and done() will not come. What was asked leaves with the next
 * upstreams_tick(), which is due at once.
 */
bool upstreams_ask(struct upstreams *upstreams, uint64_t token, const struct dns_query *query,
                   uint64_t now_ms, uint64_t deadline_ms) __attribute__((warn_unused_result));

/* Milliseconds until upstreams_tick() must be called, -1: nothing waits. */
int upstreams_timeout(const struct upstreams *upstreams, uint64_t now_ms);
void upstreams_tick(struct upstreams *upstreams, uint64_t now_ms);

unsigned upstreams_count(const struct upstreams *upstreams);
const struct upstream_stats *upstreams_stats(const struct upstreams *upstreams, unsigned index);

#endif
