/* SPDX-License-Identifier: Apache-2.0 */
/* Parts of a status answer (docs/control.md) that both daemons share. */
#ifndef CAUSEWAY_RUNTIME_LANE_REPORT_H
#define CAUSEWAY_RUNTIME_LANE_REPORT_H

#include "packet/addr.h"
#include "runtime/base/json.h"
#include "runtime/lane/lane.h"

/* A lane as its owner sees it. */
struct lane_report {
    unsigned number;
    const char *state;         /* "running", or why not */
    LANE_QUEUE(COUNTER_MEMBER) /* 0 where it is not known */
    const struct lane *lane;
};
void report_lane(struct json *json, const struct lane_report *report);

/* Bytes that wait in a socket's receive queue. */
uint64_t report_queue_bytes(int fd);

/* Member "kernel", left open for more: release and what of it is in use. The caller ends the
 * object. */
void report_kernel(struct json *json, bool udp_gso, unsigned uses);

/* An address as text, or no member at all for "none". */
void report_address(struct json *json, const char *key, const struct ip_addr *address);

#endif
