/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CAUSEWAY_TESTS_FUZZ_NETLINK_H
#define CAUSEWAY_TESTS_FUZZ_NETLINK_H

#include <linux/netlink.h>
#include <stdbool.h>
#include <string.h>

/* Lengths of 2^31 and more, which no kernel sends, run libmnl 1.0 out of the buffer by themselves:
 * mnl_nlmsg_ok() takes them for negative. */
static inline bool netlink_lengths_fit(const uint8_t *bytes, size_t length)
{
    struct nlmsghdr header;

    for (size_t at = 0; at <= length && length - at >= sizeof(header);
         at += NLMSG_ALIGN(header.nlmsg_len)) {
        memcpy(&header, bytes + at, sizeof(header));
        if (header.nlmsg_len > INT32_MAX)
            return false;
        if (header.nlmsg_len < sizeof(header) || header.nlmsg_len > length - at)
            return true; /* here libmnl stops */
    }
    return true;
}

#endif
