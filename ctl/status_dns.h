/* SPDX-License-Identifier: Apache-2.0 */
/* What `status` prints of causeway-dns. */
#ifndef CAUSEWAY_CTL_STATUS_DNS_H
#define CAUSEWAY_CTL_STATUS_DNS_H

#include <json-c/json.h>

void status_print_dns(struct json_object *status);

#endif
