/* SPDX-License-Identifier: Apache-2.0 */
/* The configuration read again on SIGHUP, and the cache emptied. */
#ifndef CAUSEWAY_DNS_LIVE_H
#define CAUSEWAY_DNS_LIVE_H

#include "dns/serve/server.h"
#include "runtime/base/helper.h"

struct dns_live {
    struct dns_config in_force;
    struct dns_config given; /* as read at the start; its text is never freed */
    struct dns_server *server;
    struct helper *helper;
    int argc;
    char **argv;
    char *text; /* that values in force point into; NULL: that of the start */
};

/* Reads command line and file again and takes over what can change; logs what cannot. An invalid
 * one leaves everything as it is, with one sentence in the log. */
void dns_live_reload(struct dns_live *live);

/* The helper's side; context is the daemon's struct dns_config. */
bool dns_live_serve(void *context, char kind, char *text, char *answer, struct failure *failure);

#endif
