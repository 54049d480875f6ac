/* SPDX-License-Identifier: Apache-2.0 */
/* Memory for buffers: whole pages, which appear when they are first written to. */
#ifndef CAUSEWAY_RUNTIME_LANE_PAGES_H
#define CAUSEWAY_RUNTIME_LANE_PAGES_H

#include <errno.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/mman.h>

/* 0 or negative errno; *memory is NULL then. */
static inline int pages_map(uint8_t **memory, size_t bytes)
{
    void *mapped = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    *memory = mapped == MAP_FAILED ? NULL : mapped;
    return *memory == NULL ? -errno : 0;
}

/* NULL is allowed. */
static inline void pages_unmap(uint8_t *memory, size_t bytes)
{
    if (memory != NULL)
        munmap(memory, bytes);
}

#endif
