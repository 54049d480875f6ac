/* SPDX-License-Identifier: Apache-2.0 */
/* metrics: all counters as Prometheus' text, printed once or served over HTTP. */
#include <stdlib.h>

#include "ctl/client.h"
#include "ctl/commands.h"
#include "ctl/exporter.h"
#include "ctl/metrics.h"
#include "ctl/program.h"
#include "ctl/targets.h"

struct settings {
    struct ctl_targets targets;
    const char *listen;
};

static const struct option_spec table[] = {
    {"listen", "ADDRESS:PORT", "serve /metrics over HTTP there instead of printing once",
     OPTION_IS_TEXT(struct settings, listen)},
    CTL_CONTROL_ROW,
    {.name = NULL},
};

/* Asks every daemon now. */
static void print(const void *context, FILE *out)
{
    const struct ctl_targets *targets = context;
    struct scrape scrape = {.out = out, .count = targets->count};
    struct failure failure;

    for (unsigned i = 0; i < targets->count; i++) {
        scrape.paths[i] = targets->path[i];
        scrape.answers[i] = client_request(targets->path[i], "status", NULL, NULL, &failure);
        if (scrape.answers[i] == NULL)
            ctl_error("%s", failure.text);
    }
    metrics_print(&scrape);
    for (unsigned i = 0; i < targets->count; i++)
        json_object_put(scrape.answers[i]);
}

int ctl_metrics(int argc, char **argv)
{
    struct settings settings = {0};
    int result;

    if (!ctl_options(table, "metrics", "counters in Prometheus' text format", argc, argv,
                     &settings.targets, &result))
        return result;
    if (settings.listen != NULL)
        return exporter_serve(settings.listen, print, &settings.targets);
    print(&settings.targets, stdout);
    return EXIT_SUCCESS;
}
