/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Prometheus text exposition (version 0.0.4), sample by sample. Names: base units, _total for
 * counters. Labels of all samples: daemon.
 */
#ifndef CAUSEWAY_CTL_METRICS_WRITE_H
#define CAUSEWAY_CTL_METRICS_WRITE_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <json-c/json.h>

#include "ctl/targets.h"
#include "runtime/base/counters.h"

/* A member of an answer as a metric; METRIC makes one of a counter's declaration. */
struct metric {
    const char *key, *name;
    enum counter_kind kind;
    const char *help;
};
#define METRIC(member, metric, kind, help) {#member, metric, kind, help},
#define METRICS_LENGTH(array)              (sizeof(array) / sizeof((array)[0]))

struct scrape {
    FILE *out;
    unsigned count;
    struct json_object *answers[CTL_TARGETS_MAX]; /* NULL: does not answer */
    const char *paths[CTL_TARGETS_MAX];
};

/* The two lines of comment before a family. metrics_head() is for types that no counter has. */
void metrics_family(FILE *out, const struct metric *metric);
void metrics_head(FILE *out, const char *name, const char *type, const char *help);

/* A sample: causeway_NAME{daemon="ROLE" ... ,KEY="VALUE" ... } VALUE */
void metrics_begin(FILE *out, const char *name, const char *role);
void metrics_label(FILE *out, const char *before, const char *key, const char *value);
void metrics_value(FILE *out, uint64_t value, double scale); /* times scale, which is <= 1 */
void metrics_counter(FILE *out, struct json_object *object, const struct metric *metric);

/* The metrics of an object that a daemon has once. */
void metrics_object(const struct scrape *scrape, const char *object, const struct metric *metrics,
                    size_t count);

#endif
