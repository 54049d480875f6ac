/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A guest's memory, as QEMU shares it: regions of files, mapped, and found again by either kind of
 * address (vhost-user "Memory region description"). Guest addresses are in descriptors, which the
 * guest writes and which may hold anything; user addresses are QEMU's own and name the rings.
 */
#ifndef CAUSEWAY_TESTS_VM_SWITCH_MEMORY_H
#define CAUSEWAY_TESTS_VM_SWITCH_MEMORY_H

#include <stdint.h>

#define MEMORY_REGIONS_MAX 8 /* as many as a SET_MEM_TABLE without memory slots can carry */

struct memory_region {
    uint64_t guest, user; /* first address */
    uint64_t size;        /* bytes */
    uint8_t *host;        /* the mapping */
};

/* Zero-initialised: no memory at all. */
struct memory {
    unsigned count;
    struct memory_region regions[MEMORY_REGIONS_MAX];
};

/*
 * Maps one more region. fd is borrowed; offset is the region's place in the file, a multiple of the
 * page size. 0 or negative errno: -EINVAL for a region that wraps around or is not wholly in the
 * file (touching it would be a SIGBUS), -ENOSPC if there are MEMORY_REGIONS_MAX.
 */
int memory_add(struct memory *memory, uint64_t guest, uint64_t user, uint64_t size, int fd,
               uint64_t offset);

/* Unmaps everything. */
void memory_clear(struct memory *memory);

/* Where `length` bytes at an address are, or NULL unless one region holds them all. */
void *memory_at_guest(const struct memory *memory, uint64_t address, uint64_t length);
void *memory_at_user(const struct memory *memory, uint64_t address, uint64_t length);

#endif
