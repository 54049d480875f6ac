/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Two answers on a control socket, a line each, through everything that causewayctl makes of them.
 * What is printed is not looked at, but for the metrics: every line is a comment or a sample.
 */
#include <string.h>

#include "ctl/answer.h"
#include "ctl/client.h"
#include "ctl/latency.h"
#include "ctl/metrics.h"
#include "ctl/rates.h"
#include "ctl/status.h"
#include "ctl/top.h"
#include "tests/fuzz/fuzz.h"

static struct json_object *read_answer(const char *line)
{
    struct failure failure = {""};
    struct json_object *answer = client_read_answer(line, "/run/x.sock", &failure);

    CHECK(answer != NULL || failure.text[0] != '\0');
    CHECK(answer == NULL || json_object_is_type(answer, json_type_object));
    return answer;
}

static void check_metrics(struct json_object *before, struct json_object *after)
{
    struct scrape scrape = {.count = 2, .answers = {before, after}, .paths = {"/run/x.sock", "@y"}};
    char *text = NULL;
    size_t length;

    scrape.out = open_memstream(&text, &length);
    CHECK(scrape.out != NULL);
    metrics_print(&scrape);
    fclose(scrape.out);
    for (const char *line = text; *line != '\0'; line = strchr(line, '\n') + 1) {
        CHECK(strncmp(line, "# ", 2) == 0 || strncmp(line, "causeway_", 9) == 0);
        CHECK(strchr(line, '\n') != NULL);
    }
    free(text);
}

static void print_views(struct json_object *answer)
{
    latency_add_percentiles(answer);
    if (answer != NULL) {
        status_print(answer);
        top_print(answer);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static FILE *nowhere;
    char *lines = malloc(size + 2);

    if (nowhere == NULL)
        nowhere = freopen("/dev/null", "w", stdout);
    CHECK(lines != NULL && nowhere != NULL);
    memcpy(lines, data, size);
    lines[size] = lines[size + 1] = '\0';
    char *second = strchr(lines, '\n');
    if (second != NULL)
        *second++ = '\0';
    struct json_object *before = read_answer(lines);
    struct json_object *after = read_answer(second != NULL ? second : "");
    if (before != NULL && after != NULL)
        rates_add(before, after);
    check_metrics(before, after);
    print_views(before);
    print_views(after);
    json_object_put(before);
    json_object_put(after);
    free(lines);
    return 0;
}
