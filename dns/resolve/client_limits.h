/* SPDX-License-Identifier: Apache-2.0 */
/* How many questions of each client are waiting: a table of fixed size, keyed by address. */
#ifndef CAUSEWAY_DNS_RESOLVE_CLIENT_LIMITS_H
#define CAUSEWAY_DNS_RESOLVE_CLIENT_LIMITS_H

#include <stdbool.h>

#include "packet/addr.h"

struct client_limits; /* opaque: one allocation */

/* questions: that can wait at a time, of all clients; per_client: of one. NULL: no memory. */
struct client_limits *client_limits_create(unsigned questions, unsigned per_client);
void client_limits_free(struct client_limits *limits);

/* One question more of this client; false, and nothing counted, when it has too many. */
bool client_limits_enter(struct client_limits *limits, const struct ip_addr *who);
/* One less; for every client_limits_enter() that was true. */
void client_limits_leave(struct client_limits *limits, const struct ip_addr *who);

#endif
