/* SPDX-License-Identifier: Apache-2.0 */
/*
 * TLS towards upstreams (DNS over TLS: RFC 7858, strict profile of RFC 8310), without sockets:
 * bytes of the network go in and come out through memory. The stream that owns the socket then
 * always reads, and writes whenever there is something to write; which of the two TLS itself waits
 * for does not matter to epoll.
 */
#ifndef CAUSEWAY_DNS_UPSTREAM_TLS_H
#define CAUSEWAY_DNS_UPSTREAM_TLS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "runtime/base/failure.h"

typedef struct ssl_st SSL;
typedef struct ssl_ctx_st SSL_CTX;
typedef struct ssl_session_st SSL_SESSION;
typedef struct bio_st BIO;

/*
 * Certificates to trust and the rules: TLS 1.2 at least, chain and name checked, ALPN "dot".
 * ca: PEM file, or a directory of them; NULL: the system's. All of it is read here.
 */
SSL_CTX *tls_context_create(const char *ca, struct failure *failure);
void tls_context_free(SSL_CTX *context);

/* Whom we talk to, over all connections: keeps the last session ticket for resumption. */
struct tls_peer {
    SSL_CTX *context; /* borrowed */
    const char *name; /* borrowed: host name or IP address that the certificate must be for */
    SSL_SESSION *session;
};
void tls_peer_forget(struct tls_peer *peer);

/* One connection. */
struct tls {
    SSL *ssl; /* NULL: not open */
    BIO *from_network, *to_network;
    struct tls_peer *peer;
    char reason[160]; /* why it failed: fixed texts of OpenSSL, nothing that the peer wrote */
};

enum tls_result { TLS_OK, TLS_WAITS, TLS_CLOSED, TLS_FAILED };

bool tls_open(struct tls *tls, struct tls_peer *peer);
/* Queues close_notify for the network where one is due. */
void tls_shutdown(struct tls *tls);
void tls_close(struct tls *tls);

/* TLS_OK: done, certificate and name are good. */
enum tls_result tls_handshake(struct tls *tls);
bool tls_resumed(const struct tls *tls);

/* Plain bytes. TLS_OK: *done (above 0) bytes were read or taken. */
enum tls_result tls_read(struct tls *tls, uint8_t *out, size_t size, size_t *done);
enum tls_result tls_write(struct tls *tls, const uint8_t *bytes, size_t length, size_t *done);

/* Bytes from and for the network. tls_feed() takes all of them. */
bool tls_feed(struct tls *tls, const uint8_t *bytes, size_t length);
size_t tls_take(struct tls *tls, uint8_t *out, size_t size);
bool tls_has_output(const struct tls *tls);

#endif
