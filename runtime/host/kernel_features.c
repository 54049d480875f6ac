/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/host/kernel_features.h"

#include <unistd.h>

#include "runtime/host/kernel_faults.h"
#include "runtime/host/nfqueue.h"
#include "runtime/host/packet_socket.h"
#include "runtime/host/tc_mark.h"

#define LOOPBACK_INDEX 1

static enum { UNKNOWN, ABSENT, PRESENT } udp_gso;

/* Closes a descriptor that was opened to see whether it could be. */
static bool could_open(int fd)
{
    if (fd >= 0)
        close(fd);
    return fd >= 0;
}

bool features_packet_sockets(void)
{
    return could_open(packet_socket_inject(LOOPBACK_INDEX));
}

bool features_nfqueue(void)
{
    return nfqueue_available();
}

bool features_tc_mark(void)
{
    return could_open(tc_mark_load(1));
}

int features_try_udp_gso(int ifindex)
{
    if (udp_gso != UNKNOWN)
        return 0;
    int fd = packet_socket_inject(ifindex);
    if (fd < 0)
        return fd;
    int known = packet_socket_try_udp_gso(fd);
    close(fd);
    if (known < 0) /* an interface that is down says nothing about the kernel */
        return known;
    udp_gso = known == 1 && kernel_fault_next_here(KERNEL_UDP_GSO, NULL) == NULL ? PRESENT : ABSENT;
    return 0;
}

bool features_udp_gso(void)
{
    return udp_gso != ABSENT;
}
