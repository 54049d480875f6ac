/* SPDX-License-Identifier: Apache-2.0 */
#include "enclave/dns/counters.h"

#include <inttypes.h>

#define LATENCY_UNIT_US 250

static void print_if_any(FILE *out, const char *kind, const char *name, uint64_t count)
{
    if (count > 0)
        fprintf(out, " %s_%s=%" PRIu64, kind, name, count);
}

void dns_counters_print(FILE *out, const struct dns_counters *counters)
{
#define X(name) fprintf(out, " " #name "=%" PRIu64, counters->name);
    DNS_COUNTERS(X)
#undef X
    for (int i = UPSTREAM_ANSWERED + 1; i < UPSTREAM_FAILURE_COUNT; i++)
        print_if_any(out, "failure", upstream_failure_name((enum upstream_failure)i),
                     counters->failures[i]);
#define X(name) print_if_any(out, "limit", #name, counters->limit_##name);
    DNS_LIMITS(X)
#undef X
#define X(name) print_if_any(out, "drop", #name, counters->drop_##name);
    DNS_DROPS(X)
#undef X
}

static void print_latencies(FILE *out, const uint64_t latency[UPSTREAM_LATENCY_BUCKETS])
{
    unsigned long below = LATENCY_UNIT_US;

    for (unsigned i = 0; i + 1 < UPSTREAM_LATENCY_BUCKETS; i++, below *= 2)
        if (latency[i] > 0)
            fprintf(out, " latency_below_%luus=%" PRIu64, below, latency[i]);
    if (latency[UPSTREAM_LATENCY_BUCKETS - 1] > 0)
        fprintf(out, " latency_above=%" PRIu64, latency[UPSTREAM_LATENCY_BUCKETS - 1]);
}

void dns_upstream_print(FILE *out, const struct upstream_stats *stats)
{
    fprintf(out,
            " healthy=%d queries=%" PRIu64 " answers=%" PRIu64 " connects=%" PRIu64
            " tls_resumed=%" PRIu64 " reconnect_asks=%" PRIu64 " late_answers=%" PRIu64
            " bytes_sent=%" PRIu64 " bytes_received=%" PRIu64,
            stats->healthy, stats->queries, stats->answers, stats->connects, stats->tls_resumed,
            stats->reconnect_asks, stats->late_answers, stats->bytes_sent, stats->bytes_received);
    print_latencies(out, stats->latency);
    for (int i = UPSTREAM_ANSWERED + 1; i < UPSTREAM_FAILURE_COUNT; i++)
        print_if_any(out, "failure", upstream_failure_name((enum upstream_failure)i),
                     stats->failures[i]);
    for (int i = DNS_ANSWER_OK + 1; i < DNS_ANSWER_ERROR_COUNT; i++)
        print_if_any(out, "mismatch", dns_answer_error_name((enum dns_answer_error)i),
                     stats->mismatches[i]);
}
