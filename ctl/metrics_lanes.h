/* SPDX-License-Identifier: Apache-2.0 */
/* The metrics of lanes. Labels: enclave, peer, lane, reason. */
#ifndef CAUSEWAY_CTL_METRICS_LANES_H
#define CAUSEWAY_CTL_METRICS_LANES_H

#include "ctl/metrics_write.h"

void metrics_lanes(const struct scrape *scrape);

#endif
