/* SPDX-License-Identifier: Apache-2.0 */
#include "ctl/metrics_dns.h"

#include <inttypes.h>
#include <string.h>

#include "ctl/answer.h"

static const struct metric server_metrics[] = {DNS_COUNTERS(METRIC)};
static const struct metric cache_metrics[] = {DNS_CACHE_SIZE(METRIC) DNS_CACHE_LIMIT(METRIC)
                                                  DNS_CACHE_COUNTERS(METRIC)};
static const struct metric upstream_metrics[] = {UPSTREAM_COUNTERS(METRIC)};

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
    } rows[] = {
#define X(member, transport) {#member, transport},
        DNS_QUESTIONS(X)
#undef X
    };

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
    struct metric now = {"now", name, GAUGE, help};
    char limit_name[64], limit_help[128];
    struct metric most = {"most", limit_name, GAUGE, limit_help};

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
    metrics_counter(out, upstream, metric);
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
        {"failures", "dns_upstream_failures_total", COUNTER,
         "What went wrong with an upstream, by reason"},
        {"mismatches", "dns_upstream_mismatches_total", COUNTER,
         "Answers of an upstream that were not for the question, by reason"},
    };

    metrics_head(scrape->out, "dns_upstream_up", "gauge", "Whether an upstream is taken to answer");
    each_upstream(scrape, print_up, NULL);
    for (size_t m = 0; m < METRICS_LENGTH(upstream_metrics); m++) {
        const struct metric *metric = &upstream_metrics[m];
        metrics_family(scrape->out, metric);
        each_upstream(scrape, print_counter, metric);
    }
    for (size_t m = 0; m < METRICS_LENGTH(reasons); m++) {
        metrics_family(scrape->out, &reasons[m]);
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
