/* SPDX-License-Identifier: Apache-2.0 */
#include "parent/uplink.h"

#include <string.h>

#include "runtime/base/log.h"

uint32_t uplink_mtu(struct netdev *netdev, const char *name)
{
    struct uplink uplink = {0};
    int error = name != NULL ? netdev_named_uplink(netdev, name, &uplink)
                             : netdev_find_uplink(netdev, &uplink);

    if (error < 0 || uplink.mtu == 0) {
        log_warning("no uplink: %s", name != NULL ? name : "there is no default route");
        return UPLINK_FALLBACK_MTU;
    }
    if (uplink.mtu < UPLINK_MTU_MIN)
        return UPLINK_MTU_MIN;
    return uplink.mtu < UPLINK_MTU_MAX ? uplink.mtu : UPLINK_MTU_MAX;
}
