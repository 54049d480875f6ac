/* SPDX-License-Identifier: Apache-2.0 */
#include "parent/live.h"

#include <stdlib.h>
#include <string.h>

#include "parent/firewall.h"
#include "parent/uplink.h"
#include "runtime/base/reload.h"

/* Asked of the helper: text is parent_policy_print()'s; the rules are exchanged. */
#define KIND_POLICY 'p'

/* ---- in the helper ---- */

static bool serve_policy(struct parent_config *config, char *text, struct failure *failure)
{
    static struct parent_config next;
    struct failure ignored;
    enum rules_backend used;

    next = *config;
    if (!parent_policy_take(&next, text, failure))
        return false;
    struct rules_values *values = firewall_values(&next);
    bool done = rules_apply(&firewall_rules, next.firewall, values, &used, failure) == 0;
    rules_values_free(values);
    if (done) {
        *config = next;
        return true;
    }
    /* A failed change has removed the rules; no rules would leave enclaves without NAT. */
    values = firewall_values(config);
    rules_apply(&firewall_rules, config->firewall, values, &used, &ignored);
    rules_values_free(values);
    return false;
}

bool live_serve(void *context, char kind, char *text, char *answer, struct failure *failure)
{
    struct parent_config *config = context;

    if (kind == RELOAD_KIND_FILE)
        return reload_serve(&config->file, answer, failure);
    if (kind == KIND_POLICY)
        return serve_policy(config, text, failure);
    return false;
}

/* ---- in the daemon ---- */

/* Exchanges published ports and opened networks for those of *next, in the kernel and here. */
static bool apply_policy(struct live *live, const struct parent_config *next,
                         struct failure *failure)
{
    char *text = NULL;
    size_t length;
    FILE *out = open_memstream(&text, &length);

    if (out == NULL)
        return failure_set(failure, "out of memory");
    parent_policy_print(next, out);
    fclose(out);
    bool done = helper_request(live->helper, KIND_POLICY, text, NULL, failure) &&
                parent_policy_take(live->config, text, failure);
    free(text);
    if (done)
        server_policy_changed(live->server);
    return done;
}

bool live_change(struct live *live, enum live_change change, const char *key, const char *value,
                 struct failure *failure)
{
    static struct parent_config next;

    next = *live->config;
    bool valid = change == LIVE_ADD ? parent_policy_add(&next, key, value, failure)
                                    : parent_policy_remove(&next, key, value, failure);
    if (!valid || !apply_policy(live, &next, failure))
        return false;
    log_info("%s %s %s", key, value, change == LIVE_ADD ? "added" : "removed");
    return true;
}

static void copy_settings(struct parent_config *to, const struct parent_config *from)
{
    to->log_level = from->log_level;
    to->dead_seconds = from->dead_seconds;
    to->lanes_max = from->lanes_max;
    to->dns_count = from->dns_count;
    memcpy(to->dns, from->dns, sizeof(to->dns));
}

static void take_over(struct live *live, const struct parent_config *fresh)
{
    struct parent_config *config = live->config;

    copy_settings(config, fresh);
    config->uplink = NULL;
    if (fresh->uplink != NULL) {
        snprintf(live->uplink, sizeof(live->uplink), "%s", fresh->uplink);
        config->uplink = live->uplink;
    }
    log_set_level(config->log_level);
    server_settings_changed(live->server, uplink_mtu(live->server->context.netdev, config->uplink));
}

void live_reload(struct live *live)
{
    static struct parent_config fresh;
    char *text = reload_text(live->helper);
    struct failure failure;

    if (text == NULL)
        return;
    enum options_result result =
        parent_config_read_again(&fresh, live->argc, live->argv, text, &failure);
    if (result == OPTIONS_OK) {
        reload_report(parent_options, live->config, &live->given, &fresh);
        if (apply_policy(live, &fresh, &failure))
            take_over(live, &fresh);
        else
            result = OPTIONS_INVALID;
    }
    if (result != OPTIONS_OK)
        log_error("configuration not changed: %s", failure.text);
    option_file_free(&fresh.file);
}
