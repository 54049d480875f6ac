/* SPDX-License-Identifier: Apache-2.0 */
#include "parent/taken.h"

#include <stdio.h>
#include <string.h>

#include "parent/publish.h"
#include "runtime/base/log.h"
#include "runtime/host/listeners.h"

struct search {
    const struct parent_config *config, *before;
    unsigned any_first, any_last; /* ports that programs get without asking for them */
    const struct publish_entry *entry;
    struct listener found;
};

static void read_range(struct search *search)
{
    FILE *file = fopen("/proc/sys/net/ipv4/ip_local_port_range", "re");

    if (file == NULL || fscanf(file, "%u %u", &search->any_first, &search->any_last) != 2)
        search->any_first = search->any_last = 0;
    if (file != NULL)
        fclose(file);
}

static bool is_published(const struct parent_config *config, const struct publish_entry *wanted)
{
    char text[PUBLISH_TEXT_BYTES], other[PUBLISH_TEXT_BYTES];

    publish_format(wanted, text);
    for (unsigned i = 0; config != NULL && i < config->publish_count; i++)
        if (strcmp(publish_format(&config->publish[i], other), text) == 0)
            return true;
    return false;
}

static bool takes(const struct publish_entry *entry, const struct listener *listener)
{
    static const struct ip_addr any4 = {.version = 4};

    return strcmp(entry->protocol, listener->protocol) == 0 &&
           (publish_covers(entry, &listener->address, listener->port) ||
            (listener->both_families && publish_covers(entry, &any4, listener->port)));
}

static bool on_listener(const struct listener *listener, void *context)
{
    struct search *search = context;

    if (strcmp(listener->protocol, "udp") == 0 && listener->port >= search->any_first &&
        listener->port <= search->any_last)
        return true;
    for (unsigned i = 0; i < search->config->publish_count && search->entry == NULL; i++) {
        const struct publish_entry *entry = &search->config->publish[i];
        if (!entry->force && takes(entry, listener) && !is_published(search->before, entry)) {
            search->entry = entry;
            search->found = *listener;
        }
    }
    return search->entry == NULL;
}

bool taken_check(const struct parent_config *config, const struct parent_config *before,
                 struct failure *failure)
{
    struct search search = {.config = config, .before = before};
    char text[PUBLISH_TEXT_BYTES], owner[LISTENER_OWNER_BYTES];

    read_range(&search);
    int error = listeners_each(on_listener, &search);
    if (error < 0)
        log_debug("cannot list the services of this host: %s", strerror(-error));
    if (search.entry == NULL)
        return true;
    return failure_set(failure,
                       "--publish: %s would take port %u/%s of this host from %s: choose another "
                       "port, or say %s,force",
                       publish_format(search.entry, text), search.found.port, search.found.protocol,
                       listener_owner(&search.found, owner), text);
}
