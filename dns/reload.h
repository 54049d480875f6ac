/* SPDX-License-Identifier: Apache-2.0 */
/* The configuration read again on SIGHUP. */
#ifndef CAUSEWAY_DNS_RELOAD_H
#define CAUSEWAY_DNS_RELOAD_H

#include "dns/serve/server.h"

struct dns_reload {
    struct dns_config in_force; /* at first as it was given */
    struct dns_server *server;
};

/* Takes over what can change; context is a struct dns_reload (reload_take). */
bool dns_reload(void *context, const void *given, const void *fresh, struct failure *failure);

#endif
