/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Offloads of a device, by name, over the ethtool ioctl.
 *
 * A feature's name is its kernel-wide identity (net/ethtool/common.c, netdev_features_strings);
 * its bit is not. Which segmentations stay on is a list of what a frame can describe, so that one
 * that a later kernel invents is off; the kernel then segments in software before it transmits.
 */
#include <errno.h>
#include <fnmatch.h>
#include <linux/ethtool.h>
#include <linux/sockios.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "runtime/host/netdev.h"

/* "tx-tcp-accecn-segmentation" is off: virtio_net_hdr cannot say how to treat its CWR/ACE bits. */
static const char *const described[] = {
    "tx-tcp-segmentation",
    "tx-tcp6-segmentation",
    "tx-tcp-ecn-segmentation",
};

/* Checksums: of SCTP and FCoE, which are CRCs. VLAN: a tag that travels beside the packet would be
 * lost. */
static const char *const limited[] = {
    "tx-*-segmentation",      "tx-gso-partial",       "tx-gso-list",
    "tx-checksum-sctp",       "tx-checksum-fcoe-crc", "tx-vlan-hw-insert",
    "tx-vlan-stag-hw-insert", "rx-vlan-hw-parse",     "rx-vlan-stag-hw-parse",
};

static bool is_limited(const char *feature, bool udp_gso)
{
    for (size_t i = 0; i < sizeof(described) / sizeof(described[0]); i++) {
        if (strcmp(feature, described[i]) == 0)
            return false;
    }
    if (strcmp(feature, "tx-udp-segmentation") == 0)
        return !udp_gso;
    for (size_t i = 0; i < sizeof(limited) / sizeof(limited[0]); i++) {
        if (fnmatch(limited[i], feature, 0) == 0)
            return true;
    }
    return false;
}

static int ethtool(int fd, const char *name, void *command)
{
    struct ifreq request = {.ifr_data = command};

    if (strlen(name) >= sizeof(request.ifr_name))
        return -EINVAL;
    strcpy(request.ifr_name, name);
    return ioctl(fd, SIOCETHTOOL, &request) < 0 ? -errno : 0;
}

/* How many features this kernel has; negative errno. */
static int count_features(int fd, const char *name)
{
    /* The header and one answer behind it. */
    _Alignas(struct ethtool_sset_info) char query[sizeof(struct ethtool_sset_info) + 4] = {0};
    struct ethtool_sset_info *info = (struct ethtool_sset_info *)query;
    uint32_t count;
    int result;

    info->cmd = ETHTOOL_GSSET_INFO;
    info->sset_mask = 1ULL << ETH_SS_FEATURES;
    result = ethtool(fd, name, query);
    if (result < 0)
        return result;
    memcpy(&count, query + sizeof(*info), sizeof(count));
    return info->sset_mask != 0 && count < 4096 ? (int)count : -EOPNOTSUPP;
}

/* Marks what to switch off in change, among what is on and not fixed. */
static void choose(const struct ethtool_gstrings *names, const struct ethtool_gfeatures *now,
                   struct ethtool_sfeatures *change, bool udp_gso)
{
    for (uint32_t i = 0; i < names->len; i++) {
        char feature[ETH_GSTRING_LEN + 1] = {0};
        uint32_t bit = 1u << (i % 32);
        const struct ethtool_get_features_block *block = &now->features[i / 32];

        memcpy(feature, names->data + (size_t)i * ETH_GSTRING_LEN, ETH_GSTRING_LEN);
        if ((block->requested & bit) && (block->available & bit) && !(block->never_changed & bit) &&
            is_limited(feature, udp_gso))
            change->features[i / 32].valid |= bit;
    }
}

static int limit(int fd, const char *name, bool udp_gso, uint32_t count)
{
    uint32_t blocks = (count + 31) / 32;
    struct ethtool_gstrings *names = calloc(1, sizeof(*names) + (size_t)count * ETH_GSTRING_LEN);
    struct ethtool_gfeatures *now =
        calloc(1, sizeof(*now) + blocks * sizeof(struct ethtool_get_features_block));
    struct ethtool_sfeatures *change =
        calloc(1, sizeof(*change) + blocks * sizeof(struct ethtool_set_features_block));
    int result = -ENOMEM;

    if (names == NULL || now == NULL || change == NULL)
        goto done;
    names->cmd = ETHTOOL_GSTRINGS;
    names->string_set = ETH_SS_FEATURES;
    names->len = count;
    now->cmd = ETHTOOL_GFEATURES;
    change->cmd = ETHTOOL_SFEATURES;
    now->size = change->size = blocks;
    result = ethtool(fd, name, names);
    if (result == 0)
        result = ethtool(fd, name, now);
    if (result == 0) {
        choose(names, now, change, udp_gso);
        result = ethtool(fd, name, change);
    }
done:
    free(names);
    free(now);
    free(change);
    return result;
}

int netdev_limit_offloads(const char *name, bool udp_gso)
{
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    int result;

    if (fd < 0)
        return -errno;
    result = count_features(fd, name);
    if (result > 0)
        result = limit(fd, name, udp_gso, (uint32_t)result);
    close(fd);
    return result;
}
