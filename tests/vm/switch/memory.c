/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/vm/switch/memory.h"

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

static bool wraps(uint64_t start, uint64_t size)
{
    return start + size < start;
}

int memory_add(struct memory *memory, uint64_t guest, uint64_t user, uint64_t size, int fd,
               uint64_t offset)
{
    struct memory_region *region = &memory->regions[memory->count];
    struct stat status;
    void *host;

    if (memory->count == MEMORY_REGIONS_MAX)
        return -ENOSPC;
    if (size == 0 || size > SIZE_MAX || wraps(guest, size) || wraps(user, size) ||
        wraps(offset, size))
        return -EINVAL;
    if (fstat(fd, &status) < 0)
        return -errno;
    if (offset + size > (uint64_t)status.st_size)
        return -EINVAL;
    host = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, (off_t)offset);
    if (host == MAP_FAILED)
        return -errno;
    *region = (struct memory_region){.guest = guest, .user = user, .size = size, .host = host};
    memory->count++;
    return 0;
}

void memory_clear(struct memory *memory)
{
    for (unsigned i = 0; i < memory->count; i++)
        munmap(memory->regions[i].host, memory->regions[i].size);
    memset(memory, 0, sizeof(*memory));
}

/* Written so that no sum of the caller's numbers is ever formed: they may be anything. */
static void *inside(const struct memory_region *region, uint64_t start, uint64_t address,
                    uint64_t length)
{
    if (address < start || address - start > region->size)
        return NULL;
    if (length > region->size - (address - start))
        return NULL;
    return region->host + (address - start);
}

void *memory_at_guest(const struct memory *memory, uint64_t address, uint64_t length)
{
    for (unsigned i = 0; i < memory->count; i++) {
        void *found = inside(&memory->regions[i], memory->regions[i].guest, address, length);
        if (found != NULL)
            return found;
    }
    return NULL;
}

void *memory_at_user(const struct memory *memory, uint64_t address, uint64_t length)
{
    for (unsigned i = 0; i < memory->count; i++) {
        void *found = inside(&memory->regions[i], memory->regions[i].user, address, length);
        if (found != NULL)
            return found;
    }
    return NULL;
}
