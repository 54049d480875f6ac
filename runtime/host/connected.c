/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/host/connected.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct search {
    const char *ours;
    struct prefix_table *table;
    bool full;
};

static bool covered_by(const struct prefix_table *table, const struct ip_prefix *prefix)
{
    for (size_t i = 0; i < table->count; i++)
        if (prefix_covers(&table->entries[i], prefix))
            return true;
    return false;
}

/* A default route through a device without a gateway is no network. */
static bool visit(const struct ip_prefix *prefix, const char *device, void *context)
{
    struct search *search = context;

    if (prefix->length > 0 && strncmp(device, search->ours, strlen(search->ours)) != 0 &&
        !covered_by(&policy_never, prefix) && !covered_by(&policy_closed, prefix) &&
        !covered_by(search->table, prefix))
        search->full |= !prefix_table_add(search->table, prefix);
    return true;
}

static int compare(const void *a, const void *b)
{
    return memcmp(a, b, sizeof(struct ip_prefix));
}

int connected_networks(struct netdev *nd, const char *ours, struct prefix_table *table)
{
    struct search search = {.ours = ours, .table = table};
    size_t before = table->count;
    int result = netdev_each_connected(nd, 4, visit, &search);

    if (result == 0)
        result = netdev_each_connected(nd, 6, visit, &search);
    qsort(table->entries + before, table->count - before, sizeof(table->entries[0]), compare);
    return result == 0 && search.full ? -ENOSPC : result;
}
