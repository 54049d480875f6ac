/* SPDX-License-Identifier: Apache-2.0 */
/* Notice of changes to links, addresses, default routes and routes to connected networks. What
 * changed is asked again with netdev_find_uplink(): a notice may be lost, a question is not. */
#include <errno.h>
#include <libmnl/libmnl.h>
#include <linux/rtnetlink.h>
#include <sys/socket.h>
#include <unistd.h>

#include "runtime/host/netdev.h"

/* One datagram holds one notice; the largest is a link's, of a few KB. */
#define NOTICE_BYTES 16384

int netdev_monitor_open(void)
{
    struct sockaddr_nl address = {
        .nl_family = AF_NETLINK,
        .nl_groups = RTMGRP_LINK | RTMGRP_IPV4_IFADDR | RTMGRP_IPV6_IFADDR | RTMGRP_IPV4_ROUTE |
                     RTMGRP_IPV6_ROUTE,
    };
    int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_NONBLOCK | SOCK_CLOEXEC, NETLINK_ROUTE);

    if (fd < 0)
        return -errno;
    if (bind(fd, (struct sockaddr *)&address, sizeof(address)) < 0) {
        int error = -errno;
        close(fd);
        return error;
    }
    return fd;
}

/* Default routes, and routes to a network that a device is in. */
static bool route_is_relevant(const struct nlmsghdr *message)
{
    const struct rtmsg *route = mnl_nlmsg_get_payload(message);
    const struct nlattr *attribute;

    if (mnl_nlmsg_get_payload_len(message) < sizeof(*route) || route->rtm_table == RT_TABLE_LOCAL)
        return false;
    if (route->rtm_dst_len == 0)
        return true;
    mnl_attr_for_each(attribute, message, sizeof(*route))
    {
        if (mnl_attr_get_type(attribute) == RTA_GATEWAY)
            return false;
    }
    return true;
}

static bool relevant(const struct nlmsghdr *message)
{
    switch (message->nlmsg_type) {
    case RTM_NEWLINK:
    case RTM_DELLINK:
    case RTM_NEWADDR:
    case RTM_DELADDR:
        return true;
    case RTM_NEWROUTE:
    case RTM_DELROUTE:
        return route_is_relevant(message);
    default:
        return false;
    }
}

bool netdev_monitor_drain(int fd)
{
    _Alignas(struct nlmsghdr) char buffer[NOTICE_BYTES];
    bool changed = false;

    for (;;) {
        struct sockaddr_nl sender = {0};
        socklen_t sender_bytes = sizeof(sender);
        ssize_t bytes =
            recvfrom(fd, buffer, sizeof(buffer), 0, (struct sockaddr *)&sender, &sender_bytes);
        const struct nlmsghdr *message = (const struct nlmsghdr *)buffer;
        int left = (int)bytes;

        if (bytes < 0 && errno == ENOBUFS) {
            changed = true; /* the kernel dropped notices: anything may have changed */
            continue;
        }
        if (bytes < 0 && errno == EINTR)
            continue;
        if (bytes <= 0)
            return changed;
        if (sender.nl_pid != 0) /* another process may write to us, but not in the kernel's name */
            continue;
        for (; mnl_nlmsg_ok(message, left); message = mnl_nlmsg_next(message, &left))
            changed = changed || relevant(message);
    }
}
