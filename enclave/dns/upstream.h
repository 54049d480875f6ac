/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where questions go: upstreams in order of preference, each over one long-lived stream.
 */
#ifndef CAUSEWAY_ENCLAVE_DNS_UPSTREAM_H
#define CAUSEWAY_ENCLAVE_DNS_UPSTREAM_H

#include "packet/addr.h"
#include "packet/dns_message.h"
#include "runtime/event.h"
#include "runtime/link.h"

#define UPSTREAMS_MAX 8

enum upstream_kind { UPSTREAM_TCP, UPSTREAM_TLS, UPSTREAM_LINK };

/* "tcp://ADDR[:53]", "tls://ADDR[:853]#NAME", "vsock://CID:PORT", "unix:PATH". */
struct upstream_spec {
    enum upstream_kind kind;
    struct ip_addr address;
    uint16_t port;
    char tls_name[256]; /* RFC 8310: the name that the certificate must be for */
    struct link_addr link;
};
bool upstream_parse(const char *text, struct upstream_spec *out, char *error, size_t error_size);

enum upstream_failure {
    UPSTREAM_ANSWERED = 0,
    UPSTREAM_NONE,    /* no upstream is configured or known yet */
    UPSTREAM_TIMEOUT, /* the deadline passed */
    UPSTREAM_CONNECT, /* refused, unreachable, reset */
    UPSTREAM_TLS_FAILED,
    UPSTREAM_MISMATCH, /* answers came that were not for the question */
    UPSTREAM_FULL,     /* the table of questions in flight is full */
    UPSTREAM_FAILURE_COUNT
};
const char *upstream_failure_name(enum upstream_failure failure);

struct upstreams; /* opaque */

/*
 * Called once per question, never from within upstreams_ask(). With UPSTREAM_ANSWERED *answer is a
 * checked answer to the very question (any rcode; SERVFAIL and REFUSED only after the other
 * upstreams were tried too), borrowed for the call; otherwise NULL.
 */
typedef void upstream_done(void *context, uint64_t token, enum upstream_failure failure,
                           const struct dns_answer *answer);

struct upstreams_config {
    struct upstream_spec specs[UPSTREAMS_MAX];
    unsigned count;
    const char *tls_ca;     /* PEM bundle or directory; NULL: the system's */
    unsigned in_flight_max; /* questions in all */
    unsigned idle_ms;       /* close a connection unused this long (RFC 7766 6.2.3) */
    upstream_done *done;
    void *context;
};

/* NULL with a sentence in error. config is copied. */
struct upstreams *upstreams_create(struct event_loop *loop, const struct upstreams_config *config,
                                   char *error, size_t error_size);
void upstreams_free(struct upstreams *upstreams);

/* Replaces the upstreams (handshake, resolv.conf changed): questions in flight go on. */
void upstreams_replace(struct upstreams *upstreams, const struct upstream_spec *specs,
                       unsigned count);

/* Asks; query is copied as far as needed. deadline_ms: monotonic, when done() must have come. */
void upstreams_ask(struct upstreams *upstreams, uint64_t token, const struct dns_query *query,
                   uint64_t now_ms, uint64_t deadline_ms);

/* Milliseconds until upstreams_tick() must be called, -1: nothing waits. */
int upstreams_timeout(const struct upstreams *upstreams, uint64_t now_ms);
void upstreams_tick(struct upstreams *upstreams, uint64_t now_ms);

#define UPSTREAM_LATENCY_BUCKETS 16 /* bucket i: below 2^i * 250 us; the last is open */
struct upstream_stats {
    char text[LINK_TEXT_BYTES + 64]; /* as configured */
    bool healthy;
    uint64_t queries, answers, connects, reconnect_asks, bytes_sent, bytes_received;
    uint64_t failures[UPSTREAM_FAILURE_COUNT];
    uint64_t mismatches[DNS_ANSWER_ERROR_COUNT];
    uint64_t latency[UPSTREAM_LATENCY_BUCKETS];
};
unsigned upstreams_count(const struct upstreams *upstreams);
const struct upstream_stats *upstreams_stats(const struct upstreams *upstreams, unsigned index);

#endif
