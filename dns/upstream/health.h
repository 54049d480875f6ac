/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Whether an upstream is worth asking.
 *
 * It is judged by its connections and by many names, never by one: whoever can have a name looked
 * up can choose names that nobody answers, and many of them. So it goes down when it cannot be
 * reached, or says nothing at all while it is asked and probed. It is tried again after a back-off;
 * an answer brings it back.
 *
 * When HEALTH_SILENT_NAMES different names in a row got no answer, and no name got one meanwhile,
 * it is doubted: it may have lost its own upstreams, or somebody may want it to look like that.
 * Questions are put to it and to the next one at once, until it answers any of them.
 *
 * Pure: times come in, nothing goes out.
 */
#ifndef CAUSEWAY_DNS_UPSTREAM_HEALTH_H
#define CAUSEWAY_DNS_UPSTREAM_HEALTH_H

#include <stdbool.h>
#include <stdint.h>

#include "dns/message/name.h"

#define HEALTH_SILENT_NAMES 8

struct health {
    bool is_down;
    bool is_doubted;   /* not down, but not to be waited for */
    bool is_refused;   /* the latest failure was at connecting */
    unsigned failures; /* in a row */
    uint64_t retry_ms;
    unsigned silent_count;
    uint32_t silent[HEALTH_SILENT_NAMES]; /* hashes of names without an answer */
};

/* jitter: any random number. */
void health_failed(struct health *health, bool is_refused, uint64_t now_ms, uint16_t jitter);
void health_answered(struct health *health);
/* A name got no answer although the upstream is alive. True: it is doubted from now on. */
bool health_name_silent(struct health *health, const struct dns_name *name);

/* Up, or down and its back-off is over. */
bool health_is_due(const struct health *health, uint64_t now_ms);
/* Refused often enough, and not to be tried just now: no question waits for it. */
bool health_is_known_dead(const struct health *health, uint64_t now_ms);

#endif
