/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The link: where the streams between enclave and parent come from.
 *
 * vsock:CID:PORT is Nitro (the parent is CID 3) and QEMU (CID 2); unix:PATH is Firecracker and
 * Cloud Hypervisor, whose guest-initiated vsock connections arrive on a Unix socket, and tests.
 * The enclave dials, the parent listens. All sockets are non-blocking and close-on-exec.
 */
#ifndef CAUSEWAY_RUNTIME_BASE_LINK_H
#define CAUSEWAY_RUNTIME_BASE_LINK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/un.h>

#include "runtime/base/failure.h"

#define LINK_TEXT_BYTES (sizeof(((struct sockaddr_un *)0)->sun_path) + 8)

enum link_kind { LINK_VSOCK, LINK_UNIX };

struct link_addr {
    enum link_kind kind;
    uint32_t cid; /* VMADDR_CID_ANY for "any" */
    uint32_t port;
    char path[sizeof(((struct sockaddr_un *)0)->sun_path)];
};

/* "vsock:CID:PORT" (CID a number or "any") or "unix:PATH". False with a reason in error. */
bool link_parse(const char *text, struct link_addr *out, struct failure *failure);

/* Text form into out[LINK_TEXT_BYTES]; returns out. */
const char *link_format(const struct link_addr *addr, char *out);

/*
 * Listens. A Unix socket file that nobody listens on any more is replaced; one in use is
 * -EADDRINUSE. The file gets mode 0600: its owner is the peer that may connect.
 * A vsock address listens on its port for every CID; link_accept() says which one came.
 */
int link_listen(const struct link_addr *addr);

/* Removes the file of a Unix socket that nobody listens on any more; leaves all else. */
void link_remove_stale(const struct link_addr *addr);

/* Accepts one connection: the socket, or negative errno. *cid is the peer's CID (vsock only). */
int link_accept(int listener, const struct link_addr *addr, uint32_t *cid);

/* Starts to connect; the socket becomes writable when it is done. Socket or negative errno. */
int link_dial(const struct link_addr *addr);
/* The outcome of link_dial(): 0 or negative errno. */
int link_dial_result(int fd);

/*
 * Bytes of a write on a stream, at most. Since Linux 6.17 (and 6.12.68) vsock sends what exceeds
 * about 32 KB in fragmented buffers, which some hypervisors put together wrongly: docs/vsock.md. A
 * Unix stream has no such limit, and 128 KB is where longer writes gain nothing.
 */
#define LINK_WRITE_LEAST     4096
#define LINK_WRITE_MOST      (128 * 1024)
#define LINK_WRITE_MAX_VSOCK (31 * 1024)
#define LINK_WRITE_AUTOMATIC 0
/* What the option write-max comes to on such a link: chosen, or the default. */
unsigned link_write_max(enum link_kind kind, unsigned chosen);
/* "auto" (LINK_WRITE_AUTOMATIC) or bytes in the range. False with a reason. */
bool link_write_max_parse(const char *text, unsigned *out, struct failure *failure);

/*
 * How long to wait before attempt number `failures` + 1, in milliseconds: doubles from 50 ms to
 * LINK_BACKOFF_MAX_MS, of which a random share of up to one half is left out, so that lanes and
 * enclaves that lost their parent together do not come back together.
 */
#define LINK_BACKOFF_MIN_MS 50
#define LINK_BACKOFF_MAX_MS 2000
unsigned link_backoff_ms(unsigned failures, uint32_t random);

#endif
