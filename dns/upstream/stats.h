/* SPDX-License-Identifier: Apache-2.0 */
/* What is counted of each upstream, and how asking can fail. */
#ifndef CAUSEWAY_DNS_UPSTREAM_STATS_H
#define CAUSEWAY_DNS_UPSTREAM_STATS_H

#include "dns/message/message.h"
#include "dns/upstream/spec.h"
#include "runtime/base/counters.h"

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

struct upstream_stats {
    char text[UPSTREAM_TEXT_BYTES];
    bool healthy;
    bool doubted; /* it leaves many names unanswered */
    UPSTREAM_COUNTERS(COUNTER_MEMBER)
    uint64_t latency_sum_us;
    uint64_t failures[UPSTREAM_FAILURE_COUNT];
    uint64_t mismatches[DNS_ANSWER_ERROR_COUNT];
    uint64_t latency[UPSTREAM_LATENCY_BUCKETS];
};

void upstream_note_latency(struct upstream_stats *stats, uint64_t taken_us);

#endif
