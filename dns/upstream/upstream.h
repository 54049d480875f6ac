/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where questions go: upstreams in order of preference, each over one long-lived stream.
 */
#ifndef CAUSEWAY_DNS_UPSTREAM_UPSTREAM_H
#define CAUSEWAY_DNS_UPSTREAM_UPSTREAM_H

#include "runtime/base/failure.h"
#include "packet/addr.h"
#include "dns/message/message.h"
#include "runtime/base/event.h"
#include "runtime/base/link.h"

#define UPSTREAMS_MAX 8

enum upstream_kind { UPSTREAM_TCP, UPSTREAM_TLS, UPSTREAM_LINK };

#define UPSTREAM_TLS_NAME_BYTES 256
#define UPSTREAM_TEXT_BYTES     (ADDR_TEXT_BYTES + UPSTREAM_TLS_NAME_BYTES + 16)

/*
 * "tcp://ADDR[:53]", "tls://ADDR[:853]#NAME", "vsock:CID:PORT" or "vsock://CID:PORT", "unix:PATH"
 * or "unix://PATH". An IPv6 address with a port stands in brackets.
 */
struct upstream_spec {
    enum upstream_kind kind;
    struct ip_addr address;
    uint16_t port;
    char tls_name[UPSTREAM_TLS_NAME_BYTES]; /* RFC 8310: whom the certificate must be for */
    struct link_addr link;
};
bool upstream_parse(const char *text, struct upstream_spec *out, struct failure *failure);

/* tcp://ADDR:53, as resolvers from a file or the handshake are asked. */
void upstream_from_address(const struct ip_addr *address, struct upstream_spec *out);

/* Text form into out[UPSTREAM_TEXT_BYTES]; returns out. upstream_parse() reads it back. */
const char *upstream_format(const struct upstream_spec *spec, char *out);
bool upstream_equal(const struct upstream_spec *a, const struct upstream_spec *b);

enum upstream_failure {
    UPSTREAM_ANSWERED = 0,
    UPSTREAM_NONE,       /* no upstream is configured or known yet */
    UPSTREAM_TIMEOUT,    /* the deadline passed */
    UPSTREAM_CONNECT,    /* refused, unreachable, reset */
    UPSTREAM_TLS_FAILED, /* no handshake, or a certificate that is not good for the name */
    UPSTREAM_MISMATCH,   /* answers came that were not for the question */
    UPSTREAM_FULL,       /* the table of questions in flight is full */
    UPSTREAM_FAILURE_COUNT
};
const char *upstream_failure_name(enum upstream_failure failure);

struct upstreams; /* opaque */

/*
 * Called once per question, never from within upstreams_ask(). With UPSTREAM_ANSWERED *answer is a
 * checked answer to the very question (any rcode; SERVFAIL, REFUSED, NOTIMP and FORMERR only after
 * the other upstreams were tried too), borrowed for the call; otherwise NULL. It may ask; it must
 * not replace or free.
 */
typedef void upstream_done(void *context, uint64_t token, enum upstream_failure failure,
                           const struct dns_answer *answer);

#define UPSTREAM_IN_FLIGHT_LIMIT 16384 /* leaves ids (16 bits) hard to guess */
#define UPSTREAM_ATTEMPT_MS      1500
#define UPSTREAM_IDLE_MS         10000

struct upstreams_config {
    struct upstream_spec specs[UPSTREAMS_MAX];
    unsigned count;
    const char *tls_ca;     /* PEM bundle or directory; NULL: the system's */
    unsigned in_flight_max; /* questions in all, 1..UPSTREAM_IN_FLIGHT_LIMIT */
    unsigned idle_ms;       /* close a connection unused this long (RFC 7766 6.2.3) */
    unsigned attempt_ms;    /* how long one upstream may take before the next is asked, too */
    upstream_done *done;
    void *context;
};

/*
 * NULL with a sentence in error. config is copied. Opens what it will ever need from the file
 * system (certificates); the sandbox may be entered behind it.
 */
struct upstreams *upstreams_create(struct event_loop *loop, const struct upstreams_config *config,
                                   struct failure *failure);
void upstreams_free(struct upstreams *upstreams);

/*
 * Replaces the upstreams (handshake, resolv.conf changed): questions in flight go on; an upstream
 * that stays keeps its connection. tls:// only if there was one at creation.
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

#define UPSTREAM_LATENCY_BUCKETS 16 /* bucket i: below 2^i units; the last is open */
#define UPSTREAM_LATENCY_UNIT_US 250
#define UPSTREAM_COUNTERS(X)                                                                       \
    X(queries)                                                                                     \
    X(answers)                                                                                     \
    X(late_answers)   /* came when the question had been answered or given up */                   \
    X(connects)       /* connections that came up */                                               \
    X(reconnect_asks) /* asked again because their connection was lost */                          \
    X(tls_resumed)    /* of connects: with a session of an earlier one */                          \
    X(bytes_sent)                                                                                  \
    X(bytes_received)                                                                              \
    X(latency_sum_us)
struct upstream_stats {
    char text[UPSTREAM_TEXT_BYTES];
    bool healthy;
#define X(name) uint64_t name;
    UPSTREAM_COUNTERS(X)
#undef X
    uint64_t failures[UPSTREAM_FAILURE_COUNT];
    uint64_t mismatches[DNS_ANSWER_ERROR_COUNT];
    uint64_t latency[UPSTREAM_LATENCY_BUCKETS];
};
unsigned upstreams_count(const struct upstreams *upstreams);
const struct upstream_stats *upstreams_stats(const struct upstreams *upstreams, unsigned index);

#endif
