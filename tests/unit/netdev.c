/* SPDX-License-Identifier: Apache-2.0 */
/* Devices, addresses and routes, looked at with the host's ip and ethtool, in a network namespace
 * of our own. */
#include <errno.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "runtime/base/log.h"
#include "runtime/host/netdev.h"

static struct netdev nd;
static const struct veth_spec spec = {.name = "cw0",
                                      .peer = "cw1",
                                      .mac = {{2, 0, 0, 0, 0, 1}},
                                      .peer_mac = {{2, 0, 0, 0, 0, 2}},
                                      .mtu = 1400,
                                      .alias = "causeway test"};

/* The command's output, in a static buffer. */
static const char *ask(const char *command)
{
    static char output[65536];
    FILE *pipe = popen(command, "r");
    size_t bytes;

    assert_non_null(pipe);
    bytes = fread(output, 1, sizeof(output) - 1, pipe);
    output[bytes] = '\0';
    pclose(pipe);
    return output;
}

static void expect(const char *command, const char *part)
{
    const char *output = ask(command);

    if (strstr(output, part) == NULL)
        fail_msg("%s: no \"%s\" in:\n%s", command, part, output);
}

static void expect_not(const char *command, const char *part)
{
    const char *output = ask(command);

    if (strstr(output, part) != NULL)
        fail_msg("%s: \"%s\" in:\n%s", command, part, output);
}

static struct ip_prefix prefix(const char *address, uint8_t length)
{
    struct ip_prefix out = {.length = length};

    assert_true(addr_parse(address, &out.addr));
    return out;
}

static struct ip_addr addr(const char *text)
{
    return prefix(text, 0).addr;
}

static int new_namespace(void **state)
{
    (void)state;
    if (unshare(CLONE_NEWNET) < 0)
        return -1;
    return netdev_open(&nd);
}

static int close_namespace(void **state)
{
    (void)state;
    netdev_close(&nd);
    netdev_close(&nd);
    return 0;
}

static void make_pair(void)
{
    assert_int_equal(netdev_veth_ensure(&nd, &spec), 0);
    assert_int_equal(netdev_set_up(&nd, netdev_index("cw0"), true), 0);
    assert_int_equal(netdev_set_up(&nd, netdev_index("cw1"), true), 0);
}

static void test_veth_is_made_and_adopted(void **state)
{
    struct veth_spec other = spec;
    int index;

    (void)state;
    make_pair();
    expect("ip -d link show cw0", "mtu 1400");
    expect("ip -d link show cw0", "02:00:00:00:00:01");
    expect("ip -d link show cw0", "alias causeway test");
    expect("ip -d link show cw1", "02:00:00:00:00:02");
    expect("ip -d link show cw1", "alias causeway test");
    expect("ip -d link show cw1", "addrgenmode none");
    index = netdev_index("cw0");
    other.mtu = 1300;
    other.mac.bytes[5] = 9;
    assert_int_equal(netdev_veth_ensure(&nd, &other), 1);
    assert_int_equal(netdev_index("cw0"), index);
    expect("ip link show cw0", "mtu 1300");
    expect("ip link show cw1", "mtu 1300");
    expect("ip link show cw0", "02:00:00:00:00:09");
}

static void test_ipv6_is_silent(void **state)
{
    (void)state;
    if (access("/proc/net/if_inet6", F_OK) < 0)
        skip();
    make_pair();
    assert_string_equal(ask("ip -6 address show dev cw0"), "");
    assert_string_equal(ask("ip -6 address show dev cw1"), "");
    assert_string_equal(ask("cat /proc/sys/net/ipv6/conf/cw1/accept_ra"), "0\n");
    assert_string_equal(ask("cat /proc/sys/net/ipv6/conf/cw1/autoconf"), "0\n");
    assert_string_equal(ask("cat /proc/sys/net/ipv6/conf/cw1/disable_ipv6"), "0\n");
}

/* Below IPv6's least MTU the device has no IPv6 to keep quiet. */
static void test_small_mtu(void **state)
{
    struct veth_spec small = spec;

    (void)state;
    small.mtu = 1000;
    assert_int_equal(netdev_veth_ensure(&nd, &small), 0);
    assert_int_equal(netdev_veth_ensure(&nd, &small), 1);
}

static void test_strangers_are_left_alone(void **state)
{
    (void)state;
    ask("ip link add cw0 type veth peer name other0");
    assert_int_equal(netdev_veth_ensure(&nd, &spec), -EEXIST);
    assert_int_equal(netdev_delete(&nd, "cw0", spec.alias), 0);
    assert_true(netdev_index("cw0") > 0);
    ask("ip link set cw0 name cw1");
    assert_int_equal(netdev_veth_ensure(&nd, &spec), -EEXIST);
    assert_true(netdev_index("cw1") > 0);
    assert_int_equal(netdev_index("cw0"), -ENODEV);
}

/* Killed between making the pair and marking it. */
static void test_unmarked_pair_is_recognised(void **state)
{
    (void)state;
    ask("ip link add cw0 address 02:00:00:00:00:01 type veth"
        " peer name cw1 address 02:00:00:00:00:02");
    assert_int_equal(netdev_veth_ensure(&nd, &spec), 1);
    expect("ip link show cw0", "alias causeway test");
    expect("ip link show cw1", "alias causeway test");
}

static void test_half_of_an_old_pair_is_replaced(void **state)
{
    (void)state;
    make_pair();
    ask("ip link set cw1 down; ip link set cw1 name old1");
    assert_int_equal(netdev_veth_ensure(&nd, &spec), 0);
    assert_int_equal(netdev_index("old1"), -ENODEV);
    assert_true(netdev_index("cw1") > 0);
}

static void test_delete(void **state)
{
    (void)state;
    assert_int_equal(netdev_delete(&nd, "cw0", NULL), 0);
    make_pair();
    assert_int_equal(netdev_delete(&nd, "cw0", spec.alias), 0);
    assert_int_equal(netdev_index("cw1"), -ENODEV);
    assert_int_equal(netdev_delete(&nd, "a name far too long for it", NULL), -EINVAL);
}

static bool stop_at_first(const struct interface_info *interface, void *context)
{
    unsigned *count = context;

    (void)interface;
    ++*count;
    return false;
}

static bool count_up(const struct interface_info *interface, void *context)
{
    unsigned *count = context;

    assert_string_equal(interface->alias, spec.alias);
    assert_int_equal(interface->mtu, spec.mtu);
    *count += interface->up;
    return true;
}

/* The visitor may use the same netdev: the list was made beforehand. */
static bool set_mtu(const struct interface_info *interface, void *context)
{
    (void)context;
    return netdev_set_mtu(&nd, interface->ifindex, 1350) == 0;
}

static void test_each_link(void **state)
{
    unsigned count = 0;

    (void)state;
    make_pair();
    ask("ip link add x0 type veth peer name x1");
    assert_int_equal(netdev_each_interface(&nd, "nobody", count_up, &count), 0);
    assert_int_equal(count, 0);
    assert_int_equal(netdev_each_interface(&nd, "causeway", count_up, &count), 0);
    assert_int_equal(count, 2);
    assert_int_equal(netdev_each_interface(&nd, "causeway", stop_at_first, &count), 0);
    assert_int_equal(count, 3);
    assert_int_equal(netdev_each_interface(&nd, "causeway", set_mtu, NULL), 0);
    expect("ip link show cw0", "mtu 1350");
    expect("ip link show cw1", "mtu 1350");
}

static void test_addresses(void **state)
{
    struct ip_prefix first = prefix("192.0.2.1", 24), second = prefix("192.0.2.2", 24);
    struct ip_prefix six = prefix("2001:db8::1", 64);

    (void)state;
    make_pair();
    assert_int_equal(netdev_address_only(&nd, netdev_index("cw0"), &first), 0);
    assert_int_equal(netdev_address_only(&nd, netdev_index("cw0"), &first), 0);
    expect("ip address show cw0", "inet 192.0.2.1/24 scope global cw0");
    /* The second is a secondary of the first and goes with it, unless it is added again. */
    ask("ip address add 192.0.2.2/24 dev cw0; ip address add 198.51.100.1/24 dev cw0");
    assert_int_equal(netdev_address_only(&nd, netdev_index("cw0"), &second), 0);
    expect("ip address show cw0", "inet 192.0.2.2/24 scope global cw0");
    expect_not("ip address show cw0", "192.0.2.1/");
    expect_not("ip address show cw0", "198.51");
    second.length = 32; /* same address, other length */
    assert_int_equal(netdev_address_only(&nd, netdev_index("cw0"), &second), 0);
    expect("ip address show cw0", "inet 192.0.2.2/32 ");
    expect_not("ip address show cw0", "192.0.2.2/24");
    if (access("/proc/net/if_inet6", F_OK) < 0)
        return;
    ask("ip address add 2001:db8::9/64 dev cw0");
    assert_int_equal(netdev_address_only(&nd, netdev_index("cw0"), &six), 0);
    expect("ip address show cw0", "inet6 2001:db8::1/64 scope global nodad");
    expect_not("ip address show cw0", "tentative");
    expect_not("ip address show cw0", "::9/");
    expect("ip address show cw0", "inet 192.0.2.2/32 ");
}

static void test_neighbours(void **state)
{
    struct ip_addr four = addr("192.0.2.9"), six = addr("2001:db8::9");

    (void)state;
    make_pair();
    assert_int_equal(netdev_neighbour(&nd, netdev_index("cw0"), &four, &spec.mac), 0);
    assert_int_equal(netdev_neighbour(&nd, netdev_index("cw0"), &four, &spec.peer_mac), 0);
    expect("ip neighbour show dev cw0", "192.0.2.9 lladdr 02:00:00:00:00:02 PERMANENT");
    if (access("/proc/net/if_inet6", F_OK) < 0)
        return;
    assert_int_equal(netdev_neighbour(&nd, netdev_index("cw0"), &six, &spec.peer_mac), 0);
    expect("ip neighbour show dev cw0", "2001:db8::9 lladdr 02:00:00:00:00:02 PERMANENT");
}

static void test_routes(void **state)
{
    struct ip_prefix address = prefix("192.0.2.1", 32);
    struct route_spec route;

    (void)state;
    make_pair();
    assert_int_equal(netdev_address_only(&nd, netdev_index("cw0"), &address), 0);
    route = (struct route_spec){.destination = prefix("0.0.0.0", 0),
                                .gateway = addr("198.51.100.1"),
                                .source = addr("192.0.2.1"),
                                .ifindex = netdev_index("cw0")};
    assert_int_equal(netdev_route(&nd, &route), 0);
    assert_int_equal(netdev_route(&nd, &route), 0);
    expect("ip route", "default via 198.51.100.1 dev cw0 proto static src 192.0.2.1 onlink");
    route.gateway = addr("198.51.100.2");
    assert_int_equal(netdev_route(&nd, &route), 0);
    expect("ip route", "default via 198.51.100.2 ");
    expect_not("ip route", "198.51.100.1 ");
    assert_int_equal(netdev_route_delete(&nd, &route), 0);
    assert_int_equal(netdev_route_delete(&nd, &route), 0);
    expect_not("ip route", "default");
    route = (struct route_spec){
        .destination = prefix("203.0.113.0", 24), .ifindex = netdev_index("cw0"), .metric = 77};
    assert_int_equal(netdev_route(&nd, &route), 0);
    expect("ip route", "203.0.113.0/24 dev cw0 proto static scope link metric 77");
    route.gateway = addr("2001:db8::1");
    assert_int_equal(netdev_route(&nd, &route), -EINVAL);
}

static void test_ipv6_routes(void **state)
{
    struct ip_prefix address = prefix("2001:db8::1", 128);
    struct route_spec route = {.destination = prefix("::", 0), .gateway = addr("2001:db8::fe")};

    (void)state;
    if (access("/proc/net/if_inet6", F_OK) < 0)
        skip();
    make_pair();
    route.ifindex = netdev_index("cw0");
    assert_int_equal(netdev_address_only(&nd, route.ifindex, &address), 0);
    assert_int_equal(netdev_route(&nd, &route), 0);
    assert_int_equal(netdev_route(&nd, &route), 0);
    expect("ip -6 route", "default via 2001:db8::fe dev cw0");
    assert_int_equal(netdev_route_delete(&nd, &route), 0);
    assert_int_equal(netdev_route_delete(&nd, &route), 0);
    expect_not("ip -6 route", "default");
}

static void expect_feature(const char *name, const char *value)
{
    char command[128], line[128];

    snprintf(command, sizeof(command), "ethtool -k cw0 | grep '%s:'", name);
    snprintf(line, sizeof(line), "%s: %s", name, value);
    expect(command, line);
}

static void test_offloads(void **state)
{
    static const char *const off[] = {
        "tx-tcp-mangleid-segmentation",
        "tx-gre-segmentation",
        "tx-gre-csum-segmentation",
        "tx-ipxip4-segmentation",
        "tx-udp_tnl-segmentation",
        "tx-sctp-segmentation",
        "tx-checksum-sctp",
        "tx-gso-list",
        "tx-vlan-stag-hw-insert",
        "tx-vlan-offload",
        "rx-vlan-offload",
        "rx-vlan-stag-hw-parse",
    };
    static const char *const on[] = {"tx-tcp-segmentation", "tx-tcp6-segmentation",
                                     "tx-tcp-ecn-segmentation", "tx-checksum-ip-generic",
                                     "tx-scatter-gather"};

    (void)state;
    make_pair();
    expect_feature("tx-gre-segmentation", "on"); /* or the test would prove nothing */
    for (int i = 0; i < 2; i++) {
        assert_int_equal(netdev_limit_offloads("cw0", true), 0);
        for (size_t k = 0; k < sizeof(off) / sizeof(off[0]); k++)
            expect_feature(off[k], "off");
        for (size_t k = 0; k < sizeof(on) / sizeof(on[0]); k++)
            expect_feature(on[k], "on");
        expect_feature("tx-udp-segmentation", "on");
    }
    assert_int_equal(netdev_limit_offloads("cw0", false), 0);
    expect_feature("tx-udp-segmentation", "off");
    assert_int_equal(netdev_limit_offloads("absent0", false), -ENODEV);
}

static void test_uplink(void **state)
{
    struct uplink uplink;

    (void)state;
    assert_int_equal(netdev_find_uplink(&nd, &uplink), 0);
    assert_int_equal(uplink.ifindex4, 0);
    assert_int_equal(uplink.mtu, 0);
    ask("ip link add a0 mtu 1500 type veth peer name a1; ip link set a0 up; ip link set a1 up;"
        "ip link add b0 mtu 1400 type veth peer name b1; ip link set b0 up; ip link set b1 up;"
        "ip address add 192.0.2.1/24 dev a0; ip address add 198.51.100.1/24 dev b0;"
        "ip route add default via 192.0.2.2 metric 50;"
        "ip route add default via 198.51.100.2 metric 10;"
        "ip route add default via 192.0.2.3 table 99");
    assert_int_equal(netdev_find_uplink(&nd, &uplink), 0);
    assert_string_equal(uplink.name4, "b0");
    assert_int_equal(uplink.ifindex4, netdev_index("b0"));
    assert_int_equal(uplink.ifindex6, 0);
    assert_int_equal(uplink.mtu, 1400);
    ask("ip link set b1 down"); /* no carrier: the next one */
    assert_int_equal(netdev_find_uplink(&nd, &uplink), 0);
    assert_string_equal(uplink.name4, "a0");
    assert_int_equal(uplink.mtu, 1500);
    ask("ip route replace default via 192.0.2.2 metric 50 mtu 1320");
    assert_int_equal(netdev_find_uplink(&nd, &uplink), 0);
    assert_int_equal(uplink.mtu, 1320);
    assert_int_equal(netdev_named_uplink(&nd, "a0", &uplink), 0);
    assert_int_equal(uplink.mtu, 1320);
    assert_int_equal(uplink.ifindex6, netdev_index("a0"));
    assert_int_equal(netdev_named_uplink(&nd, "absent0", &uplink), -ENODEV);
    if (access("/proc/net/if_inet6", F_OK) < 0)
        return;
    ask("ip link set b1 up; ip link set b0 mtu 1300;"
        "ip address add 2001:db8::1/64 dev b0 nodad; ip route add default via 2001:db8::2");
    ask("ip route del default via 198.51.100.2 metric 10");
    assert_int_equal(netdev_find_uplink(&nd, &uplink), 0);
    assert_string_equal(uplink.name4, "a0");
    assert_string_equal(uplink.name6, "b0");
    assert_int_equal(uplink.mtu, 1300);
}

static int seen_ifindex, seen_count;

static void seen(int ifindex, void *context)
{
    (void)context;
    seen_ifindex = ifindex;
    seen_count++;
}

static void test_monitor(void **state)
{
    int fd = netdev_monitor_open();

    (void)state;
    assert_true(fd >= 0);
    assert_false(netdev_monitor_drain(fd, seen, NULL));
    make_pair();
    assert_true(netdev_monitor_drain(fd, seen, NULL));
    assert_false(netdev_monitor_drain(fd, seen, NULL));
    ask("ip address add 192.0.2.1/24 dev cw0");
    assert_true(netdev_monitor_drain(fd, seen, NULL));
    ask("ip route add 203.0.113.0/24 via 192.0.2.2"); /* neither a default route nor on the link */
    assert_false(netdev_monitor_drain(fd, seen, NULL));
    ask("ip route add 198.51.100.0/24 dev cw0");
    assert_true(netdev_monitor_drain(fd, seen, NULL));
    ask("ip route add default via 192.0.2.2");
    assert_true(netdev_monitor_drain(fd, seen, NULL));
    seen_count = 0;
    ask("ip neigh add 192.0.2.9 lladdr 02:00:00:00:00:09 dev cw0");
    assert_false(netdev_monitor_drain(fd, seen, NULL));
    assert_int_equal(seen_ifindex, netdev_index("cw0"));
    assert_true(seen_count > 0);
    ask("sysctl -q net.ipv4.conf.cw0.forwarding=1");
    assert_true(netdev_monitor_drain(fd, seen, NULL));
    int few = 2048;
    assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &few, sizeof(few)), 0);
    for (int i = 0; i < 400; i++) /* more notices than the socket holds */
        assert_int_equal(netdev_set_mtu(&nd, netdev_index("cw0"), 1400 + (uint32_t)(i % 2)), 0);
    assert_true(netdev_monitor_drain(fd, seen, NULL));
    assert_false(netdev_monitor_drain(fd, seen, NULL));
    close(fd);
}

#define IN_NAMESPACE(test) cmocka_unit_test_setup_teardown(test, new_namespace, close_namespace)

/* A pair with an IPv4 address, a neighbour and a route on it. */
static struct device_plan planned(void)
{
    struct device_plan plan = {
        .veth = spec,
        .forwards4 = true,
        .routes_loopback4 = true,
        .families = {{.own = prefix("192.0.2.1", 32),
                      .neighbour = addr("192.0.2.2"),
                      .neighbour_mac = {{2, 0, 0, 0, 0, 9}},
                      .route = {.destination = prefix("192.0.2.2", 32)}},
                     {.own = prefix("2001:db8::1", 128),
                      .neighbour = addr("2001:db8::2"),
                      .neighbour_mac = {{2, 0, 0, 0, 0, 9}},
                      .route = {.destination = prefix("2001:db8::2", 128),
                                .source = addr("2001:db8::1")}}},
    };

    assert_true(netdev_veth_ensure(&nd, &spec) >= 0);
    plan.ifindex = plan.families[0].route.ifindex = plan.families[1].route.ifindex =
        netdev_index("cw0");
    plan.peer_ifindex = netdev_index("cw1");
    return plan;
}

static void test_mend(void **state)
{
    static const struct {
        const char *damage, *word;
    } cases[] = {
        {"ip link set cw0 down", "up, IPv4 neighbour, IPv4 route, IPv6 address"},
        {"ip link set cw1 down", "up"},
        {"ip addr flush dev cw0", "IPv4 address"},
        {"ip -4 route flush dev cw0", "IPv4 route"},
        {"ip -6 route del 2001:db8::2 dev cw0", "IPv6 route"},
        {"ip addr del 2001:db8::1 dev cw0; ip addr add 2001:db8::1 dev cw0 nodad", "IPv6 route"},
        {"ip neigh del 192.0.2.2 dev cw0", "IPv4 neighbour"},
        {"ip neigh replace 2001:db8::2 lladdr 2:0:0:0:0:8 dev cw0", "IPv6 neighbour"},
        {"ip link set cw0 mtu 1000", "MTU"},
        {"ip link set cw0 address 2:0:0:0:0:7", "MAC address"},
        {"ip link add b7 type bridge && ip link set cw0 master b7", "out of a bridge"},
        {"ip link set cw0 alias other", "alias"},
        {"ip link set cw0 arp off", "ARP"},
        {"ip link set cw0 down && ip link set cw0 name x7", "name"},
        {"ip link set cw0 addrgenmode eui64", "IPv6 settings"},
        {"sysctl -q net.ipv6.conf.cw1.disable_ipv6=1", "IPv6 (disable_ipv6)"},
        {"sysctl -q net.ipv4.conf.cw0.forwarding=0", "forwarding"},
        {"sysctl -q net.ipv4.conf.cw0.route_localnet=0", "route_localnet"},
    };
    struct device_plan plan = planned();
    char what[200];

    (void)state;
    assert_int_equal(netdev_mend(&nd, &plan, what, sizeof(what)), 1);
    assert_int_equal(netdev_mend(&nd, &plan, what, sizeof(what)), 0);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        ask(cases[i].damage);
        int result = netdev_mend(&nd, &plan, what, sizeof(what));
        if (result != 1 || strstr(what, cases[i].word) == NULL)
            fail_msg("%s: %d, \"%s\"", cases[i].damage, result, what);
        if (netdev_mend(&nd, &plan, what, sizeof(what)) != 0)
            fail_msg("%s: again \"%s\"", cases[i].damage, what);
    }
    ask("ip addr add 192.0.2.77/32 dev cw0"); /* a stranger's address is left alone */
    assert_int_equal(netdev_mend(&nd, &plan, what, sizeof(what)), 0);
    ask("ip link del cw0");
    assert_int_equal(netdev_mend(&nd, &plan, what, sizeof(what)), -ENODEV);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        IN_NAMESPACE(test_veth_is_made_and_adopted),
        IN_NAMESPACE(test_ipv6_is_silent),
        IN_NAMESPACE(test_small_mtu),
        IN_NAMESPACE(test_strangers_are_left_alone),
        IN_NAMESPACE(test_unmarked_pair_is_recognised),
        IN_NAMESPACE(test_half_of_an_old_pair_is_replaced),
        IN_NAMESPACE(test_delete),
        IN_NAMESPACE(test_each_link),
        IN_NAMESPACE(test_addresses),
        IN_NAMESPACE(test_neighbours),
        IN_NAMESPACE(test_routes),
        IN_NAMESPACE(test_ipv6_routes),
        IN_NAMESPACE(test_offloads),
        IN_NAMESPACE(test_uplink),
        IN_NAMESPACE(test_monitor),
        IN_NAMESPACE(test_mend),
    };

    if (unshare(CLONE_NEWNET) < 0) {
        printf("no network namespace of our own: %s\n", strerror(errno));
        return 77;
    }
    if (system("ip -V >/dev/null && ethtool --version >/dev/null") != 0) {
        printf("ip or ethtool is not installed\n");
        return 77;
    }
    log_init("netdev", LOG_LEVEL_DEBUG);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
