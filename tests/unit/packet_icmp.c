/* SPDX-License-Identifier: Apache-2.0 */
/* ICMP at a border: kinds, what an error quotes, and what the policy makes of it. */
#include "packet/icmp.h"

#include <netinet/in.h>
#include <stdlib.h>

#include "packet/policy.h"
#include "tests/unit/packet_build.h"

#define QUOTED_DATA 8

static uint8_t packet[BUILD_MAX];
static struct parsed_packet parsed;

/* Addresses of build_packet(). */
static const char *const near[] = {"192.0.2.1", "2001:db8::1"};
static const char *const far[] = {"198.51.100.2", "2001:db8:1::2"};

static struct ip_addr addr(const char *text)
{
    struct ip_addr out;

    if (!addr_parse(text, &out))
        fail_msg("not an address: %s", text);
    return out;
}

/* An ICMP message from near to far with room for a quote of so many bytes; where that begins. */
static uint8_t *build_icmp(int version, uint8_t type, size_t quote_bytes)
{
    struct packet_spec spec = {
        .version = (uint8_t)version,
        .protocol = version == 4 ? IPPROTO_ICMP : IPPROTO_ICMPV6,
        .payload = quote_bytes,
    };
    size_t length = build_packet(packet, &spec);

    parsed = parse_good(packet, length);
    packet[parsed.transport_offset] = type;
    return packet + parsed.transport_offset + 8;
}

static uint8_t unreachable(int version)
{
    return version == 4 ? 3 : 1;
}

/* An error from near to far about a packet of the given protocol that far sent to near. */
static uint8_t *build_error(int version, uint8_t protocol, size_t data)
{
    size_t header = version == 4 ? 20 : 40;
    uint8_t *quote = build_icmp(version, unreachable(version), header + data);

    memset(quote, 0, header);
    quote[0] = version == 4 ? 0x45 : 0x60;
    quote[version == 4 ? 9 : 6] = protocol;
    size_t at = version == 4 ? 12 : 8, bytes = version == 4 ? 4 : 16;
    struct ip_addr src = addr(far[version == 6]), dst = addr(near[version == 6]);
    memcpy(quote + at, src.bytes, bytes);
    memcpy(quote + at + bytes, dst.bytes, bytes);
    return quote;
}

static bool quoted(struct icmp_quote *quote)
{
    /* Alone in its block: ASan sees a read beyond it. */
    uint8_t *copy = malloc(parsed.total_length);

    memcpy(copy, packet, parsed.total_length);
    bool found = icmp_quoted(copy, &parsed, quote);
    free(copy);
    return found;
}

static void kinds(void **state)
{
    static const uint8_t query4[] = {0, 8, 13, 14}, error4[] = {3, 11, 12};
    static const uint8_t query6[] = {128, 129}, error6[] = {1, 2, 3, 4};

    (void)state;
    for (int version = 4; version <= 6; version += 2) {
        const uint8_t *queries = version == 4 ? query4 : query6;
        const uint8_t *errors = version == 4 ? error4 : error6;
        size_t query_count = version == 4 ? sizeof(query4) : sizeof(query6);
        size_t error_count = version == 4 ? sizeof(error4) : sizeof(error6);
        for (unsigned type = 0; type < 256; type++) {
            enum icmp_kind wanted = ICMP_LOCAL;
            if (memchr(queries, (int)type, query_count) != NULL)
                wanted = ICMP_QUERY;
            if (memchr(errors, (int)type, error_count) != NULL)
                wanted = ICMP_ERROR;
            build_icmp(version, (uint8_t)type, 20);
            assert_int_equal(icmp_kind(packet, &parsed), wanted);
        }
    }
}

static void other_protocols_are_none(void **state)
{
    (void)state;
    for (int version = 4; version <= 6; version += 2) {
        /* The other family's ICMP is nothing here. */
        const uint8_t protocols[] = {IPPROTO_TCP, IPPROTO_UDP,
                                     version == 4 ? IPPROTO_ICMPV6 : IPPROTO_ICMP};
        for (size_t i = 0; i < sizeof(protocols); i++) {
            struct packet_spec spec = {
                .version = (uint8_t)version, .protocol = protocols[i], .payload = 40};
            parsed = parse_good(packet, build_packet(packet, &spec));
            assert_int_equal(icmp_kind(packet, &parsed), ICMP_NONE);
        }
    }
}

/* In a block of exactly their size: AddressSanitizer sees a read beyond. */
static void packets_of_headers_alone_are_none(void **state)
{
    static const uint8_t next[] = {59, IPPROTO_ICMPV6}; /* nothing; and behind a fragment header */

    (void)state;
    for (size_t i = 0; i < sizeof(next); i++) {
        size_t length = i == 0 ? 40 : 48;
        uint8_t *alone = calloc(1, length);
        assert_non_null(alone);
        alone[0] = 0x60;
        alone[5] = (uint8_t)(length - 40);
        alone[6] = i == 0 ? next[i] : IPPROTO_FRAGMENT;
        if (i == 1) {
            alone[40] = next[i];
            alone[43] = 8; /* the last of its datagram, 8 bytes into it, without data */
        }
        parsed = parse_good(alone, length);
        assert_int_equal(icmp_kind(alone, &parsed), ICMP_NONE);
        free(alone);
    }
}

static void later_fragment_is_none(void **state)
{
    struct packet_spec spec = {
        .version = 4, .protocol = IPPROTO_ICMP, .fragment = 0x2000 | 5, .payload = 64};

    (void)state;
    parsed = parse_good(packet, build_packet(packet, &spec));
    assert_true(parsed.fragment_offset > 0);
    assert_int_equal(icmp_kind(packet, &parsed), ICMP_NONE);
}

static void quote_is_read(void **state)
{
    (void)state;
    for (int version = 4; version <= 6; version += 2) {
        struct icmp_quote quote;
        struct ip_addr src = addr(far[version == 6]), dst = addr(near[version == 6]);
        build_error(version, IPPROTO_UDP, QUOTED_DATA);
        assert_true(quoted(&quote));
        assert_true(addr_equal(&quote.src, &src) && addr_equal(&quote.dst, &dst));
    }
}

/* Every length below the whole of header and 8 bytes is too short. */
static void cut_quotes_are_refused(void **state)
{
    (void)state;
    for (int version = 4; version <= 6; version += 2) {
        size_t whole = (version == 4 ? 20 : 40) + QUOTED_DATA;
        for (size_t length = 0; length < whole; length++) {
            struct icmp_quote quote;
            uint8_t head[64];
            memcpy(head, build_error(version, IPPROTO_UDP, QUOTED_DATA), whole);
            memcpy(build_icmp(version, unreachable(version), length), head, length);
            assert_false(quoted(&quote));
        }
    }
}

static void broken_quotes_are_refused(void **state)
{
    struct icmp_quote quote;

    (void)state;
    for (unsigned first = 0; first < 256; first++) {
        build_error(4, IPPROTO_UDP, QUOTED_DATA)[0] = (uint8_t)first;
        assert_int_equal(quoted(&quote), first == 0x45);
        build_error(6, IPPROTO_UDP, QUOTED_DATA)[0] = (uint8_t)first;
        assert_int_equal(quoted(&quote), first >> 4 == 6);
    }
    /* With options there are as many more bytes to be there. */
    build_error(4, IPPROTO_UDP, QUOTED_DATA + 40)[0] = 0x4f;
    assert_true(quoted(&quote));
    build_error(4, IPPROTO_UDP, QUOTED_DATA + 39)[0] = 0x4f;
    assert_false(quoted(&quote));
}

static void errors_about_errors_are_refused(void **state)
{
    struct icmp_quote quote;

    (void)state;
    for (unsigned type = 0; type < 256; type++) {
        build_error(4, IPPROTO_ICMP, QUOTED_DATA)[20] = (uint8_t)type;
        assert_int_equal(quoted(&quote), type == 0 || type == 8 || type == 13 || type == 14);
        build_error(6, IPPROTO_ICMPV6, QUOTED_DATA)[40] = (uint8_t)type;
        assert_int_equal(quoted(&quote), type == 128 || type == 129);
    }
    /* A later fragment's first byte is no type. */
    uint8_t *later = build_error(4, IPPROTO_ICMP, QUOTED_DATA);
    later[7] = 9;
    later[20] = 3;
    assert_true(quoted(&quote));
}

static void extensions_are_walked(void **state)
{
    struct icmp_quote quote;
    uint8_t *extension;

    (void)state;
    static const uint8_t walked[] = {IPPROTO_HOPOPTS, IPPROTO_DSTOPTS, IPPROTO_ROUTING,
                                     IPPROTO_FRAGMENT};
    for (size_t i = 0; i < sizeof(walked); i++) {
        extension = build_error(6, walked[i], 16) + 40;
        memset(extension, 0, 16);
        extension[0] = IPPROTO_UDP;
        assert_true(quoted(&quote));
        extension[0] = IPPROTO_ICMPV6;
        extension[8] = 1; /* an error */
        assert_false(quoted(&quote));
        extension = build_error(6, walked[i], 15) + 40; /* 7 bytes behind it */
        memset(extension, 0, 15);
        extension[0] = IPPROTO_UDP;
        assert_false(quoted(&quote));
    }
    extension = build_error(6, IPPROTO_ROUTING, 16) + 40;
    memset(extension, 0, 16);
    extension[3] = 1; /* segments left: dst is not where it went */
    assert_false(quoted(&quote));
    extension = build_error(6, IPPROTO_AH, 32) + 40;
    memset(extension, 0, 32);
    extension[0] = IPPROTO_TCP;
    extension[1] = 4; /* 24 bytes */
    assert_true(quoted(&quote));
    extension[1] = 5;
    assert_false(quoted(&quote));
    /* A later fragment: what follows is no header. */
    extension = build_error(6, IPPROTO_FRAGMENT, 16) + 40;
    memset(extension, 0, 16);
    extension[0] = IPPROTO_ICMPV6;
    extension[2] = 1;
    extension[8] = 1;
    assert_true(quoted(&quote));
}

static void endless_extensions_are_refused(void **state)
{
    struct icmp_quote quote;
    uint8_t *extension = build_error(6, IPPROTO_DSTOPTS, 8 * 32) + 40;

    (void)state;
    memset(extension, 0, 8 * 32);
    for (unsigned i = 0; i < 31; i++)
        extension[8 * i] = IPPROTO_DSTOPTS;
    extension[8 * 31] = IPPROTO_UDP;
    assert_false(quoted(&quote));
}

static void fragmented_errors_are_refused(void **state)
{
    struct icmp_quote quote;

    (void)state;
    build_error(4, IPPROTO_UDP, QUOTED_DATA);
    packet[6] = 0x20; /* more to come */
    parsed = parse_good(packet, parsed.total_length);
    assert_int_equal(icmp_kind(packet, &parsed), ICMP_ERROR);
    assert_false(quoted(&quote));
}

/* ---- the policy ---- */

static enum policy_verdict judge(bool parent)
{
    /* To a parent the error comes from its enclave, which is near; to an enclave, which is far,
     * from anywhere. */
    struct policy_parent at_parent = {.own4 = addr(near[0]), .own6 = addr(near[1])};
    struct policy_enclave at_enclave = {.own4 = addr(far[0]), .own6 = addr(far[1])};
    struct ip_prefix inside4, inside6;

    assert_true(prefix_parse("172.30.0.0/16", &inside4) && prefix_parse("fd00:d::/64", &inside6));
    prefix_table_add(&at_enclave.inside, &inside4);
    prefix_table_add(&at_enclave.inside, &inside6);
    return parent ? policy_judge_parent(&at_parent, packet, &parsed)
                  : policy_judge_enclave(&at_enclave, packet, &parsed);
}

static void set_quoted(uint8_t *quote, int version, const char *src, const char *dst)
{
    struct ip_addr s = addr(src), d = addr(dst);
    size_t bytes = version == 4 ? 4 : 16;

    memcpy(quote + (version == 4 ? 12 : 8), s.bytes, bytes);
    memcpy(quote + (version == 4 ? 12 : 8) + bytes, d.bytes, bytes);
}

static void errors_about_what_was_sent_pass(void **state)
{
    (void)state;
    for (int version = 4; version <= 6; version += 2) {
        build_error(version, IPPROTO_TCP, QUOTED_DATA);
        assert_int_equal(judge(true), POLICY_PASS);
        assert_int_equal(judge(false), POLICY_PASS);
    }
}

/* What the receiver did not send to the sender of the error. */
static void forged_quotes_are_refused(void **state)
{
    static const struct {
        int version;
        bool parent;
        const char *src, *dst;
    } forged[] = {
        {4, true, "198.51.100.2", "203.0.113.1"}, /* not to the enclave */
        {4, true, "203.0.113.1", "192.0.2.1"},    /* not from whom the error goes to */
        {4, true, "192.0.2.1", "198.51.100.2"},   /* the enclave's own packet */
        {6, true, "2001:db8:1::2", "2001:db8:9::1"}, {6, true, "2001:db8:9::1", "2001:db8::1"},
        {4, false, "127.0.0.1", "127.0.0.1"},        {4, false, "172.30.0.1", "172.30.0.2"},
        {4, false, "198.51.100.2", "127.0.0.1"},     {4, false, "198.51.100.2", "198.51.100.2"},
        {4, false, "198.51.100.2", "172.30.0.2"},    {6, false, "::1", "::1"},
        {6, false, "2001:db8:1::2", "fd00:d::2"},    {6, false, "2001:db8:1::2", "2001:db8:1::2"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(forged) / sizeof(forged[0]); i++) {
        uint8_t *quote = build_error(forged[i].version, IPPROTO_UDP, QUOTED_DATA);
        set_quoted(quote, forged[i].version, forged[i].src, forged[i].dst);
        if (judge(forged[i].parent) != POLICY_QUOTE)
            fail_msg("%s > %s passes", forged[i].src, forged[i].dst);
    }
}

static void addresses_come_first(void **state)
{
    (void)state;
    build_error(4, IPPROTO_UDP, QUOTED_DATA);
    parsed.src.bytes[3] = 77;
    assert_int_equal(judge(true), POLICY_SOURCE);
    parsed.dst.bytes[3] = 77;
    assert_int_equal(judge(false), POLICY_DESTINATION);
}

static void messages_between_neighbours_are_refused(void **state)
{
    (void)state;
    build_icmp(4, 5, 28);
    assert_int_equal(judge(true), POLICY_ICMP);
    assert_int_equal(judge(false), POLICY_ICMP);
    build_icmp(6, 134, 28);
    assert_int_equal(judge(true), POLICY_ICMP);
    assert_int_equal(judge(false), POLICY_ICMP);
    build_icmp(6, 128, 28);
    assert_int_equal(judge(true), POLICY_PASS);
    assert_int_equal(judge(false), POLICY_PASS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(kinds),
        cmocka_unit_test(other_protocols_are_none),
        cmocka_unit_test(packets_of_headers_alone_are_none),
        cmocka_unit_test(later_fragment_is_none),
        cmocka_unit_test(quote_is_read),
        cmocka_unit_test(cut_quotes_are_refused),
        cmocka_unit_test(broken_quotes_are_refused),
        cmocka_unit_test(errors_about_errors_are_refused),
        cmocka_unit_test(extensions_are_walked),
        cmocka_unit_test(endless_extensions_are_refused),
        cmocka_unit_test(fragmented_errors_are_refused),
        cmocka_unit_test(errors_about_what_was_sent_pass),
        cmocka_unit_test(forged_quotes_are_refused),
        cmocka_unit_test(addresses_come_first),
        cmocka_unit_test(messages_between_neighbours_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
