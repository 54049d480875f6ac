/* SPDX-License-Identifier: Apache-2.0 */
#include "ctl/status_dns.h"

#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>

#include "ctl/answer.h"
#include "ctl/text.h"

static void print_listeners(struct json_object *status)
{
    struct json_object *list = answer_member(status, "listen");

    for (size_t i = 0; i < answer_list_length(list); i++)
        printf("%s%s", i == 0 ? "listening on " : ", ",
               json_object_get_string(json_object_array_get_idx(list, i)));
    printf("%s\n", answer_list_length(list) == 0 ? "listening nowhere" : "");
}

static void print_questions(struct json_object *status)
{
    struct json_object *counters = answer_member(status, "counters"),
                       *rates = answer_member(status, "rates");
    struct json_object *waiting = answer_member(status, "waiting"),
                       *asking = answer_member(status, "asking");
    struct json_object *connections = answer_member(status, "connections");

    printf("questions: %" PRIu64 " (UDP %" PRIu64 ", TCP %" PRIu64 ", link %" PRIu64 ")",
           answer_dns_queries(counters), answer_number(counters, "queries_udp"),
           answer_number(counters, "queries_tcp"), answer_number(counters, "queries_link"));
    if (rates != NULL)
        printf(", %" PRIu64 " a second", answer_number(rates, "queries"));
    printf("; %" PRIu64 " local\n", answer_number(counters, "local"));
    printf("in flight: %" PRIu64 " at upstreams, %" PRIu64 " clients wait (of %" PRIu64
           "), %" PRIu64 " connections (of %" PRIu64 ")\n",
           answer_number(asking, "now"), answer_number(waiting, "now"),
           answer_number(waiting, "most"), answer_number(connections, "now"),
           answer_number(connections, "most"));
}

static void print_cache(struct json_object *status)
{
    struct json_object *cache = answer_member(status, "cache"),
                       *counters = answer_member(status, "counters");
    uint64_t looks = answer_dns_looked_up(counters), hits = answer_number(counters, "hits");

    if (cache == NULL) {
        printf("cache: off\n");
        return;
    }
    printf("cache: %" PRIu64 " answers, %.1f of %.1f MB", answer_number(cache, "entries"),
           (double)answer_number(cache, "bytes_used") / (1 << 20),
           (double)answer_number(cache, "bytes_most") / (1 << 20));
    if (looks > 0)
        printf(", %.1f%% of questions", (double)hits * 100 / (double)looks);
    printf("; %" PRIu64 " past their time\n", answer_number(counters, "stale"));
}

static void print_upstream(struct json_object *upstream)
{
    struct json_object *rates = answer_member(upstream, "rates");
    bool healthy = json_object_get_boolean(answer_member(upstream, "healthy"));

    printf("upstream %s %s: %" PRIu64 " questions, %" PRIu64 " answers",
           answer_text(upstream, "upstream"), healthy ? "answers" : "does not answer",
           answer_number(upstream, "queries"), answer_number(upstream, "answers"));
    if (rates != NULL)
        printf(", %" PRIu64 " a second", answer_number(rates, "answers"));
    printf("\n  %" PRIu64 " connections", answer_number(upstream, "connects"));
    if (answer_number(upstream, "p50_us") > 0)
        printf("; answers within %g ms (p50), %g ms (p90), %g ms (p99)",
               (double)answer_number(upstream, "p50_us") / 1000,
               (double)answer_number(upstream, "p90_us") / 1000,
               (double)answer_number(upstream, "p99_us") / 1000);
    printf("\n");
    text_print_counts("  failed", 0, answer_member(upstream, "failures"));
    text_print_counts("  not for the question", 0, answer_member(upstream, "mismatches"));
}

void status_print_dns(struct json_object *status)
{
    struct json_object *upstreams = answer_member(status, "upstreams");

    print_listeners(status);
    print_questions(status);
    print_cache(status);
    if (answer_text(status, "upstreams_from")[0] != '\0')
        printf("upstreams are those of %s\n", answer_text(status, "upstreams_from"));
    if (answer_list_length(upstreams) == 0)
        printf("no upstream\n");
    for (size_t i = 0; i < answer_list_length(upstreams); i++)
        print_upstream(json_object_array_get_idx(upstreams, i));
    text_print_counts("SERVFAIL, as upstreams failed", 0, answer_member(status, "failures"));
    text_print_counts("SERVFAIL, as limits were met", 0, answer_member(status, "limits"));
    text_print_counts("dropped", 0, answer_member(status, "drops"));
}
