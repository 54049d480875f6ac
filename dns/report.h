/* SPDX-License-Identifier: Apache-2.0 */
/* Everything there is to count, as text on SIGUSR1 and in the status answer (docs/control.md). */
#ifndef CAUSEWAY_DNS_REPORT_H
#define CAUSEWAY_DNS_REPORT_H

#include "dns/serve/server.h"
#include "runtime/base/json.h"

/* A line for the server, one for the cache, one for each upstream. */
void dns_report_print(const struct dns_server *server, FILE *out);

/* Members of the status answer. */
void dns_report_json(const struct dns_server *server, struct json *json);

#endif
