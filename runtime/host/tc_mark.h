/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The tc program at the ingress of cw1: what NFQUEUE does not report, it writes into the mark,
 * which NFQUEUE does report.
 *
 *   bits  0..15  gso_size of a super-packet, 0 otherwise
 *   bits 16..23  lane: flow hash modulo the number of lanes
 *   bit  31      set: the program has seen this packet
 *
 * The kernel behaviours relied on are tried in tests/unit/tc_mark.c.
 *
 * IP fragments are dropped here (TC_ACT_SHOT): conntrack's defragmentation runs ahead of the raw
 * table and would hand NFQUEUE reassembled datagrams, which do not fit its 65,531 bytes of payload;
 * an AF_PACKET socket, whose tap lies before tc ingress, has captured the fragments already.
 */
#ifndef CAUSEWAY_RUNTIME_HOST_TC_MARK_H
#define CAUSEWAY_RUNTIME_HOST_TC_MARK_H

#define TC_MARK_GSO_MASK   0x0000ffffu
#define TC_MARK_LANE_SHIFT 16
#define TC_MARK_LANE_MASK  0x00ff0000u
#define TC_MARK_SEEN       0x80000000u

/* Loads the program for so many lanes (1..8). A file descriptor (close-on-exec) that the caller
 * closes once it is attached, or negative errno; -ENOSYS/-EPERM/-EINVAL mean the kernel cannot. */
int tc_mark_load(unsigned lanes);

/* Restricts an AF_PACKET socket to IP fragments (the same test, as classic BPF on Ethernet frames):
 * 0 or negative errno. */
int tc_mark_filter_fragments(int packet_socket);

#endif
