/* SPDX-License-Identifier: Apache-2.0 */
#include "packet/policy.h"

#include "tests/unit/packet_build.h"

static struct ip_addr addr(const char *text)
{
    struct ip_addr out;
    if (!addr_parse(text, &out))
        fail_msg("not an address: %s", text);
    return out;
}

static struct ip_prefix prefix(const char *text)
{
    struct ip_prefix out;
    if (!prefix_parse(text, &out))
        fail_msg("not a prefix: %s", text);
    return out;
}

static bool in_table(const struct prefix_table *table, const char *text)
{
    struct ip_addr a = addr(text);
    return prefix_table_contains(table, &a);
}

static struct policy_parent parent(void)
{
    return (struct policy_parent){.own4 = addr("100.127.0.2"), .own6 = addr("fd00:1::2")};
}

static enum policy_verdict check_parent(const struct policy_parent *policy, const char *src,
                                        const char *dst)
{
    struct ip_addr s = addr(src), d = addr(dst);
    return policy_check_parent(policy, &s, &d);
}

static void tables_are_well_formed(void **state)
{
    (void)state;
    const struct prefix_table *const tables[] = {&policy_never, &policy_closed, &policy_private};
    for (unsigned t = 0; t < 3; t++) {
        assert_true(tables[t]->count <= PREFIX_TABLE_MAX);
        for (size_t i = 0; i < PREFIX_TABLE_MAX; i++) {
            const struct ip_prefix *p = &tables[t]->entries[i];
            char text[ADDR_TEXT_BYTES];
            struct ip_prefix again;
            prefix_format(p, text);
            if (i >= tables[t]->count) {
                assert_string_equal(text, "none");
                continue;
            }
            assert_true(prefix_parse(text, &again)); /* a family, and no host bits */
            assert_memory_equal(&again, p, sizeof(again));
        }
    }
}

static void never_table(void **state)
{
    (void)state;
    static const char *const in[] = {"0.0.0.0",
                                     "127.0.0.1",
                                     "127.255.255.255",
                                     "224.0.0.1",
                                     "239.255.255.255",
                                     "255.255.255.255",
                                     "::",
                                     "::1",
                                     "::c000:201",
                                     "::ffff:192.0.2.1",
                                     "::ffff:169.254.169.254",
                                     "ff02::1",
                                     "ff0e::1",
                                     "64:ff9b::127.0.0.1",
                                     "64:ff9b::224.0.0.1",
                                     "64:ff9b::0.0.0.0",
                                     "64:ff9b::255.255.255.255",
                                     "2002:7f00:1::1",
                                     "2002:e000:1::",
                                     "2002::1",
                                     "2002:ffff:ffff::1"};
    static const char *const out[] = {"0.0.0.1",           "126.255.255.255",  "128.0.0.1",
                                      "223.255.255.255",   "240.0.0.1",        "255.255.255.254",
                                      "::1:0:0",           "::fffe:192.0.2.1", "64:ff9b::8.8.8.8",
                                      "64:ff9b::1:7f00:1", "2002:808:808::1",  "2606:4700::1111",
                                      "8.8.8.8",           "fe80::1"};
    for (size_t i = 0; i < sizeof(in) / sizeof(in[0]); i++)
        if (!in_table(&policy_never, in[i]))
            fail_msg("%s is not in policy_never", in[i]);
    for (size_t i = 0; i < sizeof(out) / sizeof(out[0]); i++)
        if (in_table(&policy_never, out[i]))
            fail_msg("%s is in policy_never", out[i]);
}

static void closed_table(void **state)
{
    (void)state;
    static const char *const in[] = {"169.254.169.254",
                                     "169.254.0.0",
                                     "169.254.255.255",
                                     "fe80::1",
                                     "febf::1",
                                     "fd00:ec2::254",
                                     "64:ff9b::169.254.169.254",
                                     "2002:a9fe:a9fe::1",
                                     "64:ff9b:1::1",
                                     "64:ff9b:1:fffe::169.254.169.254",
                                     "168.63.129.16",
                                     "64:ff9b::168.63.129.16",
                                     "2002:a83f:8110::1",
                                     "100.100.100.200",
                                     "64:ff9b::100.100.100.200",
                                     "192.0.0.192",
                                     "2002:c000:c0::1",
                                     "fec0::1",
                                     "feff::1",
                                     "fd00:ec2::253",
                                     "fd00:ec2:ffff::1",
                                     "fd20:ce::254",
                                     "fd00:42::42",
                                     "::ffff:0:10.0.0.1",
                                     "2001:0:1::1",
                                     "5f00::1"};
    static const char *const out[] = {
        "169.253.255.255", "169.255.0.0", "ff00::1",       "fd00:ec3::254", "64:ff9b::8.8.8.8",
        "64:ff9b:2::1",    "fe7f::1",     "168.63.129.15", "168.63.129.17", "100.100.100.199",
        "192.0.0.191",     "2001:1::1",   "fd20:ce::253",  "fd00:42::43",   "::fffe:0:0:1",
        "5f01::1",         "2001:db8::1"};
    for (size_t i = 0; i < sizeof(in) / sizeof(in[0]); i++)
        if (!in_table(&policy_closed, in[i]))
            fail_msg("%s is not in policy_closed", in[i]);
    for (size_t i = 0; i < sizeof(out) / sizeof(out[0]); i++)
        if (in_table(&policy_closed, out[i]))
            fail_msg("%s is in policy_closed", out[i]);
}

static void private_table(void **state)
{
    (void)state;
    static const char *const in[] = {"10.1.2.3",
                                     "172.16.0.1",
                                     "172.31.255.255",
                                     "192.168.1.1",
                                     "100.64.0.1",
                                     "100.127.255.255",
                                     "198.18.0.1",
                                     "198.19.255.255",
                                     "0.1.2.3",
                                     "240.0.0.1",
                                     "192.0.0.1",
                                     "192.0.0.170",
                                     "64:ff9b::192.0.0.9",
                                     "2001:1::1",
                                     "2001:2::1",
                                     "2001:2:0:ffff::1",
                                     "fc00::1",
                                     "fdff::1",
                                     "64:ff9b::10.0.0.1",
                                     "64:ff9b::172.16.0.1",
                                     "64:ff9b::192.168.0.1",
                                     "2002:a00:1::1"};
    static const char *const out[] = {
        "11.0.0.1",          "172.32.0.1", "172.15.0.1",  "192.169.0.1", "100.63.0.1",
        "100.128.0.1",       "198.20.0.1", "198.17.0.1",  "fe00::1",     "fb00::1",
        "64:ff9b::11.0.0.1", "192.0.1.1",  "2001:2:1::1", "2001:3::1"};
    for (size_t i = 0; i < sizeof(in) / sizeof(in[0]); i++)
        if (!in_table(&policy_private, in[i]))
            fail_msg("%s is not in policy_private", in[i]);
    for (size_t i = 0; i < sizeof(out) / sizeof(out[0]); i++)
        if (in_table(&policy_private, out[i]))
            fail_msg("%s is in policy_private", out[i]);
}

static void table_has_an_end(void **state)
{
    (void)state;
    struct prefix_table table = {0};
    struct ip_prefix p = prefix("192.0.2.0/24");
    for (unsigned i = 0; i < PREFIX_TABLE_MAX; i++)
        assert_true(prefix_table_add(&table, &p));
    assert_false(prefix_table_add(&table, &p));
    assert_int_equal(table.count, PREFIX_TABLE_MAX);
    assert_true(in_table(&table, "192.0.2.9"));
    table.count = 0; /* what stands behind the count is not asked */
    assert_false(in_table(&table, "192.0.2.9"));
}

static void parent_checks_the_source(void **state)
{
    (void)state;
    struct policy_parent policy = parent();
    assert_int_equal(check_parent(&policy, "100.127.0.2", "8.8.8.8"), POLICY_PASS);
    assert_int_equal(check_parent(&policy, "fd00:1::2", "2606:4700::1111"), POLICY_PASS);
    assert_int_equal(check_parent(&policy, "100.127.0.3", "8.8.8.8"), POLICY_SOURCE);
    assert_int_equal(check_parent(&policy, "0.0.0.0", "8.8.8.8"), POLICY_SOURCE);
    assert_int_equal(check_parent(&policy, "fd00:1::3", "2606:4700::1111"), POLICY_SOURCE);
    assert_int_equal(check_parent(&policy, "fe80::1", "ff02::2"), POLICY_SOURCE);
    policy.own6 = (struct ip_addr){0};
    assert_int_equal(check_parent(&policy, "fd00:1::2", "2606:4700::1111"), POLICY_SOURCE);
    assert_int_equal(check_parent(&policy, "::", "2606:4700::1111"), POLICY_SOURCE);
    policy.own4 = (struct ip_addr){0};
    assert_int_equal(check_parent(&policy, "0.0.0.0", "8.8.8.8"), POLICY_SOURCE);
}

static void parent_closes_the_metadata_service(void **state)
{
    (void)state;
    struct policy_parent policy = parent();
    static const char *const closed6[] = {
        "fd00:ec2::254",    "64:ff9b::169.254.169.254", "64:ff9b:1::a9fe:a9fe",
        "2002:a9fe:a9fe::", "::ffff:169.254.169.254",   "::169.254.169.254",
        "fe80::1"};
    assert_int_equal(check_parent(&policy, "100.127.0.2", "169.254.169.254"), POLICY_DESTINATION);
    for (size_t i = 0; i < sizeof(closed6) / sizeof(closed6[0]); i++)
        assert_int_equal(check_parent(&policy, "fd00:1::2", closed6[i]), POLICY_DESTINATION);
    assert_int_equal(check_parent(&policy, "fd00:1::2", "64:ff9b::8.8.8.8"), POLICY_PASS);
}

/* An --allow opens exactly what it names, and never what nothing opens. */
static void parent_opens_a_part(void **state)
{
    (void)state;
    struct policy_parent policy = parent();
    struct ip_prefix imds = prefix("169.254.169.254/32"), imds6 = prefix("fd00:ec2::254/128");
    struct ip_prefix everything = prefix("127.0.0.0/8");

    assert_true(prefix_table_add(&policy.opened, &imds));
    assert_int_equal(check_parent(&policy, "100.127.0.2", "169.254.169.254"), POLICY_PASS);
    assert_int_equal(check_parent(&policy, "100.127.0.2", "169.254.169.253"), POLICY_DESTINATION);
    assert_int_equal(check_parent(&policy, "100.127.0.2", "169.254.170.2"), POLICY_DESTINATION);
    assert_int_equal(check_parent(&policy, "fd00:1::2", "fd00:ec2::254"), POLICY_DESTINATION);
    assert_int_equal(check_parent(&policy, "fd00:1::2", "64:ff9b::169.254.169.254"),
                     POLICY_DESTINATION);
    assert_true(prefix_table_add(&policy.opened, &imds6));
    assert_int_equal(check_parent(&policy, "fd00:1::2", "fd00:ec2::254"), POLICY_PASS);
    assert_true(prefix_table_add(&policy.opened, &everything));
    assert_int_equal(check_parent(&policy, "100.127.0.2", "127.0.0.1"), POLICY_DESTINATION);
}

/* Private ranges are the stateful half's: not decided here. */
static void parent_leaves_private_ranges(void **state)
{
    (void)state;
    struct policy_parent policy = parent();
    assert_int_equal(check_parent(&policy, "100.127.0.2", "10.0.0.1"), POLICY_PASS);
    assert_int_equal(check_parent(&policy, "fd00:1::2", "fd00:2::1"), POLICY_PASS);
}

/* The short way past the tables, against the tables: every first two bytes, and both edges of every
 * entry with their neighbours. */
static void assert_agrees_with_tables(const struct policy_parent *policy, struct ip_addr dst)
{
    bool closed =
        prefix_table_contains(&policy_never, &dst) || prefix_table_contains(&policy_closed, &dst);
    const struct ip_addr *own = dst.version == 4 ? &policy->own4 : &policy->own6;
    assert_int_equal(policy_check_parent(policy, own, &dst),
                     closed ? POLICY_DESTINATION : POLICY_PASS);
}

static void step(struct ip_addr *a, int by)
{
    for (unsigned i = addr_bits(a) / 8; i-- > 0;) {
        a->bytes[i] = (uint8_t)(a->bytes[i] + by);
        if (by > 0 ? a->bytes[i] != 0 : a->bytes[i] != 255)
            break;
    }
}

static void parent_agrees_with_tables(void **state)
{
    (void)state;
    struct policy_parent policy = parent();
    for (uint32_t head = 0; head < 65536; head++)
        for (unsigned zero = 0; zero < 2; zero++) {
            struct ip_addr a = {.version = 4}, b = {.version = 6};
            if (!zero) {
                random_fill(a.bytes, 4);
                random_fill(b.bytes, 16);
            }
            store_be16(a.bytes, (uint16_t)head);
            store_be16(b.bytes, (uint16_t)head);
            assert_agrees_with_tables(&policy, a);
            assert_agrees_with_tables(&policy, b);
        }
    const struct prefix_table *const tables[] = {&policy_never, &policy_closed};
    for (unsigned t = 0; t < 2; t++)
        for (size_t i = 0; i < tables[t]->count; i++) {
            const struct ip_prefix *p = &tables[t]->entries[i];
            struct ip_addr first = p->addr, last = p->addr;
            for (unsigned bit = p->length; bit < addr_bits(&last); bit++)
                last.bytes[bit / 8] |= (uint8_t)(0x80 >> bit % 8);
            assert_agrees_with_tables(&policy, first);
            assert_agrees_with_tables(&policy, last);
            step(&first, -1);
            step(&last, 1);
            assert_agrees_with_tables(&policy, first);
            assert_agrees_with_tables(&policy, last);
        }
}

static enum policy_verdict check_enclave(const struct policy_enclave *policy, const char *src,
                                         const char *dst)
{
    struct ip_addr s = addr(src), d = addr(dst);
    return policy_check_enclave(policy, &s, &d);
}

static void enclave_takes_its_own_only(void **state)
{
    (void)state;
    struct policy_enclave policy = {.own4 = addr("100.127.0.2"), .own6 = addr("fd00:1::2")};
    static const char *const others[] = {"100.127.0.3", "172.17.0.2",      "127.0.0.1",
                                         "0.0.0.0",     "255.255.255.255", "224.0.0.1"};
    assert_int_equal(check_enclave(&policy, "8.8.8.8", "100.127.0.2"), POLICY_PASS);
    assert_int_equal(check_enclave(&policy, "2606:4700::1111", "fd00:1::2"), POLICY_PASS);
    for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++)
        assert_int_equal(check_enclave(&policy, "8.8.8.8", others[i]), POLICY_DESTINATION);
    assert_int_equal(check_enclave(&policy, "2606:4700::1111", "::1"), POLICY_DESTINATION);
    policy.own4 = (struct ip_addr){0};
    assert_int_equal(check_enclave(&policy, "8.8.8.8", "0.0.0.0"), POLICY_DESTINATION);
}

static void enclave_refuses_martians(void **state)
{
    (void)state;
    struct policy_enclave policy = {.own4 = addr("100.127.0.2"), .own6 = addr("fd00:1::2")};
    static const char *const martians4[] = {"100.127.0.2", "127.0.0.1", "0.0.0.0",
                                            "224.0.0.1",   "239.1.2.3", "255.255.255.255"};
    static const char *const martians6[] = {"fd00:1::2",
                                            "::1",
                                            "::",
                                            "ff02::1",
                                            "::ffff:127.0.0.1",
                                            "::ffff:8.8.8.8",
                                            "::8.8.8.8",
                                            "64:ff9b::127.0.0.1",
                                            "2002:7f00:1::1"};
    static const char *const fine4[] = {"8.8.8.8", "10.0.0.1", "192.168.1.1", "169.254.169.254",
                                        "100.127.0.1"};
    static const char *const fine6[] = {"2606:4700::1111", "fd00:1::1", "fd00:ec2::254", "fe80::1",
                                        "64:ff9b::8.8.8.8"};
    for (size_t i = 0; i < sizeof(martians4) / sizeof(martians4[0]); i++)
        assert_int_equal(check_enclave(&policy, martians4[i], "100.127.0.2"), POLICY_SOURCE);
    for (size_t i = 0; i < sizeof(martians6) / sizeof(martians6[0]); i++)
        assert_int_equal(check_enclave(&policy, martians6[i], "fd00:1::2"), POLICY_SOURCE);
    for (size_t i = 0; i < sizeof(fine4) / sizeof(fine4[0]); i++)
        assert_int_equal(check_enclave(&policy, fine4[i], "100.127.0.2"), POLICY_PASS);
    for (size_t i = 0; i < sizeof(fine6) / sizeof(fine6[0]); i++)
        assert_int_equal(check_enclave(&policy, fine6[i], "fd00:1::2"), POLICY_PASS);
}

static void enclave_refuses_its_containers_as_source(void **state)
{
    (void)state;
    struct policy_enclave policy = {.own4 = addr("100.127.0.2"), .own6 = addr("fd00:1::2")};
    struct ip_prefix docker = prefix("172.17.0.0/16"), docker6 = prefix("fd00:d::/64");
    assert_int_equal(check_enclave(&policy, "172.17.0.2", "100.127.0.2"), POLICY_PASS);
    assert_true(prefix_table_add(&policy.inside, &docker));
    assert_true(prefix_table_add(&policy.inside, &docker6));
    assert_int_equal(check_enclave(&policy, "172.17.0.2", "100.127.0.2"), POLICY_SOURCE);
    assert_int_equal(check_enclave(&policy, "172.18.0.2", "100.127.0.2"), POLICY_PASS);
    assert_int_equal(check_enclave(&policy, "fd00:d::2", "fd00:1::2"), POLICY_SOURCE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tables_are_well_formed),
        cmocka_unit_test(never_table),
        cmocka_unit_test(closed_table),
        cmocka_unit_test(private_table),
        cmocka_unit_test(table_has_an_end),
        cmocka_unit_test(parent_checks_the_source),
        cmocka_unit_test(parent_closes_the_metadata_service),
        cmocka_unit_test(parent_opens_a_part),
        cmocka_unit_test(parent_leaves_private_ranges),
        cmocka_unit_test(parent_agrees_with_tables),
        cmocka_unit_test(enclave_takes_its_own_only),
        cmocka_unit_test(enclave_refuses_martians),
        cmocka_unit_test(enclave_refuses_its_containers_as_source),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
