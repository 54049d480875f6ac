/* SPDX-License-Identifier: Apache-2.0 */
/* All metrics of all daemons: samples of a metric stand together, so the answers come first. */
#ifndef CAUSEWAY_CTL_METRICS_H
#define CAUSEWAY_CTL_METRICS_H

#include "ctl/metrics_write.h"

void metrics_print(const struct scrape *scrape);

#endif
