/* SPDX-License-Identifier: Apache-2.0 */
#include "dns/upstream/quiet.h"

#include "dns/upstream/loss.h"

#define QUIET_MS   4000 /* one question, not answered for so long: the connection is dead */
#define HEDGES_MAX 8    /* at a time, of one connection */

/* localhost A: RFC 6761 6.3 has every resolver answer it by itself, and it tells nobody anything.
 */
static const struct dns_query probe_query = {
    .recursion_desired = true,
    .question = {.name = {.length = 11, .wire = "\011localhost"}, .type = 1, .class = 1},
};

static unsigned patience_ms(const struct upstream *upstream)
{
    unsigned attempt_ms = upstream->setup->attempt_ms;

    if (upstream->order == ORDER_ANY)
        return attempt_ms / 3 * 2;
    unsigned patience = upstream->round_trip_ms + upstream->setup->hedge_ms;
    return upstream->heard_ms == 0 || patience > attempt_ms / 3 ? attempt_ms / 3 : patience;
}

static uint64_t quiet_ms(const struct pipeline *pipeline, uint64_t now_ms)
{
    return now_ms > pipeline->quiet_since_ms ? now_ms - pipeline->quiet_since_ms : 0;
}

bool pipeline_is_stuck(const struct upstream *upstream, const struct pipeline *pipeline,
                       uint64_t now_ms)
{
    return pipeline->count > 0 && quiet_ms(pipeline, now_ms) >= patience_ms(upstream);
}

/* ---- hedges ---- */

void upstream_hedge(struct upstream *upstream, struct attempt *attempt, bool first)
{
    struct attempt *twin = attempts_take(&upstream->attempts);

    if (twin == NULL)
        return;
    twin->question = attempt->question;
    twin->query = attempt->query;
    twin->place = attempt->place;
    twin->turn_ms = attempt->turn_ms;
    twin->resends = attempt->resends;
    twin->is_hedge = true;
    attempts_join(attempt, twin);
    if (first)
        list_insert(&upstream->hedging, &twin->node);
    else
        list_append(&upstream->hedging, &twin->node);
    upstream->stats.hedges++;
}

static void hedge_some(struct upstream *upstream, struct pipeline *pipeline, bool with_oldest)
{
    unsigned left = upstream->order == ORDER_STRICT ? UPSTREAM_IN_FLIGHT_LIMIT : HEDGES_MAX;
    struct list_node *node = pipeline->open.next;

    if (!with_oldest)
        node = node->next;
    for (; node != &pipeline->open && left > 0; node = node->next) {
        struct attempt *attempt = LIST_ENTRY(node, struct attempt, node);
        if (attempt->question == NULL || attempt->twin != NULL || attempt->is_hedge)
            continue;
        upstream_hedge(upstream, attempt, false);
        left--;
    }
}

/* ---- probes ---- */

static struct attempt *make_probe(struct upstream *upstream)
{
    struct attempt *probe = attempts_take(&upstream->attempts);

    if (probe == NULL)
        return NULL;
    probe->query = &probe_query;
    probe->is_probe = true;
    list_append(&upstream->hedging, &probe->node);
    upstream->stats.probes++;
    return probe;
}

static void probe(struct upstream *upstream, struct pipeline *pipeline, uint64_t now_ms)
{
    struct attempt *here = upstream->order != ORDER_STRICT ? make_probe(upstream) : NULL;
    struct attempt *elsewhere = upstream->order != ORDER_ANY ? make_probe(upstream) : NULL;

    if (elsewhere != NULL)
        elsewhere->is_hedge = true;
    if (here != NULL) {
        here->has_edns = false;
        if (!pipeline_send(pipeline, &upstream->attempts, here, upstream->spec.kind == UPSTREAM_TLS,
                           now_ms * 1000)) {
            attempts_release(&upstream->attempts, here);
            here = NULL;
        }
    }
    if (here != NULL && elsewhere != NULL)
        attempts_join(here, elsewhere); /* so that it goes elsewhere */
}

/* ---- the whole ---- */

/* Does another question than the oldest wait for an answer here? Does any? */
static unsigned count_questions(const struct pipeline *pipeline)
{
    const struct list_node *node;
    unsigned count = 0;

    for (node = pipeline->open.next; node != &pipeline->open && count < 2; node = node->next)
        count += LIST_ENTRY(node, struct attempt, node)->question != NULL;
    return count;
}

static bool is_hopeless(const struct upstream *upstream, const struct pipeline *pipeline,
                        uint64_t now_ms)
{
    uint64_t quiet = quiet_ms(pipeline, now_ms);
    unsigned questions = count_questions(pipeline);

    if (quiet < upstream->setup->attempt_ms)
        return upstream->order == ORDER_STRICT && questions == 0 &&
               pipeline_is_stuck(upstream, pipeline, now_ms);
    return upstream->order == ORDER_ANY || questions != 1 || quiet >= QUIET_MS;
}

/* The earliest of the steps that is still to come; soon enough again if there is none. */
static uint64_t next_check_ms(const struct upstream *upstream, const struct pipeline *pipeline,
                              uint64_t now_ms)
{
    unsigned attempt_ms = upstream->setup->attempt_ms, patience = patience_ms(upstream);
    const uint64_t steps[] = {
        pipeline->quiet_since_ms + patience,       pipeline->quiet_since_ms + PRESSURE_MS,
        pipeline->quiet_since_ms + attempt_ms / 3, pipeline->quiet_since_ms + attempt_ms / 3 * 2,
        pipeline->quiet_since_ms + attempt_ms,     pipeline->quiet_since_ms + QUIET_MS,
    };
    uint64_t next = now_ms + (patience > 0 ? patience : 1);

    for (unsigned i = 0; i < sizeof(steps) / sizeof(steps[0]); i++)
        if (steps[i] > now_ms && steps[i] < next)
            next = steps[i];
    return next;
}

/* A server that works on one question at a time proves by any answer that it is there. */
static bool needs_probe(const struct upstream *upstream, uint64_t now_ms)
{
    if (upstream->health.is_down)
        return false;
    return upstream->order != ORDER_STRICT ||
           upstream->heard_ms + upstream->setup->attempt_ms / 3 <= now_ms;
}

/* The oldest question may hold up a second connection, too: only while there are enough. */
static bool has_spare(const struct upstream *upstream)
{
    unsigned used = 0;

    for (unsigned i = 0; i < PIPELINES_MAX; i++)
        used += !pipeline_is_closed(&upstream->pipelines[i]);
    return 2 * used < upstream->pipelines_max;
}

static void watch(struct upstream *upstream, struct pipeline *pipeline, uint64_t now_ms)
{
    unsigned attempt_ms = upstream->setup->attempt_ms, patience = patience_ms(upstream);
    uint64_t quiet = quiet_ms(pipeline, now_ms);

    if (!upstream->health.is_down && quiet >= patience &&
        now_ms >= pipeline->hedged_ms + patience) {
        hedge_some(upstream, pipeline, quiet >= attempt_ms / 3 * 2 && has_spare(upstream));
        pipeline->hedged_ms = now_ms;
    }
    if (quiet >= attempt_ms / 3 && needs_probe(upstream, now_ms) &&
        now_ms >= pipeline->probed_ms + attempt_ms / 3) {
        pipeline->probed_ms = now_ms;
        probe(upstream, pipeline, now_ms);
    }
    pipeline->check_ms = next_check_ms(upstream, pipeline, now_ms);
    if (is_hopeless(upstream, pipeline, now_ms))
        pipeline_give_up(upstream, pipeline, now_ms);
}

void upstream_watch_quiet(struct upstream *upstream, uint64_t now_ms)
{
    for (unsigned i = 0; i < PIPELINES_MAX; i++) {
        struct pipeline *pipeline = &upstream->pipelines[i];
        if (now_ms < pipeline->check_ms || !pipeline_is_ready(pipeline))
            continue;
        if (pipeline->count == 0)
            pipeline->check_ms = UINT64_MAX;
        else
            watch(upstream, pipeline, now_ms);
    }
}
