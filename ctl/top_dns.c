/* SPDX-License-Identifier: Apache-2.0 */
#include "ctl/top_dns.h"

#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>

#include "ctl/answer.h"
#include "ctl/text.h"

static void print_server_row(struct json_object *status)
{
    static const char *const cells[] = {"queries", "hits",     "hit_percent", "stale",
                                        "asked",   "servfail", "drops"};
    struct json_object *rates = answer_member(status, "rates");

    printf("%-10s %8s %8s %8s %8s %8s %8s %8s %8s %8s\n", "", "QUERY/s", "HIT/s", "HIT %",
           "STALE/s", "ASKED/s", "FAIL/s", "DROP/s", "WAITING", "CLIENTS");
    printf("%-10s", "all");
    for (size_t i = 0; i < sizeof(cells) / sizeof(cells[0]); i++)
        text_print_cell(answer_number(rates, cells[i]));
    text_print_cell(answer_number(answer_member(status, "waiting"), "now"));
    text_print_cell(answer_number(answer_member(status, "connections"), "now"));
    printf("\n");
}

void top_print_dns(struct json_object *status)
{
    static const char *const cells[] = {"queries", "answers", "failures", "p50_us", "p99_us"};
    struct json_object *upstreams = answer_member(status, "upstreams");

    printf("%s, PID %" PRIu64 "\n", answer_text(status, "program"), answer_number(status, "pid"));
    print_server_row(status);
    printf("%-40s %-5s %8s %8s %8s %8s %8s\n", "UPSTREAM", "STATE", "QUERY/s", "ANSWER/s", "FAIL/s",
           "P50 us", "P99 us");
    for (size_t i = 0; i < answer_list_length(upstreams); i++) {
        struct json_object *upstream = json_object_array_get_idx(upstreams, i);
        bool healthy = json_object_get_boolean(answer_member(upstream, "healthy"));
        printf("%-40.40s %-5s", answer_text(upstream, "upstream"), healthy ? "up" : "down");
        for (size_t j = 0; j < sizeof(cells) / sizeof(cells[0]); j++)
            text_print_cell(answer_number(answer_member(upstream, "rates"), cells[j]));
        printf("\n");
    }
}
