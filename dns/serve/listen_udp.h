/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Queries by datagram.
 *
 *   socket --recvmmsg--> batch of queries --resolver_ask()--> batch of answers --sendmmsg--> socket
 *
 * Answers are written where they are sent from: those that can be given at once and those that
 * come later share the batch, which goes out when it is full and at the end of every wakeup. A
 * wakeup reads no more than LISTEN_UDP_ROUNDS batches, so that a flood leaves time for streams and
 * upstreams. What the kernel does not take is a counted drop: the client asks again.
 *
 * A wildcard listener answers from the address that was asked (IP_PKTINFO, IPV6_PKTINFO; RFC 1123
 * 6.1.3.5 has clients expect that). One with an address of its own does so without being told.
 */
#ifndef CAUSEWAY_DNS_SERVE_LISTEN_UDP_H
#define CAUSEWAY_DNS_SERVE_LISTEN_UDP_H

#include "dns/resolve/resolver.h"
#include "runtime/base/event.h"

#define LISTEN_UDP_BATCH        32
#define LISTEN_UDP_ROUNDS       4
#define LISTEN_UDP_ANSWER_BYTES 4096 /* more is cut, whatever the client says it takes */

struct listen_udp; /* opaque */

/*
 * Binds. *foreign: the address is not this machine's (yet), the socket waits for it to become so;
 * NULL: that is an error. NULL with a negative errno in *error.
 */
struct listen_udp *listen_udp_open(struct event_loop *loop, struct resolver *resolver,
                                   struct dns_counters *counters, const struct ip_addr *address,
                                   uint16_t port, bool *foreign, int *error);
void listen_udp_close(struct listen_udp *listener);

/* Sends what has gathered; at the end of every wakeup. */
void listen_udp_flush(struct listen_udp *listener);

#endif
