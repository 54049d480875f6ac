/* SPDX-License-Identifier: Apache-2.0 */
#include "ctl/rates_dns.h"

#include <string.h>

#include "ctl/answer.h"
#include "ctl/latency.h"

static void add_upstream_rates(struct json_object *before, struct json_object *after,
                               double seconds)
{
    struct json_object *rates = json_object_new_object();

    answer_add_number(rates, "queries", (double)answer_grown(before, after, "queries") / seconds);
    answer_add_number(rates, "answers", (double)answer_grown(before, after, "answers") / seconds);
    uint64_t failed = answer_sum(answer_member(before, "failures")),
             fails = answer_sum(answer_member(after, "failures"));
    answer_add_number(rates, "failures", fails > failed ? (double)(fails - failed) / seconds : 0);
    latency_add(rates, answer_member(before, "latency"), answer_member(after, "latency"));
    json_object_object_add(after, "rates", rates);
}

static void add_rates_of_upstreams(struct json_object *before, struct json_object *after,
                                   double seconds)
{
    struct json_object *old = answer_member(before, "upstreams"),
                       *new = answer_member(after, "upstreams");

    for (size_t i = 0; i < answer_list_length(new); i++) {
        struct json_object *upstream = json_object_array_get_idx(new, i);
        for (size_t j = 0; j < answer_list_length(old); j++) {
            struct json_object *was = json_object_array_get_idx(old, j);
            if (json_object_is_type(upstream, json_type_object) &&
                strcmp(answer_text(was, "upstream"), answer_text(upstream, "upstream")) == 0)
                add_upstream_rates(was, upstream, seconds);
        }
    }
}

void rates_dns_add(struct json_object *before, struct json_object *after, double seconds)
{
    static const char *const counters[] = {"answers", "hits",  "stale",   "local",
                                           "joined",  "asked", "servfail"};

    if (strcmp(answer_role(after), "dns") != 0)
        return;
    struct json_object *was = answer_member(before, "counters"),
                       *is = answer_member(after, "counters");
    struct json_object *rates = json_object_new_object();
    uint64_t asked = answer_dns_queries(was), asks = answer_dns_queries(is);
    uint64_t dropped = answer_sum(answer_member(before, "drops")),
             drops = answer_sum(answer_member(after, "drops"));
    uint64_t looked = answer_dns_looked_up(was), looks = answer_dns_looked_up(is);

    answer_add_number(rates, "queries", asks > asked ? (double)(asks - asked) / seconds : 0);
    for (size_t i = 0; i < sizeof(counters) / sizeof(counters[0]); i++)
        answer_add_number(rates, counters[i], (double)answer_grown(was, is, counters[i]) / seconds);
    answer_add_number(rates, "drops", drops > dropped ? (double)(drops - dropped) / seconds : 0);
    if (looks > looked)
        answer_add_number(rates, "hit_percent",
                          (double)answer_grown(was, is, "hits") * 100 / (double)(looks - looked));
    json_object_object_add(after, "rates", rates);
    add_rates_of_upstreams(before, after, seconds);
}
