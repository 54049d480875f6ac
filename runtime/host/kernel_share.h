/* SPDX-License-Identifier: Apache-2.0 */
/* What of the kernel's shared tables each peer may take, by the limits of this host. */
#ifndef CAUSEWAY_RUNTIME_HOST_KERNEL_SHARE_H
#define CAUSEWAY_RUNTIME_HOST_KERNEL_SHARE_H

#include <stdint.h>

/* Bytes of the memory for reassembly (packet/reassembly.h): the smallest of the kernel's limits. */
uint32_t kernel_share_fragments(unsigned peers);

#endif
