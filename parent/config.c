/* SPDX-License-Identifier: Apache-2.0 */
#include "parent/config.h"

#include <assert.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <linux/vm_sockets.h>

#include "parent/addresses.h"
#include "parent/policy.h"
#include "runtime/host/kernel_faults.h"

#define DEFAULT_POOL4    "100.127.0.0/16" /* the end of RFC 6598's range: clouds use its beginning */
#define DEFAULT_POOL6    "fdc5:7e1a:9b40::/64" /* RFC 4193, drawn once for this project */
#define POOL4_MAX_LENGTH 29
#define POOL6_MAX_LENGTH 112
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

    if ((size_t)snprintf(text, sizeof(text), "%s", value) >= sizeof(text))
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

static bool set_write_max(void *context, const char *value, struct failure *failure)
{
    return link_write_max_parse(value, &((struct parent_config *)context)->write_max, failure);
}

static void print_write_max(const void *context, struct option_writer *writer)
{
    unsigned bytes = ((const struct parent_config *)context)->write_max;

    if (bytes == LINK_WRITE_AUTOMATIC)
        option_value(writer, "auto");
    else
        option_value(writer, "%u", bytes);
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
    {"publish", "[NAME=][ADDRESS:]PORTS:PORTS[/tcp|/udp][,force]",
     "forward ports of this host to an enclave, for example\n"
     "443:443 or web=8000-8010:8000-8010/udp; may be repeated.\n"
     "force also takes a port that a program listens on",
     OPTION_IS_CALL(parent_policy_set_publish, parent_policy_print_publish), .reload = true},
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
     OPTION_IS_CALL(parent_policy_set_allow, parent_policy_print_allow), .reload = true},
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
    {"write-max", "BYTES",
     "longest write on a stream of the link, 4096 to 131072, or auto:\n31744 on vsock, 131072 on "
     "Unix streams (default: auto)",
     OPTION_IS_CALL(set_write_max, print_write_max)},
    DAEMON_CONTROL_ROWS(CONFIG, common),
    DAEMON_SANDBOX_ROWS(CONFIG, common),
    DAEMON_CHECK_ROW(CONFIG, common),
    DAEMON_DRY_RUN_ROW(CONFIG, common),
    DAEMON_PRINT_ROWS(CONFIG, common),
    {.name = NULL},
};

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

enum options_result parent_config_read(void *context, int argc, char **argv, char *text,
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
    else if (addresses_assign(config, failure) && parent_policy_check(config, failure))
        return OPTIONS_OK;
    return OPTIONS_INVALID;
}

unsigned parent_config_uses(const struct parent_config *config)
{
    unsigned uses = KERNEL_UDP_GSO | (config->enclave_count == 0 ? KERNEL_VSOCK : 0);

    for (unsigned i = 0; i < config->enclave_count; i++)
        if (config->enclaves[i].link.kind == LINK_VSOCK)
            uses |= KERNEL_VSOCK;
    return uses;
}
