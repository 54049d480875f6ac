/* SPDX-License-Identifier: Apache-2.0 */
/* Injected at one end of a veth pair, captured at the other. */
#include "runtime/host/packet_socket.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <linux/if_ether.h>

#include "packet/offload.h"
#include "tests/unit/packet_build.h"
#include "tests/unit/support.h"

static struct netdev netdev;
static struct support_pair pair; /* ua, ub */

static int open_devices(void **state)
{
    (void)state;
    if (netdev_open(&netdev) < 0)
        return -1;
    pair = support_veth(&netdev, "ua", "ub", 1500);
    return 0;
}

static int close_devices(void **state)
{
    (void)state;
    support_veth_delete(&netdev, "ua");
    netdev_close(&netdev);
    return 0;
}

static uint8_t frame[LINK_HEADER_BYTES + BUILD_MAX];

/* A frame from ua to ub around a packet made to order. */
static size_t make_frame(const struct packet_spec *spec)
{
    memset(frame, 0, LINK_HEADER_BYTES);
    memcpy(frame + VNET_HEADER_BYTES, pair.peer_mac.bytes, 6);
    memcpy(frame + VNET_HEADER_BYTES + 6, pair.mac.bytes, 6);
    store_be16(frame + VNET_HEADER_BYTES + 12, spec->version == 4 ? ETH_P_IP : ETH_P_IPV6);
    return LINK_HEADER_BYTES + build_packet(frame + LINK_HEADER_BYTES, spec);
}

static void send_frame(int fd, size_t length)
{
    assert_int_equal(send(fd, frame, length, 0), length);
}

static uint8_t received[LINK_HEADER_BYTES + BUILD_MAX];

/* The next frame, or 0 when nothing waits. What is sent on a veth is there when send() returns,
 * or a moment later on another CPU. */
static size_t receive(int fd, int timeout_ms)
{
    struct pollfd waiting = {.fd = fd, .events = POLLIN};

    if (poll(&waiting, 1, timeout_ms) == 0)
        return 0;
    ssize_t length = recv(fd, received, sizeof(received), MSG_DONTWAIT);
    assert_true(length > 0);
    return (size_t)length;
}

static int open_good(int fd)
{
    if (fd < 0)
        fail_msg("no socket: %s", strerror(-fd));
    assert_true(fcntl(fd, F_GETFL) & O_NONBLOCK);
    assert_true(fcntl(fd, F_GETFD) & FD_CLOEXEC);
    return fd;
}

static const struct packet_spec udp4 = {.version = 4, .protocol = IPPROTO_UDP, .payload = 100};
static const struct packet_spec tcp6 = {.version = 6, .protocol = IPPROTO_TCP, .payload = 300};

static void test_passes_whole(void **state)
{
    (void)state;
    int inject = open_good(packet_socket_inject(pair.index));
    int capture = open_good(packet_socket_capture(pair.peer_index, 1, 0));
    const struct packet_spec *specs[] = {&udp4, &tcp6};
    for (size_t i = 0; i < 2; i++) {
        size_t length = make_frame(specs[i]);
        send_frame(inject, length);
        assert_int_equal(receive(capture, 10000), length);
        assert_memory_equal(received + VNET_HEADER_BYTES, frame + VNET_HEADER_BYTES,
                            length - VNET_HEADER_BYTES);
    }
    close(inject);
    close(capture);
}

/* What the capture socket must not see comes first; a marker behind it ends the waiting. */
static void sees_in_not_out(int capture)
{
    int there = open_good(packet_socket_inject(pair.index));
    int back = open_good(packet_socket_inject(pair.peer_index));

    open_good(capture);
    for (int i = 0; i < 10; i++)
        send_frame(back, make_frame(&udp4));
    size_t marker = make_frame(&tcp6);
    send_frame(there, marker);
    assert_int_equal(receive(capture, 10000), marker);
    assert_int_equal(receive(capture, 0), 0);
    assert_int_equal(receive(there, 0), 0); /* an injecting socket receives nothing */
    assert_int_equal(receive(back, 0), 0);
    close(there);
    close(back);
    close(capture);
}

static void test_sees_in_not_out(void **state)
{
    (void)state;
    sees_in_not_out(packet_socket_capture(pair.peer_index, 1, 0));
}

/* A fanout group has a tap of its own, which does not ask its members what to leave out. */
static void test_group_sees_in_not_out(void **state)
{
    (void)state;
    sees_in_not_out(packet_socket_capture(pair.peer_index, 2, 11));
}

static void test_ip_alone(void **state)
{
    static const uint16_t types[] = {ETH_P_ARP, ETH_P_LOOP, ETH_P_PPP_SES, 0x88cc /* LLDP */};

    (void)state;
    int inject = open_good(packet_socket_inject(pair.index));
    int capture = open_good(packet_socket_capture(pair.peer_index, 1, 0));
    size_t length = make_frame(&udp4);
    for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
        store_be16(frame + VNET_HEADER_BYTES + 12, types[i]);
        send_frame(inject, length);
    }
    length = make_frame(&tcp6);
    send_frame(inject, length);
    assert_int_equal(receive(capture, 10000), length);
    assert_int_equal(receive(capture, 0), 0);
    close(inject);
    close(capture);
}

#define MEMBERS 4
#define FLOWS   256

static void send_flow(int inject, uint16_t port)
{
    size_t length = make_frame(&udp4);

    store_be16(frame + LINK_HEADER_BYTES + 20, port);
    store_be16(frame + LINK_HEADER_BYTES + 26, 0); /* no checksum: the port has changed */
    send_frame(inject, length);
}

static void test_fanout_spreads_flows(void **state)
{
    int members[MEMBERS], owner[FLOWS];
    unsigned counts[MEMBERS] = {0}, got = 0;

    (void)state;
    int inject = open_good(packet_socket_inject(pair.index));
    for (int i = 0; i < MEMBERS; i++)
        members[i] = open_good(packet_socket_capture(pair.peer_index, MEMBERS, 77));
    memset(owner, -1, sizeof(owner));
    for (int round = 0; round < 3; round++)
        for (uint16_t flow = 0; flow < FLOWS; flow++)
            send_flow(inject, (uint16_t)(1000 + flow));
    WAIT_DOING(got == 3 * FLOWS)
    {
        for (int i = 0; i < MEMBERS; i++) {
            while (receive(members[i], 0) > 0) {
                uint16_t flow = (uint16_t)(load_be16(received + LINK_HEADER_BYTES + 20) - 1000);
                assert_true(flow < FLOWS);
                assert_true(owner[flow] == -1 || owner[flow] == i); /* a flow stays */
                owner[flow] = i;
                counts[i]++;
                got++;
            }
        }
    }
    for (int i = 0; i < MEMBERS; i++) {
        assert_true(counts[i] > 3 * FLOWS / MEMBERS / 4);
        close(members[i]);
    }
    close(inject);
}

/* Another group on the same device has all packets for itself. */
static void test_groups_are_apart(void **state)
{
    (void)state;
    int inject = open_good(packet_socket_inject(pair.index));
    int a = open_good(packet_socket_capture(pair.peer_index, 2, 5));
    int b = open_good(packet_socket_capture(pair.peer_index, 2, 6));
    size_t length = make_frame(&udp4);
    send_frame(inject, length);
    assert_int_equal(receive(a, 10000), length);
    assert_int_equal(receive(b, 10000), length);
    close(a);
    close(b);
    close(inject);
}

/* A free group is nobody's, on whatever device: whoever joins it first has all of it. */
static void test_free_group(void **state)
{
    int taken[5], groups[5];

    (void)state;
    unsigned fds = support_open_fds();
    for (int i = 0; i < 5; i++) {
        groups[i] = packet_socket_free_group(i % 2 ? pair.index : pair.peer_index);
        assert_in_range(groups[i], 0, UINT16_MAX);
        assert_int_equal(support_open_fds(), fds + (unsigned)i);
        for (int k = 0; k < i; k++)
            assert_int_not_equal(groups[i], groups[k]);
        taken[i] = open_good(packet_socket_capture(pair.peer_index, 2, (uint16_t)groups[i]));
    }
    for (int i = 0; i < 5; i++)
        close(taken[i]);
    assert_true(packet_socket_free_group(4711) < 0);
}

static void test_fragments_alone(void **state)
{
    static const uint8_t fragment_header[] = {IPPROTO_FRAGMENT};
    const struct packet_spec fragments[] = {
        {.version = 4, .protocol = IPPROTO_UDP, .payload = 64, .fragment = 0x2000},
        {.version = 4, .protocol = IPPROTO_UDP, .payload = 64, .fragment = 0x00b9},
        {.version = 6,
         .protocol = IPPROTO_UDP,
         .payload = 64,
         .extensions = fragment_header,
         .extension_count = 1,
         .fragment = 0x0001},
    };
    const struct packet_spec whole = {
        .version = 4, .protocol = IPPROTO_UDP, .payload = 64, .fragment = 0x4000};

    (void)state;
    int inject = open_good(packet_socket_inject(pair.index));
    int capture = open_good(packet_socket_capture_fragments(pair.peer_index));
    for (size_t i = 0; i < sizeof(fragments) / sizeof(fragments[0]); i++) {
        send_frame(inject, make_frame(&udp4));
        send_frame(inject, make_frame(&tcp6));
        send_frame(inject, make_frame(&whole));
        size_t length = make_frame(&fragments[i]);
        send_frame(inject, length);
        assert_int_equal(receive(capture, 10000), length);
        assert_memory_equal(received + LINK_HEADER_BYTES, frame + LINK_HEADER_BYTES,
                            length - LINK_HEADER_BYTES);
        assert_int_equal(receive(capture, 0), 0);
    }
    close(inject);
    close(capture);
}

static void test_lost_are_counted_once(void **state)
{
    uint32_t lost = 0, got = 0;

    (void)state;
    int inject = open_good(packet_socket_inject(pair.index));
    int capture = open_good(packet_socket_capture(pair.peer_index, 1, 0));
    assert_int_equal(packet_socket_lost(capture), 0);
    size_t length = make_frame(&udp4);
    for (int i = 0; i < 20000; i++)
        send_frame(inject, length);
    WAIT_DOING(lost + got == 20000)
    {
        while (receive(capture, 0) > 0)
            got++;
        lost += packet_socket_lost(capture);
    }
    assert_true(lost > 0 && got > 0);
    assert_int_equal(packet_socket_lost(capture), 0);
    close(inject);
    close(capture);
    assert_int_equal(packet_socket_lost(-1), 0);
}

static void test_udp_gso_as_the_kernel_says(void **state)
{
    struct utsname name;
    unsigned major, minor;

    (void)state;
    assert_int_equal(uname(&name), 0);
    assert_int_equal(sscanf(name.release, "%u.%u", &major, &minor), 2);
    int inject = open_good(packet_socket_inject(pair.index));
    int capture = open_good(packet_socket_capture(pair.peer_index, 1, 0));
    bool knows = packet_socket_try_udp_gso(inject) == 1;
    assert_int_equal(knows, major > 6 || (major == 6 && minor >= 2));
    /* The trial goes to nobody: the device does not take it for its own. */
    while (receive(capture, 0) > 0)
        assert_memory_equal(received + VNET_HEADER_BYTES, "\0\0\0\0\0\0\0\0\0\0\0", 12);
    close(inject);
    close(capture);
}

static void test_errors(void **state)
{
    (void)state;
    unsigned fds = support_open_fds();
    assert_int_equal(packet_socket_inject(4711), -ENODEV);
    assert_int_equal(packet_socket_capture(4711, 1, 0), -ENODEV);
    assert_int_equal(packet_socket_capture_fragments(4711), -ENODEV);
    int member = open_good(packet_socket_capture(pair.index, 2, 9));
    assert_true(packet_socket_capture(pair.peer_index, 2, 9) < 0); /* the group has its device */
    close(member);
    assert_int_equal(support_open_fds(), fds);
}

static int without_privileges(void *context)
{
    (void)context;
    if (setgid(65534) < 0 || setuid(65534) < 0)
        return 2;
    return packet_socket_inject(1) == -EPERM && packet_socket_capture(1, 1, 0) == -EPERM ? 0 : 1;
}

static void test_needs_privileges(void **state)
{
    (void)state;
    assert_int_equal(support_in_child(without_privileges, NULL), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_passes_whole, open_devices, close_devices),
        cmocka_unit_test_setup_teardown(test_sees_in_not_out, open_devices, close_devices),
        cmocka_unit_test_setup_teardown(test_group_sees_in_not_out, open_devices, close_devices),
        cmocka_unit_test_setup_teardown(test_ip_alone, open_devices, close_devices),
        cmocka_unit_test_setup_teardown(test_fanout_spreads_flows, open_devices, close_devices),
        cmocka_unit_test_setup_teardown(test_groups_are_apart, open_devices, close_devices),
        cmocka_unit_test_setup_teardown(test_free_group, open_devices, close_devices),
        cmocka_unit_test_setup_teardown(test_fragments_alone, open_devices, close_devices),
        cmocka_unit_test_setup_teardown(test_lost_are_counted_once, open_devices, close_devices),
        cmocka_unit_test_setup_teardown(test_udp_gso_as_the_kernel_says, open_devices,
                                        close_devices),
        cmocka_unit_test_setup_teardown(test_errors, open_devices, close_devices),
        cmocka_unit_test_setup_teardown(test_needs_privileges, open_devices, close_devices),
    };
    if (!support_own_netns())
        return TEST_SKIPPED;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
