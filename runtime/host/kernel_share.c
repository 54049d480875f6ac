/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/host/kernel_share.h"

#include "packet/reassembly.h"
#include "runtime/host/sysctl.h"

#define FRAGMENTS_DEFAULT (4ul << 20) /* Linux, for all three */

uint32_t kernel_share_fragments(unsigned peers)
{
    static const char *const limits[] = {
        "net/ipv4/ipfrag_high_thresh",
        "net/ipv6/ip6frag_high_thresh",
        "net/netfilter/nf_conntrack_frag6_high_thresh",
    };
    unsigned long least = FRAGMENTS_DEFAULT;

    for (unsigned i = 0; i < sizeof(limits) / sizeof(limits[0]); i++) {
        unsigned long limit = sysctl_number(limits[i], FRAGMENTS_DEFAULT);
        if (limit < least)
            least = limit;
    }
    return reassembly_share(least, peers);
}
