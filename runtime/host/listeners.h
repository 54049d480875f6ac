/* SPDX-License-Identifier: Apache-2.0 */
/* Which ports of this host have somebody behind them: the kernel's list of sockets (sock_diag). */
#ifndef CAUSEWAY_RUNTIME_HOST_LISTENERS_H
#define CAUSEWAY_RUNTIME_HOST_LISTENERS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "packet/addr.h"

struct listener {
    const char *protocol; /* "tcp" or "udp" */
    struct ip_addr address;
    bool both_families; /* :: that takes IPv4 as well */
    uint16_t port;
    uint32_t inode;  /* as in /proc/PID/fd: "socket:[INODE]" */
    uint64_t cgroup; /* inode number of its directory in cgroupfs; 0: the kernel does not say */
};

/*
 * Calls visit for every TCP socket that listens and every UDP socket without a peer, of both
 * families; stops early when it returns false. 0 or negative errno.
 */
int listeners_each(bool (*visit)(const struct listener *listener, void *context), void *context);

/*
 * Whose it is, into out: "sshd (PID 812)", or "ssh.service" where other users' processes cannot be
 * seen, or "another program". Reads much of /proc: for messages.
 */
#define LISTENER_OWNER_BYTES 96
const char *listener_owner(const struct listener *listener, char *out);

#endif
