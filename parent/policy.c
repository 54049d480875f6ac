/* SPDX-License-Identifier: Apache-2.0 */
#include "parent/policy.h"

#include <string.h>

#include "parent/publish.h"

/* ---- as options ---- */

bool parent_policy_set_publish(void *context, const char *value, struct failure *failure)
{
    struct parent_config *config = context;

    if (config->publish_count == PARENT_PUBLISH_MAX)
        return failure_set(failure, "is one too many (at most %d)", PARENT_PUBLISH_MAX);
    if (!publish_parse(value, &config->publish[config->publish_count], failure))
        return false;
    config->publish_count++;
    return true;
}

void parent_policy_print_publish(const void *context, struct option_writer *writer)
{
    const struct parent_config *config = context;
    char text[PUBLISH_TEXT_BYTES];

    for (unsigned i = 0; i < config->publish_count; i++)
        option_value(writer, "%s", publish_format(&config->publish[i], text));
}

static bool add_prefix(struct prefix_table *table, const char *value, struct failure *failure)
{
    struct ip_prefix prefix, around;
    char text[ADDR_TEXT_BYTES];

    if (!prefix_parse(value, &prefix) && prefix_around(value, &around))
        failure_set(failure, "has bits of a host set: the network is %s",
                    prefix_format(&around, text));
    else if (!prefix_parse(value, &prefix))
        failure_set(failure, "is not a network like 10.1.0.0/16");
    else if (!prefix_table_add(table, &prefix))
        failure_set(failure, "is one network too many (at most %d)", PREFIX_TABLE_MAX);
    else
        return true;
    return false;
}

static void print_prefixes(const struct prefix_table *table, struct option_writer *writer)
{
    char text[ADDR_TEXT_BYTES];

    for (size_t i = 0; i < table->count; i++)
        option_value(writer, "%s", prefix_format(&table->entries[i], text));
}

static bool set_connected(void *context, const char *value, struct failure *failure)
{
    return add_prefix(&((struct parent_config *)context)->connected, value, failure);
}

static void print_connected(const void *context, struct option_writer *writer)
{
    print_prefixes(&((const struct parent_config *)context)->connected, writer);
}

bool parent_policy_set_allow(void *context, const char *value, struct failure *failure)
{
    return add_prefix(&((struct parent_config *)context)->allow, value, failure);
}

void parent_policy_print_allow(const void *context, struct option_writer *writer)
{
    print_prefixes(&((const struct parent_config *)context)->allow, writer);
}

/* ---- what is open ---- */

static bool is_closed(const struct ip_prefix *prefix)
{
    for (size_t i = 0; i < policy_closed.count; i++)
        if (prefix_covers(&policy_closed.entries[i], prefix))
            return true;
    return false;
}

struct parent_policy_opened parent_policy_opened(const struct prefix_table *allow)
{
    struct parent_policy_opened opened = {0};

    for (size_t i = 0; i < allow->count; i++)
        prefix_table_add(is_closed(&allow->entries[i]) ? &opened.closed : &opened.ordinary,
                         &allow->entries[i]);
    return opened;
}

/* ---- against the enclaves ---- */

bool parent_policy_check(const struct parent_config *config, struct failure *failure)
{
    for (unsigned i = 0; i < config->publish_count; i++) {
        const struct publish_entry *publish = &config->publish[i];
        const struct enclave_entry *entry = parent_config_find(config, publish->enclave);
        if (entry == NULL)
            return failure_set(failure,
                               publish->enclave[0]
                                   ? "--publish: no --enclave is called '%s'"
                                   : "--publish: with several enclaves it must say which "
                                     "one: NAME=PORTS:PORTS%s",
                               publish->enclave);
        if (entry->index == 0)
            return failure_set(failure, "--publish: an enclave of any CID has no fixed address; "
                                        "configure it by its own CID");
        if (publish->listen.version == 6 && addr_is_loopback(&publish->listen))
            return failure_set(failure,
                               "--publish: [::1]: the kernel lets no packet from ::1 leave "
                               "the host; 127.0.0.1 can be published");
        if ((publish->listen.version == 4 && config->pool4.addr.version == 0) ||
            (publish->listen.version == 6 && config->pool6.addr.version == 0))
            return failure_set(failure,
                               "--publish: enclaves have no IPv%d: port %u of an IPv%d "
                               "address cannot be theirs",
                               publish->listen.version, publish->first, publish->listen.version);
        for (unsigned j = 0; j < i; j++) {
            if (publish_overlap(&config->publish[j], publish))
                return failure_set(failure, "--publish: port %u/%s is published twice",
                                   publish->first, publish->protocol);
        }
    }
    return true;
}

/* ---- one by one, and all at once ---- */

static const struct option_spec policy_options[] = {
    {"publish", "PORTS", "",
     OPTION_IS_CALL(parent_policy_set_publish, parent_policy_print_publish)},
    {"allow", "NETWORK", "", OPTION_IS_CALL(parent_policy_set_allow, parent_policy_print_allow)},
    {.name = NULL},
};

/* What the helper process is told: also what nobody configures. */
static const struct option_spec exchanged_options[] = {
    {"publish", "PORTS", "",
     OPTION_IS_CALL(parent_policy_set_publish, parent_policy_print_publish)},
    {"allow", "NETWORK", "", OPTION_IS_CALL(parent_policy_set_allow, parent_policy_print_allow)},
    {"connected", "NETWORK", "", OPTION_IS_CALL(set_connected, print_connected)},
    {.name = NULL},
};

static bool has_prefix(const struct parent_config *config, const char *value, size_t *index)
{
    struct ip_prefix prefix;
    char text[ADDR_TEXT_BYTES], other[ADDR_TEXT_BYTES];

    if (!prefix_parse(value, &prefix))
        return false;
    prefix_format(&prefix, text);
    for (*index = 0; *index < config->allow.count; ++*index)
        if (strcmp(prefix_format(&config->allow.entries[*index], other), text) == 0)
            return true;
    return false;
}

static bool has_publish(const struct parent_config *config, const char *value, unsigned *index)
{
    struct publish_entry wanted;
    char text[PUBLISH_TEXT_BYTES], other[PUBLISH_TEXT_BYTES];
    struct failure ignored;

    if (!publish_parse(value, &wanted, &ignored))
        return false;
    const struct enclave_entry *enclave = parent_config_find(config, wanted.enclave);
    for (*index = 0; *index < config->publish_count; ++*index) {
        struct publish_entry entry = config->publish[*index];
        bool same_enclave = parent_config_find(config, entry.enclave) == enclave;
        memcpy(entry.enclave, wanted.enclave, sizeof(entry.enclave));
        entry.force = wanted.force;
        if (same_enclave &&
            strcmp(publish_format(&entry, other), publish_format(&wanted, text)) == 0)
            return true;
    }
    return false;
}

bool parent_policy_add(struct parent_config *config, const char *key, const char *value,
                       struct failure *failure)
{
    static struct parent_config next;
    size_t index;

    next = *config;
    if (strcmp(key, "allow") == 0 && has_prefix(config, value, &index))
        return failure_set(failure, "allow: '%.200s' is allowed already", value);
    if (!options_set_key(policy_options, key, value, &next, failure) ||
        !parent_policy_check(&next, failure))
        return false;
    *config = next;
    return true;
}

bool parent_policy_remove(struct parent_config *config, const char *key, const char *value,
                          struct failure *failure)
{
    unsigned place;
    size_t index;

    if (strcmp(key, "allow") == 0 && has_prefix(config, value, &index)) {
        struct prefix_table *allow = &config->allow;
        memmove(&allow->entries[index], &allow->entries[index + 1],
                (allow->count - index - 1) * sizeof(allow->entries[0]));
        allow->count--;
        return true;
    }
    if (strcmp(key, "publish") == 0 && has_publish(config, value, &place)) {
        memmove(&config->publish[place], &config->publish[place + 1],
                (config->publish_count - place - 1) * sizeof(config->publish[0]));
        config->publish_count--;
        return true;
    }
    return failure_set(failure, "%s: '%.200s' is not there",
                       strcmp(key, "publish") == 0 ? "unpublish" : "disallow", value);
}

void parent_policy_print(const struct parent_config *config, FILE *out)
{
    options_print(exchanged_options, config, out);
}

bool parent_policy_take(struct parent_config *config, char *text, struct failure *failure)
{
    static struct parent_config next; /* too large for a stack; one thread */

    next = *config;
    next.publish_count = 0;
    next.allow.count = 0;
    next.connected.count = 0;
    if (!options_parse_text(exchanged_options, "policy", text, &next, failure) ||
        !parent_policy_check(&next, failure))
        return false;
    *config = next;
    return true;
}
