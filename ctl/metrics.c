/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Prometheus text exposition (version 0.0.4). Samples of a metric stand together, so the loop over
 * metrics is the outer one. Names: base units, _total for counters; labels daemon, enclave, peer,
 * lane, reason.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "ctl/metrics.h"

struct settings {
    struct ctl_targets targets;
    const char *listen;
};

static const struct option_spec table[] = {
    {"listen", "ADDRESS:PORT", "serve /metrics over HTTP there instead of printing once",
     OPTION_IS_TEXT(struct settings, listen)},
    CTL_CONTROL_ROW,
    {.name = NULL},
};

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

static const struct metric handshake_metrics[] = {
    {"accepted", "handshakes_accepted_total", "counter", "Connections accepted for a handshake", 1},
    {"refused_peers", "handshakes_refused_total", "counter", "Connections of unknown peers", 1},
    {"bad_handshakes", "handshakes_failed_total", "counter", "Handshakes that were malformed", 1},
    {"rejected", "handshakes_rejected_total", "counter", "Handshakes answered by REJECT", 1},
};

static const struct metric control_metrics[] = {
    {"clients", "control_clients", "gauge", "Clients of the control socket", 1},
    {"requests", "control_requests_total", "counter", "Requests on the control socket", 1},
    {"bad_requests", "control_bad_requests_total", "counter", "Requests that were refused", 1},
    {"dropped", "control_dropped_clients_total", "counter", "Clients dropped for being too slow",
     1},
};
void metrics_head(FILE *out, const char *name, const char *type, const char *help)
{
    fprintf(out, "# HELP causeway_%s %s\n# TYPE causeway_%s %s\n", name, help, name, type);
}

/* The three characters escaped that have to be. */
void metrics_label(FILE *out, const char *before, const char *key, const char *value)
{
    fprintf(out, "%s%s=\"", before, key);
    for (; *value != '\0'; value++) {
        if (*value == '"' || *value == '\\')
            fputc('\\', out);
        if (*value == '\n')
            fputs("\\n", out);
        else
            fputc(*value, out);
    }
    fputc('"', out);
}

void metrics_value(FILE *out, uint64_t value, double scale)
{
    if (scale < 1)
        fprintf(out, "} %.6f\n", (double)value * scale);
    else
        fprintf(out, "} %" PRIu64 "\n", value);
}

void metrics_begin(FILE *out, const char *name, const char *role)
{
    fprintf(out, "causeway_%s{", name);
    metrics_label(out, "", "daemon", role);
}

static void begin_lane_sample(FILE *out, const char *name, const char *role,
                              const struct ctl_lane *lane)
{
    char number[24];

    snprintf(number, sizeof(number), "%" PRIu64, ctl_number(lane->lane, "lane"));
    metrics_begin(out, name, role);
    metrics_label(out, ",", "enclave", strcmp(role, "parent") == 0 ? lane->enclave : "");
    metrics_label(out, ",", "peer", lane->peer);
    metrics_label(out, ",", "lane", number);
}

/* Calls print for every lane of every daemon. */
static void each_lane(const struct scrape *scrape,
                      void (*print)(FILE *out, const char *role, const struct ctl_lane *lane,
                                    const struct metric *metric),
                      const struct metric *metric)
{
    static struct ctl_lane lanes[CTL_LANES_MAX];

    for (unsigned i = 0; i < scrape->count; i++) {
        unsigned count =
            scrape->answers[i] ? ctl_lanes(scrape->answers[i], lanes, CTL_LANES_MAX) : 0;
        for (unsigned j = 0; j < count; j++)
            print(scrape->out, ctl_role(scrape->answers[i]), &lanes[j], metric);
    }
}

static void print_counter(FILE *out, const char *role, const struct ctl_lane *lane,
                          const struct metric *metric)
{
    begin_lane_sample(out, metric->name, role, lane);
    metrics_value(out, ctl_number(lane->lane, metric->key), metric->scale);
}

static void print_lane_up(FILE *out, const char *role, const struct ctl_lane *lane,
                          const struct metric *metric)
{
    (void)metric;
    begin_lane_sample(out, "lane_up", role, lane);
    metrics_value(out, strcmp(ctl_text(lane->lane, "state"), "running") == 0, 1);
}

static void print_lane_drops(FILE *out, const char *role, const struct ctl_lane *lane,
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

void metrics_object(const struct scrape *scrape, const char *object, const struct metric *metrics,
                    size_t count)
{
    for (size_t m = 0; m < count; m++) {
        metrics_head(scrape->out, metrics[m].name, metrics[m].type, metrics[m].help);
        for (unsigned i = 0; i < scrape->count; i++) {
            struct json_object *part = json_object_object_get(scrape->answers[i], object);
            if (part == NULL)
                continue;
            metrics_begin(scrape->out, metrics[m].name, ctl_role(scrape->answers[i]));
            metrics_value(scrape->out, ctl_number(part, metrics[m].key), metrics[m].scale);
        }
    }
}

static void print_daemons(const struct scrape *scrape)
{
    FILE *out = scrape->out;

    metrics_head(out, "up", "gauge", "Whether the daemon behind a control socket answers");
    for (unsigned i = 0; i < scrape->count; i++) {
        fprintf(out, "causeway_up{");
        metrics_label(out, "", "control", scrape->paths[i]);
        metrics_value(out, scrape->answers[i] != NULL, 1);
    }
    metrics_head(out, "build_info", "gauge", "Version of a daemon");
    for (unsigned i = 0; i < scrape->count; i++) {
        if (scrape->answers[i] == NULL)
            continue;
        metrics_begin(out, "build_info", ctl_role(scrape->answers[i]));
        metrics_label(out, ",", "version", ctl_text(scrape->answers[i], "version"));
        metrics_value(out, 1, 1);
    }
    metrics_head(out, "uptime_seconds", "gauge", "Time since the daemon's start");
    for (unsigned i = 0; i < scrape->count; i++) {
        if (scrape->answers[i] == NULL)
            continue;
        metrics_begin(out, "uptime_seconds", ctl_role(scrape->answers[i]));
        metrics_value(out, ctl_number(scrape->answers[i], "uptime_ms"), 1e-3);
    }
}

static void print_all(const struct scrape *scrape)
{
    print_daemons(scrape);
    metrics_object(scrape, "handshakes", handshake_metrics, METRICS_LENGTH(handshake_metrics));
    metrics_object(scrape, "control", control_metrics, METRICS_LENGTH(control_metrics));
    metrics_head(scrape->out, "lane_up", "gauge", "Whether the lane's stream is connected");
    each_lane(scrape, print_lane_up, NULL);
    for (size_t m = 0; m < METRICS_LENGTH(lane_metrics); m++) {
        metrics_head(scrape->out, lane_metrics[m].name, lane_metrics[m].type, lane_metrics[m].help);
        each_lane(scrape, print_counter, &lane_metrics[m]);
    }
    metrics_head(scrape->out, "dropped_packets_total", "counter", "Packets dropped, by reason");
    each_lane(scrape, print_lane_drops, NULL);
    metrics_dns(scrape);
}

void ctl_print_metrics(const struct ctl_targets *targets, FILE *out)
{
    struct scrape scrape = {.out = out, .count = targets->count};
    struct failure failure;

    for (unsigned i = 0; i < targets->count; i++) {
        scrape.paths[i] = targets->path[i];
        scrape.answers[i] = ctl_request(targets->path[i], "status", NULL, NULL, &failure);
        if (scrape.answers[i] == NULL)
            ctl_error("%s", failure.text);
    }
    print_all(&scrape);
    for (unsigned i = 0; i < targets->count; i++)
        json_object_put(scrape.answers[i]);
}

int ctl_metrics(int argc, char **argv)
{
    struct settings settings = {0};
    int result;

    if (!ctl_options(table, "metrics", "counters in Prometheus' text format", argc, argv,
                     &settings.targets, &result))
        return result;
    if (settings.listen != NULL)
        return ctl_serve_metrics(&settings.targets, settings.listen);
    ctl_print_metrics(&settings.targets, stdout);
    return EXIT_SUCCESS;
}
