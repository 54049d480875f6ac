/* SPDX-License-Identifier: Apache-2.0 */
#include "ctl/answer.h"

#include <string.h>

struct json_object *answer_member(struct json_object *object, const char *key)
{
    return json_object_object_get(object, key);
}

const char *answer_text(struct json_object *object, const char *key)
{
    struct json_object *member = json_object_object_get(object, key);

    return json_object_is_type(member, json_type_string) ? json_object_get_string(member) : "";
}

uint64_t answer_number(struct json_object *object, const char *key)
{
    struct json_object *member = json_object_object_get(object, key);

    return json_object_is_type(member, json_type_int) ? json_object_get_uint64(member) : 0;
}

const char *answer_role(struct json_object *status)
{
    const char *program = answer_text(status, "program");

    if (strcmp(program, "causeway-parent") == 0)
        return "parent";
    if (strcmp(program, "causeway-dns") == 0)
        return "dns";
    return "enclave";
}

size_t answer_list_length(struct json_object *list)
{
    return json_object_is_type(list, json_type_array) ? json_object_array_length(list) : 0;
}

static unsigned add_lanes(struct json_object *owner, const char *name, struct answer_lane *out,
                          unsigned count, unsigned max)
{
    struct json_object *lanes = json_object_object_get(owner, "lanes");

    for (size_t i = 0; i < answer_list_length(lanes) && count < max; i++) {
        struct json_object *lane = json_object_array_get_idx(lanes, i);
        if (json_object_is_type(lane, json_type_object))
            out[count++] = (struct answer_lane){name, answer_text(owner, "peer"), lane};
    }
    return count;
}

unsigned answer_lanes(struct json_object *status, struct answer_lane *out, unsigned max)
{
    struct json_object *enclaves = json_object_object_get(status, "enclaves");
    unsigned count = add_lanes(status, answer_text(status, "peer"), out, 0, max);

    for (size_t i = 0; i < answer_list_length(enclaves); i++) {
        struct json_object *enclave = json_object_array_get_idx(enclaves, i);
        count = add_lanes(enclave, answer_text(enclave, "name"), out, count, max);
    }
    return count;
}

uint64_t answer_sum(struct json_object *reasons)
{
    uint64_t sum = 0;

    if (!json_object_is_type(reasons, json_type_object))
        return 0;
    json_object_object_foreach(reasons, reason, count)
    {
        (void)reason;
        sum += json_object_get_uint64(count);
    }
    return sum;
}

uint64_t answer_grown(struct json_object *before, struct json_object *after, const char *key)
{
    uint64_t was = answer_number(before, key), is = answer_number(after, key);

    return is > was ? is - was : 0; /* a restarted daemon counts from zero */
}

void answer_add_number(struct json_object *object, const char *key, double value)
{
    /* 2^64, the first double that does not fit: what a daemon says may be anything. */
    uint64_t rounded = value < 18446744073709551616.0 ? (uint64_t)(value + 0.5) : UINT64_MAX;

    json_object_object_add(object, key, json_object_new_uint64(rounded));
}

uint64_t answer_dns_queries(struct json_object *counters)
{
    return answer_number(counters, "queries_udp") + answer_number(counters, "queries_tcp") +
           answer_number(counters, "queries_link");
}

uint64_t answer_dns_looked_up(struct json_object *counters)
{
    return answer_number(counters, "hits") + answer_number(counters, "stale") +
           answer_number(counters, "joined") + answer_number(counters, "asked") -
           answer_number(counters, "refreshed");
}
