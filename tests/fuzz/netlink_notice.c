/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Notices of rtnetlink. Input: datagrams, each behind two bytes of its length. They come over a
 * socket pair, whose sender has no port, as the kernel's has none.
 */
#include <sys/socket.h>
#include <unistd.h>

#include "packet/bytes.h"
#include "runtime/host/netdev.h"
#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/netlink.h"

static void visit(int ifindex, void *context)
{
    unsigned *visits = context;

    CHECK(ifindex > 0);
    ++*visits;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    unsigned visits = 0;
    int pair[2];

    CHECK(socketpair(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair) == 0);
    size_t sent = 0;
    for (size_t at = 0, length; at + 2 <= size; at += length) {
        length = load_be16(data + at);
        at += 2;
        length = length > size - at ? size - at : length;
        if (length == 0 || !netlink_lengths_fit(data + at, length))
            continue;
        if (send(pair[0], data + at, length, 0) < 0)
            break;
        sent += length;
        netdev_monitor_drain(pair[1], visit, &visits);
    }
    CHECK(visits <= sent / 16); /* no message is shorter than its header */
    close(pair[0]);
    close(pair[1]);
    return 0;
}
