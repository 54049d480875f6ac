/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/host/kernel_features.h"

#include <errno.h>
#include <unistd.h>

#include "runtime/host/packet_socket.h"
#include "tests/unit/support.h"

/* What a look needed is closed again, and the kernel that runs this gives an answer. */
static void test_nothing_stays_open(void **state)
{
    unsigned fds = support_open_fds();

    (void)state;
    assert_true(features_packet_sockets());
    (void)features_nfqueue();
    (void)features_tc_mark();
    assert_int_equal(support_open_fds(), fds);
}

/* Tried once: a look that found no interface has found out nothing. */
static void test_udp_gso_is_tried_once(void **state)
{
    struct netdev netdev = {0};

    (void)state;
    assert_int_equal(netdev_open(&netdev), 0);
    struct support_pair pair = support_veth(&netdev, "fa", "fb", 1500);
    assert_true(features_udp_gso());
    assert_int_equal(features_try_udp_gso(4711), -ENODEV);
    assert_true(features_udp_gso());
    assert_int_equal(netdev_set_up(&netdev, pair.index, false), 0);
    assert_int_equal(features_try_udp_gso(pair.index), -ENETDOWN);
    assert_int_equal(netdev_set_up(&netdev, pair.index, true), 0);
    unsigned fds = support_open_fds();
    assert_int_equal(features_try_udp_gso(pair.index), 0);
    assert_int_equal(support_open_fds(), fds);

    int fd = packet_socket_inject(pair.index);
    assert_true(fd >= 0);
    assert_int_equal(features_udp_gso(), packet_socket_try_udp_gso(fd) == 1);
    close(fd);
    assert_int_equal(features_try_udp_gso(4711), 0); /* known by now */
    support_veth_delete(&netdev, "fa");
    netdev_close(&netdev);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_nothing_stays_open),
        cmocka_unit_test(test_udp_gso_is_tried_once),
    };
    if (!support_own_netns())
        return TEST_SKIPPED;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
