/* SPDX-License-Identifier: Apache-2.0 */
/* causeway-dns in `status` and `top`: rates, latencies, and how both are printed. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "ctl/ctl.h"

/* ---- members of an answer ---- */

static struct json_object *member(struct json_object *object, const char *key)
{
    return json_object_object_get(object, key);
}

static size_t list_length(struct json_object *list)
{
    return json_object_is_type(list, json_type_array) ? json_object_array_length(list) : 0;
}

static uint64_t all_queries(struct json_object *counters)
{
    return ctl_number(counters, "queries_udp") + ctl_number(counters, "queries_tcp") +
           ctl_number(counters, "queries_link");
}

/* Questions that the cache could have answered: those that it did, and those that had to wait. */
static uint64_t looked_up(struct json_object *counters)
{
    return ctl_number(counters, "hits") + ctl_number(counters, "stale") +
           ctl_number(counters, "joined") + ctl_number(counters, "asked") -
           ctl_number(counters, "refreshed");
}

/* ---- latencies ---- */

/* Counts of the histogram's bucket i since `before`, which may be NULL. */
static uint64_t bucket_count(struct json_object *before, struct json_object *after, size_t i)
{
    struct json_object *now = json_object_array_get_idx(after, i);

    if (list_length(before) <= i)
        return ctl_number(now, "answers");
    return ctl_grown(json_object_array_get_idx(before, i), now, "answers");
}

/* The upper bound of the bucket that holds the given part of all answers; 0: there are none. */
static uint64_t percentile(struct json_object *before, struct json_object *after, unsigned percent)
{
    uint64_t sum = 0, seen = 0, bound_us = 0;

    for (size_t i = 0; i < list_length(after); i++)
        sum += bucket_count(before, after, i);
    for (size_t i = 0; i < list_length(after) && sum > 0; i++) {
        uint64_t below_us = ctl_number(json_object_array_get_idx(after, i), "below_us");
        bound_us = below_us > 0 ? below_us : bound_us; /* the last one is open */
        seen += bucket_count(before, after, i);
        if (seen * 100 >= sum * percent)
            break;
    }
    return bound_us;
}

static void add_percentiles(struct json_object *to, struct json_object *before,
                            struct json_object *after)
{
    static const struct {
        const char *key;
        unsigned percent;
    } rows[] = {{"p50_us", 50}, {"p90_us", 90}, {"p99_us", 99}};

    if (percentile(before, after, 100) == 0)
        return;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        ctl_add_number(to, rows[i].key, (double)percentile(before, after, rows[i].percent));
}

void ctl_dns_add_latencies(struct json_object *status)
{
    struct json_object *upstreams = member(status, "upstreams");

    for (size_t i = 0; i < list_length(upstreams); i++) {
        struct json_object *upstream = json_object_array_get_idx(upstreams, i);
        add_percentiles(upstream, NULL, member(upstream, "latency"));
    }
}

/* ---- rates ---- */

static void add_upstream_rates(struct json_object *before, struct json_object *after,
                               double seconds)
{
    struct json_object *rates = json_object_new_object();

    ctl_add_number(rates, "queries", (double)ctl_grown(before, after, "queries") / seconds);
    ctl_add_number(rates, "answers", (double)ctl_grown(before, after, "answers") / seconds);
    uint64_t failed = ctl_sum(member(before, "failures")),
             fails = ctl_sum(member(after, "failures"));
    ctl_add_number(rates, "failures", fails > failed ? (double)(fails - failed) / seconds : 0);
    add_percentiles(rates, member(before, "latency"), member(after, "latency"));
    json_object_object_add(after, "rates", rates);
}

static void add_rates_of_upstreams(struct json_object *before, struct json_object *after,
                                   double seconds)
{
    struct json_object *old = member(before, "upstreams"), *new = member(after, "upstreams");

    for (size_t i = 0; i < list_length(new); i++) {
        struct json_object *upstream = json_object_array_get_idx(new, i);
        for (size_t j = 0; j < list_length(old); j++) {
            struct json_object *was = json_object_array_get_idx(old, j);
            if (strcmp(ctl_text(was, "upstream"), ctl_text(upstream, "upstream")) == 0)
                add_upstream_rates(was, upstream, seconds);
        }
    }
}

void ctl_dns_add_rates(struct json_object *before, struct json_object *after, double seconds)
{
    static const char *const counters[] = {"answers", "hits",  "stale",   "local",
                                           "joined",  "asked", "servfail"};

    if (strcmp(ctl_role(after), "dns") != 0)
        return;
    struct json_object *was = member(before, "counters"), *is = member(after, "counters");
    struct json_object *rates = json_object_new_object();
    uint64_t asked = all_queries(was), asks = all_queries(is);
    uint64_t dropped = ctl_sum(member(before, "drops")), drops = ctl_sum(member(after, "drops"));
    uint64_t looked = looked_up(was), looks = looked_up(is);

    ctl_add_number(rates, "queries", asks > asked ? (double)(asks - asked) / seconds : 0);
    for (size_t i = 0; i < sizeof(counters) / sizeof(counters[0]); i++)
        ctl_add_number(rates, counters[i], (double)ctl_grown(was, is, counters[i]) / seconds);
    ctl_add_number(rates, "drops", drops > dropped ? (double)(drops - dropped) / seconds : 0);
    if (looks > looked)
        ctl_add_number(rates, "hit_percent",
                       (double)ctl_grown(was, is, "hits") * 100 / (double)(looks - looked));
    json_object_object_add(after, "rates", rates);
    add_rates_of_upstreams(before, after, seconds);
}

/* ---- status ---- */

static void print_listeners(struct json_object *status)
{
    struct json_object *list = member(status, "listen");

    for (size_t i = 0; i < list_length(list); i++)
        printf("%s%s", i == 0 ? "listening on " : ", ",
               json_object_get_string(json_object_array_get_idx(list, i)));
    printf("%s\n", list_length(list) == 0 ? "listening nowhere" : "");
}

static void print_questions(struct json_object *status)
{
    struct json_object *counters = member(status, "counters"), *rates = member(status, "rates");
    struct json_object *waiting = member(status, "waiting"), *asking = member(status, "asking");
    struct json_object *connections = member(status, "connections");

    printf("questions: %" PRIu64 " (UDP %" PRIu64 ", TCP %" PRIu64 ", link %" PRIu64 ")",
           all_queries(counters), ctl_number(counters, "queries_udp"),
           ctl_number(counters, "queries_tcp"), ctl_number(counters, "queries_link"));
    if (rates != NULL)
        printf(", %" PRIu64 " a second", ctl_number(rates, "queries"));
    printf("; %" PRIu64 " local\n", ctl_number(counters, "local"));
    printf("in flight: %" PRIu64 " at upstreams, %" PRIu64 " clients wait (of %" PRIu64
           "), %" PRIu64 " connections (of %" PRIu64 ")\n",
           ctl_number(asking, "now"), ctl_number(waiting, "now"), ctl_number(waiting, "most"),
           ctl_number(connections, "now"), ctl_number(connections, "most"));
}

static void print_cache(struct json_object *status)
{
    struct json_object *cache = member(status, "cache"), *counters = member(status, "counters");
    uint64_t looks = looked_up(counters), hits = ctl_number(counters, "hits");

    if (cache == NULL) {
        printf("cache: off\n");
        return;
    }
    printf("cache: %" PRIu64 " answers, %.1f of %.1f MB", ctl_number(cache, "entries"),
           (double)ctl_number(cache, "bytes_used") / (1 << 20),
           (double)ctl_number(cache, "bytes_most") / (1 << 20));
    if (looks > 0)
        printf(", %.1f%% of questions", (double)hits * 100 / (double)looks);
    printf("; %" PRIu64 " past their time\n", ctl_number(counters, "stale"));
}

static void print_upstream(struct json_object *upstream)
{
    struct json_object *rates = member(upstream, "rates");
    bool healthy = json_object_get_boolean(member(upstream, "healthy"));

    printf("upstream %s %s: %" PRIu64 " questions, %" PRIu64 " answers",
           ctl_text(upstream, "upstream"), healthy ? "answers" : "does not answer",
           ctl_number(upstream, "queries"), ctl_number(upstream, "answers"));
    if (rates != NULL)
        printf(", %" PRIu64 " a second", ctl_number(rates, "answers"));
    printf("\n  %" PRIu64 " connections", ctl_number(upstream, "connects"));
    if (ctl_number(upstream, "p50_us") > 0)
        printf("; answers within %g ms (p50), %g ms (p90), %g ms (p99)",
               (double)ctl_number(upstream, "p50_us") / 1000,
               (double)ctl_number(upstream, "p90_us") / 1000,
               (double)ctl_number(upstream, "p99_us") / 1000);
    printf("\n");
    ctl_print_reasons("  failed", member(upstream, "failures"));
    ctl_print_reasons("  not for the question", member(upstream, "mismatches"));
}

void ctl_dns_print_status(struct json_object *status)
{
    struct json_object *upstreams = member(status, "upstreams");

    print_listeners(status);
    print_questions(status);
    print_cache(status);
    if (ctl_text(status, "upstreams_from")[0] != '\0')
        printf("upstreams are those of %s\n", ctl_text(status, "upstreams_from"));
    if (list_length(upstreams) == 0)
        printf("no upstream\n");
    for (size_t i = 0; i < list_length(upstreams); i++)
        print_upstream(json_object_array_get_idx(upstreams, i));
    ctl_print_reasons("SERVFAIL, as upstreams failed", member(status, "failures"));
    ctl_print_reasons("SERVFAIL, as limits were met", member(status, "limits"));
    ctl_print_reasons("dropped", member(status, "drops"));
}

/* ---- top ---- */

static void print_server_row(struct json_object *status)
{
    static const char *const cells[] = {"queries", "hits",     "hit_percent", "stale",
                                        "asked",   "servfail", "drops"};
    struct json_object *rates = member(status, "rates");

    printf("%-10s %8s %8s %8s %8s %8s %8s %8s %8s %8s\n", "", "QUERY/s", "HIT/s", "HIT %",
           "STALE/s", "ASKED/s", "FAIL/s", "DROP/s", "WAITING", "CLIENTS");
    printf("%-10s", "all");
    for (size_t i = 0; i < sizeof(cells) / sizeof(cells[0]); i++)
        ctl_print_cell(ctl_number(rates, cells[i]));
    ctl_print_cell(ctl_number(member(status, "waiting"), "now"));
    ctl_print_cell(ctl_number(member(status, "connections"), "now"));
    printf("\n");
}

void ctl_dns_print_view(struct json_object *status)
{
    static const char *const cells[] = {"queries", "answers", "failures", "p50_us", "p99_us"};
    struct json_object *upstreams = member(status, "upstreams");

    printf("%s, PID %" PRIu64 "\n", ctl_text(status, "program"), ctl_number(status, "pid"));
    print_server_row(status);
    printf("%-40s %-5s %8s %8s %8s %8s %8s\n", "UPSTREAM", "STATE", "QUERY/s", "ANSWER/s", "FAIL/s",
           "P50 us", "P99 us");
    for (size_t i = 0; i < list_length(upstreams); i++) {
        struct json_object *upstream = json_object_array_get_idx(upstreams, i);
        bool healthy = json_object_get_boolean(member(upstream, "healthy"));
        printf("%-40.40s %-5s", ctl_text(upstream, "upstream"), healthy ? "up" : "down");
        for (size_t j = 0; j < sizeof(cells) / sizeof(cells[0]); j++)
            ctl_print_cell(ctl_number(member(upstream, "rates"), cells[j]));
        printf("\n");
    }
}
