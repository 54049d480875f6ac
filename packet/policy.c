/* SPDX-License-Identifier: Apache-2.0 */
#include "packet/policy.h"

#include "packet/parse.h"

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
    .count = V4_ENTRIES + 3,
    .entries = {
        V4(169, 254, 0, 0, 16),
        V6(10, 0xfe, 0x80),
        V6(128, 0xfd, 0x00, 0x0e, 0xc2, [14] = 0x02, 0x54),
        V6(48, 0x00, 0x64, 0xff, 0x9b, 0x00, 0x01), /* local-use NAT64 (RFC 8215): where in it the
                                                       IPv4 address stands cannot be known */
    },
};

const struct prefix_table policy_private = {
    .count = 7 * V4_ENTRIES + 1,
    .entries = {
        V4(10, 0, 0, 0, 8),
        V4(172, 16, 0, 0, 12),
        V4(192, 168, 0, 0, 16),
        V4(100, 64, 0, 0, 10),
        V4(198, 18, 0, 0, 15),
        V4(0, 0, 0, 0, 8),
        V4(240, 0, 0, 0, 4),
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
 * first bytes, without a walk through the tables (a unit test holds this against them).
 */
static inline bool may_be_special(const struct ip_addr *addr)
{
    uint8_t first = addr->bytes[0];
    if (addr->version == 4)
        return first == 0 || first == 127 || first == 169 || first >= 224;
    uint16_t head = load_be16(addr->bytes);
    return head == 0 || head == 0x0064 || head == 0x2002 || first >= 0xfd;
}

static inline bool is_own(const struct ip_addr *own4, const struct ip_addr *own6,
                          const struct ip_addr *addr)
{
    return addr_equal(addr->version == 4 ? own4 : own6, addr) && addr->version != 0;
}

enum policy_verdict policy_check_parent(const struct policy_parent *policy,
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

enum policy_verdict policy_check_enclave(const struct policy_enclave *policy,
                                         const struct ip_addr *src, const struct ip_addr *dst)
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
