/* SPDX-License-Identifier: Apache-2.0 */
/* What `top` prints of causeway-dns. */
#ifndef CAUSEWAY_CTL_TOP_DNS_H
#define CAUSEWAY_CTL_TOP_DNS_H

#include <json-c/json.h>

void top_print_dns(struct json_object *status);

#endif
