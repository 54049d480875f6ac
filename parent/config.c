/* SPDX-License-Identifier: Apache-2.0 */
#include "parent/config.h"

#include <assert.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <linux/vm_sockets.h>

#include "parent/publish.h"

#define DEFAULT_POOL4    "100.127.0.0/16" /* the end of RFC 6598's range: clouds use its beginning */
#define DEFAULT_POOL6    "fdc5:7e1a:9b40::/64" /* RFC 4193, drawn once for this project */
#define POOL4_MAX_LENGTH 29
#define POOL6_MAX_LENGTH 112
#define INDEX_END_MAX    65535
#define NAT_PORTS_FIRST  32768 /* Linux's own range for outgoing connections: */
#define NAT_PORTS_LAST   60999 /* services do not listen there */
#define NAT_PORTS_LEAST  1024

/* A user's name or number. */
static bool parse_owner(const char *text, uid_t *owner)
{
    unsigned long number;
    const struct passwd *user;

    if (option_number(text, 0, UINT32_MAX - 1, &number)) {
        *owner = (uid_t)number;
        return true;
    }
    user = getpwnam(text);
    if (user != NULL)
        *owner = user->pw_uid;
    return user != NULL;
}

static bool set_owner(struct enclave_entry *entry, const char *text, struct failure *failure)
{
    entry->owned = entry->link.kind == LINK_UNIX && parse_owner(text, &entry->owner);
    if (!entry->owned)
        failure_set(failure, entry->link.kind == LINK_UNIX
                                 ? "has an owner= that is no user here"
                                 : "has an owner=, which only a unix: socket can have");
    return entry->owned;
}

/* "vsock:16:5005,name=web,address=100.127.0.50": the part behind the first comma. */
static bool enclave_attribute(struct enclave_entry *entry, const char *text,
                              struct failure *failure)
{
    if (strncmp(text, "name=", 5) == 0) {
        size_t length = strlen(text + 5);
        if (length > 0 && length < sizeof(entry->name) && strpbrk(text + 5, "=:/ ") == NULL) {
            memcpy(entry->name, text + 5, length + 1);
            entry->named = true;
            return true;
        }
        failure_set(failure, "has a name that is empty, too long, or contains = : / or space");
    } else if (strncmp(text, "address=", 8) == 0) {
        if (addr_parse(text + 8, &entry->address) && entry->address.version == 4)
            return true;
        failure_set(failure, "has an address= that is not an IPv4 address");
    } else if (strncmp(text, "owner=", 6) == 0) {
        return set_owner(entry, text + 6, failure);
    } else {
        failure_set(failure,
                    "has a part that is neither name=NAME, address=ADDRESS nor owner=USER");
    }
    return false;
}

static void default_name(struct enclave_entry *entry)
{
    const char *slash = strrchr(entry->link.path, '/');

    if (entry->name[0] != '\0')
        return;
    if (entry->link.kind == LINK_UNIX)
        snprintf(entry->name, sizeof(entry->name), "%.60s", slash ? slash + 1 : entry->link.path);
    else if (entry->link.cid == VMADDR_CID_ANY)
        snprintf(entry->name, sizeof(entry->name), "any");
    else
        snprintf(entry->name, sizeof(entry->name), "%u", entry->link.cid);
}

static bool same_peer(const struct link_addr *a, const struct link_addr *b)
{
    if (a->kind != b->kind)
        return false;
    return a->kind == LINK_UNIX ? strcmp(a->path, b->path) == 0
                                : a->port == b->port && a->cid == b->cid;
}

static bool set_enclave(void *context, const char *value, struct failure *failure)
{
    struct parent_config *config = context;
    struct enclave_entry entry = {0};
    char text[512], *rest = text;

    if (config->enclave_count == PARENT_ENCLAVES_MAX)
        return failure_set(failure, "is one enclave too many (at most %d)", PARENT_ENCLAVES_MAX);
    if ((size_t)snprintf(text, sizeof(text), "%s", value) >= sizeof(text))
        return failure_set(failure, "is too long");
    if (!link_parse(strsep(&rest, ","), &entry.link, failure))
        return false;
    for (const char *part; (part = strsep(&rest, ",")) != NULL;)
        if (!enclave_attribute(&entry, part, failure))
            return false;
    default_name(&entry);
    for (unsigned i = 0; i < config->enclave_count; i++) {
        if (same_peer(&config->enclaves[i].link, &entry.link) ||
            strcmp(config->enclaves[i].name, entry.name) == 0)
            return failure_set(failure, "has the peer or the name of another --enclave");
    }
    config->enclaves[config->enclave_count++] = entry;
    return true;
}

static void print_enclave(const void *context, struct option_writer *writer)
{
    const struct parent_config *config = context;
    char link[LINK_TEXT_BYTES], address[ADDR_TEXT_BYTES];

    for (unsigned i = 0; i < config->enclave_count; i++) {
        const struct enclave_entry *entry = &config->enclaves[i];
        bool placed = entry->address.version != 0;
        char owner[24] = "";
        if (entry->owned)
            snprintf(owner, sizeof(owner), ",owner=%u", entry->owner);
        option_value(writer, "%s%s%s%s%s%s", link_format(&entry->link, link),
                     entry->named ? ",name=" : "", entry->named ? entry->name : "",
                     placed ? ",address=" : "", placed ? addr_format(&entry->address, address) : "",
                     owner);
    }
}

static bool set_publish(void *context, const char *value, struct failure *failure)
{
    struct parent_config *config = context;

    if (config->publish_count == PARENT_PUBLISH_MAX)
        return failure_set(failure, "is one too many (at most %d)", PARENT_PUBLISH_MAX);
    if (!publish_parse(value, &config->publish[config->publish_count], failure))
        return false;
    config->publish_count++;
    return true;
}

static void print_publish(const void *context, struct option_writer *writer)
{
    const struct parent_config *config = context;
    char text[PUBLISH_TEXT_BYTES];

    for (unsigned i = 0; i < config->publish_count; i++)
        option_value(writer, "%s", publish_format(&config->publish[i], text));
}

static bool set_pool(const char *value, int version, unsigned max_length, struct ip_prefix *pool,
                     struct failure *failure)
{
    struct ip_prefix prefix;

    if (strcmp(value, "none") == 0) {
        *pool = (struct ip_prefix){0};
        return true;
    }
    if (!prefix_parse(value, &prefix) || prefix.addr.version != version)
        failure_set(failure, "is not an IPv%d network, nor none", version);
    else if (prefix.length > max_length)
        failure_set(failure, "is too small a pool (at most /%u)", max_length);
    else {
        *pool = prefix;
        return true;
    }
    return false;
}

static bool set_pool4(void *context, const char *value, struct failure *failure)
{
    return set_pool(value, 4, POOL4_MAX_LENGTH, &((struct parent_config *)context)->pool4, failure);
}

static bool set_pool6(void *context, const char *value, struct failure *failure)
{
    return set_pool(value, 6, POOL6_MAX_LENGTH, &((struct parent_config *)context)->pool6, failure);
}

static void print_pool(const struct ip_prefix *pool, struct option_writer *writer)
{
    char text[ADDR_TEXT_BYTES];

    option_value(writer, "%s", pool->addr.version != 0 ? prefix_format(pool, text) : "none");
}

static void print_pool4(const void *context, struct option_writer *writer)
{
    print_pool(&((const struct parent_config *)context)->pool4, writer);
}

static void print_pool6(const void *context, struct option_writer *writer)
{
    print_pool(&((const struct parent_config *)context)->pool6, writer);
}

static bool set_nat_ports(void *context, const char *value, struct failure *failure)
{
    struct parent_config *config = context;
    char text[16], *last = text;
    unsigned long ports[2];

    if ((size_t)snprintf(text, sizeof text, "%s", value) >= sizeof text)
        text[0] = '\0';
    const char *first = strsep(&last, "-");
    if (last == NULL || !option_number(first, 1, UINT16_MAX, &ports[0]) ||
        !option_number(last, ports[0], UINT16_MAX, &ports[1]))
        failure_set(failure, "is not a range of ports like 32768-60999");
    else if (ports[1] - ports[0] + 1 < NAT_PORTS_LEAST)
        failure_set(failure, "is too small a range (at least %d ports)", NAT_PORTS_LEAST);
    else {
        config->nat_first = (uint16_t)ports[0];
        config->nat_last = (uint16_t)ports[1];
        return true;
    }
    return false;
}

static void print_nat_ports(const void *context, struct option_writer *writer)
{
    const struct parent_config *config = context;

    option_value(writer, "%u-%u", config->nat_first, config->nat_last);
}

static bool add_prefix(struct prefix_table *table, const char *value, struct failure *failure)
{
    struct ip_prefix prefix;

    if (!prefix_parse(value, &prefix))
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

static bool set_allow(void *context, const char *value, struct failure *failure)
{
    return add_prefix(&((struct parent_config *)context)->allow, value, failure);
}

static void print_allow(const void *context, struct option_writer *writer)
{
    print_prefixes(&((const struct parent_config *)context)->allow, writer);
}

static bool set_dns(void *context, const char *value, struct failure *failure)
{
    struct parent_config *config = context;

    if (config->dns_count == WIRE_MAX_DNS)
        failure_set(failure, "is one resolver too many (at most %d)", WIRE_MAX_DNS);
    else if (!addr_parse(value, &config->dns[config->dns_count]))
        failure_set(failure, "is not an IP address");
    else {
        config->dns_count++;
        return true;
    }
    return false;
}

static void print_dns(const void *context, struct option_writer *writer)
{
    const struct parent_config *config = context;
    char text[ADDR_TEXT_BYTES];

    for (unsigned i = 0; i < config->dns_count; i++)
        option_value(writer, "%s", addr_format(&config->dns[i], text));
}

static bool set_uplink(void *context, const char *value, struct failure *failure)
{
    struct parent_config *config = context;

    if (strlen(value) == 0 || strlen(value) >= IFNAMSIZ)
        return failure_set(failure, "is not a device name");
    config->uplink = strcmp(value, "auto") == 0 ? NULL : value;
    return true;
}

static void print_uplink(const void *context, struct option_writer *writer)
{
    const char *uplink = ((const struct parent_config *)context)->uplink;

    option_value(writer, "%s", uplink ? uplink : "auto");
}

static bool set_firewall(void *context, const char *value, struct failure *failure)
{
    if (rules_backend_parse(value, &((struct parent_config *)context)->firewall))
        return true;
    return failure_set(failure, "is not auto, iptables, iptables-legacy or nft");
}

static void print_firewall(const void *context, struct option_writer *writer)
{
    option_value(writer, "%s",
                 rules_backend_name(((const struct parent_config *)context)->firewall));
}

static_assert(offsetof(struct parent_config, common) == 0, "as daemon.h wants it");

#define CONFIG struct parent_config

const struct option_spec parent_options[] = {
    DAEMON_CONFIG_ROW(CONFIG, common),
    {"enclave", "PEER[,name=NAME][,address=ADDRESS][,owner=USER]",
     "an enclave that may connect; may be repeated. PEER is\n"
     "vsock:CID:PORT (its CID, the port to listen on; CID\n"
     "may be any) or unix:PATH (the socket to listen on,\n"
     "which is root's or USER's)",
     OPTION_IS_CALL(set_enclave, print_enclave)},
    {"publish", "[NAME=][ADDRESS:]PORTS:PORTS[/tcp|/udp]",
     "forward ports of this host to an enclave, for example\n"
     "443:443 or web=8000-8010:8000-8010/udp; may be repeated",
     OPTION_IS_CALL(set_publish, print_publish), .reload = true},
    {"pool", "NETWORK", "IPv4 addresses for enclaves, or none (default:\n" DEFAULT_POOL4 ")",
     OPTION_IS_CALL(set_pool4, print_pool4)},
    {"pool6", "NETWORK", "IPv6 addresses for enclaves, or none (default:\n" DEFAULT_POOL6 ")",
     OPTION_IS_CALL(set_pool6, print_pool6)},
    {"routed4", NULL, "the IPv4 pool is routed to this host: no masquerade",
     OPTION_IS_FLAG(CONFIG, routed4)},
    {"routed6", NULL, "the IPv6 pool is routed to this host: no masquerade",
     OPTION_IS_FLAG(CONFIG, routed6)},
    {"allow", "NETWORK",
     "open a private network to enclaves, or one of this\n"
     "host's own; may be repeated. Link-local addresses (the\n"
     "metadata service) need an --allow that lies among them;\n"
     "the pool itself lets enclaves reach each other",
     OPTION_IS_CALL(set_allow, print_allow), .reload = true},
    {"nat-ports", "FIRST-LAST",
     "source ports that enclaves' connections get; this host\n"
     "is to have no services there (default: 32768-60999)",
     OPTION_IS_CALL(set_nat_ports, print_nat_ports)},
    {"dns", "ADDRESS", "a resolver to tell enclaves about; may be repeated",
     OPTION_IS_CALL(set_dns, print_dns), .reload = true},
    {"uplink", "DEVICE", "take the MTU from this device (default: auto, the\ndefault route's)",
     OPTION_IS_CALL(set_uplink, print_uplink), .reload = true},
    {"lanes", "NUMBER", "most streams to grant an enclave (default: 8)",
     OPTION_IS_UNSIGNED(CONFIG, lanes_max, 1, WIRE_MAX_LANES), .reload = true},
    {"firewall", "TOOL", "auto, iptables, iptables-legacy or nft (default: auto)",
     OPTION_IS_CALL(set_firewall, print_firewall)},
    {"dead-after", "SECONDS", "give a silent or stalled stream up (default: 10)",
     OPTION_IS_UNSIGNED(CONFIG, dead_seconds, 1, 600), .reload = true},
    DAEMON_CONTROL_ROWS(CONFIG, common),
    DAEMON_SANDBOX_ROWS(CONFIG, common),
    DAEMON_CHECK_ROW(CONFIG, common),
    DAEMON_DRY_RUN_ROW(CONFIG, common),
    DAEMON_PRINT_ROWS(CONFIG, common),
    {.name = NULL},
};

/* ---- address indexes ---- */

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

static bool assign_indexes(struct parent_config *config, struct failure *failure)
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

/* ---- cross-checks ---- */

const char *parent_config_label(const struct enclave_entry *entry, const char *peer, char *out)
{
    if (entry->named)
        snprintf(out, PARENT_LABEL_BYTES, "%s (%s)", entry->name, peer);
    else
        snprintf(out, PARENT_LABEL_BYTES, "%s", peer);
    return out;
}

const struct enclave_entry *parent_config_find(const struct parent_config *config, const char *name)
{
    if (name[0] == '\0')
        return config->enclave_count == 1 ? &config->enclaves[0] : NULL;
    for (unsigned i = 0; i < config->enclave_count; i++)
        if (strcmp(config->enclaves[i].name, name) == 0)
            return &config->enclaves[i];
    return NULL;
}

static bool check_publish(const struct parent_config *config, struct failure *failure)
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

/* ---- what changes while the daemon runs ---- */

static const struct option_spec policy_options[] = {
    {"publish", "PORTS", "", OPTION_IS_CALL(set_publish, print_publish)},
    {"allow", "NETWORK", "", OPTION_IS_CALL(set_allow, print_allow)},
    {.name = NULL},
};

/* What the helper process is told: also what nobody configures. */
static const struct option_spec exchanged_options[] = {
    {"publish", "PORTS", "", OPTION_IS_CALL(set_publish, print_publish)},
    {"allow", "NETWORK", "", OPTION_IS_CALL(set_allow, print_allow)},
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
        !check_publish(&next, failure))
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
    return failure_set(failure, "%.20s: '%.200s' is not there", key, value);
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
        !check_publish(&next, failure))
        return false;
    *config = next;
    return true;
}

/* ---- all of it ---- */

enum options_result parent_config_read_again(void *context, int argc, char **argv, char *text,
                                             struct failure *failure)
{
    struct parent_config *config = context;

    *config = (struct parent_config){
        .lanes_max = WIRE_MAX_LANES,
        .dead_seconds = 10,
        .nat_first = NAT_PORTS_FIRST,
        .nat_last = NAT_PORTS_LAST,
        .firewall = RULES_AUTO,
        .common.log_level = LOG_LEVEL_INFO,
        .common.control.path = PARENT_CONTROL_PATH,
    };
    prefix_parse(DEFAULT_POOL4, &config->pool4);
    prefix_parse(DEFAULT_POOL6, &config->pool6);
    enum options_result result = options_parse_again(parent_options, "causeway-parent",
                                                     "a network for sealed enclaves, parent side",
                                                     argc, argv, text, config, failure);
    if (result != OPTIONS_OK)
        return result;
    /* --check answers for a host before anybody has decided on the enclaves. */
    if (config->enclave_count == 0 && !config->common.check)
        failure_set(failure, "--enclave is missing: which enclave may connect?");
    else if (config->pool4.addr.version == 0 && config->pool6.addr.version == 0)
        failure_set(failure, "--pool and --pool6 are both none: enclaves need addresses");
    else if (assign_indexes(config, failure) && check_publish(config, failure))
        return OPTIONS_OK;
    return OPTIONS_INVALID;
}

enum options_result parent_config_read(struct parent_config *config, int argc, char **argv,
                                       struct failure *failure)
{
    return parent_config_read_again(config, argc, argv, NULL, failure);
}
