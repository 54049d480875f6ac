/* SPDX-License-Identifier: Apache-2.0 */
/* What follows from two status answers of one daemon: rates. */
#ifndef CAUSEWAY_CTL_RATES_H
#define CAUSEWAY_CTL_RATES_H

#include <json-c/json.h>

/*
 * Adds an object "rates" to every lane of `after` that `before` has too: packets and bytes a second
 * each way, bytes a write, drops a second. To an answer of causeway-dns: rates_dns_add().
 */
void rates_add(struct json_object *before, struct json_object *after);

#endif
