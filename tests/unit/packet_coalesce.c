/* SPDX-License-Identifier: Apache-2.0 */
/* What is joined must come apart again into the very datagrams that went in. */
#include "packet/coalesce.h"

#include <netinet/in.h>

#include "packet/segment.h"
#include "tests/unit/packet_build.h"

#define GAP          24 /* a frame header between datagrams, as on the link */
#define PARTIAL      OFFLOAD_CHECKSUM_PARTIAL
#define DF           0x4000
#define TOGETHER_MAX (COALESCE_MAX + 1)

static uint8_t memory[TOGETHER_MAX * 2048], originals[TOGETHER_MAX][2048];
static uint8_t *packets[TOGETHER_MAX];
static size_t lengths[TOGETHER_MAX];
static struct coalescer coalescer;

static void fix_header_checksum(uint8_t *packet)
{
    if (packet[0] >> 4 != 4)
        return;
    store_be16(packet + 10, 0);
    store_be16(packet + 10, slow_checksum(packet, 20));
}

/* Writes datagrams of the payloads one behind the other, identification counting up. */
static void lay_out(uint8_t version, uint16_t fragment, const size_t *payloads, unsigned count)
{
    uint8_t *at = memory + GAP;

    for (unsigned i = 0; i < count; i++) {
        struct packet_spec spec = {.version = version,
                                   .protocol = IPPROTO_UDP,
                                   .fragment = version == 4 ? fragment : 0,
                                   .tos = 2,
                                   .payload = payloads[i]};
        packets[i] = at;
        lengths[i] = build_packet(at, &spec);
        if (version == 4)
            store_be16(at + 4, (uint16_t)(0xfffe + i)); /* wraps */
        fix_header_checksum(at);
        memcpy(originals[i], at, lengths[i]);
        at += lengths[i] + GAP;
    }
}

static bool begin(unsigned i, uint8_t flags)
{
    struct parsed_packet parsed = parse_good(packets[i], lengths[i]);

    return coalesce_begin(&coalescer, packets[i], &parsed, (struct offload){.flags = flags});
}

static bool add(unsigned i, uint8_t flags)
{
    struct parsed_packet parsed = parse_good(packets[i], lengths[i]);

    return coalesce_add(&coalescer, packets[i], &parsed, (struct offload){.flags = flags});
}

/* Ends, segments, and compares with the first `count` originals. */
static void assert_comes_apart(unsigned count)
{
    static uint8_t out[2048];
    struct parsed_packet parsed, again;
    struct segmenter segmenter;
    uint8_t *whole = coalescer.packet;
    bool dont_fragment = coalescer.parsed.dont_fragment;

    assert_int_equal(coalescer.count, count);
    struct offload offload = coalesce_end(&coalescer, &parsed);
    assert_int_equal(coalescer.count, 0);
    again = parse_good(whole, parsed.total_length);
    assert_int_equal(again.total_length, parsed.total_length);
    assert_int_equal(offload.gso_size, count > 1 ? lengths[0] - parsed.transport_offset - 8 : 0);
    assert_int_equal(segment_init(&segmenter, whole, &parsed, offload), OFFLOAD_OK);
    for (unsigned i = 0; i < count; i++) {
        assert_int_equal(segment_next(&segmenter, out, sizeof(out)), lengths[i]);
        if (count > 1 && parsed.src.version == 4 && dont_fragment) { /* RFC 6864: no meaning */
            memcpy(out + 4, originals[i] + 4, 2);
            fix_header_checksum(out);
        }
        assert_memory_equal(out, originals[i], lengths[i]);
    }
    assert_int_equal(segment_next(&segmenter, out, sizeof(out)), 0);
}

static void joined_and_apart(void **state)
{
    (void)state;
    for (unsigned round = 0; round < 400; round++) {
        size_t payloads[TOGETHER_MAX], size = 1 + random_below(900);
        unsigned count = 1 + random_below(COALESCE_MAX);
        uint8_t flags = round & 4 ? PARTIAL : 0;
        for (unsigned i = 0; i < count; i++)
            payloads[i] = size;
        payloads[count - 1] = 1 + random_below((uint32_t)size);
        lay_out(round & 1 ? 4 : 6, round & 2 ? DF : 0, payloads, count);
        if (flags) /* whatever stands there: the kernel's part is to fill it in */
            for (unsigned i = 0; i < count; i++)
                store_be16(packets[i] + (round & 1 ? 26 : 46), (uint16_t)random_u64());
        assert_true(begin(0, count > 1 ? flags : 0));
        if (count == 1 && flags)
            memcpy(packets[0], originals[0], lengths[0]);
        for (unsigned i = 1; i < count; i++)
            assert_true(add(i, flags));
        assert_comes_apart(count);
    }
}

/* Some sums left to the kernel, some not: all are right in the end. */
static void sums_of_both_kinds(void **state)
{
    static const size_t payloads[] = {500, 500, 500, 20};

    (void)state;
    lay_out(4, DF, payloads, 4);
    memset(packets[1] + 26, 0xee, 2);
    assert_true(begin(0, 0) && add(1, PARTIAL) && add(2, 0) && add(3, 0));
    assert_comes_apart(4);
}

static void a_shorter_one_is_the_last(void **state)
{
    static const size_t payloads[] = {300, 299, 299};

    (void)state;
    lay_out(6, 0, payloads, 3);
    assert_true(begin(0, 0) && add(1, 0));
    assert_false(add(2, 0));
    assert_comes_apart(2);
}

static void at_most_so_many(void **state)
{
    size_t payloads[TOGETHER_MAX];

    (void)state;
    for (unsigned i = 0; i < TOGETHER_MAX; i++)
        payloads[i] = 10;
    lay_out(4, DF, payloads, TOGETHER_MAX);
    assert_true(begin(0, 0));
    for (unsigned i = 1; i < COALESCE_MAX; i++)
        assert_true(add(i, 0));
    assert_false(add(COALESCE_MAX, 0));
    assert_comes_apart(COALESCE_MAX);
}

static void at_most_so_long(void **state)
{
    size_t payloads[TOGETHER_MAX];
    unsigned fit = (65535 - 28) / 1472;

    (void)state;
    for (unsigned i = 0; i < TOGETHER_MAX; i++)
        payloads[i] = 1472;
    lay_out(4, DF, payloads, fit + 1);
    assert_true(begin(0, 0));
    for (unsigned i = 1; i < fit; i++)
        assert_true(add(i, 0));
    assert_false(add(fit, 0));
    assert_comes_apart(fit);
}

/* ---- what is left alone ---- */

static const size_t two_alike[] = {100, 100};

/* Changes a byte of the second datagram, mends the sums, and expects it to stay outside. */
static void assert_kept_apart(uint8_t version, uint16_t fragment, size_t at, uint8_t change)
{
    lay_out(version, fragment, two_alike, 2);
    size_t udp = version == 4 ? 20 : 40;
    packets[1][at] ^= change;
    fix_header_checksum(packets[1]);
    store_be16(packets[1] + udp + 6, 0);
    uint16_t sum = slow_transport_checksum(packets[1], IPPROTO_UDP, packets[1] + udp, 108);
    store_be16(packets[1] + udp + 6, sum);
    memcpy(originals[1], packets[1], lengths[1]);
    assert_true(begin(0, 0));
    assert_false(add(1, 0));
    assert_memory_equal(packets[1], originals[1], lengths[1]);
    assert_comes_apart(1);
}

static void other_headers(void **state)
{
    static const size_t ipv4[] = {1 /* TOS */, 8 /* TTL */, 12, 15, 16, 19, 20, 21, 22, 23};
    static const size_t ipv6[] = {1 /* class */, 3 /* flow */, 7, 8, 23, 24, 39, 40, 41, 42, 43};

    (void)state;
    for (size_t i = 0; i < sizeof(ipv4) / sizeof(ipv4[0]); i++)
        assert_kept_apart(4, DF, ipv4[i], 0x10);
    for (size_t i = 0; i < sizeof(ipv6) / sizeof(ipv6[0]); i++)
        assert_kept_apart(6, 0, ipv6[i], 1);
    assert_kept_apart(4, DF, 6, 0x40); /* the second may be fragmented */
    assert_kept_apart(4, DF, 6, 0x80); /* the reserved bit */
    assert_kept_apart(4, 0, 5, 1);     /* identification does not count up */
}

/* The changed bytes are not mended: a damaged datagram stays damaged, and by itself. */
static void damaged_bytes(void **state)
{
    static const size_t at[] = {10 /* header sum */, 26 /* UDP sum */, 28, 127};

    (void)state;
    for (size_t i = 0; i < sizeof(at) / sizeof(at[0]); i++)
        for (unsigned damaged = 0; damaged < 2; damaged++) {
            lay_out(4, DF, two_alike, 2);
            packets[damaged][at[i]] ^= 0x55;
            memcpy(originals[damaged], packets[damaged], lengths[damaged]);
            assert_true(begin(0, 0));
            assert_false(add(1, 0));
            assert_comes_apart(1);
            assert_memory_equal(packets[1], originals[1], lengths[1]);
        }
}

/* A UDP sum of zero means none (RFC 768); segmentation would make one. */
static void without_a_sum(void **state)
{
    (void)state;
    for (unsigned bare = 0; bare < 2; bare++) {
        lay_out(4, DF, two_alike, 2);
        store_be16(packets[bare] + 26, 0);
        memcpy(originals[bare], packets[bare], lengths[bare]);
        assert_true(begin(0, 0));
        assert_false(add(1, 0));
        assert_comes_apart(1);
    }
}

static bool begins(const struct packet_spec *spec, struct offload offload)
{
    lengths[0] = build_packet(memory, spec);
    struct parsed_packet parsed = parse_good(memory, lengths[0]);
    bool began = coalesce_begin(&coalescer, memory, &parsed, offload);

    assert_int_equal(coalescer.count, began);
    return began;
}

static void no_candidates(void **state)
{
    static const uint8_t options[] = {1, 1, 1, 0};
    static const uint8_t chain[] = {IPPROTO_HOPOPTS}, part[] = {IPPROTO_FRAGMENT};
    struct packet_spec udp = {.version = 4, .protocol = IPPROTO_UDP, .payload = 100};
    struct packet_spec spec = udp;

    (void)state;
    assert_true(begins(&udp, (struct offload){0}));
    assert_false(begins(&udp, (struct offload){.gso_size = 50}));
    assert_false(begins(&udp, (struct offload){.flags = 2}));
    spec.protocol = IPPROTO_TCP;
    assert_false(begins(&spec, (struct offload){0}));
    spec = udp;
    spec.payload = 0;
    assert_false(begins(&spec, (struct offload){0}));
    spec = udp;
    spec.options = options;
    spec.options_bytes = 4;
    assert_false(begins(&spec, (struct offload){0}));
    spec = udp;
    spec.fragment = 0x2000;
    assert_false(begins(&spec, (struct offload){0}));
    spec = (struct packet_spec){.version = 6, .protocol = IPPROTO_UDP, .payload = 100};
    assert_true(begins(&spec, (struct offload){0}));
    spec.extension_count = 1;
    spec.extensions = chain;
    assert_false(begins(&spec, (struct offload){0}));
    spec.extensions = part; /* an atomic fragment, RFC 6946 */
    assert_false(begins(&spec, (struct offload){0}));
}

/* Bytes behind the datagram that UDP's own length leaves out. */
static void a_shorter_udp_length(void **state)
{
    (void)state;
    lay_out(4, DF, two_alike, 2);
    store_be16(packets[0] + 24, 60);
    assert_false(begin(0, PARTIAL));
    store_be16(packets[0] + 24, 108);
    store_be16(packets[1] + 24, 60);
    assert_true(begin(0, PARTIAL));
    assert_false(add(1, PARTIAL));
}

static void two_families(void **state)
{
    (void)state;
    lay_out(4, DF, two_alike, 1);
    uint8_t *first = packets[0];
    size_t first_length = lengths[0];
    packets[1] = first + first_length + GAP;
    lengths[1] = build_packet(
        packets[1],
        &(struct packet_spec){.version = 6, .protocol = IPPROTO_UDP, .payload = two_alike[1]});
    assert_true(begin(0, 0));
    assert_false(add(1, 0));
    assert_comes_apart(1);
}

static void nothing_to_add_to(void **state)
{
    (void)state;
    coalescer.count = 0;
    lay_out(4, DF, two_alike, 2);
    assert_false(add(1, 0));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(joined_and_apart),
        cmocka_unit_test(sums_of_both_kinds),
        cmocka_unit_test(a_shorter_one_is_the_last),
        cmocka_unit_test(at_most_so_many),
        cmocka_unit_test(at_most_so_long),
        cmocka_unit_test(other_headers),
        cmocka_unit_test(damaged_bytes),
        cmocka_unit_test(without_a_sum),
        cmocka_unit_test(no_candidates),
        cmocka_unit_test(a_shorter_udp_length),
        cmocka_unit_test(two_families),
        cmocka_unit_test(nothing_to_add_to),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
