/* SPDX-License-Identifier: Apache-2.0 */
#include "ctl/metrics_dns.h"

#include <inttypes.h>
#include <string.h>

#include "ctl/answer.h"

static const struct metric server_metrics[] = {
    {"answers", "dns_answers_total", "counter", "Answers given to clients, of any kind", 1},
    {"answers_cut", "dns_answers_cut_total", "counter", "Answers cut short over UDP", 1},
    {"local", "dns_local_answers_total", "counter", "Answers from local names", 1},
    {"hits", "dns_cache_hits_total", "counter", "Answers from the cache", 1},
    {"stale", "dns_cache_stale_answers_total", "counter",
     "Answers from the cache past their time, as upstreams gave none", 1},
    {"joined", "dns_joined_questions_total", "counter",
     "Questions that were being asked already and waited for that answer", 1},
    {"asked", "dns_asked_questions_total", "counter", "Questions given to the upstreams", 1},
    {"refreshed", "dns_refreshing_questions_total", "counter",
     "Questions given to the upstreams without a client that waits", 1},
    {"any", "dns_any_questions_total", "counter", "Questions of type ANY", 1},
    {"refused", "dns_refused_questions_total", "counter", "Questions answered REFUSED", 1},
    {"bad_format", "dns_malformed_questions_total", "counter", "Questions answered FORMERR", 1},
    {"bad_opcode", "dns_bad_opcode_questions_total", "counter", "Questions answered NOTIMP", 1},
    {"bad_version", "dns_bad_version_questions_total", "counter", "Questions answered BADVERS", 1},
    {"servfail", "dns_servfail_answers_total", "counter", "Questions answered SERVFAIL", 1},
    {"streams", "dns_accepted_connections_total", "counter", "Connections of clients accepted", 1},
    {"streams_idle", "dns_idle_connections_closed_total", "counter",
     "Connections closed because nothing was asked", 1},
    {"streams_evicted", "dns_evicted_connections_total", "counter",
     "Idle connections closed to make room for others", 1},
    {"flushes", "dns_cache_flushes_total", "counter", "Times that the cache was emptied", 1},
};

static const struct metric cache_metrics[] = {
    {"entries", "dns_cache_entries", "gauge", "Answers in the cache", 1},
    {"bytes_used", "dns_cache_used_bytes", "gauge", "Memory that they take", 1},
    {"bytes_most", "dns_cache_limit_bytes", "gauge", "Memory that the cache may take", 1},
    {"inserted", "dns_cache_inserted_total", "counter", "Answers put into the cache", 1},
    {"evicted", "dns_cache_evicted_total", "counter", "Answers dropped to make room", 1},
    {"expired", "dns_cache_expired_total", "counter", "Answers dropped after their time", 1},
    {"too_large", "dns_cache_too_large_total", "counter", "Answers too large for the cache", 1},
};

static const struct metric upstream_metrics[] = {
    {"queries", "dns_upstream_queries_total", "counter", "Queries sent to an upstream", 1},
    {"answers", "dns_upstream_answers_total", "counter", "Answers of an upstream", 1},
    {"late_answers", "dns_upstream_late_answers_total", "counter",
     "Answers that came when nobody waited any more", 1},
    {"connects", "dns_upstream_connections_total", "counter", "Connections to an upstream", 1},
    {"tls_resumed", "dns_upstream_resumed_connections_total", "counter",
     "Connections with the TLS session of an earlier one", 1},
    {"reconnect_asks", "dns_upstream_repeated_queries_total", "counter",
     "Queries sent again because their connection was lost", 1},
    {"hedges", "dns_upstream_hedges_total", "counter",
     "Queries sent a second time over another connection", 1},
    {"probes", "dns_upstream_probes_total", "counter", "Questions of our own to quiet upstreams",
     1},
    {"bytes_sent", "dns_upstream_sent_bytes_total", "counter", "Bytes sent to an upstream", 1},
    {"bytes_received", "dns_upstream_received_bytes_total", "counter",
     "Bytes received from an upstream", 1},
};

/* ---- the server ---- */

static bool is_dns(struct json_object *answer)
{
    return answer != NULL && strcmp(answer_role(answer), "dns") == 0;
}

/* One sample for each member of an object, under its name. */
static void print_labelled(FILE *out, const char *name, const char *label,
                           struct json_object *object, const char *upstream)
{
    if (!json_object_is_type(object, json_type_object))
        return;
    json_object_object_foreach(object, key, count)
    {
        metrics_begin(out, name, "dns");
        if (upstream != NULL)
            metrics_label(out, ",", "upstream", upstream);
        metrics_label(out, ",", label, key);
        metrics_value(out, json_object_get_uint64(count), 1);
    }
}

static void print_reasons(const struct scrape *scrape, const char *object, const char *name,
                          const char *help)
{
    metrics_head(scrape->out, name, "counter", help);
    for (unsigned i = 0; i < scrape->count; i++)
        if (is_dns(scrape->answers[i]))
            print_labelled(scrape->out, name, "reason",
                           json_object_object_get(scrape->answers[i], object), NULL);
}

static void print_queries(const struct scrape *scrape)
{
    static const struct {
        const char *key, *transport;
    } rows[] = {{"queries_udp", "udp"}, {"queries_tcp", "tcp"}, {"queries_link", "link"}};

    metrics_head(scrape->out, "dns_questions_total", "counter", "Questions of clients");
    for (unsigned i = 0; i < scrape->count; i++) {
        if (!is_dns(scrape->answers[i]))
            continue;
        struct json_object *counters = json_object_object_get(scrape->answers[i], "counters");
        for (size_t row = 0; row < METRICS_LENGTH(rows); row++) {
            metrics_begin(scrape->out, "dns_questions_total", "dns");
            metrics_label(scrape->out, ",", "transport", rows[row].transport);
            metrics_value(scrape->out, answer_number(counters, rows[row].key), 1);
        }
    }
}

/* "waiting": what there is now, and the limit. */
static void print_limited(const struct scrape *scrape, const char *object, const char *name,
                          const char *help)
{
    struct metric now = {"now", name, "gauge", help, 1};
    char limit_name[64], limit_help[128];
    struct metric most = {"most", limit_name, "gauge", limit_help, 1};

    snprintf(limit_name, sizeof(limit_name), "%s_limit", name);
    snprintf(limit_help, sizeof(limit_help), "%s: at most", help);
    metrics_object(scrape, object, &now, 1);
    metrics_object(scrape, object, &most, 1);
}

/* ---- upstreams ---- */

static void each_upstream(const struct scrape *scrape,
                          void (*print)(FILE *out, const char *name, struct json_object *upstream,
                                        const struct metric *metric),
                          const struct metric *metric)
{
    for (unsigned i = 0; i < scrape->count; i++) {
        if (!is_dns(scrape->answers[i]))
            continue;
        struct json_object *list = json_object_object_get(scrape->answers[i], "upstreams");
        if (!json_object_is_type(list, json_type_array))
            continue;
        for (size_t j = 0; j < json_object_array_length(list); j++) {
            struct json_object *upstream = json_object_array_get_idx(list, j);
            print(scrape->out, answer_text(upstream, "upstream"), upstream, metric);
        }
    }
}

static void print_up(FILE *out, const char *name, struct json_object *upstream,
                     const struct metric *metric)
{
    (void)metric;
    metrics_begin(out, "dns_upstream_up", "dns");
    metrics_label(out, ",", "upstream", name);
    metrics_value(out, json_object_get_boolean(json_object_object_get(upstream, "healthy")), 1);
}

static void print_counter(FILE *out, const char *name, struct json_object *upstream,
                          const struct metric *metric)
{
    metrics_begin(out, metric->name, "dns");
    metrics_label(out, ",", "upstream", name);
    metrics_value(out, answer_number(upstream, metric->key), metric->scale);
}

static void print_upstream_reasons(FILE *out, const char *name, struct json_object *upstream,
                                   const struct metric *metric)
{
    print_labelled(out, metric->name, "reason", json_object_object_get(upstream, metric->key),
                   name);
}

static void print_bucket(FILE *out, const char *name, uint64_t below_us, uint64_t count)
{
    char bound[32] = "+Inf";

    if (below_us > 0)
        snprintf(bound, sizeof(bound), "%g", (double)below_us / 1e6);
    metrics_begin(out, "dns_upstream_latency_seconds_bucket", "dns");
    metrics_label(out, ",", "upstream", name);
    metrics_label(out, ",", "le", bound);
    metrics_value(out, count, 1);
}

static void print_histogram(FILE *out, const char *name, struct json_object *upstream,
                            const struct metric *metric)
{
    struct json_object *list = json_object_object_get(upstream, "latency");
    uint64_t count = 0;

    (void)metric;
    if (!json_object_is_type(list, json_type_array))
        return;
    for (size_t i = 0; i < json_object_array_length(list); i++) {
        struct json_object *bucket = json_object_array_get_idx(list, i);
        count += answer_number(bucket, "answers");
        print_bucket(out, name, answer_number(bucket, "below_us"), count);
    }
    metrics_begin(out, "dns_upstream_latency_seconds_sum", "dns");
    metrics_label(out, ",", "upstream", name);
    metrics_value(out, answer_number(upstream, "latency_sum_us"), 1e-6);
    metrics_begin(out, "dns_upstream_latency_seconds_count", "dns");
    metrics_label(out, ",", "upstream", name);
    metrics_value(out, count, 1);
}

static void print_upstreams(const struct scrape *scrape)
{
    static const struct metric reasons[] = {
        {"failures", "dns_upstream_failures_total", "counter",
         "What went wrong with an upstream, by reason", 1},
        {"mismatches", "dns_upstream_mismatches_total", "counter",
         "Answers of an upstream that were not for the question, by reason", 1},
    };

    metrics_head(scrape->out, "dns_upstream_up", "gauge", "Whether an upstream is taken to answer");
    each_upstream(scrape, print_up, NULL);
    for (size_t m = 0; m < METRICS_LENGTH(upstream_metrics); m++) {
        const struct metric *metric = &upstream_metrics[m];
        metrics_head(scrape->out, metric->name, metric->type, metric->help);
        each_upstream(scrape, print_counter, metric);
    }
    for (size_t m = 0; m < METRICS_LENGTH(reasons); m++) {
        metrics_head(scrape->out, reasons[m].name, reasons[m].type, reasons[m].help);
        each_upstream(scrape, print_upstream_reasons, &reasons[m]);
    }
    metrics_head(scrape->out, "dns_upstream_latency_seconds", "histogram",
                 "Time from a query to its answer");
    each_upstream(scrape, print_histogram, NULL);
}

void metrics_dns(const struct scrape *scrape)
{
    print_queries(scrape);
    metrics_object(scrape, "counters", server_metrics, METRICS_LENGTH(server_metrics));
    print_reasons(scrape, "failures", "dns_failed_questions_total",
                  "Questions answered SERVFAIL because of the upstreams, by reason");
    print_reasons(scrape, "limits", "dns_limited_questions_total",
                  "Questions answered SERVFAIL because of a limit, by reason");
    print_reasons(scrape, "drops", "dns_dropped_total",
                  "Questions, answers and connections dropped, by reason");
    print_limited(scrape, "waiting", "dns_waiting_clients", "Clients that wait for an answer");
    print_limited(scrape, "asking", "dns_questions_in_flight",
                  "Questions that the upstreams are working on");
    print_limited(scrape, "connections", "dns_connections", "Connections of clients");
    metrics_object(scrape, "cache", cache_metrics, METRICS_LENGTH(cache_metrics));
    print_upstreams(scrape);
}
