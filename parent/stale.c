/* SPDX-License-Identifier: Apache-2.0 */
#include "parent/stale.h"

#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "parent/addresses.h"
#include "parent/publish.h"
#include "runtime/base/endpoint.h"
#include "runtime/base/log.h"
#include "runtime/host/conntrack.h"

struct sweep {
    const struct parent_config *before, *now;
};

/* An address that a socket here can be bound to. */
static bool is_local(const struct ip_addr *address)
{
    union inet_sockaddr sockaddr;
    socklen_t length = endpoint_inet(address, 0, &sockaddr);
    int fd = socket(sockaddr.any.sa_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    bool bound = fd >= 0 && bind(fd, &sockaddr.any, length) == 0;

    if (fd >= 0)
        close(fd);
    return bound;
}

static bool covers(const struct publish_entry *publish, const struct conntrack_entry *entry)
{
    int protocol = strcmp(publish->protocol, "udp") == 0 ? IPPROTO_UDP : IPPROTO_TCP;

    return entry->protocol == protocol &&
           publish_covers(publish, &entry->destination, entry->destination_port);
}

static const struct publish_entry *find(const struct parent_config *config,
                                        const struct conntrack_entry *entry)
{
    for (unsigned i = 0; config != NULL && i < config->publish_count; i++)
        if (covers(&config->publish[i], entry))
            return &config->publish[i];
    return NULL;
}

static bool leads_there(const struct parent_config *config, const struct publish_entry *publish,
                        const struct conntrack_entry *entry)
{
    const struct enclave_entry *enclave = parent_config_find(config, publish->enclave);
    struct ip_addr to = parent_config_address(config, entry->destination.version, enclave->index);
    int port = publish->to_first + (entry->destination_port - publish->first);

    return addr_equal(&entry->answer_source, &to) && entry->answer_source_port == port;
}

static bool is_stale(const struct conntrack_entry *entry, void *context)
{
    const struct sweep *sweep = context;
    const struct publish_entry *publish = find(sweep->now, entry);

    if (entry->protocol != IPPROTO_UDP && entry->answered)
        return false;
    if (publish != NULL ? leads_there(sweep->now, publish, entry)
                        : find(sweep->before, entry) == NULL)
        return false;
    /* Last: it costs a socket. An enclave's question to somebody else's port 53 is none of ours. */
    return is_local(&entry->destination);
}

void stale_forget(const struct parent_config *before, const struct parent_config *now)
{
    struct sweep sweep = {before, now};

    if (now->publish_count == 0 && (before == NULL || before->publish_count == 0))
        return;
    for (int version = 4; version <= 6; version += 2) {
        int count = conntrack_forget(version, is_stale, &sweep);
        if (count < 0)
            log_warning("clients that sent to a published port earlier may not be heard: conntrack "
                        "cannot be read: %s",
                        strerror(-count));
        else if (count > 0)
            log_info("%d IPv%d conntrack entries of published ports were stale", count, version);
    }
}
