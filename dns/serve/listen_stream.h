/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Queries by stream (RFC 7766): TCP, and the links that enclaves come over.
 *
 * Connections live in a pool made at start, all listeners' together. Each has room for one query
 * that is not complete yet; answers are written at once, in the order in which they are known, and
 * what the client does not read waits in blocks of a shared pool. While something waits there, or
 * too many of its questions are unanswered, nothing more is read from the connection: the client's
 * own buffers fill, and memory stays what it is.
 *
 * A connection ends when its client has ended and every question is answered; when nothing was
 * asked for the idle time, which clients are told if they ask (RFC 7828); when a query is not
 * complete, or answers are not read, in STREAM_PATIENCE_MS; when what comes is not a query. If all
 * connections are taken, a new one replaces the one that has been idle longest.
 *
 * Answers that come late only mark their connection; streams_flush(), at the end of each wakeup,
 * goes on reading from those and closes what has come to its end. So nothing new is asked within
 * the resolver's own calls.
 */
#ifndef CAUSEWAY_DNS_SERVE_LISTEN_STREAM_H
#define CAUSEWAY_DNS_SERVE_LISTEN_STREAM_H

#include "dns/config.h"
#include "dns/resolve/resolver.h"
#include "runtime/base/event.h"

#define STREAM_IDLE_MS     10000 /* RFC 7766 6.2.3: "in the order of a few seconds" */
#define STREAM_PATIENCE_MS 10000 /* for a whole query; for answers to be read */
#define STREAM_PIPELINE    128   /* unanswered questions of one TCP connection */

struct streams; /* opaque */

struct streams_config {
    struct event_loop *loop;
    struct resolver *resolver;
    struct dns_counters *counters;
    unsigned connections;
    unsigned link_pipeline; /* unanswered questions of one connection over a link */
};

/* NULL: no memory. */
struct streams *streams_create(const struct streams_config *config);
void streams_free(struct streams *streams);

/* Adds a listener. *foreign: see listen_socket(). 0 or negative errno. */
int streams_listen(struct streams *streams, const struct dns_listen *where, bool *foreign);

void streams_flush(struct streams *streams);

/* Milliseconds until streams_tick() must be called, -1: nothing waits. */
int streams_timeout(const struct streams *streams, uint64_t now_ms);
void streams_tick(struct streams *streams, uint64_t now_ms);

unsigned streams_open(const struct streams *streams);

#endif
