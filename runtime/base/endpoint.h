/* SPDX-License-Identifier: Apache-2.0 */
/* Where a socket connects or listens: ADDRESS:PORT and Unix sockets, as text and for the kernel. */
#ifndef CAUSEWAY_RUNTIME_BASE_ENDPOINT_H
#define CAUSEWAY_RUNTIME_BASE_ENDPOINT_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "packet/addr.h"

#define ENDPOINT_TEXT_BYTES (ADDR_TEXT_BYTES + sizeof("[]:65535"))

/*
 * "192.0.2.1", "192.0.2.1:53", "2001:db8::1", "[2001:db8::1]" or "[2001:db8::1]:53". default_port
 * is for a text that has none; with 0 it has to have one. False leaves everything untouched.
 */
bool endpoint_parse(const char *text, uint16_t default_port, struct ip_addr *address,
                    uint16_t *port);

/* The address that the first `length` bytes of text are, an IPv6 one with brackets or without. */
bool endpoint_address(const char *text, size_t length, struct ip_addr *out);

/* "192.0.2.1:53" or "[2001:db8::1]:53" into out[ENDPOINT_TEXT_BYTES]; returns out. */
const char *endpoint_format(const struct ip_addr *address, uint16_t port, char *out);

/* "192.0.2.1" or "[2001:db8::1]", so that a colon may follow, likewise. */
const char *endpoint_host(const struct ip_addr *address, char *out);

union inet_sockaddr {
    struct sockaddr any;
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;
};
/* Returns the length that belongs to it. */
socklen_t endpoint_inet(const struct ip_addr *address, uint16_t port, union inet_sockaddr *out);

/* A socket's file. Returns the length that belongs to the address; 0: the path is empty or too
 * long. */
socklen_t endpoint_unix_path(const char *path, struct sockaddr_un *out);

/* The same, or "@NAME" in the abstract namespace. */
socklen_t endpoint_unix(const char *name, struct sockaddr_un *out);

#endif
