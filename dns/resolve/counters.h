/* SPDX-License-Identifier: Apache-2.0 */
/* Counters of the server side. One thread: plain numbers. Those of the cache and of each upstream
 * are kept there. */
#ifndef CAUSEWAY_DNS_RESOLVE_COUNTERS_H
#define CAUSEWAY_DNS_RESOLVE_COUNTERS_H

#include <stdint.h>

#include "dns/upstream/stats.h"

#define DNS_COUNTERS(X)                                                                            \
    X(queries_udp)                                                                                 \
    X(queries_tcp)                                                                                 \
    X(queries_link)                                                                                \
    X(answers)         /* given to the kernel, of any kind */                                      \
    X(answers_cut)     /* of answers: TC set, the client asks again over TCP */                    \
    X(local)           /* answered from local names */                                             \
    X(hits)            /* answered from the cache */                                               \
    X(stale)           /* answered from the cache, past its time (RFC 8767) */                     \
    X(joined)          /* an identical question was being asked already */                         \
    X(asked)           /* questions given to the upstreams */                                      \
    X(refreshed)       /* of asked: without a client that waits, after a stale answer */           \
    X(any)             /* type ANY, answered with what RFC 8482 suggests */                        \
    X(refused)         /* zone transfers, classes other than IN, types that no zone holds */       \
    X(bad_format)      /* answered FORMERR */                                                      \
    X(bad_opcode)      /* answered NOTIMP */                                                       \
    X(bad_version)     /* answered BADVERS */                                                      \
    X(servfail)        /* answered SERVFAIL: by reason below */                                    \
    X(streams)         /* connections accepted */                                                  \
    X(streams_idle)    /* closed: nothing asked for the idle time */                               \
    X(streams_evicted) /* closed while idle to make room for another */                            \
    X(flushes)

/* Why a client got SERVFAIL although its question was fine, besides enum upstream_failure. */
#define DNS_LIMITS(X)                                                                              \
    X(client_limit)    /* too many questions of one client are waiting */                          \
    X(queries_limit)   /* too many questions are waiting in all */                                 \
    X(unusable_answer) /* an answer that cannot be given to a client */

#define DNS_DROPS(X)                                                                               \
    X(short)              /* no header: nothing that could be answered */                          \
    X(response)           /* a response sent to a server */                                        \
    X(send)               /* the kernel did not take the answer */                                 \
    X(client_gone)        /* the connection was closed before its answer came */                   \
    X(streams_full)       /* connection refused: all are busy */                                   \
    X(stream_stranger)    /* connection of a CID that the listener is not for */                   \
    X(stream_oversized)   /* connection closed: a query longer than any */                         \
    X(stream_slow_query)  /* connection closed: a query was not completed in time */               \
    X(stream_slow_reader) /* connection closed: answers were not read in time */                   \
    X(stream_no_buffer)   /* connection closed: too many answers were not read */                  \
    X(stream_broken)      /* connection reset, or closed in the middle of a query */

struct dns_counters {
#define X(name) uint64_t name;
    DNS_COUNTERS(X)
#undef X
#define X(name) uint64_t limit_##name;
    DNS_LIMITS(X)
#undef X
#define X(name) uint64_t drop_##name;
    DNS_DROPS(X)
#undef X
    uint64_t failures[UPSTREAM_FAILURE_COUNT];
};

#endif
