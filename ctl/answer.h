/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reading a daemon's status answer (docs/control.md). A daemon of another version, or none of ours,
 * may have written it: a member that is not there, or not of the kind asked for, reads as nothing.
 * Objects and texts are borrowed from the answer.
 */
#ifndef CAUSEWAY_CTL_ANSWER_H
#define CAUSEWAY_CTL_ANSWER_H

#include <stddef.h>
#include <stdint.h>

#include <json-c/json.h>

/* A member, NULL where there is none. */
struct json_object *answer_member(struct json_object *object, const char *key);
/* Text or number of a member; "" or 0 where there is none of that kind. */
const char *answer_text(struct json_object *object, const char *key);
uint64_t answer_number(struct json_object *object, const char *key);
/* Elements of a list; 0 of anything else. */
size_t answer_list_length(struct json_object *list);

/* "parent", "enclave" or "dns" */
const char *answer_role(struct json_object *status);

/* One lane of a status answer and what it belongs to. */
struct answer_lane {
    const char *enclave; /* its name at the parent; in the enclave the parent's address */
    const char *peer;
    struct json_object *lane;
};
/* Lists up to max lanes of an answer. */
unsigned answer_lanes(struct json_object *status, struct answer_lane *out, unsigned max);
#define ANSWER_LANES_MAX 512 /* 64 enclaves of 8 lanes */

/* By how much a counter has grown between two answers; 0 if the daemon was restarted. */
uint64_t answer_grown(struct json_object *before, struct json_object *after, const char *key);
/* Of an object "reason": count. */
uint64_t answer_sum(struct json_object *reasons);
/* Adds a member, rounded. */
void answer_add_number(struct json_object *object, const char *key, double value);

/* Of causeway-dns's counters: all questions, and those that the cache could have answered (those
 * that it did, and those that had to wait). */
uint64_t answer_dns_queries(struct json_object *counters);
uint64_t answer_dns_looked_up(struct json_object *counters);

#endif
