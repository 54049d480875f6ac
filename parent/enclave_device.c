/* SPDX-License-Identifier: Apache-2.0 */
#include "parent/enclave_device.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "parent/addresses.h"
#include "runtime/base/log.h"
#include "runtime/host/kernel_features.h"
#include "runtime/host/netdev.h"

#define ENCLAVE_ALIAS_PREFIX "causeway-parent "

/* Locally administered: "cw", which end, the index. */
static struct mac index_mac(uint8_t end, uint32_t index)
{
    return (struct mac){{0x02, 0x63, 0x77, end, (uint8_t)(index >> 8), (uint8_t)index}};
}
enum { MAC_KERNEL_END = 1, MAC_DAEMON_END, MAC_NOBODY };

void enclave_device_name(struct enclave *enclave)
{
    enclave->device_mac = index_mac(MAC_KERNEL_END, enclave->index);
    enclave->peer_mac = index_mac(MAC_DAEMON_END, enclave->index);
    snprintf(enclave->device, sizeof(enclave->device), ENCLAVE_DEVICE_PREFIX "%u", enclave->index);
    snprintf(enclave->peer_device, sizeof(enclave->peer_device), ENCLAVE_PEER_DEVICE_PREFIX "%u",
             enclave->index);
}

uint32_t enclave_device_mtu(const struct enclave *enclave, const struct enclave_context *context)
{
    return context->mtu < enclave->mtu_max ? context->mtu : enclave->mtu_max;
}

static struct device_family plan_family(const struct enclave *enclave,
                                        const struct enclave_context *context,
                                        const struct ip_addr *address)
{
    struct ip_addr gateway =
        parent_config_address(context->config, address->version, INDEX_GATEWAY);

    if (address->version == 0)
        return (struct device_family){0};
    return (struct device_family){
        .own = {gateway, (uint8_t)addr_bits(&gateway)},
        .neighbour = *address,
        .neighbour_mac = index_mac(MAC_NOBODY, enclave->index),
        .route = {.destination = {*address, (uint8_t)addr_bits(address)},
                  .ifindex = enclave->device_index},
    };
}

#define ALIAS_BYTES (LINK_TEXT_BYTES + sizeof(ENCLAVE_ALIAS_PREFIX))

static const char *device_alias(const struct enclave *enclave, char *out)
{
    snprintf(out, ALIAS_BYTES, ENCLAVE_ALIAS_PREFIX "%s", enclave->peer);
    return out;
}

/* alias[ALIAS_BYTES] lives as long as the plan. */
static struct device_plan make_plan(const struct enclave *enclave,
                                    const struct enclave_context *context, char *alias)
{
    return (struct device_plan){
        .veth = {.name = enclave->device,
                 .peer = enclave->peer_device,
                 .mac = enclave->device_mac,
                 .peer_mac = enclave->peer_mac,
                 .mtu = enclave_device_mtu(enclave, context),
                 .alias = device_alias(enclave, alias)},
        .ifindex = enclave->device_index,
        .peer_ifindex = enclave->peer_device_index,
        .forwards4 = enclave->policy.own4.version != 0,
        /* This host's own programs reach published ports at 127.0.0.1. Nothing else gets in by it:
         * the policy drops what an enclave sends to loopback, and so does the INPUT chain. */
        .routes_loopback4 = enclave->policy.own4.version != 0,
        .families = {plan_family(enclave, context, &enclave->policy.own4),
                     plan_family(enclave, context, &enclave->policy.own6)},
    };
}

static int make_pair(struct enclave *enclave, const struct enclave_context *context)
{
    char alias[ALIAS_BYTES];
    struct device_plan plan = make_plan(enclave, context, alias);
    int adopted = netdev_veth_ensure(context->netdev, &plan.veth);

    if (adopted < 0)
        return adopted;
    enclave->device_index = netdev_index(enclave->device);
    enclave->peer_device_index = netdev_index(enclave->peer_device);
    if (enclave->device_index < 0 || enclave->peer_device_index < 0)
        return -ENODEV;
    if (adopted)
        log_info("%s: going on with %s of an earlier run", enclave->label, enclave->device);
    return 0;
}

/* Super-packets that this kernel's virtio_net_hdr cannot describe must not reach the taps. */
static int limit_offloads(struct enclave *enclave)
{
    int error = features_try_udp_gso(enclave->peer_device_index);

    return error < 0 ? error : netdev_limit_offloads(enclave->device, features_udp_gso());
}

static int set_up_device(struct enclave *enclave, const struct enclave_context *context)
{
    char alias[ALIAS_BYTES], made[200];
    int error = make_pair(enclave, context);

    if (error < 0)
        return error;
    struct device_plan plan = make_plan(enclave, context, alias);
    /* What an earlier run with another pool has left goes. */
    for (size_t i = 0; error == 0 && i < 2; i++)
        if (plan.families[i].own.addr.version != 0)
            error = netdev_address_none(context->netdev, plan.ifindex,
                                        plan.families[i].own.addr.version);
    if (error == 0)
        error = netdev_mend(context->netdev, &plan, made, sizeof(made));
    return error < 0 ? error : limit_offloads(enclave); /* the devices have to be up for it */
}

int enclave_device_set_mtu(struct enclave *enclave, const struct enclave_context *context)
{
    uint32_t mtu = enclave_device_mtu(enclave, context);
    int error = netdev_set_mtu(context->netdev, enclave->peer_device_index, mtu);

    return error < 0 ? error : netdev_set_mtu(context->netdev, enclave->device_index, mtu);
}

int enclave_device_ready(struct enclave *enclave, const struct enclave_context *context)
{
    if (enclave->device_index > 0 && netdev_index(enclave->device) == enclave->device_index)
        return enclave_device_set_mtu(enclave, context);
    enclave->device_index = 0;
    int error = set_up_device(enclave, context);
    if (error < 0)
        enclave->device_index = 0;
    return error < 0 ? error : 0;
}

int enclave_device_mend(struct enclave *enclave, const struct enclave_context *context)
{
    char alias[ALIAS_BYTES], what[200];

    if (enclave->device_index == 0)
        return 0;
    struct device_plan plan = make_plan(enclave, context, alias);
    int result = netdev_mend(context->netdev, &plan, what, sizeof(what));
    if (result < 0 && result != -ENODEV)
        log_limited(&enclave->mend_log, LOG_LEVEL_ERROR,
                    "%s: somebody changed %s, %s is missing: %s", enclave->label, enclave->device,
                    what, strerror(-result));
    else if (result > 0)
        log_limited(&enclave->mend_log, LOG_LEVEL_WARNING, "%s: somebody changed %s; put back: %s",
                    enclave->label, enclave->device, what);
    return result < 0 ? result : 0;
}

int enclave_device_delete(const struct enclave *enclave, const struct enclave_context *context)
{
    char alias[ALIAS_BYTES];

    return netdev_delete(context->netdev, enclave->device, device_alias(enclave, alias));
}

static bool remove_device(const struct interface_info *interface, void *context)
{
    struct netdev *netdev = context;

    /* One end takes the other with it. */
    netdev_delete(netdev, interface->name, interface->alias);
    return true;
}

void enclave_devices_remove(void)
{
    struct netdev listing = {0}, deleting = {0};

    if (netdev_open(&listing) == 0 && netdev_open(&deleting) == 0)
        netdev_each_interface(&listing, ENCLAVE_ALIAS_PREFIX, remove_device, &deleting);
    netdev_close(&listing);
    netdev_close(&deleting);
}
