/* SPDX-License-Identifier: Apache-2.0 */
#include "parent/firewall.h"

#include "parent/addresses.h"
#include "parent/enclave_device.h"
#include "parent/policy.h"
#include "rule_templates.h"

const struct rules_set firewall_rules = {
    .name = "parent",
    .nft = rule_parent_nft,
    .nft_table = "inet causeway",
    .ipv4 = rule_parent_ipv4_rules,
    .ipv6 = rule_parent_ipv6_rules,
    .hooks = rule_parent_hooks,
};

static void set_flag(struct rules_values *values, const char *name, bool on)
{
    rules_set(values, name, "%s", on ? "yes" : "");
}

static void set_family(struct rules_values *values, const struct parent_config *config, int version)
{
    const struct ip_prefix *pool = version == 4 ? &config->pool4 : &config->pool6;
    bool routed = version == 4 ? config->routed4 : config->routed6;
    bool on = pool->addr.version != 0;
    struct ip_addr gateway = parent_config_address(config, version, INDEX_GATEWAY);
    char text[ADDR_TEXT_BYTES];

    set_flag(values, version == 4 ? "has4" : "has6", on);
    set_flag(values, version == 4 ? "nat4" : "nat6", on && !routed);
    set_flag(values, version == 4 ? "closed_forward4" : "closed_forward6",
             version == 4 ? config->forwards_only4 : config->forwards_only6);
    rules_set(values, version == 4 ? "pool4" : "pool6", "%s", prefix_format(pool, text));
    rules_set(values, version == 4 ? "gateway4" : "gateway6", "%s", addr_format(&gateway, text));
}

/* Splits a table into the lists of its families. */
static void set_prefixes(struct rules_values *values, const char *list4, const char *list6,
                         const struct prefix_table *table)
{
    char text[ADDR_TEXT_BYTES];

    rules_list(values, list4);
    rules_list(values, list6);
    for (size_t i = 0; i < table->count; i++) {
        const struct ip_prefix *prefix = &table->entries[i];
        rules_group(values, prefix->addr.version == 4 ? list4 : list6);
        rules_group_set(values, "prefix", "%s", prefix_format(prefix, text));
    }
}

/* --allow in two lists: what opens closed addresses stands before the closed list, the rest behind
 * it. */
static void set_policy(struct rules_values *values, const struct parent_config *config)
{
    struct parent_policy_opened opened = parent_policy_opened(&config->allow);

    set_prefixes(values, "opened4", "opened6", &opened.closed);
    set_prefixes(values, "closed4", "closed6", &policy_closed);
    set_prefixes(values, "allow4", "allow6", &opened.ordinary);
    set_prefixes(values, "connected4", "connected6", &config->connected);
    set_prefixes(values, "private4", "private6", &policy_private);
}

static bool same_prefix(const struct ip_prefix *a, const struct ip_prefix *b)
{
    return prefix_covers(a, b) && prefix_covers(b, a);
}

/* Enclaves reach each other when --allow names a pool. Neither a larger network nor a part of the
 * pool means that. */
static bool peers_allowed(const struct parent_config *config)
{
    for (size_t i = 0; i < config->allow.count; i++)
        if (same_prefix(&config->pool4, &config->allow.entries[i]) ||
            same_prefix(&config->pool6, &config->allow.entries[i]))
            return true;
    return false;
}

/* What stands for every address of a family is no address that a packet could name. */
static struct ip_addr named_address(const struct ip_addr *listen)
{
    return addr_is_any(listen) ? (struct ip_addr){0} : *listen;
}

static void set_publish_family(struct rules_values *values, const struct parent_config *config,
                               const struct publish_entry *entry, int version)
{
    const struct enclave_entry *enclave = parent_config_find(config, entry->enclave);
    struct rules_publish publish = {
        .protocol = entry->protocol,
        .listen = named_address(&entry->listen),
        .first = entry->first,
        .last = entry->last,
        .to = parent_config_address(config, version, enclave->index),
        .to_first = entry->to_first,
    };

    if (publish.to.version != 0 && (entry->listen.version == 0 || entry->listen.version == version))
        rules_publish(values, &publish);
}

struct rules_values *firewall_values(const struct parent_config *config)
{
    struct rules_values *values = rules_values_new();

    rules_set(values, "in", "%s", ENCLAVE_DEVICE_PREFIX);
    set_family(values, config, 4);
    set_family(values, config, 6);
    rules_set(values, "nat_ports", "%u-%u", config->nat_first, config->nat_last);
    set_flag(values, "peers", peers_allowed(config));
    set_policy(values, config);
    rules_list(values, "publish4");
    rules_list(values, "publish6");
    for (unsigned i = 0; i < config->publish_count; i++) {
        set_publish_family(values, config, &config->publish[i], 4);
        set_publish_family(values, config, &config->publish[i], 6);
    }
    return values;
}
