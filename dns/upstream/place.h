/* SPDX-License-Identifier: Apache-2.0 */
/* Which connection a question goes to, and when another connection is opened. */
#ifndef CAUSEWAY_DNS_UPSTREAM_PLACE_H
#define CAUSEWAY_DNS_UPSTREAM_PLACE_H

#include "dns/upstream/state.h"

/* Sends what waits, as far as there is room; opens connections for the rest. */
void upstream_place(struct upstream *upstream, uint64_t now_us);

#endif
