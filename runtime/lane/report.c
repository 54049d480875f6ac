/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/lane/report.h"

#include <stdio.h>
#include <sys/socket.h>
#include <sys/utsname.h>

#include <linux/sock_diag.h>

#include "runtime/host/kernel_faults.h"

static void report_counters(struct json *json, const struct lane_stats *stats)
{
    char name[64];

#define X(counter, ...)                                                                            \
    json_number(json, #counter, __atomic_load_n(&stats->counter, __ATOMIC_RELAXED));
    LANE_COUNTERS(X)
    LANE_ROUND_TRIPS(X)
#undef X
    json_begin(json, "drops");
    for (unsigned reason = 0; reason < DROP_REASON_COUNT; reason++)
        if (drop_reason_name(reason, name, sizeof(name)) != NULL)
            json_number(json, name, __atomic_load_n(&stats->drops[reason], __ATOMIC_RELAXED));
    json_end(json);
}

void report_lane(struct json *json, const struct lane_report *report)
{
    json_begin(json, NULL);
    json_number(json, "lane", report->number);
    json_text(json, "state", report->state);
#define X(counter, ...) json_number(json, #counter, report->counter);
    LANE_QUEUE(X)
#undef X
    report_counters(json, lane_stats(report->lane));
    json_end(json);
}

uint64_t report_queue_bytes(int fd)
{
    uint32_t values[SK_MEMINFO_VARS] = {0};
    socklen_t length = sizeof(values);

    if (getsockopt(fd, SOL_SOCKET, SO_MEMINFO, values, &length) < 0)
        return 0;
    return values[SK_MEMINFO_RMEM_ALLOC];
}

static void report_faults(struct json *json, unsigned uses)
{
    const struct kernel_fault *fault = NULL;
    char text[256];

    json_list(json, "faults");
    while ((fault = kernel_fault_next_here(uses, fault)) != NULL) {
        snprintf(text, sizeof(text), "%s: %s; %s", fault->name, fault->effect, fault->measure);
        json_text(json, NULL, text);
    }
    json_list_end(json);
}

void report_kernel(struct json *json, bool udp_gso, unsigned uses)
{
    struct utsname system;

    json_begin(json, "kernel");
    json_text(json, "release", uname(&system) == 0 ? system.release : "unknown");
    json_text(json, "io_uring", lane_ring_mode());
    json_text(json, "udp_super_packets", udp_gso ? "whole" : "segmented by the daemon");
    report_faults(json, uses);
}

void report_address(struct json *json, const char *key, const struct ip_addr *address)
{
    char text[ADDR_TEXT_BYTES];

    if (address->version != 0)
        json_text(json, key, addr_format(address, text));
}
