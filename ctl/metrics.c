/* SPDX-License-Identifier: Apache-2.0 */
#include "ctl/metrics.h"

#include "ctl/answer.h"
#include "ctl/metrics_dns.h"
#include "ctl/metrics_lanes.h"

static const struct metric handshake_metrics[] = {HANDSHAKE_COUNTERS(METRIC)};
static const struct metric control_metrics[] = {CONTROL_CLIENTS(METRIC) CONTROL_COUNTERS(METRIC)};

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
        metrics_begin(out, "build_info", answer_role(scrape->answers[i]));
        metrics_label(out, ",", "version", answer_text(scrape->answers[i], "version"));
        metrics_value(out, 1, 1);
    }
    metrics_head(out, "uptime_seconds", "gauge", "Time since the daemon's start");
    for (unsigned i = 0; i < scrape->count; i++) {
        if (scrape->answers[i] == NULL)
            continue;
        metrics_begin(out, "uptime_seconds", answer_role(scrape->answers[i]));
        metrics_value(out, answer_number(scrape->answers[i], "uptime_ms"), 1e-3);
    }
}

void metrics_print(const struct scrape *scrape)
{
    print_daemons(scrape);
    metrics_object(scrape, "handshakes", handshake_metrics, METRICS_LENGTH(handshake_metrics));
    metrics_object(scrape, "control", control_metrics, METRICS_LENGTH(control_metrics));
    metrics_lanes(scrape);
    metrics_dns(scrape);
}
