/* SPDX-License-Identifier: Apache-2.0 */
#include "dns/upstream/place.h"

#include "dns/upstream/loss.h"
#include "dns/upstream/quiet.h"

#define PIPELINES_PLAIN 4 /* connections while one should do */

/* ---- what there is ---- */

/* Closes after some answers, or works on one question at a time: questions need connections. */
static bool is_spread(const struct upstream *upstream)
{
    return upstream->order == ORDER_STRICT || upstream->window < upstream->setup->in_flight_max;
}

/* As many as there may be. One should do while the server is not known to need more: a few more
 * are for hedges, and further ones for when all of those are quiet. */
static bool has_all(const struct upstream *upstream, uint64_t now_ms)
{
    unsigned used = 0, quiet = 0;

    for (unsigned i = 0; i < PIPELINES_MAX; i++) {
        const struct pipeline *pipeline = &upstream->pipelines[i];
        used += !pipeline_is_closed(pipeline);
        quiet += pipeline_is_ready(pipeline) && pipeline->count > 0 &&
                 now_ms >= pipeline->quiet_since_ms + PRESSURE_MS;
    }
    if (used >= PIPELINES_PLAIN && !is_spread(upstream) && quiet < used)
        return true;
    return used >= upstream->pipelines_max;
}

static bool can_open(const struct upstream *upstream, uint64_t now_ms)
{
    return !has_all(upstream, now_ms) && health_is_due(&upstream->health, now_ms);
}

/* Questions at a time on one connection. */
static unsigned limit_of(const struct upstream *upstream, bool may_open)
{
    return upstream->order == ORDER_STRICT && may_open ? 1 : upstream->window;
}

static bool is_better(const struct upstream *upstream, const struct pipeline *pipeline,
                      const struct pipeline *best, uint64_t now_ms)
{
    bool stuck = pipeline_is_stuck(upstream, pipeline, now_ms);

    if (best == NULL)
        return true;
    if (stuck != pipeline_is_stuck(upstream, best, now_ms))
        return !stuck;
    return upstream->order == ORDER_STRICT && pipeline->count < best->count;
}

/* NULL: none has room. */
static struct pipeline *choose(struct upstream *upstream, const struct attempt *attempt,
                               unsigned limit, uint64_t now_ms)
{
    const struct pipeline *other = attempt->twin != NULL ? attempt->twin->pipeline : NULL;
    struct pipeline *best = NULL;

    for (unsigned i = 0; i < PIPELINES_MAX; i++) {
        struct pipeline *pipeline = &upstream->pipelines[i];
        if (pipeline == other || !pipeline_is_ready(pipeline) || pipeline->count >= limit)
            continue;
        if (is_better(upstream, pipeline, best, now_ms))
            best = pipeline;
    }
    return best;
}

/* ---- sending ---- */

static bool send_on(struct upstream *upstream, struct pipeline *pipeline, struct attempt *attempt,
                    uint64_t now_us)
{
    attempt->has_edns = now_us / 1000 >= upstream->plain_until_ms && !attempt->is_probe;
    return pipeline_send(pipeline, &upstream->attempts, attempt,
                         upstream->spec.kind == UPSTREAM_TLS, now_us);
}

/* Second attempts: those that find no other connection wait for one, or are not made. */
static void place_hedges(struct upstream *upstream, bool may_open, uint64_t now_us)
{
    struct list_node *node = upstream->hedging.next;

    while (node != &upstream->hedging) {
        struct attempt *attempt = LIST_ENTRY(node, struct attempt, node);
        struct pipeline *pipeline = choose(upstream, attempt, upstream->window, now_us / 1000);
        node = node->next;
        if (pipeline != NULL && pipeline_is_stuck(upstream, pipeline, now_us / 1000) &&
            (may_open || upstream->order == ORDER_STRICT))
            continue;
        if (pipeline != NULL)
            send_on(upstream, pipeline, attempt, now_us);
    }
}

/* Every connection is taken, and others wait: the one that has been quiet longest goes. */
static bool relieve(struct upstream *upstream, uint64_t now_ms)
{
    struct pipeline *quietest = NULL;

    for (unsigned i = 0; i < PIPELINES_MAX; i++) {
        struct pipeline *pipeline = &upstream->pipelines[i];
        if (pipeline_is_ready(pipeline) && pipeline->count > 0 &&
            (quietest == NULL || pipeline->quiet_since_ms < quietest->quiet_since_ms))
            quietest = pipeline;
    }
    if (quietest == NULL || now_ms < quietest->quiet_since_ms + PRESSURE_MS)
        return false;
    pipeline_give_up(upstream, quietest, now_ms);
    return true;
}

/* A question on a connection that is quiet: it may well be answered there, but not for sure. */
static void hedge_at_once(struct upstream *upstream, struct attempt *attempt, uint64_t now_ms)
{
    if (upstream->order == ORDER_UNKNOWN && upstream->heard_ms != 0 && !upstream->health.is_down &&
        attempt->pipeline->count > 1 && attempt->twin == NULL &&
        pipeline_is_stuck(upstream, attempt->pipeline, now_ms))
        upstream_hedge(upstream, attempt, true);
}

/* False: the connections are full of bytes, and will tell when there is room. */
static bool place_waiting(struct upstream *upstream, bool may_open, uint64_t now_us)
{
    unsigned limit = limit_of(upstream, may_open);

    while (!list_empty(&upstream->waiting)) {
        struct attempt *attempt = LIST_ENTRY(upstream->waiting.next, struct attempt, node);
        struct pipeline *pipeline = choose(upstream, attempt, limit, now_us / 1000);
        if (pipeline == NULL)
            break;
        if (pipeline_is_stuck(upstream, pipeline, now_us / 1000) &&
            (upstream->order == ORDER_STRICT || (upstream->order == ORDER_ANY && may_open)))
            break; /* rather on a new one, or on one that is given up for it */
        if (!send_on(upstream, pipeline, attempt, now_us))
            return false;
        hedge_at_once(upstream, attempt, now_us / 1000);
    }
    return true;
}

/* ---- opening ---- */

static unsigned count_up_to(const struct list_node *list, unsigned most)
{
    const struct list_node *node;
    unsigned count = 0;

    for (node = list->next; node != list && count < most; node = node->next)
        count++;
    return count;
}

/* What those that are on their way will carry. */
static unsigned room_coming(const struct upstream *upstream, unsigned limit)
{
    unsigned room = 0;

    for (unsigned i = 0; i < PIPELINES_MAX; i++)
        if (pipeline_is_coming(&upstream->pipelines[i]))
            room += limit;
    return room;
}

static bool open_one(struct upstream *upstream, uint64_t now_ms)
{
    struct pipeline *pipeline = upstream->pipelines;

    while (!pipeline_is_closed(pipeline))
        pipeline++;
    pipeline_open(pipeline, &upstream->spec, &upstream->tls, now_ms);
    if (connection_state(pipeline->connection) != CONNECTION_ENDED)
        return true;
    pipeline_was_ended(upstream, pipeline, now_ms);
    return false;
}

static void open_for_the_rest(struct upstream *upstream, uint64_t now_ms)
{
    unsigned limit = limit_of(upstream, true);
    unsigned wanted = count_up_to(&upstream->waiting, PIPELINES_MAX) +
                      count_up_to(&upstream->hedging, PIPELINES_MAX);

    for (unsigned room = room_coming(upstream, limit); room < wanted; room += limit)
        if (!can_open(upstream, now_ms) || !open_one(upstream, now_ms))
            return;
}

static void take_more_again(struct upstream *upstream, uint64_t now_ms)
{
    if (upstream->pipelines_max < PIPELINES_MAX && now_ms >= upstream->grow_ms)
        upstream->pipelines_max = PIPELINES_MAX;
}

/* Does anything wait that has not failed here before? */
static bool has_new(const struct upstream *upstream)
{
    return !list_empty(&upstream->hedging) ||
           (!list_empty(&upstream->waiting) &&
            !LIST_ENTRY(upstream->waiting.next, struct attempt, node)->is_again);
}

void upstream_place(struct upstream *upstream, uint64_t now_us)
{
    uint64_t now_ms = now_us / 1000;

    if (list_empty(&upstream->waiting) && list_empty(&upstream->hedging))
        return;
    take_more_again(upstream, now_ms);
    bool may_open = can_open(upstream, now_ms);
    place_hedges(upstream, may_open, now_us);
    if (!place_waiting(upstream, may_open, now_us))
        return;
    place_hedges(upstream, may_open, now_us); /* those that were made just now */
    open_for_the_rest(upstream, now_ms);
    if (can_open(upstream, now_ms) || room_coming(upstream, 1) > 0)
        return;
    if (has_all(upstream, now_ms) && is_spread(upstream) && has_new(upstream) &&
        relieve(upstream, now_ms))
        open_for_the_rest(upstream, now_ms);
    else if (!has_all(upstream, now_ms) || upstream->pipelines_max == 1 ||
             upstream->order != ORDER_STRICT)
        upstream_drop_hedges(upstream);
}
