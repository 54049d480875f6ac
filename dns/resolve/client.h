/* SPDX-License-Identifier: Apache-2.0 */
/* Who asked, and how the answer finds back: what a listener tells the resolver. */
#ifndef CAUSEWAY_DNS_RESOLVE_CLIENT_H
#define CAUSEWAY_DNS_RESOLVE_CLIENT_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "packet/addr.h"

struct dns_client;

/*
 * The listener's side. An answer is written in place: reserve() lends room for `size` bytes, or
 * NULL when the client is gone; send() takes what was written, 0 bytes: nothing is sent after all.
 * No other call on any client comes between the two.
 */
struct dns_transport {
    bool is_stream;
    size_t answer_max; /* bytes */
    uint8_t *(*reserve)(const struct dns_client *client, size_t size);
    void (*send)(const struct dns_client *client, size_t length);
};

/* A value: the resolver keeps a copy while it waits for an answer. */
struct dns_client {
    const struct dns_transport *transport;
    void *listener;     /* outlives every question */
    bool is_link;       /* another causeway-dns, which has a client of its own */
    bool late;          /* set by the resolver: this client waited for its answer */
    struct ip_addr who; /* whose limit it counts against; version 0: bytes hold a CID, or nothing */
    /* streams: which connection; one that took its place has another generation */
    uint32_t index, generation;
    /* datagrams: where from, and the address that was asked (version 0: the socket's own) */
    union {
        struct sockaddr any;
        struct sockaddr_in v4;
        struct sockaddr_in6 v6;
    } peer;
    struct ip_addr asked;
    unsigned interface; /* of an IPv6 link-local address that was asked */
};

#endif
