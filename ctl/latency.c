/* SPDX-License-Identifier: Apache-2.0 */
#include "ctl/latency.h"

#include "ctl/answer.h"

/* Counts of the histogram's bucket i since `before`, which may be NULL. */
static uint64_t bucket_count(struct json_object *before, struct json_object *after, size_t i)
{
    struct json_object *now = json_object_array_get_idx(after, i);

    if (answer_list_length(before) <= i)
        return answer_number(now, "answers");
    return answer_grown(json_object_array_get_idx(before, i), now, "answers");
}

/* The upper bound of the bucket that holds the given part of all answers; 0: there are none. */
static uint64_t percentile(struct json_object *before, struct json_object *after, unsigned percent)
{
    uint64_t sum = 0, seen = 0, bound_us = 0;

    for (size_t i = 0; i < answer_list_length(after); i++)
        sum += bucket_count(before, after, i);
    for (size_t i = 0; i < answer_list_length(after) && sum > 0; i++) {
        uint64_t below_us = answer_number(json_object_array_get_idx(after, i), "below_us");
        bound_us = below_us > 0 ? below_us : bound_us; /* the last one is open */
        seen += bucket_count(before, after, i);
        if (seen * 100 >= sum * percent)
            break;
    }
    return bound_us;
}

void latency_add(struct json_object *to, struct json_object *before, struct json_object *after)
{
    static const struct {
        const char *key;
        unsigned percent;
    } rows[] = {{"p50_us", 50}, {"p90_us", 90}, {"p99_us", 99}};

    if (!json_object_is_type(to, json_type_object) || percentile(before, after, 100) == 0)
        return;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        answer_add_number(to, rows[i].key, (double)percentile(before, after, rows[i].percent));
}

void latency_add_percentiles(struct json_object *status)
{
    struct json_object *upstreams = answer_member(status, "upstreams");

    for (size_t i = 0; i < answer_list_length(upstreams); i++) {
        struct json_object *upstream = json_object_array_get_idx(upstreams, i);
        latency_add(upstream, NULL, answer_member(upstream, "latency"));
    }
}
