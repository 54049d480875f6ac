/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One upstream: what loss.c, quiet.c, place.c and upstream.c share, each of which knows only those
 * before it.
 *
 *   upstream_ask -> waiting --place--> open on a pipeline --answer--> upstream_receive
 *                     ^   (hedging)        |
 *                     '---- asked again ---+-- connection lost, given up --> lost
 *
 * A question that is never answered must not delay another one, whatever kind of server it is:
 *
 *   - One that answers in any order (ORDER_ANY) carries everything on one connection.
 *   - One that works on one question at a time (ORDER_STRICT) is spread over connections.
 *   - One that closes after n answers gets n questions on each of several connections (`window`).
 *
 * Which it is shows by what it does. While that is not known (ORDER_UNKNOWN), questions behind one
 * that is not answered are asked a second time over another connection, shortly after the
 * connection has gone quiet: a hedge. An answer that overtakes another one on a connection proves
 * the first kind; a hedge that is answered while the first connection stays quiet proves the
 * second. Either may be proved anew at any time.
 *
 * A connection that stays quiet is probed with a question that every resolver can answer by itself,
 * so that an upstream is never taken for dead because of a name.
 */
#ifndef CAUSEWAY_DNS_UPSTREAM_STATE_H
#define CAUSEWAY_DNS_UPSTREAM_STATE_H

#include "dns/upstream/attempt.h"
#include "dns/upstream/health.h"
#include "dns/upstream/pipeline.h"
#include "runtime/base/log.h"

#define PIPELINES_MAX 16 /* connections of one upstream */

enum answer_order { ORDER_UNKNOWN, ORDER_ANY, ORDER_STRICT };

/* The same for all upstreams; outlives them. */
struct upstream_setup {
    struct event_loop *loop;
    connection_ready *ready; /* its context is the struct pipeline */
    void *owner;             /* for ready() */
    struct random_pool random;
    SSL_CTX *tls;           /* NULL: no tls:// upstreams */
    unsigned in_flight_max; /* 1..UPSTREAM_IN_FLIGHT_LIMIT */
    unsigned idle_ms;       /* close a connection unused this long (RFC 7766 6.2.3) */
    unsigned attempt_ms;    /* how long one upstream may take before the next is asked, too */
    unsigned hedge_ms;      /* above a round trip: how long a connection may be quiet */
};

struct upstream {
    struct upstream_setup *setup;
    unsigned index; /* among the upstreams */
    bool is_used;
    struct upstream_spec spec;
    struct upstream_stats stats;
    struct tls_peer tls;
    struct health health;
    struct log_limit log;

    struct attempts attempts;
    struct list_node waiting; /* for a connection with room */
    struct list_node hedging; /* the same, second attempts and probes: first */
    struct list_node lost;    /* for upstream_take_lost() */
    bool is_new;              /* something was asked since upstream_settle() */

    struct pipeline pipelines[PIPELINES_MAX];
    unsigned pipelines_max; /* as many as the server takes */
    unsigned vain_ends;     /* connections closed without an answer, while others gave some */
    uint64_t grow_ms;       /* when that is to be tried anew */
    enum answer_order order;
    unsigned hedges_won; /* before their twin, since an answer overtook another one */
    unsigned window;     /* questions open at a time on one connection */
    uint64_t failed_ms;  /* latest failure of the upstream as a whole */
    uint64_t heard_ms;   /* latest answer to anything; 0: none yet */
    uint64_t answer_ms;  /* latest answer to a question that is not our own; 0: none yet */
    unsigned round_trip_ms;
    uint64_t plain_until_ms; /* it fails on EDNS: asked without until then */
};

#endif
