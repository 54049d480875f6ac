/* SPDX-License-Identifier: Apache-2.0 */
#include "ctl/metrics_write.h"

#include <inttypes.h>

#include "ctl/answer.h"

void metrics_head(FILE *out, const char *name, const char *type, const char *help)
{
    fprintf(out, "# HELP causeway_%s %s\n# TYPE causeway_%s %s\n", name, help, name, type);
}

void metrics_family(FILE *out, const struct metric *metric)
{
    metrics_head(out, metric->name, metric->kind == COUNTER ? "counter" : "gauge", metric->help);
}

/* The three characters escaped that have to be. */
void metrics_label(FILE *out, const char *before, const char *key, const char *value)
{
    fprintf(out, "%s%s=\"", before, key);
    for (; *value != '\0'; value++) {
        if (*value == '"' || *value == '\\')
            fputc('\\', out);
        if (*value == '\n')
            fputs("\\n", out);
        else
            fputc(*value, out);
    }
    fputc('"', out);
}

void metrics_value(FILE *out, uint64_t value, double scale)
{
    if (scale < 1)
        fprintf(out, "} %.6f\n", (double)value * scale);
    else
        fprintf(out, "} %" PRIu64 "\n", value);
}

void metrics_counter(FILE *out, struct json_object *object, const struct metric *metric)
{
    metrics_value(out, answer_number(object, metric->key), metric->kind == GAUGE_US ? 1e-6 : 1);
}

void metrics_begin(FILE *out, const char *name, const char *role)
{
    fprintf(out, "causeway_%s{", name);
    metrics_label(out, "", "daemon", role);
}

void metrics_object(const struct scrape *scrape, const char *object, const struct metric *metrics,
                    size_t count)
{
    for (size_t m = 0; m < count; m++) {
        metrics_family(scrape->out, &metrics[m]);
        for (unsigned i = 0; i < scrape->count; i++) {
            struct json_object *part = json_object_object_get(scrape->answers[i], object);
            if (part == NULL)
                continue;
            metrics_begin(scrape->out, metrics[m].name, answer_role(scrape->answers[i]));
            metrics_counter(scrape->out, part, &metrics[m]);
        }
    }
}
