/* SPDX-License-Identifier: Apache-2.0 */
/* Which values the configuration gives the templates, seen in the rules that come out. What the
 * rules do is for tests/netns. */
#include "parent/firewall.h"

#include "tests/unit/support.h"
#include "tests/unit/words.h"

static char *ipv4, *ipv6, *nft;

static char *render(const char *template_text, const struct rules_values *values)
{
    struct failure failure = {""};
    char *text = rules_render(template_text, values, &failure);

    if (text == NULL)
        fail_msg("%s", failure.text);
    return text;
}

static int forget(void **state)
{
    (void)state;
    free(ipv4);
    free(ipv6);
    free(nft);
    ipv4 = ipv6 = nft = NULL;
    return 0;
}

static void rules_of(const char *line)
{
    static struct parent_config config;
    static struct words words;
    struct failure failure = {""};

    words_split(&words, line);
    if (parent_config_read(&config, words.argc, words.argv, NULL, &failure) != OPTIONS_OK)
        fail_msg("%s", failure.text);
    struct rules_values *values = firewall_values(&config);
    forget(NULL);
    ipv4 = render(firewall_rules.ipv4, values);
    ipv6 = render(firewall_rules.ipv6, values);
    nft = render(firewall_rules.nft, values);
    rules_values_free(values);
}

static void assert_lacks(const char *text, const char *part)
{
    if (strstr(text, part) != NULL)
        fail_msg("\"%s\" in: %s", part, text);
}

/* Where the part stands; fails the test when it does not. */
static size_t at(const char *text, const char *part)
{
    assert_contains(text, part);
    return (size_t)(strstr(text, part) - text);
}

#define ONE "--enclave vsock:16:5005 "

static void test_nothing_published(void **state)
{
    (void)state;
    rules_of(ONE);
    assert_lacks(ipv4, "DNAT --to");
    assert_lacks(ipv6, "DNAT --to");
    assert_lacks(nft, " dnat ip to");
    assert_contains(ipv4, "-s 100.127.0.0/16 ! -o cwin+ -j MASQUERADE\n");
    assert_contains(ipv6, "-s fdc5:7e1a:9b40::/64 ! -o cwin+ -j MASQUERADE\n");
    assert_contains(nft, "masquerade");
    assert_contains(ipv4, "-A CAUSEWAY-INPUT -d 100.127.0.1 -p icmp");
    assert_contains(ipv4, "-A CAUSEWAY-FROM -d 169.254.0.0/16 -j REJECT");
    assert_contains(ipv6, "-A CAUSEWAY-FROM -d fd00:ec2::/32 -j REJECT");
    assert_contains(ipv4, "-A CAUSEWAY-FROM -d 10.0.0.0/8 -j REJECT");
    assert_contains(ipv6, "-A CAUSEWAY-FROM -d fc00::/7 -j REJECT");
    assert_lacks(ipv4, "${");
    assert_lacks(nft, "${");
}

static void test_published_port(void **state)
{
    (void)state;
    rules_of(ONE "--publish 443:8443 --publish 53:53/udp");
    assert_contains(ipv4, "-p tcp -m addrtype --dst-type LOCAL -m tcp --dport 443 -j DNAT "
                          "--to-destination 100.127.0.16:8443\n");
    assert_contains(ipv4, "-p udp -m addrtype --dst-type LOCAL -m udp --dport 53 -j DNAT "
                          "--to-destination 100.127.0.16\n");
    assert_contains(ipv6, "--dport 443 -j DNAT --to-destination [fdc5:7e1a:9b40::10]:8443\n");
    assert_contains(nft, "100.127.0.16:8443");
    assert_contains(nft, "[fdc5:7e1a:9b40::10]:8443");
}

static void test_published_range(void **state)
{
    (void)state;
    rules_of(ONE "--publish 8000-8010:9000-9010");
    assert_contains(ipv4, "--dport 8000:8010 -j DNAT --to-destination "
                          "100.127.0.16:9000-9010/8000\n");
}

/* An address of one family is published in that family alone. */
static void test_listen_address(void **state)
{
    (void)state;
    rules_of(ONE "--publish 192.0.2.1:80:80 --publish [2001:db8::1]:81:81");
    assert_contains(ipv4, "-d 192.0.2.1 -p tcp -m tcp --dport 80 -j DNAT "
                          "--to-destination 100.127.0.16\n");
    assert_lacks(ipv4, "--dport 81");
    assert_contains(ipv6, "-d 2001:db8::1 -p tcp -m tcp --dport 81 -j DNAT");
    assert_lacks(ipv6, "--dport 80 ");
}

static void test_each_to_its_enclave(void **state)
{
    (void)state;
    rules_of("--enclave vsock:16:1,name=a --enclave vsock:17:1,name=b --publish a=80:80 "
             "--publish b=81:80");
    assert_contains(ipv4, "--dport 80 -j DNAT --to-destination 100.127.0.16\n");
    assert_contains(ipv4, "--dport 81 -j DNAT --to-destination 100.127.0.17:80\n");
}

static void test_routed(void **state)
{
    (void)state;
    rules_of(ONE "--routed6 --publish 80:8080");
    assert_contains(ipv4, "MASQUERADE");
    assert_lacks(ipv6, "MASQUERADE");
    /* A routed address can be reached by itself: only what is published lets in. */
    assert_contains(ipv6, "-A CAUSEWAY-TO -d fdc5:7e1a:9b40::10 -p tcp -m tcp --dport 8080 -j "
                          "ACCEPT\n");
    assert_lacks(ipv4, "-A CAUSEWAY-TO -d 100.127.0.16");
}

static void test_family_off(void **state)
{
    (void)state;
    rules_of(ONE "--pool6 none --publish 80:80");
    assert_contains(ipv4, "DNAT");
    assert_lacks(ipv6, "DNAT");
    assert_lacks(ipv6, "MASQUERADE");
    assert_contains(ipv6, "-A CAUSEWAY-FROM -j DROP\n");
    rules_of(ONE "--pool none --publish 80:80");
    assert_lacks(ipv4, "DNAT");
    assert_contains(ipv4, "-A CAUSEWAY-FROM -j DROP\n");
    assert_contains(ipv6, "DNAT");
}

/* What opens private ranges must not open closed ones; what names closed ones stands before them.
 */
static void test_allow_split(void **state)
{
    (void)state;
    rules_of(ONE "--allow 10.1.0.0/16 --allow 169.254.169.254 --allow 0.0.0.0/0");
    assert_true(at(ipv4, "-d 169.254.169.254/32 -j ACCEPT") < at(ipv4, "-d 169.254.0.0/16 -j REJ"));
    assert_true(at(ipv4, "-d 169.254.0.0/16 -j REJ") < at(ipv4, "-d 10.1.0.0/16 -j ACCEPT"));
    assert_true(at(ipv4, "-d 169.254.0.0/16 -j REJ") < at(ipv4, "-d 0.0.0.0/0 -j ACCEPT"));
    assert_true(at(ipv4, "-d 10.1.0.0/16 -j ACCEPT") < at(ipv4, "-d 10.0.0.0/8 -j REJECT"));
    assert_true(at(nft, "169.254.169.254/32 accept") < at(nft, "169.254.0.0/16 counter reject"));
    assert_true(at(nft, "169.254.0.0/16 counter reject") < at(nft, "10.1.0.0/16 accept"));
    rules_of(ONE "--allow fd00:ec2::254 --allow fd00::/8");
    assert_true(at(ipv6, "-d fd00:ec2::254/128 -j ACCEPT") < at(ipv6, "-d fd00:ec2::/32 -j REJ"));
    assert_true(at(ipv6, "-d fd00:ec2::/32 -j REJ") < at(ipv6, "-d fd00::/8 -j ACCEPT"));
    assert_true(at(ipv6, "-d fd00::/8 -j ACCEPT") < at(ipv6, "-d fc00::/7 -j REJECT"));
}

static void test_peers(void **state)
{
    (void)state;
    rules_of(ONE);
    assert_contains(ipv4, "-A CAUSEWAY-FROM -o cwin+ -j REJECT");
    rules_of(ONE "--allow 0.0.0.0/0"); /* not said of them in particular */
    assert_contains(ipv4, "-A CAUSEWAY-FROM -o cwin+ -j REJECT");
    rules_of(ONE "--allow 100.127.0.0/16");
    assert_contains(ipv4, "-A CAUSEWAY-FROM -o cwin+ -j ACCEPT");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(test_nothing_published, forget),
        cmocka_unit_test_teardown(test_published_port, forget),
        cmocka_unit_test_teardown(test_published_range, forget),
        cmocka_unit_test_teardown(test_listen_address, forget),
        cmocka_unit_test_teardown(test_each_to_its_enclave, forget),
        cmocka_unit_test_teardown(test_routed, forget),
        cmocka_unit_test_teardown(test_family_off, forget),
        cmocka_unit_test_teardown(test_allow_split, forget),
        cmocka_unit_test_teardown(test_peers, forget),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
