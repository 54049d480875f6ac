/* SPDX-License-Identifier: Apache-2.0 */
#include "dns/report.h"

#include <inttypes.h>

/* ---- text ---- */

static void print_if_any(FILE *out, const char *kind, const char *name, uint64_t count)
{
    if (count > 0)
        fprintf(out, " %s_%s=%" PRIu64, kind, name, count);
}

/* Failures, limits and drops only when not zero. */
static void print_counters(const struct dns_counters *counters, FILE *out)
{
#define X(name, ...) fprintf(out, " " #name "=%" PRIu64, counters->name);
    DNS_QUESTIONS(X)
    DNS_COUNTERS(X)
#undef X
    for (int i = UPSTREAM_ANSWERED + 1; i < UPSTREAM_FAILURE_COUNT; i++)
        print_if_any(out, "failure", upstream_failure_name((enum upstream_failure)i),
                     counters->failures[i]);
#define X(name, ...) print_if_any(out, "limit", #name, counters->limit_##name);
    DNS_LIMITS(X)
#undef X
#define X(name, ...) print_if_any(out, "drop", #name, counters->drop_##name);
    DNS_DROPS(X)
#undef X
}

static void print_latencies(const uint64_t latency[UPSTREAM_LATENCY_BUCKETS], FILE *out)
{
    unsigned long below = UPSTREAM_LATENCY_UNIT_US;

    for (unsigned i = 0; i + 1 < UPSTREAM_LATENCY_BUCKETS; i++, below *= 2)
        if (latency[i] > 0)
            fprintf(out, " latency_below_%luus=%" PRIu64, below, latency[i]);
    if (latency[UPSTREAM_LATENCY_BUCKETS - 1] > 0)
        fprintf(out, " latency_above=%" PRIu64, latency[UPSTREAM_LATENCY_BUCKETS - 1]);
}

static void print_upstream(const struct upstream_stats *stats, FILE *out)
{
    fprintf(out, "stats upstream=%s healthy=%d doubted=%d", stats->text, stats->healthy,
            stats->doubted);
#define X(name, ...) fprintf(out, " " #name "=%" PRIu64, stats->name);
    UPSTREAM_COUNTERS(X)
#undef X
    fprintf(out, " latency_sum_us=%" PRIu64, stats->latency_sum_us);
    print_latencies(stats->latency, out);
    for (int i = UPSTREAM_ANSWERED + 1; i < UPSTREAM_FAILURE_COUNT; i++)
        print_if_any(out, "failure", upstream_failure_name((enum upstream_failure)i),
                     stats->failures[i]);
    for (int i = DNS_ANSWER_OK + 1; i < DNS_ANSWER_ERROR_COUNT; i++)
        print_if_any(out, "mismatch", dns_answer_error_name((enum dns_answer_error)i),
                     stats->mismatches[i]);
    fputc('\n', out);
}

static void print_cache(const struct dns_cache_stats *stats, FILE *out)
{
    fprintf(out, "stats cache");
#define X(name, ...) fprintf(out, " " #name "=%" PRIu64, stats->name);
    DNS_CACHE_SIZE(X)
    DNS_CACHE_COUNTERS(X)
#undef X
    fputc('\n', out);
}

void dns_report_print(const struct dns_server *server, FILE *out)
{
    fprintf(out, "stats server waiting=%u asking=%u connections=%u",
            resolver_waiting(server->resolver), resolver_asking(server->resolver),
            streams_open(server->streams));
    print_counters(&server->counters, out);
    fputc('\n', out);
    if (server->cache != NULL)
        print_cache(dns_cache_stats(server->cache), out);
    for (unsigned i = 0; i < upstreams_count(server->upstreams); i++)
        print_upstream(upstreams_stats(server->upstreams, i), out);
}

/* ---- status answer ---- */

static void report_listeners(const struct dns_server *server, struct json *json)
{
    char text[DNS_LISTEN_TEXT_BYTES];

    json_list(json, "listen");
    for (unsigned i = 0; i < server->config->listen_count; i++)
        if (server->listening[i])
            json_text(json, NULL, dns_listen_format(&server->config->listen[i], text));
    json_list_end(json);
}

static void report_limit(struct json *json, const char *key, unsigned now, unsigned most)
{
    json_begin(json, key);
    json_number(json, "now", now);
    json_number(json, "most", most);
    json_end(json);
}

static void report_failures(struct json *json, const uint64_t failures[UPSTREAM_FAILURE_COUNT])
{
    json_begin(json, "failures");
    for (int i = UPSTREAM_ANSWERED + 1; i < UPSTREAM_FAILURE_COUNT; i++)
        json_number(json, upstream_failure_name((enum upstream_failure)i), failures[i]);
    json_end(json);
}

static void report_counters(const struct dns_counters *counters, struct json *json)
{
    json_begin(json, "counters");
#define X(name, ...) json_number(json, #name, counters->name);
    DNS_QUESTIONS(X)
    DNS_COUNTERS(X)
#undef X
    json_end(json);
    report_failures(json, counters->failures);
    json_begin(json, "limits");
#define X(name, ...) json_number(json, #name, counters->limit_##name);
    DNS_LIMITS(X)
#undef X
    json_end(json);
    json_begin(json, "drops");
#define X(name, ...) json_number(json, #name, counters->drop_##name);
    DNS_DROPS(X)
#undef X
    json_end(json);
}

static void report_cache(const struct dns_server *server, struct json *json)
{
    const struct dns_cache_stats *stats = dns_cache_stats(server->cache);

    json_begin(json, "cache");
    json_number(json, "bytes_most", server->config->cache_bytes);
#define X(name, ...) json_number(json, #name, stats->name);
    DNS_CACHE_SIZE(X)
    DNS_CACHE_COUNTERS(X)
#undef X
    json_end(json);
}

static void report_latency(const struct upstream_stats *stats, struct json *json)
{
    uint64_t below_us = UPSTREAM_LATENCY_UNIT_US;

    json_list(json, "latency");
    for (unsigned i = 0; i < UPSTREAM_LATENCY_BUCKETS; i++, below_us *= 2) {
        json_begin(json, NULL);
        if (i + 1 < UPSTREAM_LATENCY_BUCKETS)
            json_number(json, "below_us", below_us);
        json_number(json, "answers", stats->latency[i]);
        json_end(json);
    }
    json_list_end(json);
}

static void report_upstream(const struct upstream_stats *stats, struct json *json)
{
    json_begin(json, NULL);
    json_text(json, "upstream", stats->text);
    json_flag(json, "healthy", stats->healthy);
    json_flag(json, "doubted", stats->doubted);
#define X(name, ...) json_number(json, #name, stats->name);
    UPSTREAM_COUNTERS(X)
#undef X
    json_number(json, "latency_sum_us", stats->latency_sum_us);
    report_latency(stats, json);
    report_failures(json, stats->failures);
    json_begin(json, "mismatches");
    for (int i = DNS_ANSWER_OK + 1; i < DNS_ANSWER_ERROR_COUNT; i++)
        json_number(json, dns_answer_error_name((enum dns_answer_error)i), stats->mismatches[i]);
    json_end(json);
    json_end(json);
}

void dns_report_json(const struct dns_server *server, struct json *json)
{
    const struct dns_config *config = server->config;

    report_listeners(server, json);
    report_limit(json, "waiting", resolver_waiting(server->resolver), config->queries);
    report_limit(json, "asking", resolver_asking(server->resolver), config->queries);
    report_limit(json, "connections", streams_open(server->streams), config->stream_clients);
    report_counters(&server->counters, json);
    if (server->cache != NULL)
        report_cache(server, json);
    if (server->follow != NULL)
        json_text(json, "upstreams_from", follow_path(server->follow));
    json_list(json, "upstreams");
    for (unsigned i = 0; i < upstreams_count(server->upstreams); i++)
        report_upstream(upstreams_stats(server->upstreams, i), json);
    json_list_end(json);
}
