/* SPDX-License-Identifier: Apache-2.0 */
/* Reading status answers, and what follows from two of them: rates. */
#include <string.h>
#include <time.h>

#include "ctl/ctl.h"

const char *ctl_text(struct json_object *object, const char *key)
{
    struct json_object *member = json_object_object_get(object, key);

    return json_object_is_type(member, json_type_string) ? json_object_get_string(member) : "";
}

uint64_t ctl_number(struct json_object *object, const char *key)
{
    struct json_object *member = json_object_object_get(object, key);

    return json_object_is_type(member, json_type_int) ? json_object_get_uint64(member) : 0;
}

const char *ctl_role(struct json_object *status)
{
    const char *program = ctl_text(status, "program");

    if (strcmp(program, "causeway-parent") == 0)
        return "parent";
    if (strcmp(program, "causeway-dns") == 0)
        return "dns";
    return "enclave";
}

static size_t array_length(struct json_object *array)
{
    return json_object_is_type(array, json_type_array) ? json_object_array_length(array) : 0;
}

static unsigned add_lanes(struct json_object *owner, const char *name, struct ctl_lane *out,
                          unsigned count, unsigned max)
{
    struct json_object *lanes = json_object_object_get(owner, "lanes");

    for (size_t i = 0; i < array_length(lanes) && count < max; i++)
        out[count++] = (struct ctl_lane){
            .enclave = name,
            .peer = ctl_text(owner, "peer"),
            .lane = json_object_array_get_idx(lanes, i),
        };
    return count;
}

unsigned ctl_lanes(struct json_object *status, struct ctl_lane *out, unsigned max)
{
    struct json_object *enclaves = json_object_object_get(status, "enclaves");
    unsigned count = add_lanes(status, ctl_text(status, "peer"), out, 0, max);

    for (size_t i = 0; i < array_length(enclaves); i++) {
        struct json_object *enclave = json_object_array_get_idx(enclaves, i);
        count = add_lanes(enclave, ctl_text(enclave, "name"), out, count, max);
    }
    return count;
}

uint64_t ctl_sum(struct json_object *reasons)
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

static uint64_t all_drops(struct json_object *lane)
{
    return ctl_number(lane, "queue_dropped") + ctl_sum(json_object_object_get(lane, "drops"));
}

uint64_t ctl_grown(struct json_object *before, struct json_object *after, const char *key)
{
    uint64_t was = ctl_number(before, key), is = ctl_number(after, key);

    return is > was ? is - was : 0; /* a restarted daemon counts from zero */
}

void ctl_add_number(struct json_object *object, const char *key, double value)
{
    json_object_object_add(object, key, json_object_new_uint64((uint64_t)(value + 0.5)));
}

static void add_lane_rates(struct json_object *before, struct json_object *after, double seconds)
{
    static const struct {
        const char *rate, *counter;
    } rows[] = {
        {"out_packets", "captured_packets"}, {"out_bytes", "captured_bytes"},
        {"in_packets", "injected_packets"},  {"in_bytes", "injected_bytes"},
        {"writes", "sent_writes"},
    };
    struct json_object *rates = json_object_new_object();
    uint64_t writes = ctl_grown(before, after, "sent_writes");
    uint64_t dropped = all_drops(before), drops = all_drops(after);

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        ctl_add_number(rates, rows[i].rate,
                       (double)ctl_grown(before, after, rows[i].counter) / seconds);
    ctl_add_number(rates, "bytes_per_write",
                   writes > 0 ? (double)ctl_grown(before, after, "sent_bytes") / (double)writes
                              : 0);
    ctl_add_number(rates, "drops", drops > dropped ? (double)(drops - dropped) / seconds : 0);
    json_object_object_add(after, "rates", rates);
}

static bool same_lane(const struct ctl_lane *a, const struct ctl_lane *b)
{
    return strcmp(a->enclave, b->enclave) == 0 && strcmp(a->peer, b->peer) == 0 &&
           ctl_number(a->lane, "lane") == ctl_number(b->lane, "lane");
}

void ctl_add_rates(struct json_object *before, struct json_object *after)
{
    static struct ctl_lane old[CTL_LANES_MAX], new[CTL_LANES_MAX];
    unsigned old_count = ctl_lanes(before, old, CTL_LANES_MAX);
    unsigned new_count = ctl_lanes(after, new, CTL_LANES_MAX);
    uint64_t elapsed_ms = ctl_grown(before, after, "uptime_ms");
    double seconds = elapsed_ms > 0 ? (double)elapsed_ms / 1000 : 1;

    for (unsigned i = 0; i < new_count; i++)
        for (unsigned j = 0; j < old_count; j++)
            if (same_lane(&new[i], &old[j]))
                add_lane_rates(old[j].lane, new[i].lane, seconds);
    ctl_dns_add_rates(before, after, seconds);
}

static void sleep_ms(unsigned ms)
{
    nanosleep(&(struct timespec){.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000L}, NULL);
}

unsigned ctl_sample(const struct ctl_targets *targets, unsigned interval_ms,
                    struct json_object **answers)
{
    struct json_object *before[CTL_TARGETS_MAX];
    struct failure failure;
    unsigned answered = 0;

    for (unsigned i = 0; i < targets->count; i++)
        before[i] = ctl_request(targets->path[i], "status", NULL, NULL, &failure);
    sleep_ms(interval_ms);
    for (unsigned i = 0; i < targets->count; i++) {
        answers[i] = ctl_request(targets->path[i], "status", NULL, NULL, &failure);
        if (answers[i] == NULL)
            ctl_error("%s", failure.text);
        else if (before[i] != NULL)
            ctl_add_rates(before[i], answers[i]);
        ctl_dns_add_latencies(answers[i]);
        json_object_put(before[i]);
        answered += answers[i] != NULL;
    }
    return answered;
}
