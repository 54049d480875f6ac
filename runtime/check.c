/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/check.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "runtime/lane.h"
#include "runtime/packet_socket.h"
#include "runtime/sandbox.h"

#define LOOPBACK_INDEX 1

static void print_finding(const char *verdict, const char *what, const char *consequence)
{
    printf("%-8s %s%s%s\n", verdict, what, consequence[0] ? ": " : "", consequence);
}

void check_required(struct check_report *report, bool there, const char *what, const char *remedy)
{
    print_finding(there ? "ok" : "MISSING", what, there ? "" : remedy);
    if (!there)
        report->failures++;
}

void check_optional(struct check_report *report, bool there, const char *what, const char *cost)
{
    (void)report;
    print_finding(there ? "ok" : "absent", what, there ? "" : cost);
}

void check_common(struct check_report *report)
{
    char error[512] = "";
    bool capable = sandbox_check_capabilities(error, sizeof error) == 0;

    check_required(report, capable, "capabilities", error);
    bool ring = lane_probe(error, sizeof error) == 0;
    check_required(report, ring, "io_uring", error);
    int fd = packet_socket_inject(LOOPBACK_INDEX);
    check_required(report, fd >= 0, "AF_PACKET with PACKET_VNET_HDR",
                   "the kernel needs CONFIG_PACKET, this process CAP_NET_RAW");
    if (fd >= 0)
        close(fd);
}

int check_finish(const struct check_report *report)
{
    if (report->failures == 0) {
        printf("ready\n");
        return EXIT_SUCCESS;
    }
    printf("not ready: %u missing\n", report->failures);
    return EXIT_FAILURE;
}
