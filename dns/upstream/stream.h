/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One non-blocking stream to an upstream: TCP, vsock or a Unix socket, with TLS inside or not.
 *
 *   CLOSED --open--> CONNECTING --> [HANDSHAKE] --> READY --> ENDED --close--> CLOSED
 *
 * Bytes to send wait in out[] (as the network will see them), bytes received in in[] (plain). Every
 * state but CLOSED can become ENDED; `failure` and `reason` then say why, and what was received
 * before can still be read. A stream never blocks, never raises SIGPIPE and never calls back.
 */
#ifndef CAUSEWAY_DNS_UPSTREAM_STREAM_H
#define CAUSEWAY_DNS_UPSTREAM_STREAM_H

#include "dns/upstream/upstream.h"
#include "dns/upstream/tls.h"

#define STREAM_IN_BYTES  (2 + DNS_MESSAGE_BYTES) /* one message of any size with its length */
#define STREAM_OUT_BYTES 16384

enum stream_state {
    STREAM_CLOSED,
    STREAM_CONNECTING,
    STREAM_HANDSHAKE,
    STREAM_READY,
    STREAM_ENDED,
};

struct stream {
    enum stream_state state;
    int fd; /* -1 when closed */
    bool is_tls;
    struct tls tls;
    enum upstream_failure failure; /* of an ENDED stream: CONNECT or TLS_FAILED; or ANSWERED: the
                                      other side closed in order */
    char reason[160];              /* one line for the log */
    size_t in_start, in_end, out_length;
    uint64_t bytes_sent, bytes_received; /* as the network saw them */
    uint8_t in[STREAM_IN_BYTES];
    uint8_t out[STREAM_OUT_BYTES];
};

void stream_init(struct stream *stream);

/* Starts to connect; tls is for UPSTREAM_TLS. The state tells what came of it: ENDED if refused. */
void stream_open(struct stream *stream, const struct upstream_spec *spec, struct tls_peer *tls);
void stream_close(struct stream *stream); /* close_notify included; any state */
void stream_end(struct stream *stream, enum upstream_failure failure, const char *reason);

/* Goes on with connecting, handshake and sending, as far as it goes without waiting. */
void stream_advance(struct stream *stream);
/* Receives what has come and fits. */
void stream_fill(struct stream *stream);

/* The next whole message (RFC 1035 4.2.2), borrowed until stream_fill(); NULL: none yet. */
const uint8_t *stream_message(const struct stream *stream, size_t *length);
void stream_drop_message(struct stream *stream);

/* Takes bytes to send, as many as fit; how many. They leave with stream_advance(). */
size_t stream_put(struct stream *stream, const uint8_t *bytes, size_t length);

/* EPOLLIN, EPOLLOUT: what the stream waits for. */
uint32_t stream_interest(const struct stream *stream);

#endif
