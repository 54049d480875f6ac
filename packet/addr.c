/* SPDX-License-Identifier: Apache-2.0 */
#include "packet/addr.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>

/* The address as a number in two halves; an IPv4 address fills the upper half of `high`. */
struct bits128 {
    uint64_t high, low;
};

static inline uint64_t load_be64(const uint8_t *p)
{
    uint64_t v = 0;
    for (unsigned i = 0; i < 8; i++)
        v = v << 8 | p[i];
    return v;
}

static inline void store_be64(uint8_t *p, uint64_t v)
{
    for (unsigned i = 8; i-- > 0; v >>= 8)
        p[i] = (uint8_t)v;
}

static inline struct bits128 to_bits(const struct ip_addr *addr)
{
    return (struct bits128){load_be64(addr->bytes), load_be64(addr->bytes + 8)};
}

static inline uint64_t high_ones(unsigned count)
{
    return count == 0 ? 0 : UINT64_MAX << (64 - count);
}

/* The first `length` bits set. */
static inline struct bits128 prefix_mask(unsigned length)
{
    if (length <= 64)
        return (struct bits128){high_ones(length), 0};
    return (struct bits128){UINT64_MAX, high_ones(length - 64)};
}

/* The length counted over the 128 bits of ip_addr.bytes is the same for both families. */
static inline bool same_up_to(const struct ip_addr *a, const struct ip_addr *b, unsigned length)
{
    struct bits128 x = to_bits(a), y = to_bits(b), mask = prefix_mask(length);
    return (((x.high ^ y.high) & mask.high) | ((x.low ^ y.low) & mask.low)) == 0;
}

unsigned addr_bits(const struct ip_addr *addr)
{
    switch (addr->version) {
    case 4:
        return 32;
    case 6:
        return 128;
    default:
        return 0;
    }
}

bool addr_equal(const struct ip_addr *a, const struct ip_addr *b)
{
    uint64_t x[2], y[2];
    memcpy(x, a->bytes, sizeof(x));
    memcpy(y, b->bytes, sizeof(y));
    return ((x[0] ^ y[0]) | (x[1] ^ y[1]) | (uint64_t)(a->version ^ b->version)) == 0;
}

bool addr_is_any(const struct ip_addr *addr)
{
    const struct ip_addr any = {.version = addr->version};

    return addr->version != 0 && addr_equal(addr, &any);
}

bool addr_is_loopback(const struct ip_addr *addr)
{
    static const struct ip_addr loopback6 = {.version = 6, .bytes = {[15] = 1}};

    return addr->version == 4 ? addr->bytes[0] == 127 : addr_equal(addr, &loopback6);
}

bool addr_parse(const char *text, struct ip_addr *out)
{
    struct ip_addr addr = {0};

    if (inet_pton(AF_INET, text, addr.bytes) == 1)
        addr.version = 4;
    else if (inet_pton(AF_INET6, text, addr.bytes) == 1)
        addr.version = 6;
    else
        return false;
    *out = addr;
    return true;
}

/* One to three digits, no sign, no leading zero. */
static bool parse_length(const char *text, unsigned max, uint8_t *out)
{
    unsigned value = 0;
    size_t digits = strspn(text, "0123456789");

    if (digits < 1 || digits > 3 || text[digits] != '\0' || (digits > 1 && text[0] == '0'))
        return false;
    for (size_t i = 0; i < digits; i++)
        value = value * 10 + (unsigned)(text[i] - '0');
    if (value > max)
        return false;
    *out = (uint8_t)value;
    return true;
}

static bool host_bits_zero(const struct ip_prefix *prefix)
{
    struct bits128 bits = to_bits(&prefix->addr), mask = prefix_mask(prefix->length);
    return ((bits.high & ~mask.high) | (bits.low & ~mask.low)) == 0;
}

static bool parse_prefix(const char *text, struct ip_prefix *out)
{
    const char *slash = strchr(text, '/');
    size_t addr_length = slash ? (size_t)(slash - text) : strlen(text);
    char addr_text[ADDR_TEXT_BYTES];
    struct ip_prefix prefix;

    if (addr_length >= sizeof(addr_text))
        return false;
    memcpy(addr_text, text, addr_length);
    addr_text[addr_length] = '\0';
    if (!addr_parse(addr_text, &prefix.addr))
        return false;
    prefix.length = (uint8_t)addr_bits(&prefix.addr);
    if (slash && !parse_length(slash + 1, prefix.length, &prefix.length))
        return false;
    *out = prefix;
    return true;
}

bool prefix_parse(const char *text, struct ip_prefix *out)
{
    struct ip_prefix prefix;

    if (!parse_prefix(text, &prefix) || !host_bits_zero(&prefix))
        return false;
    *out = prefix;
    return true;
}

bool prefix_around(const char *text, struct ip_prefix *out)
{
    struct ip_prefix prefix;

    if (!parse_prefix(text, &prefix))
        return false;
    for (unsigned bit = prefix.length; bit < addr_bits(&prefix.addr); bit++)
        prefix.addr.bytes[bit / 8] &= (uint8_t) ~(0x80 >> bit % 8);
    *out = prefix;
    return true;
}

const char *addr_format(const struct ip_addr *addr, char *out)
{
    int family = addr->version == 4 ? AF_INET : AF_INET6;

    if (addr_bits(addr) == 0 || !inet_ntop(family, addr->bytes, out, ADDR_TEXT_BYTES))
        memcpy(out, "none", sizeof("none"));
    return out;
}

const char *prefix_format(const struct ip_prefix *prefix, char *out)
{
    size_t length = strlen(addr_format(&prefix->addr, out));

    if (addr_bits(&prefix->addr) != 0)
        snprintf(out + length, ADDR_TEXT_BYTES - length, "/%u", prefix->length);
    return out;
}

bool prefix_contains(const struct ip_prefix *prefix, const struct ip_addr *addr)
{
    return prefix->addr.version == addr->version && addr->version != 0 &&
           same_up_to(&prefix->addr, addr, prefix->length);
}

bool prefix_covers(const struct ip_prefix *outer, const struct ip_prefix *inner)
{
    return outer->length <= inner->length && prefix_contains(outer, &inner->addr);
}

bool prefix_nth(const struct ip_prefix *prefix, uint32_t index, struct ip_addr *out)
{
    unsigned host_bits = addr_bits(&prefix->addr) - prefix->length;
    struct bits128 bits = to_bits(&prefix->addr);
    struct ip_addr addr = prefix->addr;

    if (addr_bits(&prefix->addr) == 0 || (host_bits < 32 && index >> host_bits != 0))
        return false;
    /* The host bits of a prefix are zero and hold the index: no carry leaves them. */
    if (addr.version == 4)
        bits.high |= (uint64_t)index << 32;
    else
        bits.low |= index;
    store_be64(addr.bytes, bits.high);
    store_be64(addr.bytes + 8, bits.low);
    *out = addr;
    return true;
}
