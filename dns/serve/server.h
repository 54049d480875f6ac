/* SPDX-License-Identifier: Apache-2.0 */
/* causeway-dns as a whole: its parts in the order in which they are made, and the loop around
 * them. */
#ifndef CAUSEWAY_DNS_SERVE_SERVER_H
#define CAUSEWAY_DNS_SERVE_SERVER_H

#include "runtime/base/failure.h"
#include "dns/config.h"
#include "dns/files/follow.h"
#include "dns/serve/listen_stream.h"
#include "dns/serve/listen_udp.h"
#include "dns/resolve/resolver.h"
#include "runtime/base/event.h"
#include "runtime/base/sandbox.h"

struct dns_server {
    const struct dns_config *config; /* as it was at the start; what is reloaded may have changed */
    struct event_loop *loop;
    struct dns_counters counters;
    struct dns_cache *cache; /* NULL: off */
    struct dns_local *local;
    struct resolver *resolver;
    struct upstreams *upstreams;
    bool has_tls;          /* certificates were loaded */
    struct follow *follow; /* NULL: the upstreams are pinned */
    struct streams *streams;
    bool listening[DNS_LISTENERS_MAX]; /* by the configuration's order */
    struct listen_udp *datagrams[DNS_LISTENERS_MAX];
    unsigned datagram_count;
};

/* No capability; sockets to upstreams, files to read, and what watches them. */
extern const struct sandbox_profile dns_server_sandbox;

/* *server is to be closed whether it opens or not. */
bool dns_server_open(struct dns_server *server, const struct dns_config *config,
                     struct event_loop *loop, struct failure *failure);
void dns_server_close(struct dns_server *server);

/*
 * Takes over what can change while it runs: the options that are marked with reload. Borrows
 * nothing of *fresh. False: nothing has changed. Questions in flight go on.
 */
bool dns_server_change(struct dns_server *server, const struct dns_config *fresh,
                       struct failure *failure);
/* Forgets what is in the cache. */
void dns_server_flush(struct dns_server *server);

/* Waits for events, at_most_ms (-1: for ever), and handles them. 0 or negative errno of the loop.
 */
int dns_server_turn(struct dns_server *server, int at_most_ms);

#endif
