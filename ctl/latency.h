/* SPDX-License-Identifier: Apache-2.0 */
/* Percentiles of the histograms of latencies that causeway-dns keeps for each upstream. */
#ifndef CAUSEWAY_CTL_LATENCY_H
#define CAUSEWAY_CTL_LATENCY_H

#include <json-c/json.h>

/*
 * Adds p50_us, p90_us and p99_us: the upper bounds of the buckets in which they lie, for the last
 * bucket its lower bound. Of what came between the histograms before (NULL: its start) and after;
 * nothing if nothing came.
 */
void latency_add(struct json_object *to, struct json_object *before, struct json_object *after);
/* The same for every upstream of a status answer, since the daemon's start. NULL is allowed. */
void latency_add_percentiles(struct json_object *status);

#endif
