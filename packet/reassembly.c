/* SPDX-License-Identifier: Apache-2.0 */
#include "packet/reassembly.h"

#include "packet/headers.h"

#define IPV4_KEPT_MS 31000 /* net.ipv4.ipfrag_time, 30 s, and a second for good measure */
#define IPV6_KEPT_MS 61000 /* net.ipv6.ip6frag_time, nf_conntrack_frag6_timeout: 60 s */
#define OUT_OF_ORDER UINT32_MAX
#define LEASE_MS     1000 /* far more than a lane needs from here to the kernel */
#define LEASE_LANE   56   /* bits of the time below the lane's number + 1 */

#define SHARE_MOST  (1u << 20)
#define SHARE_LEAST (1u << 18) /* a datagram of 64 KB, in fragments of 1500 bytes, costs 147 KB */

uint32_t reassembly_share(uint64_t kernel_limit, unsigned peers)
{
    uint64_t share = kernel_limit / 2 / (peers > 0 ? peers : 1);

    if (share > SHARE_MOST)
        return SHARE_MOST;
    return share < SHARE_LEAST ? SHARE_LEAST : (uint32_t)share;
}

/* What a fragment of so many bytes costs the kernel: its buffer, rounded up by the allocator, the
 * sk_buff, a share of the queue. A fragment of a few bytes is 768, one of 1400 is 2304 (truesize).
 */
static uint32_t cost(const struct parsed_packet *parsed)
{
    return parsed->total_length + parsed->total_length / 2 + 1024;
}

static uint32_t identification_of(const uint8_t *packet, const struct parsed_packet *parsed)
{
    return parsed->src.version == 4
               ? load_be16(packet + IPV4_IDENTIFICATION)
               : load_be32(packet + parsed->fragment_header + IPV6_FRAGMENT_ID);
}

static uint32_t payload_of(const struct parsed_packet *parsed)
{
    uint32_t front =
        parsed->fragment_header + (parsed->src.version == 4 ? 0 : IPV6_FRAGMENT_HEADER);

    return parsed->total_length - front;
}

static void forget(struct reassembly *table, struct reassembly_budget *budget, unsigned index)
{
    __atomic_fetch_sub(&budget->held, table->datagrams[index].charge, __ATOMIC_RELAXED);
    table->datagrams[index] = table->datagrams[--table->count];
}

static void forget_old(struct reassembly *table, struct reassembly_budget *budget, uint64_t now_ms)
{
    if (table->count == 0 || now_ms < table->next_old_ms)
        return;
    table->next_old_ms = UINT64_MAX;
    for (unsigned i = table->count; i-- > 0;) {
        uint64_t old_ms = table->datagrams[i].old_ms;
        if (now_ms >= old_ms)
            forget(table, budget, i);
        else if (old_ms < table->next_old_ms)
            table->next_old_ms = old_ms;
    }
}

/* The newest is asked first: an honest sender's fragments follow one another. */
static unsigned find(const struct reassembly *table, const struct reassembly_datagram *wanted)
{
    for (unsigned i = table->count; i-- > 0;) {
        const struct reassembly_datagram *one = &table->datagrams[i];
        if (one->identification == wanted->identification && one->protocol == wanted->protocol &&
            addr_equal(&one->dst, &wanted->dst))
            return i;
    }
    return table->count;
}

static bool charge(struct reassembly_budget *budget, uint32_t bytes)
{
    uint32_t held = __atomic_add_fetch(&budget->held, bytes, __ATOMIC_RELAXED);

    if (held <= budget->limit)
        return true;
    __atomic_fetch_sub(&budget->held, bytes, __ATOMIC_RELAXED);
    return false;
}

/* Destinations that share a place by chance wait for each other, if they use different lanes. */
static uint64_t *lease_of(struct reassembly_budget *budget, const struct ip_addr *dst)
{
    uint32_t mix = 0;

    for (unsigned i = 0; i < sizeof(dst->bytes); i += 4)
        mix = (mix ^ load_be32(dst->bytes + i)) * 0x9e3779b1; /* the golden ratio, to spread */
    return &budget->leases[mix >> 22 & (REASSEMBLY_LEASES - 1)];
}

static bool take_lease(struct reassembly_budget *budget, uint8_t lane, const struct ip_addr *dst,
                       uint64_t now_ms)
{
    uint64_t *lease = lease_of(budget, dst);
    uint64_t held = __atomic_load_n(lease, __ATOMIC_RELAXED);
    uint64_t mine = (uint64_t)(lane + 1) << LEASE_LANE,
             since = held & (((uint64_t)1 << LEASE_LANE) - 1);

    if (held == (mine | now_ms))
        return true;
    if (held >> LEASE_LANE != (uint64_t)(lane + 1) && held != 0 && now_ms < since + LEASE_MS)
        return false;
    return __atomic_compare_exchange_n(lease, &held, mine | now_ms, false, __ATOMIC_RELAXED,
                                       __ATOMIC_RELAXED);
}

static void begin(struct reassembly *table, const struct reassembly_datagram *fresh)
{
    if (table->count == 0 || fresh->old_ms < table->next_old_ms)
        table->next_old_ms = fresh->old_ms;
    table->datagrams[table->count++] = *fresh;
}

bool reassembly_admit(struct reassembly *table, struct reassembly_budget *budget,
                      const uint8_t *packet, const struct parsed_packet *parsed, uint64_t now_ms)
{
    struct reassembly_datagram fresh = {
        .dst = parsed->dst,
        .identification = identification_of(packet, parsed),
        .protocol =
            parsed->src.version == 4 ? parsed->protocol : 0, /* RFC 8200 4.5 leaves it out */
        .old_ms = now_ms + (parsed->src.version == 4 ? IPV4_KEPT_MS : IPV6_KEPT_MS),
    };
    uint32_t bytes = cost(parsed);

    if (!take_lease(budget, table->lane, &parsed->dst, now_ms))
        return false;
    forget_old(table, budget, now_ms);
    unsigned index = find(table, &fresh);
    if ((index == table->count && index == REASSEMBLY_DATAGRAMS) || !charge(budget, bytes))
        return false;
    if (index == table->count)
        begin(table, &fresh);
    struct reassembly_datagram *datagram = &table->datagrams[index];
    datagram->charge += bytes;
    if (datagram->next != parsed->fragment_offset) {
        datagram->next = OUT_OF_ORDER;
        return true;
    }
    datagram->next += payload_of(parsed);
    if (!parsed->more_fragments)
        forget(table, budget, index);
    return true;
}
