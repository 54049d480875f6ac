/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A ring buffer mapped twice in a row: every range of up to `size` bytes that starts inside it is
 * contiguous memory, so frames are decoded and handed to the kernel where they arrived, wherever
 * in the ring they end.
 */
#ifndef CAUSEWAY_RUNTIME_BASE_MIRROR_H
#define CAUSEWAY_RUNTIME_BASE_MIRROR_H

#include <stddef.h>
#include <stdint.h>

struct mirror {
    uint8_t *base; /* 2 * size bytes of address space over size bytes of memory */
    size_t size;
};

/* size: a multiple of the page size. 0 or negative errno. */
int mirror_map(struct mirror *mirror, size_t size);
void mirror_unmap(struct mirror *mirror);

#endif
