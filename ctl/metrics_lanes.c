/* SPDX-License-Identifier: Apache-2.0 */
#include "ctl/metrics_lanes.h"

#include <inttypes.h>
#include <string.h>

#include "ctl/answer.h"

static const struct metric lane_metrics[] = {
    {"captured_packets", "captured_packets_total", "counter", "Packets taken from the kernel", 1},
    {"captured_bytes", "captured_bytes_total", "counter", "Bytes of packets taken from the kernel",
     1},
    {"captured_super", "captured_super_packets_total", "counter",
     "Packets taken that were TCP or UDP super-packets", 1},
    {"captured_refragmented", "captured_refragmented_packets_total", "counter",
     "Packets that conntrack had reassembled and that were fragmented again", 1},
    {"capture_pauses", "capture_pauses_total", "counter",
     "Times that all capture buffers were waiting for the link", 1},
    {"verdict_batches", "verdict_batches_total", "counter", "NFQUEUE batch verdicts", 1},
    {"sent_frames", "link_sent_frames_total", "counter", "Frames written to the link", 1},
    {"sent_bytes", "link_sent_bytes_total", "counter", "Bytes written to the link", 1},
    {"sent_writes", "link_writes_total", "counter", "Writes on the link", 1},
    {"received_frames", "link_received_frames_total", "counter", "Frames read from the link", 1},
    {"received_bytes", "link_received_bytes_total", "counter", "Bytes read from the link", 1},
    {"received_reads", "link_reads_total", "counter", "Reads on the link", 1},
    {"injected_packets", "injected_packets_total", "counter", "Packets given to the kernel", 1},
    {"injected_bytes", "injected_bytes_total", "counter", "Bytes of packets given to the kernel",
     1},
    {"injected_super", "injected_super_packets_total", "counter",
     "Packets given that were TCP or UDP super-packets", 1},
    {"injected_segmented", "injected_segmented_packets_total", "counter",
     "Super-packets that were segmented here", 1},
    {"injected_joined", "injected_joined_packets_total", "counter",
     "UDP datagrams given together with others of their flow", 1},
    {"pings_sent", "pings_sent_total", "counter", "Pings sent", 1},
    {"streams", "streams_total", "counter", "Connections that the lane has had", 1},
    {"queue_dropped", "queue_dropped_packets_total", "counter",
     "Packets that the kernel dropped before the lane read them", 1},
    {"queue_packets", "queue_packets", "gauge", "Packets waiting in the kernel for the lane", 1},
    {"queue_bytes", "queue_bytes", "gauge", "Bytes of buffers waiting in the kernel for the lane",
     1},
    {"rtt_us", "round_trip_seconds", "gauge", "Latest round trip over the link", 1e-6},
    {"rtt_min_us", "round_trip_min_seconds", "gauge", "Shortest round trip over the link", 1e-6},
};

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
    metrics_value(out, answer_number(lane->lane, metric->key), metric->scale);
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
        metrics_head(scrape->out, lane_metrics[m].name, lane_metrics[m].type, lane_metrics[m].help);
        each_lane(scrape, print_counter, &lane_metrics[m]);
    }
    metrics_head(scrape->out, "dropped_packets_total", "counter", "Packets dropped, by reason");
    each_lane(scrape, print_lane_drops, NULL);
}
