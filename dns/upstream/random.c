/* SPDX-License-Identifier: Apache-2.0 */
#include "dns/upstream/random.h"

#include <string.h>
#include <sys/random.h>
#include <sys/types.h>

uint16_t random_pool_16(struct random_pool *pool)
{
    uint16_t value;

    if (pool->left < sizeof(value)) {
        size_t have = 0;
        while (have < sizeof(pool->bytes)) {
            ssize_t got = getrandom(pool->bytes + have, sizeof(pool->bytes) - have, 0);
            if (got > 0)
                have += (size_t)got;
        }
        pool->left = sizeof(pool->bytes);
    }
    memcpy(&value, pool->bytes + sizeof(pool->bytes) - pool->left, sizeof(value));
    pool->left -= sizeof(value);
    return value;
}
