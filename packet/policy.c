/* SPDX-License-Identifier: Apache-2.0 */
#include "packet/policy.h"

#include <netinet/in.h>

#include "packet/icmp.h"

/* clang-format off */

#define IN4(a, b, c, d)      {.version = 4, .bytes = {a, b, c, d}}
#define NAT64(a, b, c, d)    {.version = 6, .bytes = {0x00, 0x64, 0xff, 0x9b, [12] = a, b, c, d}}
#define SIX_TO_4(a, b, c, d) {.version = 6, .bytes = {0x20, 0x02, a, b, c, d}}

/* An IPv4 prefix and the IPv6 prefixes that a translator (RFC 6052 2.1) or a 6to4 router (RFC 3056
 * 2) on the way would turn into it. */
#define V4(a, b, c, d, length)          \
    {IN4(a, b, c, d), length},          \
    {NAT64(a, b, c, d), 96 + (length)}, \
    {SIX_TO_4(a, b, c, d), 16 + (length)}
#define V4_ENTRIES 3

#define V6(length, ...) {{.version = 6, .bytes = {__VA_ARGS__}}, length}

/*
 * Sources: the registries of special-purpose addresses that RFC 6890 set up (IANA, IPv4 and IPv6, as
 * of RFC 9637), and what clouds document of their metadata and platform services.
 */
const struct prefix_table policy_never = {
    .count = 4 * V4_ENTRIES + 3,
    .entries = {
        V4(0, 0, 0, 0, 32),
        V4(127, 0, 0, 0, 8),
        V4(224, 0, 0, 0, 4),
        V4(255, 255, 255, 255, 32),
        V6(96, 0),                 /* ::, ::1 and IPv4-compatible */
        V6(96, [10] = 0xff, 0xff), /* IPv4-mapped */
        V6(8, 0xff),               /* multicast */
    },
};

const struct prefix_table policy_closed = {
    .count = 4 * V4_ENTRIES + 9,
    .entries = {
        V4(169, 254, 0, 0, 16),      /* link-local: metadata and credentials of most clouds */
        V4(168, 63, 129, 16, 32),    /* Azure's wire server */
        V4(100, 100, 100, 200, 32),  /* Alibaba Cloud's metadata */
        V4(192, 0, 0, 192, 32),      /* Oracle Cloud's older metadata */
        V6(10, 0xfe, 0x80),          /* link-local */
        V6(10, 0xfe, 0xc0),          /* site-local (RFC 3879) */
        V6(32, 0xfd, 0x00, 0x0e, 0xc2),                    /* AWS: metadata, DNS, NTP, credentials */
        V6(128, 0xfd, 0x20, 0x00, 0xce, [14] = 0x02, 0x54), /* Google Cloud's metadata */
        V6(128, 0xfd, 0x00, 0x00, 0x42, [15] = 0x42),       /* Scaleway's metadata */
        V6(96, [8] = 0xff, 0xff),    /* IPv4-translated (RFC 7915 in the form of RFC 2765) */
        V6(32, 0x20, 0x01),          /* Teredo (RFC 4380): IPv4 addresses in disguise */
        V6(16, 0x5f),                /* segments of SRv6 (RFC 9602): instructions, not hosts */
        V6(48, 0x00, 0x64, 0xff, 0x9b, 0x00, 0x01), /* local-use NAT64 (RFC 8215): where in it the
                                                       IPv4 address stands cannot be known */
    },
};

const struct prefix_table policy_private = {
    .count = 8 * V4_ENTRIES + 3,
    .entries = {
        V4(10, 0, 0, 0, 8),
        V4(172, 16, 0, 0, 12),
        V4(192, 168, 0, 0, 16),
        V4(100, 64, 0, 0, 10),
        V4(192, 0, 0, 0, 24), /* protocol assignments (RFC 6890): DS-Lite and CLAT of this host,
                                 anycast of PCP and TURN. Answers from there pass: errors of an AFTR */
        V4(198, 18, 0, 0, 15),
        V4(0, 0, 0, 0, 8),
        V4(240, 0, 0, 0, 4),
        V6(7, 0xfc),
        V6(32, 0x20, 0x01, 0x00, 0x01), /* anycast of PCP, TURN and DNS-SD (RFC 7723, 8155, 9665) */
        V6(48, 0x20, 0x01, 0x00, 0x02), /* benchmarking (RFC 5180) */
    },
};

const struct prefix_table policy_local = {
    .count = 6,
    .entries = {
        {IN4(10, 0, 0, 0), 8},
        {IN4(172, 16, 0, 0), 12},
        {IN4(192, 168, 0, 0), 16},
        {IN4(100, 64, 0, 0), 10},
        {IN4(198, 18, 0, 0), 15},
        V6(7, 0xfc),
    },
};

/* clang-format on */

bool prefix_table_add(struct prefix_table *table, const struct ip_prefix *prefix)
{
    if (table->count >= PREFIX_TABLE_MAX)
        return false;
    table->entries[table->count++] = *prefix;
    return true;
}

bool prefix_table_contains(const struct prefix_table *table, const struct ip_addr *addr)
{
    for (size_t i = 0; i < table->count; i++)
        if (prefix_contains(&table->entries[i], addr))
            return true;
    return false;
}

/*
 * Can addr be in policy_never or policy_closed at all? Nearly every packet is answered here, by its
 * first byte or four, without a walk through the tables (a unit test holds this against them).
 */
enum first_byte { PLAIN, SPECIAL, LOOK_CLOSER };
static const uint8_t first_bytes4[256] = {
    [0] = SPECIAL,       [100] = LOOK_CLOSER, [127] = SPECIAL,         [168] = LOOK_CLOSER,
    [169] = LOOK_CLOSER, [192] = LOOK_CLOSER, [224 ... 255] = SPECIAL,
};
static const uint8_t first_bytes6[256] = {
    [0x00] = LOOK_CLOSER,
    [0x20] = LOOK_CLOSER,
    [0x5f] = LOOK_CLOSER,
    [0xfd ... 0xff] = SPECIAL,
};

static inline bool may_be_special(const struct ip_addr *addr)
{
    uint8_t first = addr->bytes[0];
    uint8_t kind = addr->version == 4 ? first_bytes4[first] : first_bytes6[first];
    if (__builtin_expect(kind == PLAIN, 1))
        return false;
    if (kind == SPECIAL)
        return true;
    uint32_t word = load_be32(addr->bytes), head = word >> 16;
    if (addr->version == 4)
        return head == 0xa9fe || word == 0xa83f8110 || word == 0x646464c8 || word == 0xc00000c0;
    return word == 0 || word == 0x20010000 || head == 0x2002 || head == 0x0064 || head == 0x5f00;
}

static inline bool is_own(const struct ip_addr *own4, const struct ip_addr *own6,
                          const struct ip_addr *addr)
{
    return addr_equal(addr->version == 4 ? own4 : own6, addr) && addr->version != 0;
}

static inline enum policy_verdict check_parent(const struct policy_parent *policy,
                                               const struct ip_addr *src, const struct ip_addr *dst)
{
    if (!is_own(&policy->own4, &policy->own6, src))
        return POLICY_SOURCE;
    if (!may_be_special(dst))
        return POLICY_PASS;
    if (prefix_table_contains(&policy_never, dst))
        return POLICY_DESTINATION;
    if (prefix_table_contains(&policy_closed, dst) && !prefix_table_contains(&policy->opened, dst))
        return POLICY_DESTINATION;
    return POLICY_PASS;
}

enum policy_verdict policy_check_parent(const struct policy_parent *policy,
                                        const struct ip_addr *src, const struct ip_addr *dst)
{
    return check_parent(policy, src, dst);
}

static inline enum policy_verdict check_enclave(const struct policy_enclave *policy,
                                                const struct ip_addr *src,
                                                const struct ip_addr *dst)
{
    if (!is_own(&policy->own4, &policy->own6, dst))
        return POLICY_DESTINATION;
    if (is_own(&policy->own4, &policy->own6, src))
        return POLICY_SOURCE;
    if (may_be_special(src) && prefix_table_contains(&policy_never, src))
        return POLICY_SOURCE;
    if (prefix_table_contains(&policy->inside, src))
        return POLICY_SOURCE;
    return POLICY_PASS;
}

enum policy_verdict policy_check_enclave(const struct policy_enclave *policy,
                                         const struct ip_addr *src, const struct ip_addr *dst)
{
    return check_enclave(policy, src, dst);
}

bool policy_is_ordinary(const struct ip_addr *addr)
{
    return !may_be_special(addr) || (!prefix_table_contains(&policy_never, addr) &&
                                     !prefix_table_contains(&policy_closed, addr));
}

/*
 * What an error quotes must be a packet that its receiver sent to the error's sender. So with the
 * quoted addresses exchanged it is a packet that could have gone the way of the error: the same
 * check judges it. That is the whole rule, at both daemons.
 */
static __attribute__((noinline, cold)) enum policy_verdict
check_icmp(const uint8_t *packet, const struct parsed_packet *parsed,
           enum policy_verdict (*check)(const void *policy, const struct ip_addr *src,
                                        const struct ip_addr *dst),
           const void *policy)
{
    struct icmp_quote quote;

    switch (icmp_kind(packet, parsed)) {
    case ICMP_NONE:
    case ICMP_QUERY:
        return POLICY_PASS;
    case ICMP_LOCAL:
        return POLICY_ICMP;
    case ICMP_ERROR:
        break;
    }
    if (!icmp_quoted(packet, parsed, &quote) || !addr_equal(&quote.src, &parsed->dst) ||
        check(policy, &quote.dst, &quote.src) != POLICY_PASS)
        return POLICY_QUOTE;
    return POLICY_PASS;
}

static enum policy_verdict check_as_parent(const void *policy, const struct ip_addr *src,
                                           const struct ip_addr *dst)
{
    return policy_check_parent(policy, src, dst);
}

static enum policy_verdict check_as_enclave(const void *policy, const struct ip_addr *src,
                                            const struct ip_addr *dst)
{
    return policy_check_enclave(policy, src, dst);
}

static inline bool is_icmp(const struct parsed_packet *parsed)
{
    return parsed->protocol == IPPROTO_ICMP || parsed->protocol == IPPROTO_ICMPV6;
}

enum policy_verdict policy_judge_parent(const struct policy_parent *policy, const uint8_t *packet,
                                        const struct parsed_packet *parsed)
{
    enum policy_verdict verdict = check_parent(policy, &parsed->src, &parsed->dst);

    if (verdict != POLICY_PASS || !is_icmp(parsed))
        return verdict;
    return check_icmp(packet, parsed, check_as_parent, policy);
}

enum policy_verdict policy_judge_enclave(const struct policy_enclave *policy, const uint8_t *packet,
                                         const struct parsed_packet *parsed)
{
    enum policy_verdict verdict = check_enclave(policy, &parsed->src, &parsed->dst);

    if (verdict != POLICY_PASS || !is_icmp(parsed))
        return verdict;
    return check_icmp(packet, parsed, check_as_enclave, policy);
}

const char *policy_verdict_name(enum policy_verdict verdict)
{
    static const char *const names[] = {[POLICY_PASS] = "pass",
#define X(reason, name, meaning) [POLICY_##reason] = #name,
                                        POLICY_VERDICTS(X)
#undef X
    };
    return (unsigned)verdict < POLICY_VERDICT_COUNT ? names[verdict] : "unknown";
}
