/* SPDX-License-Identifier: Apache-2.0 */
#include "dns/live.h"

#include <stdlib.h>
#include <string.h>

#include "runtime/base/reload.h"

bool dns_live_serve(void *context, char kind, char *text, char *answer, struct failure *failure)
{
    const struct dns_config *config = context;

    (void)text;
    return kind == RELOAD_KIND_FILE && reload_serve(&config->file, answer, failure);
}

/* The values of the options that are marked as live. */
static void copy_live(struct dns_config *to, const struct dns_config *from)
{
    memcpy(to->upstreams, from->upstreams, sizeof(to->upstreams));
    to->upstream_count = from->upstream_count;
    to->upstream_file = from->upstream_file;
    to->resolvers_file = from->resolvers_file;
    memcpy(to->hosts, from->hosts, sizeof(to->hosts));
    to->host_count = from->host_count;
    to->hosts_file = from->hosts_file;
    to->stale_seconds = from->stale_seconds;
    to->timeout_seconds = from->timeout_seconds;
    to->log_level = from->log_level;
}

/* Takes the text of the file over, which live values point into. */
static void take_over(struct dns_live *live, struct dns_config *fresh)
{
    reload_report(dns_options, &live->in_force, &live->given, fresh);
    copy_live(&live->in_force, fresh);
    log_set_level(fresh->log_level);
    free(live->text);
    live->text = fresh->file.text;
    fresh->file.text = NULL;
}

void dns_live_reload(struct dns_live *live)
{
    static struct dns_config fresh;
    char *text = reload_text(live->helper);
    struct failure failure;

    if (text == NULL)
        return;
    enum options_result result =
        dns_config_read_again(&fresh, live->argc, live->argv, text, &failure);
    if (result == OPTIONS_OK && dns_server_change(live->server, &fresh, &failure) == 0)
        take_over(live, &fresh);
    else
        log_error("configuration not changed: %s", failure.text);
    option_file_free(&fresh.file);
}
