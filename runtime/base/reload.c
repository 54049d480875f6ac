/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/base/reload.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/base/log.h"

char *reload_text(struct helper *helper)
{
    static char answer[HELPER_TEXT_MAX]; /* one thread reloads */
    struct failure failure;

    if (helper_request(helper, RELOAD_KIND_FILE, "", answer, &failure))
        return strdup(answer);
    log_error("configuration not changed: %s", failure.text);
    return NULL;
}

bool reload_serve(const struct option_file *file, char *answer, struct failure *failure)
{
    if (file->path == NULL)
        return true;
    char *text = options_load(file->path, failure);
    if (text == NULL)
        return false;
    snprintf(answer, HELPER_TEXT_MAX, "%s", text);
    free(text);
    return true;
}
static_assert(OPTION_FILE_MAX_BYTES < HELPER_TEXT_MAX, "a file fits an answer");

static void name_live(const struct option_spec *row, void *context)
{
    char *names = context;
    size_t length = strlen(names);

    if (row->reload)
        snprintf(names + length, 512 - length, "%s%s", length > 0 ? ", " : "", row->name);
}

static void warn_fixed(const struct option_spec *row, void *context)
{
    (void)context;
    if (!row->reload)
        log_warning("a change of %s needs a restart: the old value stays", row->name);
}

void reload_report(const struct option_spec *table, const void *in_force, const void *given,
                   const void *fresh)
{
    char names[512] = "";

    options_compare(table, in_force, fresh, name_live, names);
    options_compare(table, given, fresh, warn_fixed, NULL);
    log_info("configuration read again: %s%s", names[0] ? "changed " : "nothing has changed",
             names);
}

void reload_configuration(struct reload *reload)
{
    struct option_file *file = reload->fresh;
    char *text = reload_text(reload->helper);
    struct failure failure;

    if (text == NULL)
        return;
    if (reload->read(reload->fresh, reload->argc, reload->argv, text, &failure) == OPTIONS_OK &&
        reload->take(reload->context, reload->given, reload->fresh, &failure)) {
        free(reload->text);
        reload->text = file->text;
        file->text = NULL;
    } else {
        log_error("configuration not changed: %s", failure.text);
    }
    option_file_free(file);
}
