/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/lane/check_path.h"

#include <unistd.h>

#include "runtime/base/sandbox.h"
#include "runtime/host/packet_socket.h"
#include "runtime/lane/lane.h"

#define LOOPBACK_INDEX 1

void check_path(struct check_report *report)
{
    struct failure failure = {""};
    bool capable = sandbox_check_capabilities(&failure);

    check_required(report, capable, "capabilities", failure.text);
    bool ring = lane_probe(&failure);
    check_required(report, ring, "io_uring", failure.text);
    int fd = packet_socket_inject(LOOPBACK_INDEX);
    check_required(report, fd >= 0, "AF_PACKET with PACKET_VNET_HDR",
                   "the kernel needs CONFIG_PACKET, this process CAP_NET_RAW");
    if (fd >= 0)
        close(fd);
}
