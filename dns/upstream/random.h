/* SPDX-License-Identifier: Apache-2.0 */
/* Random numbers from the kernel, fetched many at a time. */
#ifndef CAUSEWAY_DNS_UPSTREAM_RANDOM_H
#define CAUSEWAY_DNS_UPSTREAM_RANDOM_H

#include <stddef.h>
#include <stdint.h>

struct random_pool {
    size_t left; /* unused bytes, at the end; 0 at first */
    uint8_t bytes[512];
};

uint16_t random_pool_16(struct random_pool *pool);

#endif
