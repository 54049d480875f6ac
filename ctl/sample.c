/* SPDX-License-Identifier: Apache-2.0 */
#include "ctl/sample.h"

#include <time.h>

#include "ctl/client.h"
#include "ctl/latency.h"
#include "ctl/program.h"
#include "ctl/rates.h"

static void sleep_ms(unsigned ms)
{
    nanosleep(&(struct timespec){.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000L}, NULL);
}

unsigned sample_status(const struct ctl_targets *targets, unsigned interval_ms,
                       struct json_object **answers)
{
    struct json_object *before[CTL_TARGETS_MAX];
    struct failure failure;
    unsigned answered = 0;

    for (unsigned i = 0; i < targets->count; i++)
        before[i] = client_request(targets->path[i], "status", NULL, NULL, &failure);
    sleep_ms(interval_ms);
    for (unsigned i = 0; i < targets->count; i++) {
        answers[i] = client_request(targets->path[i], "status", NULL, NULL, &failure);
        if (answers[i] == NULL)
            ctl_error("%s", failure.text);
        else if (before[i] != NULL)
            rates_add(before[i], answers[i]);
        latency_add_percentiles(answers[i]);
        json_object_put(before[i]);
        answered += answers[i] != NULL;
    }
    return answered;
}
