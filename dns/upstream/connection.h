/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One non-blocking connection to an upstream: TCP, vsock or a Unix socket, with TLS inside or not.
 *
 *   CLOSED --open--> CONNECTING --> [HANDSHAKE] --> READY --> ENDED --close--> CLOSED
 *
 * Bytes to send wait in a buffer (as the network will see them), bytes received in another (plain).
 * Every state but CLOSED can become ENDED; failure and reason then say why, and what was received
 * before can still be read. A connection never blocks and never raises SIGPIPE; it calls ready()
 * from the event loop, and only there.
 *
 * This is the edge of the network: all that is above it (pipeline, upstream, upstreams) knows
 * neither sockets nor clocks, so that tests/dns_scenarios can put scripted servers and a clock of
 * their own in its place.
 */
#ifndef CAUSEWAY_DNS_UPSTREAM_CONNECTION_H
#define CAUSEWAY_DNS_UPSTREAM_CONNECTION_H

#include "dns/upstream/stats.h"
#include "dns/upstream/tls.h"
#include "runtime/base/event.h"

enum connection_state {
    CONNECTION_CLOSED,
    CONNECTION_CONNECTING,
    CONNECTION_HANDSHAKE,
    CONNECTION_READY,
    CONNECTION_ENDED,
};

struct connection; /* opaque */

/* Something came, or can go on: connection_advance() and connection_fill() are due. */
typedef void connection_ready(void *context);

/* NULL: no memory. */
struct connection *connection_create(struct event_loop *loop, connection_ready *ready,
                                     void *context);
void connection_free(struct connection *connection); /* NULL is allowed; closes */

/* Starts to connect; tls is for UPSTREAM_TLS. The state tells what came of it: ENDED if refused. */
void connection_open(struct connection *connection, const struct upstream_spec *spec,
                     struct tls_peer *tls);
void connection_close(struct connection *connection); /* close_notify included; any state */

enum connection_state connection_state(const struct connection *connection);
/* Of an ENDED one: CONNECT or TLS_FAILED; or ANSWERED: the other side closed in order. */
enum upstream_failure connection_failure(const struct connection *connection);
const char *connection_reason(const struct connection *connection); /* one line for the log */
bool connection_is_resumed(const struct connection *connection);    /* TLS: an earlier session */

/* Goes on with connecting, handshake and sending, as far as it goes without waiting. */
void connection_advance(struct connection *connection);
/* Receives what has come and fits. */
void connection_fill(struct connection *connection);

/* The next whole message (RFC 1035 4.2.2), borrowed until connection_fill(); NULL: none yet. */
const uint8_t *connection_message(const struct connection *connection, size_t *length);
void connection_drop_message(struct connection *connection);

/* Takes all of the bytes to send, or none: false. They leave with connection_advance(). */
bool connection_put(struct connection *connection, const uint8_t *bytes, size_t length);

/* Bytes as the network saw them, since the last call. */
void connection_take_counts(struct connection *connection, uint64_t *sent, uint64_t *received);

/* Has the loop watch for what the connection waits for now. */
void connection_watch(struct connection *connection);

#endif
