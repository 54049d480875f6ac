/* SPDX-License-Identifier: Apache-2.0 */
#include "enclave/device.h"

#include <errno.h>
#include <stddef.h>
#include <string.h>

#include "runtime/base/log.h"
#include "runtime/host/sysctl.h"

/* Locally administered; "cw" and the number of the end. */
const struct mac device_mac = {{0x02, 0x63, 0x77, 0, 0, 0}};
const struct mac device_peer_mac = {{0x02, 0x63, 0x77, 0, 0, 1}};
const struct mac device_tap_mac = {{0x02, 0x63, 0x77, 0, 0, 2}};

#define INITIAL_MTU 1500 /* until the parent says what its uplink has */

static struct veth_spec pair_spec(uint32_t mtu)
{
    return (struct veth_spec){
        .name = DEVICE_NAME,
        .peer = DEVICE_PEER,
        .mac = device_mac,
        .peer_mac = device_peer_mac,
        .mtu = mtu,
        .alias = DEVICE_ALIAS,
    };
}

int device_make(struct device *device)
{
    struct veth_spec spec = pair_spec(INITIAL_MTU);
    int adopted = netdev_veth_ensure(&device->netdev, &spec);

    if (adopted < 0)
        return adopted;
    if (adopted)
        log_info("going on with " DEVICE_NAME " of an earlier run");
    device->mtu = INITIAL_MTU;
    if ((device->index = netdev_index(DEVICE_NAME)) < 0)
        return device->index;
    if ((device->peer_index = netdev_index(DEVICE_PEER)) < 0)
        return device->peer_index;
    int error = netdev_set_up(&device->netdev, device->peer_index, true);
    return error < 0 ? error : netdev_set_up(&device->netdev, device->index, true);
}

int device_create(struct device *device)
{
    int error = netdev_open(&device->netdev);

    return error < 0 ? error : device_make(device);
}

int device_limit_offloads(bool udp_gso)
{
    return netdev_limit_offloads(DEVICE_NAME, udp_gso);
}

int device_set_mtu(struct device *device, uint32_t mtu)
{
    device->mtu = mtu;
    int error = netdev_set_mtu(&device->netdev, device->peer_index, mtu);

    return error < 0 ? error : netdev_set_mtu(&device->netdev, device->index, mtu);
}

/* What an earlier configuration gave must not stay: programs would try it, and wait. */
static int drop_family(struct device *device, int version)
{
    struct route_spec route = {
        .destination = {.addr = {.version = (uint8_t)version}},
        .ifindex = device->index,
    };
    int error = netdev_address_none(&device->netdev, device->index, version);

    /* IPv4's default route went with its source address. */
    if (error == 0 && version == 6)
        error = netdev_route_delete(&device->netdev, &route);
    return error == -EOPNOTSUPP || error == -EAFNOSUPPORT ? 0 : error;
}

static struct device_family plan_family(const struct device *device, const struct ip_addr *address,
                                        const struct ip_addr *gateway,
                                        const struct mac *gateway_mac)
{
    if (address->version == 0)
        return (struct device_family){0};
    return (struct device_family){
        .own = {*address, (uint8_t)addr_bits(address)},
        .neighbour = *gateway,
        .neighbour_mac = *gateway_mac,
        .route = {.destination = {.addr = {.version = address->version}},
                  .gateway = *gateway,
                  .source = *address,
                  .ifindex = device->index},
    };
}

/* Says once that IPv6 is off, and once that it is back. */
static bool has_ipv6(struct device *device)
{
    const char *off = sysctl_ipv6_off();

    if (off != NULL && device->ipv6_off == NULL)
        log_warning("%s: IPv4 only, until that changes", off);
    else if (off == NULL && device->ipv6_off != NULL)
        log_info("IPv6 is switched on again");
    device->ipv6_off = off;
    return off == NULL;
}

static struct device_plan make_plan(struct device *device, const struct wire_config *config,
                                    const struct mac *gateway_mac)
{
    struct device_plan plan = {
        .veth = pair_spec(device->mtu),
        .ifindex = device->index,
        .peer_ifindex = device->peer_index,
    };

    if (config == NULL)
        return plan;
    plan.families[0] = plan_family(device, &config->address4, &config->gateway4, gateway_mac);
    if (config->address6.version != 0 && has_ipv6(device))
        plan.families[1] = plan_family(device, &config->address6, &config->gateway6, gateway_mac);
    return plan;
}

static int apply_family(struct device *device, int version, const struct device_family *family)
{
    if (family->own.addr.version != 0)
        return netdev_address_only(&device->netdev, device->index, &family->own);
    return version == 6 && device->ipv6_off != NULL ? 0 : drop_family(device, version);
}

int device_apply(struct device *device, const struct wire_config *config,
                 const struct mac *gateway_mac)
{
    char made[200];
    int error = device_set_mtu(device, config->mtu);
    struct device_plan plan = make_plan(device, config, gateway_mac);

    /* Ahead of the addresses: one without IPv6 (conf/default/disable_ipv6) would refuse them. */
    if (error == 0)
        error = netdev_mend(&device->netdev, &plan, made, sizeof(made));
    for (int i = 0; error >= 0 && i < 2; i++)
        error = apply_family(device, i == 0 ? 4 : 6, &plan.families[i]);
    /* A former address took the route that named it along. */
    if (error >= 0)
        error = netdev_mend(&device->netdev, &plan, made, sizeof(made));
    return error < 0 ? error : 0;
}

int device_mend(struct device *device, const struct wire_config *config,
                const struct mac *gateway_mac)
{
    struct device_plan plan = make_plan(device, config, gateway_mac);
    char what[200];
    int result = netdev_mend(&device->netdev, &plan, what, sizeof(what));

    if (result > 0)
        log_limited(&device->log, LOG_LEVEL_WARNING,
                    "somebody changed " DEVICE_NAME "; put back: %s", what);
    else if (result < 0 && result != -ENODEV)
        log_limited(&device->log, LOG_LEVEL_ERROR,
                    "somebody changed " DEVICE_NAME ", %s is missing: %s", what, strerror(-result));
    return result < 0 ? result : 0;
}

void device_remove(void)
{
    struct netdev netdev = {0};

    if (netdev_open(&netdev) == 0) {
        int error = netdev_delete(&netdev, DEVICE_NAME, DEVICE_ALIAS);
        if (error < 0)
            log_warning("cannot remove " DEVICE_NAME ": error %d", -error);
        netdev_close(&netdev);
    }
}
