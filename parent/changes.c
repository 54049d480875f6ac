/* SPDX-License-Identifier: Apache-2.0 */
#include "parent/changes.h"

#include <stdlib.h>
#include <string.h>

#include "parent/firewall.h"
#include "parent/host.h"
#include "parent/policy.h"
#include "parent/settings.h"
#include "parent/stale.h"
#include "parent/taken.h"
#include "parent/uplink.h"
#include "runtime/base/reload.h"

/* Asked of the helper: text is parent_policy_print()'s; the rules are exchanged. */
#define KIND_POLICY   'p'
#define KIND_SETTINGS 's' /* the host's settings are to be held */

/* ---- in the helper ---- */

static bool serve_policy(struct parent_config *config, char *text, struct failure *failure)
{
    static struct parent_config next;
    struct failure ignored;
    enum rules_backend used;

    next = *config;
    if (!parent_policy_take(&next, text, failure) || !taken_check(&next, config, failure))
        return false;
    struct rules_values *values = firewall_values(&next);
    bool done = rules_apply(&firewall_rules, next.firewall, values, &used, failure);
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

bool changes_serve(void *context, char kind, char *text, char *answer, struct failure *failure)
{
    if (kind == KIND_SETTINGS)
        return settings_hold(context, answer, HELPER_TEXT_MAX, failure);
    return kind == KIND_POLICY && serve_policy(context, text, failure);
}

/* ---- in the daemon ---- */

bool changes_hold_settings(struct changes *changes, struct failure *failure)
{
    static char report[HELPER_TEXT_MAX]; /* one thread asks */

    if (!helper_request(changes->helper, KIND_SETTINGS, "", report, failure))
        return false;
    if (report[0] != '\0')
        log_limited(&changes->host_log, LOG_LEVEL_WARNING, "%s", report);
    return true;
}

/* Exchanges published ports and opened networks for those of *next, in the kernel and here. */
static bool apply_policy(struct changes *changes, const struct parent_config *next,
                         struct failure *failure)
{
    static struct parent_config before;
    char *text = NULL;
    size_t length;
    FILE *out = open_memstream(&text, &length);

    if (out == NULL)
        return failure_set(failure, "out of memory");
    parent_policy_print(next, out);
    fclose(out);
    before = *changes->config;
    bool done = helper_request(changes->helper, KIND_POLICY, text, NULL, failure) &&
                parent_policy_take(changes->config, text, failure);
    free(text);
    if (done) {
        stale_forget(&before, changes->config);
        sessions_policy_changed(changes->sessions);
    }
    return done;
}

bool changes_make(struct changes *changes, enum change_kind kind, const char *key,
                  const char *value, struct failure *failure)
{
    static struct parent_config next;

    next = *changes->config;
    bool valid = kind == CHANGE_ADD ? parent_policy_add(&next, key, value, failure)
                                    : parent_policy_remove(&next, key, value, failure);
    if (!valid || !apply_policy(changes, &next, failure))
        return false;
    log_info("%s %s %s", key, value, kind == CHANGE_ADD ? "added" : "removed");
    return true;
}

void changes_networks(struct changes *changes)
{
    static struct parent_config next;
    struct failure failure;

    next = *changes->config;
    if (!host_networks(&next, changes->sessions->context.netdev))
        return;
    if (apply_policy(changes, &next, &failure))
        log_info("this host's networks have changed: rules applied again");
    else
        log_error("this host's networks have changed, and the rules have not: %s", failure.text);
}

static void copy_settings(struct parent_config *to, const struct parent_config *from)
{
    to->common.log_level = from->common.log_level;
    to->dead_seconds = from->dead_seconds;
    to->lanes_max = from->lanes_max;
    to->uplink = from->uplink;
    to->dns_count = from->dns_count;
    memcpy(to->dns, from->dns, sizeof(to->dns));
}

bool changes_reload(void *context, const void *given, const void *fresh, struct failure *failure)
{
    struct changes *changes = context;
    struct parent_config *config = changes->config;
    struct sessions *sessions = changes->sessions;
    static struct parent_config next;

    reload_report(parent_options, config, given, fresh);
    next = *(const struct parent_config *)fresh;
    next.connected = config->connected; /* what nobody configures stays */
    if (!apply_policy(changes, &next, failure))
        return false;
    copy_settings(config, fresh);
    log_set_level(config->common.log_level);
    sessions_settings_changed(sessions, uplink_mtu(sessions->context.netdev, config->uplink));
    return true;
}
