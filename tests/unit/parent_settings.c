/* SPDX-License-Identifier: Apache-2.0 */
/* The host's settings, in a network namespace of our own: its journal has a name of its own too. */
#include "parent/settings.h"

#include <unistd.h>

#include "runtime/host/netdev.h"
#include "tests/unit/support.h"

#define ACCEPT_RA  "/proc/sys/net/ipv6/conf/na/accept_ra"
#define FORWARD4   "/proc/sys/net/ipv4/conf/na/forwarding"
#define FORWARD6   "/proc/sys/net/ipv6/conf/all/forwarding"
#define IP_FORWARD "/proc/sys/net/ipv4/ip_forward"

static struct netdev netdev;
static struct parent_config config;
static char report[512];
static struct failure failure;

static void put(const char *path, const char *value)
{
    FILE *file = fopen(path, "we");

    assert_non_null(file);
    fputs(value, file);
    assert_int_equal(fclose(file), 0);
}

static void expect(const char *path, const char *value)
{
    char now[16] = "";
    FILE *file = fopen(path, "re");

    assert_non_null(file);
    assert_non_null(fgets(now, sizeof(now), file));
    fclose(file);
    now[strcspn(now, "\n")] = '\0';
    assert_string_equal(now, value);
}

static bool hold(void)
{
    return settings_hold(&config, report, sizeof(report), &failure);
}

static int setup(void **state)
{
    struct route_spec route = {0};

    (void)state;
    assert_int_equal(netdev_open(&netdev), 0);
    support_veth(&netdev, "na", "nb", 1500);
    assert_true(addr_parse("192.0.2.0", &route.destination.addr));
    route.destination.length = 24;
    route.ifindex = netdev_index("na");
    assert_int_equal(netdev_route(&netdev, &route), 0);
    config = (struct parent_config){0};
    assert_true(addr_parse("198.51.100.0", &config.pool4.addr));
    assert_true(addr_parse("2001:db8::", &config.pool6.addr));
    put(IP_FORWARD, "0");
    put(FORWARD6, "0");
    put(ACCEPT_RA, "1"); /* as the kernel makes devices; our veth pairs begin with 0 */
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    netdev_delete(&netdev, "na", NULL);
    netdev_close(&netdev);
    return 0;
}

/* A host that forwards would otherwise lose the default route that a router told it. */
static void test_held_and_restored(void **state)
{
    (void)state;
    assert_true(settings_check(&config, &failure));
    expect(FORWARD4, "0");
    assert_true(hold());
    assert_string_equal(report, "");
    expect(ACCEPT_RA, "2");
    expect(FORWARD4, "1");
    expect(FORWARD6, "1");
    expect(IP_FORWARD, "0");
    assert_int_equal(settings_restore(), 0);
    expect(ACCEPT_RA, "1");
    expect(FORWARD4, "0");
    expect(FORWARD6, "0");
}

/* The host's own names may begin like ours. */
static void test_names_like_ours(void **state)
{
    static const struct {
        const char *name, *network, *forwarding;
    } devices[] = {{"cwb1", "192.0.2.64", "1"},
                   {"cwin7", "192.0.2.128", "0"},
                   {"cwinter", "192.0.2.192", "1"}};
    char path[64];

    (void)state;
    for (size_t i = 0; i < sizeof(devices) / sizeof(devices[0]); i++) {
        struct route_spec route = {.destination.length = 26};
        support_veth(&netdev, devices[i].name, "nc", 1500);
        assert_true(addr_parse(devices[i].network, &route.destination.addr));
        route.ifindex = netdev_index(devices[i].name);
        assert_int_equal(netdev_route(&netdev, &route), 0);
        assert_true(hold());
        snprintf(path, sizeof(path), "/proc/sys/net/ipv4/conf/%s/forwarding", devices[i].name);
        expect(path, devices[i].forwarding);
        support_veth_delete(&netdev, devices[i].name);
    }
    assert_int_equal(settings_restore(), 0);
}

static void test_taken_away(void **state)
{
    (void)state;
    assert_true(hold());
    put(FORWARD6, "0");
    assert_true(hold());
    assert_contains(report, "net.ipv6.conf.all.forwarding = 0");
    expect(FORWARD6, "1");
    assert_true(hold());
    assert_string_equal(report, "");
    assert_int_equal(settings_restore(), 0);
    expect(FORWARD6, "0");
}

static void test_left_to_who_needs_it(void **state)
{
    (void)state;
    assert_true(hold());
    assert_int_equal(system("ip link add docker7 type bridge && ip link set docker7 up"), 0);
    put(IP_FORWARD, "1");
    assert_int_equal(settings_restore(), 0);
    assert_int_equal(system("ip link del docker7"), 0);
    expect(FORWARD4, "1");
    expect(FORWARD6, "1");
    expect(ACCEPT_RA, "2");
}

static void test_family_that_is_off(void **state)
{
    (void)state;
    config.pool6 = (struct ip_prefix){0};
    assert_true(hold());
    expect(FORWARD4, "1");
    expect(FORWARD6, "0");
    expect(ACCEPT_RA, "1");
    assert_int_equal(settings_restore(), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_held_and_restored, setup, teardown),
        cmocka_unit_test_setup_teardown(test_names_like_ours, setup, teardown),
        cmocka_unit_test_setup_teardown(test_taken_away, setup, teardown),
        cmocka_unit_test_setup_teardown(test_left_to_who_needs_it, setup, teardown),
        cmocka_unit_test_setup_teardown(test_family_that_is_off, setup, teardown),
    };
    if (!support_own_netns())
        return TEST_SKIPPED;
    if (access(ACCEPT_RA, F_OK) < 0 && access("/proc/sys/net/ipv6", F_OK) < 0)
        return TEST_SKIPPED;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
