/* SPDX-License-Identifier: Apache-2.0 */
#include "dns/reload.h"

#include <string.h>

#include "runtime/base/reload.h"

/* The values of the options that are marked with reload. */
static void copy_settings(struct dns_config *to, const struct dns_config *from)
{
    memcpy(to->upstreams, from->upstreams, sizeof(to->upstreams));
    to->upstream_count = from->upstream_count;
    to->upstream_file = from->upstream_file;
    to->resolvers_file = from->resolvers_file;
    memcpy(to->hosts, from->hosts, sizeof(to->hosts));
    to->host_count = from->host_count;
    to->hosts_file = from->hosts_file;
    to->fallback = from->fallback;
    to->tls_only = from->tls_only;
    to->negative_seconds = from->negative_seconds;
    to->stale_seconds = from->stale_seconds;
    to->timeout_seconds = from->timeout_seconds;
    to->common.log_level = from->common.log_level;
}

bool dns_reload(void *context, const void *given, const void *fresh, struct failure *failure)
{
    struct dns_reload *reload = context;

    if (!dns_server_change(reload->server, fresh, failure))
        return false;
    reload_report(dns_options, &reload->in_force, given, fresh);
    copy_settings(&reload->in_force, fresh);
    log_set_level(reload->in_force.common.log_level);
    return true;
}
