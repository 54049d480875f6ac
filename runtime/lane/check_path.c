/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/lane/check_path.h"

#include "runtime/base/sandbox.h"
#include "runtime/host/kernel_features.h"
#include "runtime/lane/lane.h"

void check_path(struct check_report *report)
{
    struct failure failure = {""};
    bool capable = sandbox_check_capabilities(&failure);

    check_required(report, capable, "capabilities", failure.text);
    bool ring = lane_probe(&failure);
    check_required(report, ring, "io_uring", failure.text);
    check_required(report, features_packet_sockets(), "AF_PACKET with PACKET_VNET_HDR",
                   "the kernel needs CONFIG_PACKET, this process CAP_NET_RAW");
}
