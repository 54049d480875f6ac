/* SPDX-License-Identifier: Apache-2.0 */
#include "ctl/status.h"

#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ctl/answer.h"
#include "ctl/commands.h"
#include "ctl/sample.h"
#include "ctl/status_dns.h"
#include "ctl/targets.h"
#include "ctl/text.h"

struct settings {
    struct ctl_targets targets;
    bool json;
    unsigned interval_ms;
};

static const struct option_spec table[] = {
    {"json", NULL, "print the daemons' answers, with rates, as JSON",
     OPTION_IS_FLAG(struct settings, json)},
    {"interval", "MS", "measure rates over this time (default: 500)",
     OPTION_IS_UNSIGNED(struct settings, interval_ms, 10, 60000)},
    CTL_CONTROL_ROW,
    {.name = NULL},
};

static void print_json(struct json_object **answers, unsigned count)
{
    struct json_object *list = json_object_new_array(), *all = json_object_new_object();

    for (unsigned i = 0; i < count; i++)
        if (answers[i] != NULL)
            json_object_array_add(list, json_object_get(answers[i]));
    json_object_object_add(all, "daemons", list);
    printf("%s\n", json_object_to_json_string_ext(all, JSON_C_TO_STRING_PLAIN));
    json_object_put(all);
}

static void print_lane(struct json_object *lane)
{
    struct json_object *rates = json_object_object_get(lane, "rates");
    char out[32], in[32];

    printf("  lane %" PRIu64 " %s", answer_number(lane, "lane"), answer_text(lane, "state"));
    if (rates != NULL)
        printf(", out %s, in %s", text_rate(answer_number(rates, "out_bytes"), out, sizeof(out)),
               text_rate(answer_number(rates, "in_bytes"), in, sizeof(in)));
    if (answer_number(lane, "rtt_us") > 0)
        printf(", round trip %" PRIu64 " us (least %" PRIu64 ")", answer_number(lane, "rtt_us"),
               answer_number(lane, "rtt_min_us"));
    printf("\n    out %" PRIu64 " packets, %" PRIu64 " bytes (%" PRIu64 " super-packets, %" PRIu64
           " writes); in %" PRIu64 " packets, %" PRIu64 " bytes\n",
           answer_number(lane, "captured_packets"), answer_number(lane, "captured_bytes"),
           answer_number(lane, "captured_super"), answer_number(lane, "sent_writes"),
           answer_number(lane, "injected_packets"), answer_number(lane, "injected_bytes"));
    text_print_counts("    dropped", answer_number(lane, "queue_dropped"),
                      json_object_object_get(lane, "drops"));
}

static void print_lanes(struct json_object *owner)
{
    struct json_object *lanes = json_object_object_get(owner, "lanes");

    if (!json_object_is_type(lanes, json_type_array))
        return;
    for (size_t i = 0; i < json_object_array_length(lanes); i++)
        print_lane(json_object_array_get_idx(lanes, i));
}

/* "label a, b" from the texts that are there. */
static void print_texts(const char *label, const char *first, const char *second)
{
    if (first[0] != '\0' || second[0] != '\0')
        printf("  %s %s%s%s\n", label, first, first[0] && second[0] ? ", " : "", second);
}

static void print_list(struct json_object *status, const char *label, const char *key)
{
    struct json_object *list = json_object_object_get(status, key);

    if (!json_object_is_type(list, json_type_array) || json_object_array_length(list) == 0)
        return;
    printf("%s", label);
    for (size_t i = 0; i < json_object_array_length(list); i++)
        printf(" %s", json_object_get_string(json_object_array_get_idx(list, i)));
    printf("\n");
}

static void print_enclave(struct json_object *enclave)
{
    printf("enclave %s at %s", answer_text(enclave, "name"), answer_text(enclave, "peer"));
    if (answer_text(enclave, "device")[0] == '\0')
        printf(": has not come yet\n");
    else
        printf(" on %s, MTU %" PRIu64 "\n", answer_text(enclave, "device"),
               answer_number(enclave, "mtu"));
    print_texts("addresses", answer_text(enclave, "address4"), answer_text(enclave, "address6"));
    print_lanes(enclave);
}

static void print_parent(struct json_object *status)
{
    struct json_object *enclaves = json_object_object_get(status, "enclaves");

    printf("uplink MTU %" PRIu64 "\n", answer_number(status, "uplink_mtu"));
    print_list(status, "published", "publish");
    print_list(status, "allowed", "allow");
    if (!json_object_is_type(enclaves, json_type_array))
        return;
    for (size_t i = 0; i < json_object_array_length(enclaves); i++)
        print_enclave(json_object_array_get_idx(enclaves, i));
}

static void print_own(struct json_object *status)
{
    printf("parent at %s", answer_text(status, "peer"));
    if (!json_object_get_boolean(json_object_object_get(status, "configured")))
        printf(": nothing agreed yet\n");
    else
        printf(", MTU %" PRIu64 "\n", answer_number(status, "mtu"));
    print_texts("addresses", answer_text(status, "address4"), answer_text(status, "address6"));
    print_texts("gateways", answer_text(status, "gateway4"), answer_text(status, "gateway6"));
    print_list(status, "  resolvers", "dns");
    print_lanes(status);
}

/* A line for each fault that this kernel is known for. */
static void print_faults(struct json_object *kernel)
{
    struct json_object *faults = NULL;

    if (!json_object_object_get_ex(kernel, "faults", &faults) ||
        !json_object_is_type(faults, json_type_array))
        return;
    for (size_t i = 0; i < json_object_array_length(faults); i++)
        printf("  known for %s\n", json_object_get_string(json_object_array_get_idx(faults, i)));
}

static void print_kernel(struct json_object *kernel)
{
    printf("Linux %s, capture by %s, io_uring with %s, UDP super-packets %s",
           answer_text(kernel, "release"), answer_text(kernel, "capture"),
           answer_text(kernel, "io_uring"), answer_text(kernel, "udp_super_packets"));
    if (answer_text(kernel, "firewall")[0] != '\0')
        printf(", rules in %s", answer_text(kernel, "firewall"));
    printf("\n");
    print_faults(kernel);
}

void status_print(struct json_object *status)
{
    uint64_t seconds = answer_number(status, "uptime_ms") / 1000;
    const char *role = answer_role(status);

    printf("%s %s, PID %" PRIu64 ", up %" PRIu64 ":%02u:%02u\n", answer_text(status, "program"),
           answer_text(status, "version"), answer_number(status, "pid"), seconds / 3600,
           (unsigned)(seconds / 60 % 60), (unsigned)(seconds % 60));
    if (strcmp(role, "dns") == 0) {
        status_print_dns(status);
        return;
    }
    print_kernel(json_object_object_get(status, "kernel"));
    if (strcmp(role, "parent") == 0)
        print_parent(status);
    else
        print_own(status);
}

int ctl_status(int argc, char **argv)
{
    struct settings settings = {.interval_ms = 500};
    struct json_object *answers[CTL_TARGETS_MAX];
    int result;

    if (!ctl_options(table, "status", "what the daemons are doing", argc, argv, &settings.targets,
                     &result))
        return result;
    unsigned answered = sample_status(&settings.targets, settings.interval_ms, answers);
    if (settings.json)
        print_json(answers, settings.targets.count);
    for (unsigned i = 0; i < settings.targets.count; i++) {
        if (answers[i] != NULL && !settings.json) {
            printf("%s", i > 0 ? "\n" : "");
            status_print(answers[i]);
        }
        json_object_put(answers[i]);
    }
    return answered == settings.targets.count ? EXIT_SUCCESS : EXIT_FAILURE;
}
