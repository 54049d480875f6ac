/* SPDX-License-Identifier: Apache-2.0 */
#include "parent/addresses.h"

#include <linux/vm_sockets.h>

#define INDEX_END_MAX 65535

struct ip_addr parent_config_address(const struct parent_config *config, int version,
                                     uint32_t index)
{
    const struct ip_prefix *pool = version == 4 ? &config->pool4 : &config->pool6;
    struct ip_addr address = {0};

    if (pool->addr.version != 0)
        prefix_nth(pool, index, &address);
    return address;
}

uint32_t parent_config_index_end(const struct parent_config *config)
{
    uint32_t end = INDEX_END_MAX;

    /* The last address of an IPv4 network is its broadcast address. */
    if (config->pool4.addr.version != 0 && config->pool4.length > 16)
        end = (1u << (32 - config->pool4.length)) - 1;
    return end;
}

bool parent_config_index_taken(const struct parent_config *config, uint32_t index)
{
    for (unsigned i = 0; i < config->enclave_count; i++)
        if (config->enclaves[i].index == index)
            return true;
    return false;
}

static uint32_t index_of_address(const struct parent_config *config, const struct ip_addr *address)
{
    uint32_t end = parent_config_index_end(config);

    if (!prefix_contains(&config->pool4, address))
        return 0;
    for (uint32_t index = INDEX_FIRST; index < end; index++) {
        struct ip_addr candidate = parent_config_address(config, 4, index);
        if (addr_equal(&candidate, address))
            return index;
    }
    return 0;
}

/* A CID is its own index, so that CID 16 is 100.127.0.16; 0 where that cannot be. */
static uint32_t own_index(const struct parent_config *config, const struct enclave_entry *entry)
{
    return entry->link.kind == LINK_VSOCK && entry->link.cid >= INDEX_FIRST &&
                   entry->link.cid < parent_config_index_end(config) &&
                   !parent_config_index_taken(config, entry->link.cid)
               ? entry->link.cid
               : 0;
}

static uint32_t first_free_index(const struct parent_config *config)
{
    for (uint32_t index = INDEX_FIRST; index < parent_config_index_end(config); index++)
        if (!parent_config_index_taken(config, index))
            return index;
    return 0;
}

static bool is_any(const struct enclave_entry *entry)
{
    return entry->link.kind == LINK_VSOCK && entry->link.cid == VMADDR_CID_ANY;
}

bool addresses_assign(struct parent_config *config, struct failure *failure)
{
    char address[ADDR_TEXT_BYTES], pool[ADDR_TEXT_BYTES];

    for (unsigned i = 0; i < config->enclave_count; i++) {
        struct enclave_entry *entry = &config->enclaves[i];
        if (entry->address.version == 0)
            continue;
        uint32_t index = index_of_address(config, &entry->address);
        if (index == 0 || parent_config_index_taken(config, index) || is_any(entry))
            return failure_set(failure, "--enclave: %s cannot have %s: not a free address of %s",
                               entry->name, addr_format(&entry->address, address),
                               prefix_format(&config->pool4, pool));
        entry->index = index;
    }
    /* First the indexes that CIDs name: nobody else may take them. */
    for (unsigned i = 0; i < config->enclave_count; i++)
        if (config->enclaves[i].index == 0)
            config->enclaves[i].index = own_index(config, &config->enclaves[i]);
    for (unsigned i = 0; i < config->enclave_count; i++) {
        struct enclave_entry *entry = &config->enclaves[i];
        if (entry->index != 0 || is_any(entry))
            continue;
        entry->index = first_free_index(config);
        if (entry->index == 0)
            return failure_set(failure, "--pool: %s has fewer addresses than there are enclaves",
                               prefix_format(&config->pool4, pool));
    }
    return true;
}
