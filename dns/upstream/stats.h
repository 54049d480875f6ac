/* SPDX-License-Identifier: Apache-2.0 */
/* What is counted of each upstream, and how asking can fail. */
#ifndef CAUSEWAY_DNS_UPSTREAM_STATS_H
#define CAUSEWAY_DNS_UPSTREAM_STATS_H

#include "dns/message/message.h"
#include "dns/upstream/spec.h"

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

#define UPSTREAM_IN_FLIGHT_LIMIT 16384 /* questions in all; leaves ids (16 bits) hard to guess */
#define UPSTREAM_LATENCY_BUCKETS 16    /* bucket i: below 2^i units; the last is open */
#define UPSTREAM_LATENCY_UNIT_US 250
#define UPSTREAM_COUNTERS(X)                                                                       \
    X(queries) /* questions put to it */                                                           \
    X(answers)                                                                                     \
    X(late_answers)   /* came when the question had been answered or given up */                   \
    X(connects)       /* connections that came up */                                               \
    X(reconnect_asks) /* asked again because their connection was lost */                          \
    X(hedges)         /* asked a second time, beside a connection that gave no answers */          \
    X(probes)         /* questions of our own, to tell a silent name from a silent upstream */     \
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

void upstream_note_latency(struct upstream_stats *stats, uint64_t taken_us);

#endif
