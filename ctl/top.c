/* SPDX-License-Identifier: Apache-2.0 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "ctl/ctl.h"

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

/* A number in five columns: 987, 12.3k, 4.5G */
static const char *short_number(uint64_t number, char *out, size_t size)
{
    static const char units[] = " kMGT";
    double value = (double)number;
    unsigned unit = 0;

    for (; value >= 1000 && unit < 4; unit++)
        value /= 1000;
    if (unit == 0)
        snprintf(out, size, "%" PRIu64, number);
    else
        snprintf(out, size, value < 100 ? "%.1f%c" : "%.0f%c", value, units[unit]);
    return out;
}

void ctl_print_cell(uint64_t number)
{
    char text[32];

    printf(" %8s", short_number(number, text, sizeof(text)));
}

static void print_row(const struct ctl_lane *lane)
{
    struct json_object *rates = json_object_object_get(lane->lane, "rates");
    uint64_t queue = ctl_number(lane->lane, "queue_packets");

    printf("%-20.20s %4" PRIu64 " %-10.10s", lane->enclave, ctl_number(lane->lane, "lane"),
           ctl_text(lane->lane, "state"));
    ctl_print_cell(ctl_number(rates, "out_bytes") * 8);
    ctl_print_cell(ctl_number(rates, "out_packets"));
    ctl_print_cell(ctl_number(rates, "in_bytes") * 8);
    ctl_print_cell(ctl_number(rates, "in_packets"));
    ctl_print_cell(ctl_number(rates, "bytes_per_write"));
    ctl_print_cell(queue);
    ctl_print_cell(ctl_number(lane->lane, "queue_bytes"));
    ctl_print_cell(ctl_number(lane->lane, "rtt_us"));
    ctl_print_cell(ctl_number(rates, "drops"));
    printf("\n");
}

static void print_view(struct json_object *status)
{
    static struct ctl_lane lanes[CTL_LANES_MAX];
    unsigned count = ctl_lanes(status, lanes, CTL_LANES_MAX);

    if (strcmp(ctl_role(status), "dns") == 0) {
        ctl_dns_print_view(status);
        return;
    }
    printf("%s, PID %" PRIu64 ", capture by %s\n", ctl_text(status, "program"),
           ctl_number(status, "pid"),
           ctl_text(json_object_object_get(status, "kernel"), "capture"));
    printf("%-20s %4s %-10s %8s %8s %8s %8s %8s %8s %8s %8s %8s\n",
           strcmp(ctl_role(status), "parent") == 0 ? "ENCLAVE" : "PARENT", "LANE", "STATE",
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
        answered = ctl_sample(&settings.targets, settings.interval_ms, answers);
        if (!settings.once && isatty(STDOUT_FILENO))
            printf(CLEAR_SCREEN);
        for (unsigned i = 0; i < settings.targets.count; i++) {
            if (answers[i] != NULL)
                print_view(answers[i]);
            json_object_put(answers[i]);
        }
        /* A reader of a pipe that has gone ends this. */
    } while (fflush(stdout) == 0 && !settings.once);
    return answered == settings.targets.count ? EXIT_SUCCESS : EXIT_FAILURE;
}
