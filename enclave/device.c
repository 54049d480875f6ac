/* SPDX-License-Identifier: Apache-2.0 */
#include "enclave/device.h"

#include <errno.h>
#include <stddef.h>

#include "runtime/base/log.h"

/* Locally administered; "cw" and the number of the end. */
const struct mac device_mac = {{0x02, 0x63, 0x77, 0, 0, 0}};
const struct mac device_peer_mac = {{0x02, 0x63, 0x77, 0, 0, 1}};
const struct mac device_tap_mac = {{0x02, 0x63, 0x77, 0, 0, 2}};

#define INITIAL_MTU 1500 /* until the parent says what its uplink has */

int device_create(struct device *device)
{
    struct veth_spec spec = {
        .name = DEVICE_NAME,
        .peer = DEVICE_PEER,
        .mac = device_mac,
        .peer_mac = device_peer_mac,
        .mtu = INITIAL_MTU,
        .alias = DEVICE_ALIAS,
    };
    int error = netdev_open(&device->netdev);

    if (error < 0)
        return error;
    int adopted = netdev_veth_ensure(&device->netdev, &spec);
    if (adopted < 0)
        return adopted;
    if (adopted)
        log_info("going on with " DEVICE_NAME " of an earlier run");
    if ((device->index = netdev_index(DEVICE_NAME)) < 0)
        return device->index;
    if ((device->peer_index = netdev_index(DEVICE_PEER)) < 0)
        return device->peer_index;
    error = netdev_set_up(&device->netdev, device->peer_index, true);
    return error < 0 ? error : netdev_set_up(&device->netdev, device->index, true);
}

int device_limit_offloads(bool udp_gso)
{
    return netdev_limit_offloads(DEVICE_NAME, udp_gso);
}

int device_set_mtu(struct device *device, uint32_t mtu)
{
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

static int apply_family(struct device *device, int version, const struct ip_addr *address,
                        const struct ip_addr *gateway, const struct mac *gateway_mac)
{
    struct ip_prefix own = {*address, (uint8_t)addr_bits(address)};
    struct route_spec route = {
        .destination = {.addr = {.version = address->version}},
        .gateway = *gateway,
        .source = *address,
        .ifindex = device->index,
    };

    if (address->version == 0)
        return drop_family(device, version);
    int error = netdev_address_only(&device->netdev, device->index, &own);
    if (error == 0)
        error = netdev_neighbour(&device->netdev, device->index, gateway, gateway_mac);
    return error < 0 ? error : netdev_route(&device->netdev, &route);
}

int device_apply(struct device *device, const struct wire_config *config,
                 const struct mac *gateway_mac)
{
    int error = device_set_mtu(device, config->mtu);

    if (error == 0)
        error = apply_family(device, 4, &config->address4, &config->gateway4, gateway_mac);
    if (error == 0)
        error = apply_family(device, 6, &config->address6, &config->gateway6, gateway_mac);
    return error;
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
