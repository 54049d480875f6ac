/* SPDX-License-Identifier: Apache-2.0 */
/* Counters of the server side. One thread: plain numbers. Those of the cache and of each upstream
 * are kept there. Names and meanings are in runtime/base/counters.h. */
#ifndef CAUSEWAY_DNS_RESOLVE_COUNTERS_H
#define CAUSEWAY_DNS_RESOLVE_COUNTERS_H

#include <stdint.h>

#include "dns/upstream/stats.h"
#include "runtime/base/counters.h"

struct dns_counters {
    DNS_QUESTIONS(COUNTER_MEMBER)
    DNS_COUNTERS(COUNTER_MEMBER)
#define X(name, ...) uint64_t limit_##name;
    DNS_LIMITS(X)
#undef X
#define X(name, ...) uint64_t drop_##name;
    DNS_DROPS(X)
#undef X
    uint64_t failures[UPSTREAM_FAILURE_COUNT];
};

#endif
