/* SPDX-License-Identifier: Apache-2.0 */
#include "packet/addr.h"

#include "tests/unit/packet_build.h"

static struct ip_addr addr(const char *text)
{
    struct ip_addr out;
    assert_true(addr_parse(text, &out));
    return out;
}

static struct ip_prefix prefix(const char *text)
{
    struct ip_prefix out;
    assert_true(prefix_parse(text, &out));
    return out;
}

static void parses_addresses(void **state)
{
    (void)state;
    struct ip_addr four = addr("192.0.2.1"), six = addr("2001:db8::1");
    static const uint8_t four_bytes[16] = {192, 0, 2, 1};
    static const uint8_t six_bytes[16] = {0x20, 0x01, 0x0d, 0xb8, [15] = 1};

    assert_int_equal(four.version, 4);
    assert_memory_equal(four.bytes, four_bytes, 16);
    assert_int_equal(six.version, 6);
    assert_memory_equal(six.bytes, six_bytes, 16);
    assert_int_equal(addr_bits(&four), 32);
    assert_int_equal(addr_bits(&six), 128);
    assert_int_equal(addr_bits(&(struct ip_addr){0}), 0);
}

static void knows_special_addresses(void **state)
{
    (void)state;
    struct ip_addr none = {0}, any4 = addr("0.0.0.0"), any6 = addr("::");
    struct ip_addr low = addr("127.255.0.1"), six = addr("::1"), other = addr("128.0.0.1");

    assert_true(addr_is_any(&any4) && addr_is_any(&any6));
    assert_false(addr_is_any(&none) || addr_is_any(&low) || addr_is_any(&six));
    assert_true(addr_is_loopback(&low) && addr_is_loopback(&six));
    assert_false(addr_is_loopback(&none) || addr_is_loopback(&any6) || addr_is_loopback(&other));
}

static void refuses_bad_addresses(void **state)
{
    (void)state;
    static const char *const bad[] = {"",          " 192.0.2.1", "192.0.2.1 ",  "192.0.2",
                                      "1.2.3.4.5", "256.0.0.1",  "::1%lo",      "1::2::3",
                                      "12345::",   "none",       "192.0.2.1/32"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct ip_addr out, before;
        memset(&out, 0xa5, sizeof(out));
        before = out;
        assert_false(addr_parse(bad[i], &out));
        assert_memory_equal(&out, &before, sizeof(out));
    }
}

static void parses_prefixes(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        uint8_t length;
    } good[] = {{"192.0.2.0/24", 24},    {"192.0.2.1", 32}, {"0.0.0.0/0", 0},
                {"2001:db8::/32", 32},   {"::1", 128},      {"::/0", 0},
                {"2001:db8::8/125", 125}};
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
        assert_int_equal(prefix(good[i].text).length, good[i].length);

    static const char *const bad[] = {
        "192.0.2.1/24",         "192.0.2.0/33",
        "192.0.2.0/",           "192.0.2.0/+8",
        "192.0.2.0/024",        "192.0.2.0/ 8",
        "192.0.2.0/8 ",         "2001:db8::/129",
        "2001:db8::1/64",       "/8",
        "192.0.2.0/4294967320", "11111111111111111111111111111111111111111111111111/8",
        "192.0.2.0/24/24",      "192.0.2.0/1000",
        "2001:db8::8/124",      "1111111111111111111111111111111111111111111111111111111111111/8"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct ip_prefix out;
        if (prefix_parse(bad[i], &out))
            fail_msg("accepted %s", bad[i]);
    }
}

static void formats_what_it_parses(void **state)
{
    (void)state;
    static const char *const texts[] = {"192.0.2.0/24", "0.0.0.0/0", "2001:db8::/32", "::/0",
                                        "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff/128"};
    char out[ADDR_TEXT_BYTES];
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        struct ip_prefix p = prefix(texts[i]);
        assert_string_equal(prefix_format(&p, out), texts[i]);
    }
    struct ip_addr four = addr("192.0.2.1");
    assert_string_equal(addr_format(&four, out), "192.0.2.1");
    assert_string_equal(addr_format(&(struct ip_addr){0}, out), "none");
    assert_string_equal(prefix_format(&(struct ip_prefix){0}, out), "none");
}

static void equality_is_by_family_and_bytes(void **state)
{
    (void)state;
    struct ip_addr a = addr("10.0.0.1"), b = addr("10.0.0.1"), six = addr("a00:1::");
    assert_true(addr_equal(&a, &b));
    assert_memory_equal(a.bytes, six.bytes, 16); /* the same bytes, another family */
    assert_false(addr_equal(&a, &six));
    for (unsigned i = 0; i < 16; i++) {
        struct ip_addr c = six;
        c.bytes[i] ^= 0x10;
        assert_false(addr_equal(&c, &six));
    }
}

static bool bit(const struct ip_addr *a, unsigned i)
{
    return a->bytes[i / 8] >> (7 - i % 8) & 1;
}

static bool slow_contains(const struct ip_prefix *p, const struct ip_addr *a)
{
    if (p->addr.version != a->version)
        return false;
    for (unsigned i = 0; i < p->length; i++)
        if (bit(&p->addr, i) != bit(a, i))
            return false;
    return true;
}

static void contains_agrees_with_bit_by_bit(void **state)
{
    (void)state;
    for (unsigned round = 0; round < 20000; round++) {
        struct ip_prefix p = {.addr.version = round % 2 ? 4 : 6};
        unsigned bits = addr_bits(&p.addr);
        random_fill(p.addr.bytes, bits / 8);
        p.length = (uint8_t)random_below(bits + 1);
        struct ip_addr a = p.addr;
        for (unsigned flips = random_below(3); flips > 0; flips--) {
            unsigned i = random_below(bits);
            a.bytes[i / 8] ^= (uint8_t)(0x80 >> i % 8);
        }
        assert_int_equal(prefix_contains(&p, &a), slow_contains(&p, &a));

        struct ip_prefix inner = {.addr = a, .length = (uint8_t)random_below(bits + 1)};
        assert_int_equal(prefix_covers(&p, &inner),
                         inner.length >= p.length && slow_contains(&p, &a));
    }
}

static void families_do_not_mix(void **state)
{
    (void)state;
    struct ip_prefix any4 = prefix("0.0.0.0/0"), any6 = prefix("::/0");
    struct ip_addr four = addr("192.0.2.1"), six = addr("::1");
    assert_true(prefix_contains(&any4, &four));
    assert_false(prefix_contains(&any4, &six));
    assert_false(prefix_contains(&any6, &four));
    assert_false(prefix_contains(&(struct ip_prefix){0}, &(struct ip_addr){0}));
}

static void nth_counts_inside_the_prefix(void **state)
{
    (void)state;
    static const struct {
        const char *prefix;
        uint32_t index;
        const char *result; /* NULL: does not fit */
    } cases[] = {
        {"100.127.0.0/16", 0, "100.127.0.0"},
        {"100.127.0.0/16", 258, "100.127.1.2"},
        {"100.127.0.0/16", 65535, "100.127.255.255"},
        {"100.127.0.0/16", 65536, NULL},
        {"192.0.2.7/32", 0, "192.0.2.7"},
        {"192.0.2.7/32", 1, NULL},
        {"0.0.0.0/0", 4294967295u, "255.255.255.255"},
        {"fd00:1::/64", 4294967295u, "fd00:1::ffff:ffff"},
        {"fd00:1::/112", 65536, NULL},
        {"fd00:1::8/125", 7, "fd00:1::f"},
        {"fd00:1::8/125", 8, NULL},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct ip_prefix p = prefix(cases[i].prefix);
        struct ip_addr out;
        assert_int_equal(prefix_nth(&p, cases[i].index, &out), cases[i].result != NULL);
        if (cases[i].result) {
            struct ip_addr expected = addr(cases[i].result);
            assert_true(addr_equal(&out, &expected));
        }
    }
    struct ip_addr out;
    assert_false(prefix_nth(&(struct ip_prefix){0}, 0, &out));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(parses_addresses),
        cmocka_unit_test(knows_special_addresses),
        cmocka_unit_test(refuses_bad_addresses),
        cmocka_unit_test(parses_prefixes),
        cmocka_unit_test(formats_what_it_parses),
        cmocka_unit_test(equality_is_by_family_and_bytes),
        cmocka_unit_test(contains_agrees_with_bit_by_bit),
        cmocka_unit_test(families_do_not_mix),
        cmocka_unit_test(nth_counts_inside_the_prefix),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
