/* SPDX-License-Identifier: Apache-2.0 */
#include "parent/host.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "parent/enclave_device.h"
#include "parent/publish.h"
#include "runtime/base/log.h"
#include "runtime/host/connected.h"
#include "runtime/host/listeners.h"
#include "runtime/host/sysctl.h"

/* ---- networks ---- */

/* What the private ranges cover is closed by them already; that leaves more room here. */
static void drop_private(struct prefix_table *table)
{
    size_t kept = 0;

    for (size_t i = 0; i < table->count; i++) {
        bool covered = false;
        for (size_t j = 0; j < policy_private.count && !covered; j++)
            covered = prefix_covers(&policy_private.entries[j], &table->entries[i]);
        if (!covered)
            table->entries[kept++] = table->entries[i];
    }
    memset(table->entries + kept, 0, (table->count - kept) * sizeof(table->entries[0]));
    table->count = kept;
}

bool host_networks(struct parent_config *config, struct netdev *netdev)
{
    struct prefix_table found = {0};
    int error = connected_networks(netdev, ENCLAVE_DEVICE_PREFIX, &found);

    if (error < 0 && error != -ENOSPC) {
        log_warning("cannot list the networks of this host: %s", strerror(-error));
        return false;
    }
    if (error == -ENOSPC)
        log_warning("this host is in more than %d networks: not all of them are closed to enclaves",
                    PREFIX_TABLE_MAX);
    drop_private(&found);
    if (memcmp(&found, &config->connected, sizeof(found)) == 0)
        return false;
    config->connected = found;
    return true;
}

/* ---- forwarding ---- */

void host_forwarding(struct parent_config *config)
{
    config->forwards_only4 = sysctl_was("net/ipv4/ip_forward", "0");
    config->forwards_only6 = sysctl_was("net/ipv6/conf/all/forwarding", "0");
}

/* ---- ports ---- */

struct shadows {
    const struct parent_config *config;
    void (*report)(const char *sentence, void *context);
    void *context;
    unsigned count;
    uint16_t seen[SHADOWS_MAX];
};

static bool in_range(const struct parent_config *config, uint16_t first, uint16_t last)
{
    return first <= config->nat_last && last >= config->nat_first;
}

static bool tell(struct shadows *shadows, const char *what, const char *ports)
{
    char sentence[256];

    snprintf(sentence, sizeof(sentence),
             "%s %s lies among the nat-ports %u-%u: an enclave's connections could get in its way",
             what, ports, shadows->config->nat_first, shadows->config->nat_last);
    shadows->report(sentence, shadows->context);
    return ++shadows->count < SHADOWS_MAX;
}

static bool on_listener(const struct listener *listener, void *context)
{
    struct shadows *shadows = context;
    uint16_t port = listener->port;
    char ports[24];

    if (!in_range(shadows->config, port, port) || addr_is_loopback(&listener->address))
        return true;
    for (unsigned i = 0; i < shadows->count; i++)
        if (shadows->seen[i] == port)
            return true;
    shadows->seen[shadows->count] = port;
    snprintf(ports, sizeof(ports), "%u/%s", port, listener->protocol);
    return tell(shadows, "the service at port", ports);
}

void host_shadows(const struct parent_config *config,
                  void (*report)(const char *sentence, void *context), void *context)
{
    struct shadows shadows = {.config = config, .report = report, .context = context};
    char text[PUBLISH_TEXT_BYTES];

    int error = listeners_each(on_listener, &shadows);
    if (error < 0)
        log_debug("cannot list the services of this host: %s", strerror(-error));
    for (unsigned i = 0; i < config->publish_count && shadows.count < SHADOWS_MAX; i++)
        if (in_range(config, config->publish[i].first, config->publish[i].last))
            tell(&shadows, "the published", publish_format(&config->publish[i], text));
}
