/* SPDX-License-Identifier: Apache-2.0 */
/* How an upstream is written down: its transport, its address, whom its certificate is for. */
#ifndef CAUSEWAY_DNS_UPSTREAM_SPEC_H
#define CAUSEWAY_DNS_UPSTREAM_SPEC_H

#include "packet/addr.h"
#include "runtime/base/failure.h"
#include "runtime/base/link.h"

#define UPSTREAMS_MAX 8

enum upstream_kind { UPSTREAM_TCP, UPSTREAM_TLS, UPSTREAM_LINK };

#define UPSTREAM_TLS_NAME_BYTES 256
#define UPSTREAM_TEXT_BYTES     (ADDR_TEXT_BYTES + UPSTREAM_TLS_NAME_BYTES + 16)

/*
 * "tcp://ADDR[:53]", "tls://ADDR[:853]#NAME", "vsock:CID:PORT" or "vsock://CID:PORT", "unix:PATH"
 * or "unix://PATH". An IPv6 address with a port stands in brackets.
 */
struct upstream_spec {
    enum upstream_kind kind;
    struct ip_addr address;
    uint16_t port;
    char tls_name[UPSTREAM_TLS_NAME_BYTES]; /* RFC 8310: whom the certificate must be for */
    struct link_addr link;
};
bool upstream_parse(const char *text, struct upstream_spec *out, struct failure *failure);

/* Text form into out[UPSTREAM_TEXT_BYTES]; returns out. upstream_parse() reads it back. */
const char *upstream_format(const struct upstream_spec *spec, char *out);
/*
 * Does what it says come from whom it should? TLS proves it; loopback and Unix sockets do not leave
 * the machine. Everything else passes through the hands of the parent.
 */
bool upstream_is_authenticated(const struct upstream_spec *spec);
bool upstream_equal(const struct upstream_spec *a, const struct upstream_spec *b);

#endif
