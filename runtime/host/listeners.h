/* SPDX-License-Identifier: Apache-2.0 */
/* Which ports of this host have somebody behind them: the kernel's list of sockets (sock_diag). */
#ifndef CAUSEWAY_RUNTIME_HOST_LISTENERS_H
#define CAUSEWAY_RUNTIME_HOST_LISTENERS_H

#include <stdbool.h>
#include <stdint.h>

#include "packet/addr.h"

/*
 * Calls visit for every TCP socket that listens and every UDP socket without a peer, of both
 * families; stops early when it returns false. protocol: "tcp" or "udp". 0 or negative errno.
 */
int listeners_each(bool (*visit)(const char *protocol, const struct ip_addr *address, uint16_t port,
                                 void *context),
                   void *context);

#endif
