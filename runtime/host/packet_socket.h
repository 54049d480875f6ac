/* SPDX-License-Identifier: Apache-2.0 */
/*
 * AF_PACKET sockets with PACKET_VNET_HDR: every frame carries a virtio_net_hdr in front of the
 * Ethernet header, so that super-packets and unfinished checksums pass whole in both directions.
 */
#ifndef CAUSEWAY_RUNTIME_HOST_PACKET_SOCKET_H
#define CAUSEWAY_RUNTIME_HOST_PACKET_SOCKET_H

#include <stdbool.h>
#include <stdint.h>

/* A socket that only sends on the interface. Needs CAP_NET_RAW. Socket or negative errno. */
int packet_socket_inject(int ifindex);

/*
 * A socket that receives all IPv4 and IPv6 packets arriving at the interface, not those sent on
 * it. members > 1: one of so many sockets among which the kernel spreads flows (PACKET_FANOUT_HASH)
 * under the number group. Socket or negative errno.
 */
int packet_socket_capture(int ifindex, unsigned members, uint16_t group);

/*
 * A group number that no socket of this network namespace uses. A fixed one would meet the sockets
 * of a predecessor that was killed, which the kernel keeps for some milliseconds: they would take
 * packets and lose them, or refuse the group if their device was another. Number or negative errno.
 */
int packet_socket_free_group(int ifindex);

/* The same for IP fragments alone (runtime/host/tc_mark.h). */
int packet_socket_capture_fragments(int ifindex);

/* Packets lost for want of buffer space since the last call. */
uint32_t packet_socket_lost(int fd);

/*
 * Does this kernel know UDP segmentation in a virtio_net_hdr (since 6.2)? Tried out by sending one
 * super-packet through inject_fd, from and to the unspecified MAC address, which nobody takes. 1,
 * 0, or negative errno if it could not be sent: -ENETDOWN.
 */
int packet_socket_try_udp_gso(int inject_fd);

#endif
