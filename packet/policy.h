/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which addresses may stand in a packet: tables of prefixes, asked once per packet.
 *
 * This is the stateless half of the policy, which no connection state can loosen: an enclave's
 * source address, and destinations that stay closed whoever started the conversation. The stateful
 * half (private ranges, other enclaves, published ports) is the kernel's, in iptables/.
 */
#ifndef CAUSEWAY_PACKET_POLICY_H
#define CAUSEWAY_PACKET_POLICY_H

#include <stdbool.h>
#include <stddef.h>

#include "packet/addr.h"

#define PREFIX_TABLE_MAX 64

struct prefix_table {
    size_t count;
    struct ip_prefix entries[PREFIX_TABLE_MAX];
};

/* False when the table is full. */
bool prefix_table_add(struct prefix_table *table, const struct ip_prefix *prefix);

bool prefix_table_contains(const struct prefix_table *table, const struct ip_addr *addr);

/*
 * Destinations that nothing opens: unspecified, loopback, multicast, broadcast, IPv4-mapped and
 * IPv4-compatible IPv6, NAT64 and 6to4 forms of these (RFC 6890, RFC 6052, RFC 3056).
 */
extern const struct prefix_table policy_never;

/* Closed unless an --allow that lies inside opens part of it: link-local with the cloud's metadata
 * service (169.254.0.0/16, fe80::/10, fd00:ec2::254) and their NAT64 and 6to4 forms; the local-use
 * NAT64 prefix 64:ff9b:1::/48 (RFC 8215) as a whole. */
extern const struct prefix_table policy_closed;

/* Private ranges, closed to new connections unless --allow covers or meets them: RFC 1918, RFC 6598
 * (100.64/10), fc00::/7, benchmarking (198.18/15), 0/8, 240/4, and NAT64 and 6to4 forms of the IPv4
 * ones. */
extern const struct prefix_table policy_private;

enum policy_verdict {
    POLICY_PASS = 0,
    POLICY_SOURCE,      /* not the enclave's own address, or a martian for the enclave */
    POLICY_DESTINATION, /* closed */
    POLICY_VERDICT_COUNT
};

/* The parent's check of a packet from an enclave. Own addresses may be "none". */
struct policy_parent {
    struct ip_addr own4, own6;  /* the enclave's addresses */
    struct prefix_table opened; /* --allow prefixes that lie inside policy_closed */
};
enum policy_verdict policy_check_parent(const struct policy_parent *policy,
                                        const struct ip_addr *src, const struct ip_addr *dst);

/* The enclave's check of a packet from the parent: for its own addresses only, and not from itself,
 * from an address in policy_never (loopback, multicast, unspecified, ...), nor from a prefix in
 * `inside` (containers). Link-local sources pass: the metadata service may have been opened. */
struct policy_enclave {
    struct ip_addr own4, own6;
    struct prefix_table inside;
};
enum policy_verdict policy_check_enclave(const struct policy_enclave *policy,
                                         const struct ip_addr *src, const struct ip_addr *dst);

#endif
