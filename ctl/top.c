/* SPDX-License-Identifier: Apache-2.0 */
#include "ctl/top.h"

#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "ctl/answer.h"
#include "ctl/commands.h"
#include "ctl/sample.h"
#include "ctl/targets.h"
#include "ctl/text.h"
#include "ctl/top_dns.h"

#define CLEAR_SCREEN "\033[H\033[J"

struct settings {
    struct ctl_targets targets;
    bool once;
    unsigned interval_ms;
};

static const struct option_spec table[] = {
    {"interval", "MS", "time between two views (default: 1000)",
     OPTION_IS_UNSIGNED(struct settings, interval_ms, 10, 60000)},
    {"once", NULL, "print one view and end", OPTION_IS_FLAG(struct settings, once)},
    CTL_CONTROL_ROW,
    {.name = NULL},
};

static void print_row(const struct answer_lane *lane)
{
    struct json_object *rates = json_object_object_get(lane->lane, "rates");
    uint64_t queue = answer_number(lane->lane, "queue_packets");

    printf("%-20.20s %4" PRIu64 " %-10.10s", lane->enclave, answer_number(lane->lane, "lane"),
           answer_text(lane->lane, "state"));
    text_print_cell(answer_number(rates, "out_bytes") * 8);
    text_print_cell(answer_number(rates, "out_packets"));
    text_print_cell(answer_number(rates, "in_bytes") * 8);
    text_print_cell(answer_number(rates, "in_packets"));
    text_print_cell(answer_number(rates, "bytes_per_write"));
    text_print_cell(queue);
    text_print_cell(answer_number(lane->lane, "queue_bytes"));
    text_print_cell(answer_number(lane->lane, "rtt_us"));
    text_print_cell(answer_number(rates, "drops"));
    printf("\n");
}

void top_print(struct json_object *status)
{
    static struct answer_lane lanes[ANSWER_LANES_MAX];
    unsigned count = answer_lanes(status, lanes, ANSWER_LANES_MAX);

    if (strcmp(answer_role(status), "dns") == 0) {
        top_print_dns(status);
        return;
    }
    printf("%s, PID %" PRIu64 ", capture by %s\n", answer_text(status, "program"),
           answer_number(status, "pid"),
           answer_text(json_object_object_get(status, "kernel"), "capture"));
    printf("%-20s %4s %-10s %8s %8s %8s %8s %8s %8s %8s %8s %8s\n",
           strcmp(answer_role(status), "parent") == 0 ? "ENCLAVE" : "PARENT", "LANE", "STATE",
           "OUT b/s", "OUT p/s", "IN b/s", "IN p/s", "B/WRITE", "QUEUE p", "QUEUE B", "RTT us",
           "DROP/s");
    for (unsigned i = 0; i < count; i++)
        print_row(&lanes[i]);
}

int ctl_top(int argc, char **argv)
{
    struct settings settings = {.interval_ms = 1000};
    struct json_object *answers[CTL_TARGETS_MAX];
    unsigned answered;
    int result;

    if (!ctl_options(table, "top", "a live view of rates, queues and drops", argc, argv,
                     &settings.targets, &result))
        return result;
    do {
        answered = sample_status(&settings.targets, settings.interval_ms, answers);
        if (!settings.once && isatty(STDOUT_FILENO))
            printf(CLEAR_SCREEN);
        for (unsigned i = 0; i < settings.targets.count; i++) {
            if (answers[i] != NULL)
                top_print(answers[i]);
            json_object_put(answers[i]);
        }
        /* A reader of a pipe that has gone ends this. */
    } while (fflush(stdout) == 0 && !settings.once);
    return answered == settings.targets.count ? EXIT_SUCCESS : EXIT_FAILURE;
}
