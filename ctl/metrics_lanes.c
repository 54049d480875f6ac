/* SPDX-License-Identifier: Apache-2.0 */
#include "ctl/metrics_lanes.h"

#include <inttypes.h>
#include <string.h>

#include "ctl/answer.h"

static const struct metric lane_metrics[] = {LANE_COUNTERS(METRIC) LANE_QUEUE(METRIC)
                                                 LANE_ROUND_TRIPS(METRIC)};

static void begin_lane_sample(FILE *out, const char *name, const char *role,
                              const struct answer_lane *lane)
{
    char number[24];

    snprintf(number, sizeof(number), "%" PRIu64, answer_number(lane->lane, "lane"));
    metrics_begin(out, name, role);
    metrics_label(out, ",", "enclave", strcmp(role, "parent") == 0 ? lane->enclave : "");
    metrics_label(out, ",", "peer", lane->peer);
    metrics_label(out, ",", "lane", number);
}

/* Calls print for every lane of every daemon. */
static void each_lane(const struct scrape *scrape,
                      void (*print)(FILE *out, const char *role, const struct answer_lane *lane,
                                    const struct metric *metric),
                      const struct metric *metric)
{
    static struct answer_lane lanes[ANSWER_LANES_MAX];

    for (unsigned i = 0; i < scrape->count; i++) {
        unsigned count =
            scrape->answers[i] ? answer_lanes(scrape->answers[i], lanes, ANSWER_LANES_MAX) : 0;
        for (unsigned j = 0; j < count; j++)
            print(scrape->out, answer_role(scrape->answers[i]), &lanes[j], metric);
    }
}

static void print_counter(FILE *out, const char *role, const struct answer_lane *lane,
                          const struct metric *metric)
{
    begin_lane_sample(out, metric->name, role, lane);
    metrics_counter(out, lane->lane, metric);
}

static void print_lane_up(FILE *out, const char *role, const struct answer_lane *lane,
                          const struct metric *metric)
{
    (void)metric;
    begin_lane_sample(out, "lane_up", role, lane);
    metrics_value(out, strcmp(answer_text(lane->lane, "state"), "running") == 0, 1);
}

static void print_lane_drops(FILE *out, const char *role, const struct answer_lane *lane,
                             const struct metric *metric)
{
    struct json_object *drops = json_object_object_get(lane->lane, "drops");

    (void)metric;
    if (!json_object_is_type(drops, json_type_object))
        return;
    json_object_object_foreach(drops, reason, count)
    {
        begin_lane_sample(out, "dropped_packets_total", role, lane);
        metrics_label(out, ",", "reason", reason);
        metrics_value(out, json_object_get_uint64(count), 1);
    }
}

void metrics_lanes(const struct scrape *scrape)
{
    metrics_head(scrape->out, "lane_up", "gauge", "Whether the lane's stream is connected");
    each_lane(scrape, print_lane_up, NULL);
    for (size_t m = 0; m < METRICS_LENGTH(lane_metrics); m++) {
        metrics_family(scrape->out, &lane_metrics[m]);
        each_lane(scrape, print_counter, &lane_metrics[m]);
    }
    metrics_head(scrape->out, "dropped_packets_total", "counter", "Packets dropped, by reason");
    each_lane(scrape, print_lane_drops, NULL);
}
