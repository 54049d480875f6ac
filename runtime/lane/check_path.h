/* SPDX-License-Identifier: Apache-2.0 */
/* The part of --check that both ends of the tunnel share. */
#ifndef CAUSEWAY_RUNTIME_LANE_CHECK_PATH_H
#define CAUSEWAY_RUNTIME_LANE_CHECK_PATH_H

#include "runtime/base/check.h"

/* What a packet path is made of: capabilities, io_uring, AF_PACKET with PACKET_VNET_HDR. */
void check_path(struct check_report *report);

#endif
