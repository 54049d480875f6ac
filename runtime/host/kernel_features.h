/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What this kernel can do, asked of the kernel itself: not of its version, which says little about
 * a distribution's. Everybody asks here. On the control thread.
 */
#ifndef CAUSEWAY_RUNTIME_HOST_KERNEL_FEATURES_H
#define CAUSEWAY_RUNTIME_HOST_KERNEL_FEATURES_H

#include <stdbool.h>

/* AF_PACKET with virtio_net_hdr, for this process: needs CAP_NET_RAW. */
bool features_packet_sockets(void);

/* NFQUEUE. The question makes the kernel load its modules. Needs CAP_NET_ADMIN. */
bool features_nfqueue(void);

/* The tc program that writes the mark (runtime/host/tc_mark.h). */
bool features_tc_mark(void);

/*
 * UDP segmentation in a virtio_net_hdr (since Linux 6.2), where no fault of this kernel is known
 * that damages it (kernel_faults.h). features_try_udp_gso() finds out at its
 * first success, through an interface that is up: 0 or -errno. features_udp_gso() is what it found,
 * true until then.
 */
int features_try_udp_gso(int ifindex);
bool features_udp_gso(void);

#endif
