/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/base/mirror.h"

#include <errno.h>
#include <sys/mman.h>
#include <unistd.h>

int mirror_map(struct mirror *mirror, size_t size)
{
    int error = 0;
    int fd = memfd_create("causeway-lane", MFD_CLOEXEC);

    if (fd < 0)
        return -errno;
    uint8_t *base = MAP_FAILED;
    if (ftruncate(fd, (off_t)size) == 0)
        base = mmap(NULL, 2 * size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (base == MAP_FAILED) {
        error = errno;
        close(fd);
        return -error;
    }
    for (size_t half = 0; half < 2 && error == 0; half++)
        if (mmap(base + half * size, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, fd, 0) ==
            MAP_FAILED)
            error = errno;
    close(fd);
    if (error != 0) {
        munmap(base, 2 * size);
        return -error;
    }
    *mirror = (struct mirror){.base = base, .size = size};
    return 0;
}

void mirror_unmap(struct mirror *mirror)
{
    if (mirror->base != NULL)
        munmap(mirror->base, 2 * mirror->size);
    *mirror = (struct mirror){0};
}
