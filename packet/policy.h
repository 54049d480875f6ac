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
#include "packet/parse.h"

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

/* Closed unless an --allow that lies inside opens part of it: link-local and site-local addresses,
 * the metadata and platform services of clouds, whatever larger network they lie in, each with its
 * NAT64 and 6to4 forms; prefixes in which IPv4 addresses stand in a place or disguise that cannot
 * be checked (Teredo, IPv4-translated, local-use NAT64); segments of SRv6. */
extern const struct prefix_table policy_closed;

/* Private ranges, closed to new connections unless --allow covers or meets them: RFC 1918, RFC 6598
 * (100.64/10), fc00::/7, protocol assignments (192.0.0/24, 2001:1::/32), benchmarking (198.18/15,
 * 2001:2::/48), 0/8, 240/4, and NAT64 and 6to4 forms of the IPv4 ones. */
extern const struct prefix_table policy_private;

/* Where an enclave's own address lies if nobody has told it another: RFC 1918, RFC 6598, RFC 2544,
 * RFC 4193. A parent that hands out a public address takes whoever has it away from the enclave. */
extern const struct prefix_table policy_local;

/* Why a packet may not pass: X(verdict, name, meaning) */
#define POLICY_VERDICTS(X)                                                                         \
    X(SOURCE, source, "from an address that is not the sender's")                                  \
    X(DESTINATION, destination, "to an address that no conversation justifies")                    \
    X(ICMP, icmp, "an ICMP message that has no business across the border")                        \
    X(QUOTE, quote, "an ICMP error about a packet that its receiver never sent")

enum policy_verdict {
    POLICY_PASS = 0,
#define X(verdict, ...) POLICY_##verdict,
    POLICY_VERDICTS(X)
#undef X
        POLICY_VERDICT_COUNT
};

const char *policy_verdict_name(enum policy_verdict verdict);

/* Neither in policy_never nor in policy_closed. */
bool policy_is_ordinary(const struct ip_addr *addr);

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

/* The same of a whole packet, as parsed into *parsed: its addresses, then what it is if it is ICMP.
 * What an error quotes, with its addresses exchanged, has to pass the check of addresses too. */
enum policy_verdict policy_judge_parent(const struct policy_parent *policy, const uint8_t *packet,
                                        const struct parsed_packet *parsed);
enum policy_verdict policy_judge_enclave(const struct policy_enclave *policy, const uint8_t *packet,
                                         const struct parsed_packet *parsed);

#endif
