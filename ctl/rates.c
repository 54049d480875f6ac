/* SPDX-License-Identifier: Apache-2.0 */
#include "ctl/rates.h"

#include <stdbool.h>
#include <string.h>

#include "ctl/answer.h"
#include "ctl/rates_dns.h"

static uint64_t all_drops(struct json_object *lane)
{
    return answer_number(lane, "queue_dropped") + answer_sum(json_object_object_get(lane, "drops"));
}

static void add_lane_rates(struct json_object *before, struct json_object *after, double seconds)
{
    static const struct {
        const char *rate, *counter;
    } rows[] = {
        {"out_packets", "captured_packets"}, {"out_bytes", "captured_bytes"},
        {"in_packets", "injected_packets"},  {"in_bytes", "injected_bytes"},
        {"writes", "sent_writes"},
    };
    struct json_object *rates = json_object_new_object();
    uint64_t writes = answer_grown(before, after, "sent_writes");
    uint64_t dropped = all_drops(before), drops = all_drops(after);

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        answer_add_number(rates, rows[i].rate,
                          (double)answer_grown(before, after, rows[i].counter) / seconds);
    answer_add_number(
        rates, "bytes_per_write",
        writes > 0 ? (double)answer_grown(before, after, "sent_bytes") / (double)writes : 0);
    answer_add_number(rates, "drops", drops > dropped ? (double)(drops - dropped) / seconds : 0);
    json_object_object_add(after, "rates", rates);
}

static bool same_lane(const struct answer_lane *a, const struct answer_lane *b)
{
    return strcmp(a->enclave, b->enclave) == 0 && strcmp(a->peer, b->peer) == 0 &&
           answer_number(a->lane, "lane") == answer_number(b->lane, "lane");
}

void rates_add(struct json_object *before, struct json_object *after)
{
    static struct answer_lane old[ANSWER_LANES_MAX], new[ANSWER_LANES_MAX];
    unsigned old_count = answer_lanes(before, old, ANSWER_LANES_MAX);
    unsigned new_count = answer_lanes(after, new, ANSWER_LANES_MAX);
    uint64_t elapsed_ms = answer_grown(before, after, "uptime_ms");
    double seconds = elapsed_ms > 0 ? (double)elapsed_ms / 1000 : 1;

    for (unsigned i = 0; i < new_count; i++)
        for (unsigned j = 0; j < old_count; j++)
            if (same_lane(&new[i], &old[j]))
                add_lane_rates(old[j].lane, new[i].lane, seconds);
    rates_dns_add(before, after, seconds);
}
