/* SPDX-License-Identifier: Apache-2.0 */
#include "parent/check.h"

#include <stdio.h>
#include <unistd.h>

#include "parent/addresses.h"
#include "parent/enclave_device.h"
#include "parent/host.h"
#include "parent/overlap.h"
#include "parent/settings.h"
#include "parent/taken.h"
#include "parent/uplink.h"
#include "runtime/host/kernel_faults.h"
#include "runtime/host/sysctl.h"
#include "runtime/lane/check_path.h"

static void check_rules(struct check_report *report, const struct parent_config *config)
{
    check_required(report, rules_backend_usable(config->firewall), "firewall tool",
                   "install iptables or nftables, or choose another one with --firewall");
    if (config->pool6.addr.version != 0)
        check_optional(report, rules_family_usable(config->firewall, 6), "IPv6 firewall",
                       "enclaves get no IPv6; say --pool6 none to make that plain");
}

/* What the start would find, and end with. */
static void check_host(struct check_report *report, const struct parent_config *config)
{
    struct failure failure;
    const char *ipv6_off = config->pool6.addr.version != 0 ? sysctl_ipv6_off() : NULL;

    bool free_pools = overlap_check(config, &failure);
    check_required(report, free_pools, "address pools", failure.text);
    bool forwards = settings_check(config, &failure);
    check_required(report, forwards, "forwarding", failure.text);
    if (config->pool6.addr.version != 0)
        check_optional(report, ipv6_off == NULL, "IPv6", ipv6_off != NULL ? ipv6_off : "");
}

static void check_sockets(struct check_report *report, const struct parent_config *config)
{
    struct failure failure;
    bool all = check_socket_place(config->common.control.path, &failure);

    for (unsigned i = 0; all && i < config->enclave_count; i++)
        if (config->enclaves[i].link.kind == LINK_UNIX)
            all = check_socket_place(config->enclaves[i].link.path, &failure);
    check_required(report, all, "places for sockets", failure.text);
}

static void check_uplink(struct check_report *report, const struct parent_config *config)
{
    struct netdev netdev = {0};
    struct uplink uplink = {0};
    int error = netdev_open(&netdev);

    if (error == 0)
        error = config->uplink ? netdev_named_uplink(&netdev, config->uplink, &uplink)
                               : netdev_find_uplink(&netdev, &uplink);
    netdev_close(&netdev);
    check_optional(report, error == 0 && uplink.mtu != 0, "uplink",
                   "no default route yet; enclaves use an MTU of 1500 until there is one");
}

static void check_published(struct check_report *report, const struct parent_config *config)
{
    struct failure failure = {""};
    bool free = taken_check(config, NULL, &failure);

    if (config->publish_count > 0)
        check_required(report, free, "published ports", failure.text);
}

static void print_enclaves(const struct parent_config *config)
{
    char link[LINK_TEXT_BYTES], address4[ADDR_TEXT_BYTES], address6[ADDR_TEXT_BYTES];

    for (unsigned i = 0; i < config->enclave_count; i++) {
        const struct enclave_entry *entry = &config->enclaves[i];
        struct ip_addr a = parent_config_address(config, 4, entry->index);
        struct ip_addr b = parent_config_address(config, 6, entry->index);
        if (entry->index == 0)
            printf("enclave  %s (%s): addresses as they come\n", entry->name,
                   link_format(&entry->link, link));
        else
            printf("enclave  %s (%s): %s and %s on %s%u\n", entry->name,
                   link_format(&entry->link, link), addr_format(&a, address4),
                   addr_format(&b, address6), ENCLAVE_DEVICE_PREFIX, entry->index);
    }
}

static void print_shadow(const char *sentence, void *context)
{
    (void)context;
    printf("warning  %s\n", sentence);
}

int check_parent(const struct parent_config *config)
{
    struct check_report report = {0};

    check_path(&report);
    if (parent_config_uses(config) & KERNEL_VSOCK)
        check_required(&report, check_vsock(), "vsock",
                       "load vhost_vsock (QEMU) or start from a Nitro instance");
    check_rules(&report, config);
    check_host(&report, config);
    check_sockets(&report, config);
    check_uplink(&report, config);
    check_published(&report, config);
    kernel_faults_check(parent_config_uses(config));
    print_enclaves(config);
    host_shadows(config, print_shadow, NULL);
    return check_finish(&report);
}
