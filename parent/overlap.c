/* SPDX-License-Identifier: Apache-2.0 */
#include "parent/overlap.h"

#include <stdio.h>
#include <string.h>

#include "parent/enclave_device.h"
#include "runtime/host/netdev.h"

struct search {
    const struct ip_prefix *pool;
    struct ip_prefix found;
    char device[IFNAMSIZ];
};

static bool visit(const struct ip_prefix *prefix, const char *device, void *context)
{
    struct search *search = context;

    if (prefix->length == 0 ||
        strncmp(device, ENCLAVE_DEVICE_PREFIX, strlen(ENCLAVE_DEVICE_PREFIX)) == 0)
        return true;
    if (!prefix_covers(prefix, search->pool) && !prefix_covers(search->pool, prefix))
        return true;
    search->found = *prefix;
    snprintf(search->device, sizeof(search->device), "%s", device);
    return false;
}

static bool check_pool(struct netdev *netdev, const struct ip_prefix *pool, const char *option,
                       struct failure *failure)
{
    struct search search = {.pool = pool};
    char pool_text[ADDR_TEXT_BYTES], found_text[ADDR_TEXT_BYTES];

    if (pool->addr.version == 0)
        return true;
    int result = netdev_each_prefix(netdev, pool->addr.version, visit, &search);
    if (result < 0)
        return failure_set(failure, "cannot list routes: %s", strerror(-result));
    if (search.device[0] == '\0')
        return true;
    return failure_set(failure, "%s: %s is in use on this host: %s on %s", option,
                       prefix_format(pool, pool_text), prefix_format(&search.found, found_text),
                       search.device);
}

bool overlap_check(const struct parent_config *config, struct failure *failure)
{
    struct netdev netdev = {0};
    int result = netdev_open(&netdev);

    if (result < 0)
        return failure_set(failure, "cannot open rtnetlink: %s", strerror(-result));
    bool is_free = check_pool(&netdev, &config->pool4, "--pool", failure) &&
                   check_pool(&netdev, &config->pool6, "--pool6", failure);
    netdev_close(&netdev);
    return is_free;
}
