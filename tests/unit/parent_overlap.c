/* SPDX-License-Identifier: Apache-2.0 */
#include "parent/overlap.h"

#include "tests/unit/support.h"

static struct netdev netdev;
static struct parent_config config;
static struct failure failure;

static struct ip_prefix prefix(const char *address, uint8_t length)
{
    struct ip_prefix out = {.length = length};

    assert_true(addr_parse(address, &out.addr));
    return out;
}

static int open_netdev(void **state)
{
    (void)state;
    config = (struct parent_config){0};
    if (!prefix_parse("100.127.0.0/16", &config.pool4) ||
        !prefix_parse("fdc5:7e1a:9b40::/64", &config.pool6))
        return -1;
    return netdev_open(&netdev);
}

static int close_netdev(void **state)
{
    (void)state;
    netdev_delete(&netdev, "oa", NULL);
    netdev_delete(&netdev, "cwin7", NULL);
    netdev_close(&netdev);
    return 0;
}

static void free_here(void)
{
    if (!overlap_check(&config, &failure))
        fail_msg("%s", failure.text);
}

static void in_use(const char *sentence)
{
    unsigned fds = support_open_fds();

    assert_false(overlap_check(&config, &failure));
    assert_string_equal(failure.text, sentence);
    assert_int_equal(support_open_fds(), fds);
}

static void give_address(const char *device, const char *address, uint8_t length)
{
    struct ip_prefix own = prefix(address, length);

    assert_int_equal(netdev_address_only(&netdev, netdev_index(device), &own), 0);
}

static void give_route(const char *device, const char *address, uint8_t length)
{
    struct route_spec route = {.destination = prefix(address, length),
                               .ifindex = netdev_index(device)};

    assert_int_equal(netdev_route(&netdev, &route), 0);
}

static void test_nothing_there(void **state)
{
    (void)state;
    free_here();
    support_veth(&netdev, "oa", "ob", 1500);
    give_address("oa", "10.0.0.1", 8);
    give_address("oa", "2001:db8::1", 64);
    give_route("oa", "100.126.0.0", 16);
    give_route("oa", "100.128.0.0", 16);
    free_here();
}

static void test_default_routes_do_not_count(void **state)
{
    (void)state;
    support_veth(&netdev, "oa", "ob", 1500);
    give_route("oa", "0.0.0.0", 0);
    give_route("oa", "::", 0);
    free_here();
}

static void test_address_inside(void **state)
{
    (void)state;
    support_veth(&netdev, "oa", "ob", 1500);
    give_address("oa", "100.127.3.1", 24);
    in_use("--pool: 100.127.0.0/16 is in use on this host: 100.127.3.0/24 on oa");
    config.pool4 = (struct ip_prefix){0};
    free_here();
}

static void test_route_around(void **state)
{
    (void)state;
    support_veth(&netdev, "oa", "ob", 1500);
    give_route("oa", "100.64.0.0", 10);
    in_use("--pool: 100.127.0.0/16 is in use on this host: 100.64.0.0/10 on oa");
}

static void test_ipv6(void **state)
{
    (void)state;
    support_veth(&netdev, "oa", "ob", 1500);
    give_route("oa", "fdc5:7e1a::", 32);
    in_use("--pool6: fdc5:7e1a:9b40::/64 is in use on this host: fdc5:7e1a::/32 on oa");
    config.pool6 = (struct ip_prefix){0};
    free_here();
}

/* What an earlier run of ours left behind is no stranger's. */
static void test_own_devices(void **state)
{
    (void)state;
    support_veth(&netdev, "cwin7", "cwout7", 1500);
    give_address("cwin7", "100.127.0.1", 32);
    give_route("cwin7", "100.127.0.7", 32);
    give_route("cwin7", "fdc5:7e1a:9b40::7", 128);
    free_here();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_nothing_there, open_netdev, close_netdev),
        cmocka_unit_test_setup_teardown(test_default_routes_do_not_count, open_netdev,
                                        close_netdev),
        cmocka_unit_test_setup_teardown(test_address_inside, open_netdev, close_netdev),
        cmocka_unit_test_setup_teardown(test_route_around, open_netdev, close_netdev),
        cmocka_unit_test_setup_teardown(test_ipv6, open_netdev, close_netdev),
        cmocka_unit_test_setup_teardown(test_own_devices, open_netdev, close_netdev),
    };
    if (!support_own_netns())
        return TEST_SKIPPED;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
