/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ICMP and ICMPv6 at a border: which messages may cross it, and which packet an error quotes.
 *
 * Kernels act on what an error quotes: they reset the conversation, or lower the path MTU, to which
 * the quoted packet belongs, whoever sent the error; and connection tracking lets it through as
 * RELATED to that conversation. So a border has to look at the quote (RFC 5927 on what can be done
 * with forged ones). packet/policy.h says what must stand in it.
 */
#ifndef CAUSEWAY_PACKET_ICMP_H
#define CAUSEWAY_PACKET_ICMP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "packet/addr.h"
#include "packet/parse.h"

enum icmp_kind {
    ICMP_NONE,  /* another protocol, or a later fragment, which holds no ICMP header */
    ICMP_QUERY, /* echo and timestamp, and their replies */
    ICMP_ERROR, /* unreachable, too big, time exceeded, parameter problem */
    ICMP_LOCAL, /* all else: between neighbours, or to be ignored today (redirects, router and
                   neighbour discovery, multicast listeners, source quench of RFC 6633) */
};

/* packet: as parsed into *parsed. */
enum icmp_kind icmp_kind(const uint8_t *packet, const struct parsed_packet *parsed);

/* Source and destination of the packet that an error quotes. */
struct icmp_quote {
    struct ip_addr src, dst;
};

/*
 * Reads the quote of an ICMP_ERROR. False, with *quote unspecified: the error came in fragments
 * (none needs to: RFC 1812 4.3.2.3, RFC 4443 2.4 c), the quote is of the other family, its headers
 * are broken or cut off before the first 8 bytes of the transport header (RFC 792), it has a source
 * route, or is about an ICMP message that is no query (RFC 1122 3.2.2). The quoted packet may be
 * cut short behind that, and its lengths may say more than is there.
 */
bool icmp_quoted(const uint8_t *packet, const struct parsed_packet *parsed,
                 struct icmp_quote *quote);

#endif
