/* SPDX-License-Identifier: Apache-2.0 */
/* What listening on UDP and on TCP have in common. */
#ifndef CAUSEWAY_DNS_SERVE_LISTEN_SOCKET_H
#define CAUSEWAY_DNS_SERVE_LISTEN_SOCKET_H

#include <stdbool.h>

#include "packet/addr.h"
#include "runtime/base/endpoint.h"

bool listen_is_wildcard(const struct ip_addr *address);

/*
 * A bound socket, non-blocking and close-on-exec; an IPv6 one for IPv6 alone. type: SOCK_DGRAM or
 * SOCK_STREAM. An address that is not this machine's is -EADDRNOTAVAIL if foreign is NULL; else it
 * is bound all the same, and *foreign says so: a bridge's address may come later than this program.
 */
int listen_socket(int type, const struct ip_addr *address, uint16_t port, bool *foreign);

/* The address part of a socket address, and which client limit it falls under. */
void listen_peer(const union inet_sockaddr *from, struct ip_addr *out);

#endif
