/* SPDX-License-Identifier: Apache-2.0 */
#include "parent/uplink.h"

#include "runtime/base/log.h"
#include "tests/unit/support.h"

static struct netdev netdev;

static int open_netdev(void **state)
{
    (void)state;
    return netdev_open(&netdev);
}

static int close_netdev(void **state)
{
    (void)state;
    netdev_delete(&netdev, "na", NULL);
    netdev_close(&netdev);
    return 0;
}

static void default_route(const char *device, int version)
{
    struct route_spec route = {.destination = {.addr = {.version = (uint8_t)version}},
                               .ifindex = netdev_index(device)};

    assert_int_equal(netdev_route(&netdev, &route), 0);
}

static void test_none_yet(void **state)
{
    (void)state;
    support_capture_begin(2);
    uint32_t mtu = uplink_mtu(&netdev, NULL);
    uint32_t named = uplink_mtu(&netdev, "nosuch0");
    const char *text = support_capture_end();
    assert_int_equal(mtu, UPLINK_FALLBACK_MTU);
    assert_int_equal(named, UPLINK_FALLBACK_MTU);
    assert_contains(text, "no uplink: there is no default route\n");
    assert_contains(text, "no uplink: nosuch0\n");
}

static void test_default_route(void **state)
{
    (void)state;
    support_veth(&netdev, "na", "nb", 1400);
    default_route("na", 4);
    assert_int_equal(uplink_mtu(&netdev, NULL), 1400);
    assert_int_equal(netdev_set_mtu(&netdev, netdev_index("na"), 9001), 0);
    assert_int_equal(uplink_mtu(&netdev, NULL), 9001);
}

static void test_named(void **state)
{
    (void)state;
    support_veth(&netdev, "na", "nb", 1400);
    assert_int_equal(netdev_set_mtu(&netdev, netdev_index("nb"), 1450), 0);
    default_route("na", 4);
    assert_int_equal(uplink_mtu(&netdev, "nb"), 1450);
}

static void test_limits(void **state)
{
    (void)state;
    support_veth(&netdev, "na", "nb", 576);
    default_route("na", 4);
    assert_int_equal(uplink_mtu(&netdev, NULL), UPLINK_MTU_MIN);
    assert_int_equal(uplink_mtu(&netdev, "lo"), UPLINK_MTU_MAX); /* 65,536 */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_none_yet, open_netdev, close_netdev),
        cmocka_unit_test_setup_teardown(test_default_route, open_netdev, close_netdev),
        cmocka_unit_test_setup_teardown(test_named, open_netdev, close_netdev),
        cmocka_unit_test_setup_teardown(test_limits, open_netdev, close_netdev),
    };
    if (!support_own_netns())
        return TEST_SKIPPED;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
