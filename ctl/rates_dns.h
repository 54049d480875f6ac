/* SPDX-License-Identifier: Apache-2.0 */
/* Rates of causeway-dns; other daemons' answers are left alone. */
#ifndef CAUSEWAY_CTL_RATES_DNS_H
#define CAUSEWAY_CTL_RATES_DNS_H

#include <json-c/json.h>

/* Adds an object "rates" to the answer, and to every upstream that `before` has too. */
void rates_dns_add(struct json_object *before, struct json_object *after, double seconds);

#endif
