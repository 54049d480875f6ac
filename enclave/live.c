/* SPDX-License-Identifier: Apache-2.0 */
#include "enclave/live.h"

#include "enclave/resolvers.h"
#include "runtime/base/reload.h"

bool live_serve(void *context, char kind, char *text, char *answer, struct failure *failure)
{
    const struct enclave_config *config = context;

    if (kind == RESOLVERS_HELPER_KIND && config->resolvers_file != NULL)
        return resolvers_serve(config->resolvers_file, text, failure);
    return kind == RELOAD_KIND_FILE && reload_serve(&config->file, answer, failure);
}

static void take_over(struct live *live, const struct enclave_config *fresh)
{
    live->config->log_level = fresh->log_level;
    live->config->dead_seconds = fresh->dead_seconds;
    log_set_level(fresh->log_level);
    session_settings_changed(live->session);
}

void live_reload(struct live *live)
{
    static struct enclave_config fresh;
    char *text = reload_text(live->helper);
    struct failure failure;

    if (text == NULL)
        return;
    enum options_result result =
        enclave_config_read_again(&fresh, live->argc, live->argv, text, &failure);
    if (result == OPTIONS_OK) {
        reload_report(enclave_options, live->config, &live->given, &fresh);
        take_over(live, &fresh);
    } else {
        log_error("configuration not changed: %s", failure.text);
    }
    option_file_free(&fresh.file);
}
