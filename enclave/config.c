/* SPDX-License-Identifier: Apache-2.0 */
#include "enclave/config.h"

#include <assert.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>

#include "enclave/resolvers.h"
#include "runtime/host/kernel_faults.h"

static bool set_link(void *context, const char *value, struct failure *failure)
{
    struct enclave_config *config = context;

    if (!link_parse(value, &config->link, failure))
        return false;
    if (config->link.kind == LINK_VSOCK && config->link.cid == UINT32_MAX)
        return failure_set(failure, "needs the parent's CID: 3 on Nitro, 2 under QEMU");
    config->has_link = true;
    return true;
}

static void print_link(const void *context, struct option_writer *writer)
{
    const struct enclave_config *config = context;
    char text[LINK_TEXT_BYTES];

    if (config->has_link)
        option_value(writer, "%s", link_format(&config->link, text));
}

static const char *const capture_names[] = {"auto", "nfqueue", "packet"};

static bool set_capture(void *context, const char *value, struct failure *failure)
{
    struct enclave_config *config = context;

    for (unsigned i = 0; i < sizeof(capture_names) / sizeof(capture_names[0]); i++) {
        if (strcmp(value, capture_names[i]) == 0) {
            config->capture = (enum capture_choice)i;
            return true;
        }
    }
    return failure_set(failure, "is not auto, nfqueue or packet");
}

static void print_capture(const void *context, struct option_writer *writer)
{
    option_value(writer, "%s", capture_names[((const struct enclave_config *)context)->capture]);
}

static bool set_address(void *context, const char *value, struct failure *failure)
{
    struct enclave_config *config = context;
    struct ip_prefix pinned;

    if (!prefix_parse(value, &pinned))
        return failure_set(failure, "is neither an IP address nor a network");
    *(pinned.addr.version == 4 ? &config->pinned4 : &config->pinned6) = pinned;
    return true;
}

/* An address without the length that it has as a network of its own. */
static const char *format_pin(const struct ip_prefix *pinned, char *out)
{
    return pinned->length == addr_bits(&pinned->addr) ? addr_format(&pinned->addr, out)
                                                      : prefix_format(pinned, out);
}

static void print_address(const void *context, struct option_writer *writer)
{
    const struct enclave_config *config = context;
    const struct ip_prefix *pinned[] = {&config->pinned4, &config->pinned6};
    char text[ADDR_TEXT_BYTES];

    for (int i = 0; i < 2; i++)
        if (pinned[i]->addr.version != 0)
            option_value(writer, "%s", format_pin(pinned[i], text));
}

static bool set_inside(void *context, const char *value, struct failure *failure)
{
    struct enclave_config *config = context;
    struct ip_prefix prefix;

    if (!prefix_parse(value, &prefix))
        failure_set(failure, "is not a network like 172.17.0.0/16");
    else if (!prefix_table_add(&config->inside, &prefix))
        failure_set(failure, "is one network too many (at most %d)", PREFIX_TABLE_MAX);
    else
        return true;
    return false;
}

static void print_inside(const void *context, struct option_writer *writer)
{
    const struct prefix_table *inside = &((const struct enclave_config *)context)->inside;
    char text[ADDR_TEXT_BYTES];

    for (size_t i = 0; i < inside->count; i++)
        option_value(writer, "%s", prefix_format(&inside->entries[i], text));
}

static bool set_firewall(void *context, const char *value, struct failure *failure)
{
    struct enclave_config *config = context;

    if (rules_backend_parse(value, &config->firewall))
        return true;
    return failure_set(failure, "is not auto, iptables, iptables-legacy or nft");
}

static void print_firewall(const void *context, struct option_writer *writer)
{
    option_value(writer, "%s",
                 rules_backend_name(((const struct enclave_config *)context)->firewall));
}

static bool set_resolvers_file(void *context, const char *value, struct failure *failure)
{
    struct enclave_config *config = context;

    if (strcmp(value, "none") == 0)
        config->resolvers_file = NULL;
    else if (value[0] == '/')
        config->resolvers_file = value;
    else
        failure_set(failure, "is neither an absolute path nor none");
    return value[0] == '/' || config->resolvers_file == NULL;
}

static void print_resolvers_file(const void *context, struct option_writer *writer)
{
    const char *path = ((const struct enclave_config *)context)->resolvers_file;

    option_value(writer, "%s", path != NULL ? path : "none");
}

static bool set_write_max(void *context, const char *value, struct failure *failure)
{
    return link_write_max_parse(value, &((struct enclave_config *)context)->write_max, failure);
}

static void print_write_max(const void *context, struct option_writer *writer)
{
    unsigned bytes = ((const struct enclave_config *)context)->write_max;

    if (bytes == LINK_WRITE_AUTOMATIC)
        option_value(writer, "auto");
    else
        option_value(writer, "%u", bytes);
}

static_assert(offsetof(struct enclave_config, common) == 0, "as daemon.h wants it");

#define CONFIG struct enclave_config

const struct option_spec enclave_options[] = {
    DAEMON_CONFIG_ROW(CONFIG, common),
    {"link", "ADDRESS", "where the parent listens: vsock:CID:PORT or unix:PATH",
     OPTION_IS_CALL(set_link, print_link)},
    {"lanes", "NUMBER", "parallel streams to ask for (default: the number of CPUs)",
     OPTION_IS_UNSIGNED(CONFIG, lanes, 1, WIRE_MAX_LANES)},
    {"capture", "HOW", "auto, nfqueue or packet (default: auto)",
     OPTION_IS_CALL(set_capture, print_capture)},
    {"address", "ADDRESS",
     "accept only this address from the parent, or one of this\nnetwork; once for each family "
     "(default: a local address)",
     OPTION_IS_CALL(set_address, print_address)},
    {"mtu", "BYTES", "never use a larger MTU than this",
     OPTION_IS_UNSIGNED(CONFIG, mtu_max, 1280, 65535)},
    {"inside", "NETWORK",
     "a container network: packets from the parent that claim\nto come from it are dropped; may "
     "be repeated",
     OPTION_IS_CALL(set_inside, print_inside)},
    {"queue", "NUMBER", "first NFQUEUE number to use (default: 7700)",
     OPTION_IS_UNSIGNED(CONFIG, queue_base, 0, 65535 - WIRE_MAX_LANES)},
    {"queue-length", "PACKETS", "packets that may wait in each queue (default: 2048)",
     OPTION_IS_UNSIGNED(CONFIG, queue_length, 16, 65536)},
    {"firewall", "TOOL", "auto, iptables, iptables-legacy or nft (default: auto)",
     OPTION_IS_CALL(set_firewall, print_firewall)},
    {"dead-after", "SECONDS", "give a silent or stalled stream up (default: 10)",
     OPTION_IS_UNSIGNED(CONFIG, dead_seconds, 1, 600), .reload = true},
    {"write-max", "BYTES",
     "longest write on a stream of the link, 4096 to 131072, or auto:\n31744 on vsock, 131072 on "
     "Unix streams (default: auto)",
     OPTION_IS_CALL(set_write_max, print_write_max)},
    DAEMON_CONTROL_ROWS(CONFIG, common),
    {"resolvers-file", "PATH",
     "write the resolvers that the parent offers into this file, for\ncauseway-dns, or none "
     "(default: " RESOLVERS_FILE ")",
     OPTION_IS_CALL(set_resolvers_file, print_resolvers_file)},
    DAEMON_SANDBOX_ROWS(CONFIG, common),
    DAEMON_CHECK_ROW(CONFIG, common),
    DAEMON_DRY_RUN_ROW(CONFIG, common),
    DAEMON_PRINT_ROWS(CONFIG, common),
    {.name = NULL},
};

static unsigned cpu_count(void)
{
    cpu_set_t set;

    if (sched_getaffinity(0, sizeof(set), &set) < 0)
        return 1;
    unsigned count = (unsigned)CPU_COUNT(&set);
    return count < WIRE_MAX_LANES ? count : WIRE_MAX_LANES;
}

enum options_result enclave_config_read(void *context, int argc, char **argv, char *text,
                                        struct failure *failure)
{
    struct enclave_config *config = context;

    *config = (struct enclave_config){
        .lanes = cpu_count(),
        .mtu_max = 65535,
        .queue_base = 7700,
        .queue_length = 2048,
        .dead_seconds = 10,
        .resolvers_file = RESOLVERS_FILE,
        .firewall = RULES_AUTO,
        .common.log_level = LOG_LEVEL_INFO,
        .common.control.path = ENCLAVE_CONTROL_PATH,
    };
    enum options_result result = options_parse_again(enclave_options, "causeway-enclave",
                                                     "a network for a sealed enclave, enclave side",
                                                     argc, argv, text, config, failure);
    /* --check answers for a host before anybody has decided on the link. */
    if (result == OPTIONS_OK && !config->has_link && !config->common.check) {
        failure_set(failure, "--link is missing: where does the parent listen?");
        return OPTIONS_INVALID;
    }
    return result;
}

unsigned enclave_config_uses(const struct enclave_config *config)
{
    bool vsock = !config->has_link || config->link.kind == LINK_VSOCK;

    return (vsock ? KERNEL_VSOCK : 0) | (config->capture != CAPTURE_PACKET ? KERNEL_NFQUEUE : 0);
}

/* Neither an address that means something else nor one of a network that is here already. */
static bool accept_address(const struct enclave_config *own, const struct prefix_table *connected,
                           const struct ip_addr *address, bool pinned, struct failure *failure)
{
    char text[ADDR_TEXT_BYTES];

    addr_format(address, text);
    if (!policy_is_ordinary(address))
        return failure_set(failure, "%s is not an ordinary address", text);
    if (!pinned && !prefix_table_contains(&policy_local, address))
        return failure_set(failure, "%s is no local address, and no --address allows it", text);
    if (prefix_table_contains(&own->inside, address))
        return failure_set(failure, "%s lies in a network given with --inside", text);
    if (prefix_table_contains(connected, address))
        return failure_set(failure, "%s lies in a network that this machine is in", text);
    return true;
}

static bool accept_family(const struct enclave_config *own, const struct prefix_table *connected,
                          const struct ip_addr *address, const struct ip_addr *gateway,
                          const struct ip_prefix *pin, struct failure *failure)
{
    char text[ADDR_TEXT_BYTES], pin_text[ADDR_TEXT_BYTES];
    bool pinned = pin->addr.version != 0;

    addr_format(address, text);
    if (pinned && !prefix_contains(pin, address))
        return failure_set(failure, "it offers %s where %s is pinned", text,
                           format_pin(pin, pin_text));
    if (address->version == 0)
        return true;
    if (addr_equal(address, gateway))
        return failure_set(failure, "%s is offered as address and gateway", text);
    return accept_address(own, connected, address, pinned, failure) &&
           accept_address(own, connected, gateway, pinned, failure);
}

bool enclave_config_accept(const struct enclave_config *own, const struct prefix_table *connected,
                           struct wire_config *offered, struct failure *failure)
{
    if (offered->lanes > own->lanes)
        return failure_set(failure, "it grants %u lanes where %u were asked for", offered->lanes,
                           own->lanes);
    if (offered->address4.version == 0 && offered->address6.version == 0)
        return failure_set(failure, "it offers no address");
    resolvers_filter(offered, connected);
    if (offered->mtu > own->mtu_max)
        offered->mtu = (uint16_t)own->mtu_max;
    return accept_family(own, connected, &offered->address4, &offered->gateway4, &own->pinned4,
                         failure) &&
           accept_family(own, connected, &offered->address6, &offered->gateway6, &own->pinned6,
                         failure);
}
