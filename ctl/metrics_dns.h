/* SPDX-License-Identifier: Apache-2.0 */
/* The metrics of causeway-dns. Labels: transport, reason, upstream. */
#ifndef CAUSEWAY_CTL_METRICS_DNS_H
#define CAUSEWAY_CTL_METRICS_DNS_H

#include "ctl/metrics_write.h"

void metrics_dns(const struct scrape *scrape);

#endif
