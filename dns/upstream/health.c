/* SPDX-License-Identifier: Apache-2.0 */
#include "dns/upstream/health.h"

#include "runtime/base/link.h"

#define KNOWN_DEAD 3 /* refusals in a row: no question waits for the next try */

void health_failed(struct health *health, bool is_refused, uint64_t now_ms, uint16_t jitter)
{
    health->is_down = true;
    health->is_doubted = false;
    health->is_refused = is_refused;
    health->retry_ms = now_ms + link_backoff_ms(health->failures, jitter);
    health->failures++;
    health->silent_count = 0;
}

void health_answered(struct health *health)
{
    health->is_down = health->is_refused = health->is_doubted = false;
    health->failures = 0;
    health->silent_count = 0;
}

/* FNV-1a. Names that collide count as one, which only makes us more patient. */
static uint32_t hash_of(const struct dns_name *name)
{
    uint32_t hash = 2166136261u;

    for (unsigned i = 0; i < name->length; i++)
        hash = (hash ^ (name->wire[i] | 0x20u)) * 16777619u;
    return hash;
}

bool health_name_silent(struct health *health, const struct dns_name *name)
{
    uint32_t hash = hash_of(name);

    if (health->is_doubted)
        return false;
    for (unsigned i = 0; i < health->silent_count; i++)
        if (health->silent[i] == hash)
            return false;
    health->silent[health->silent_count++] = hash;
    health->is_doubted = health->silent_count == HEALTH_SILENT_NAMES;
    return health->is_doubted;
}

bool health_is_due(const struct health *health, uint64_t now_ms)
{
    return !health->is_down || now_ms >= health->retry_ms;
}

bool health_is_known_dead(const struct health *health, uint64_t now_ms)
{
    return health->is_down && health->is_refused && health->failures >= KNOWN_DEAD &&
           now_ms < health->retry_ms;
}
