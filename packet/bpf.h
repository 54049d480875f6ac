/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Classic BPF programs, as libpcap compiles them from tcpdump's filter language (McCanne and
 * Jacobson, 1993; linux Documentation/networking/filter.rst): checked once, then run on packets.
 *
 * The daemons do not link libpcap for this: it is the packet path, and a program comes from
 * outside of the process.
 */
#ifndef CAUSEWAY_PACKET_BPF_H
#define CAUSEWAY_PACKET_BPF_H

#include <stdbool.h>
#include <stdint.h>

#include <linux/filter.h>

#define BPF_PROGRAM_MAX 512 /* instructions */

/*
 * Is this a program that ends, whatever the packet, and touches nothing but its own registers?
 * Every instruction is known, jumps lead forward to one that exists, scratch memory is within its
 * 16 words, no constant division by zero, and the last instruction returns.
 */
bool bpf_check(const struct sock_filter *program, unsigned count);

/* Runs a checked program: how many bytes of the packet are wanted, 0 for none. A load beyond the
 * packet, or a division by zero, ends it with 0. */
uint32_t bpf_run(const struct sock_filter *program, const uint8_t *packet, uint32_t length);

#endif
