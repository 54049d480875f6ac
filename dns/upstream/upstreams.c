/* SPDX-License-Identifier: Apache-2.0 */
/* Events and time; the list of upstreams as it is made and replaced. The theory is in question.h.
 */
#include "dns/upstream/upstreams.h"

#include <assert.h>
#include <stdlib.h>

#include "dns/upstream/question.h"
#include "runtime/base/clock.h"

/* ---- events ---- */

static bool take_lost(struct upstreams *upstreams, struct upstream *upstream, uint64_t now_ms)
{
    enum upstream_failure failure;
    struct question *question;
    bool any = false;

    while ((question = upstream_take_lost(upstream, &failure)) != NULL) {
        question_failed(upstreams, question, upstream, failure, now_ms);
        any = true;
    }
    return any;
}

/* Brings everything to rest after an event. Comes to an end: every attempt that is lost uses up a
 * resend, an upstream or a round. */
static void settle(struct upstreams *upstreams, uint64_t now_us)
{
    bool again = true;

    while (again) {
        again = false;
        for (unsigned i = 0; i < UPSTREAMS_MAX; i++)
            upstream_settle(&upstreams->upstreams[i], now_us);
        for (unsigned i = 0; i < UPSTREAMS_MAX; i++)
            again |= take_lost(upstreams, &upstreams->upstreams[i], now_us / 1000);
    }
    questions_deliver(upstreams);
}

static void pipeline_ready(void *context)
{
    struct pipeline *pipeline = context;
    struct upstream *upstream = pipeline->upstream;
    struct upstreams *upstreams = upstream->setup->owner;
    struct upstream_event event;
    uint64_t now_us = upstreams->config.clock_us();

    upstream_advance(upstream, pipeline, now_us);
    while (upstream_receive(upstream, pipeline, now_us, &event))
        if (event.is_spoiled)
            question_spoiled(upstreams, event.question, upstream, now_us / 1000);
        else
            question_answered(upstreams, event.question, upstream, &event.answer, now_us / 1000);
    upstream_finish(upstream, pipeline, now_us / 1000);
    settle(upstreams, now_us);
}

/* ---- asking ---- */

/* An upstream that we would rather ask, and whose back-off is over, gets the question, too. */
static void ask_those_due(struct upstreams *upstreams, struct question *question, uint64_t now_ms)
{
    for (unsigned i = 0; i < upstreams->count; i++) {
        struct upstream *upstream = upstreams->order[i];
        if (upstream == question->current)
            return;
        if (upstream->health.is_down && health_is_due(&upstream->health, now_ms) &&
            upstream_is_unasked(upstream))
            question_ask(question, upstream, now_ms); /* a full table needs no probe */
    }
}

bool upstreams_ask(struct upstreams *upstreams, uint64_t token, const struct dns_query *query,
                   uint64_t now_ms, uint64_t deadline_ms)
{
    struct question *question = question_take(upstreams);

    if (question == NULL)
        return false;
    question->token = token;
    question->deadline_ms = deadline_ms;
    question->tried = question->rounds = 0;
    question->is_refused = false;
    question->failure = UPSTREAM_ANSWERED;
    question->query = *query;
    question_set_deadline(upstreams, question);
    question_next(upstreams, question, now_ms);
    if (question->current != NULL)
        ask_those_due(upstreams, question, now_ms);
    return true;
}

/* ---- time ---- */

static void attempts_over(struct upstreams *upstreams, uint64_t now_ms)
{
    while (!list_empty(&upstreams->attempts)) {
        struct question *question =
            LIST_ENTRY(upstreams->attempts.next, struct question, attempt_node);
        if (question->attempt_ms > now_ms)
            return;
        struct upstream *upstream = question->current;
        assert(upstream != NULL); /* its turn is what the attempt measures */
        if (question->attempts[upstream->index] != NULL)
            upstream_note_silence(upstream, question->attempts[upstream->index], now_ms);
        if (question->failure != UPSTREAM_MISMATCH)
            question->failure = UPSTREAM_TIMEOUT;
        question_next(upstreams, question, now_ms);
    }
}

static void deadlines_over(struct upstreams *upstreams, uint64_t now_ms)
{
    while (!list_empty(&upstreams->deadlines)) {
        struct question *question =
            LIST_ENTRY(upstreams->deadlines.next, struct question, deadline_node);
        if (question->deadline_ms > now_ms)
            return;
        question_end(upstreams, question, UPSTREAM_TIMEOUT);
    }
}

void upstreams_tick(struct upstreams *upstreams, uint64_t now_ms)
{
    attempts_over(upstreams, now_ms);
    deadlines_over(upstreams, now_ms);
    for (unsigned i = 0; i < UPSTREAMS_MAX; i++)
        if (upstreams->upstreams[i].is_used)
            upstream_tick(&upstreams->upstreams[i], now_ms);
    settle(upstreams, upstreams->config.clock_us());
}

static uint64_t earlier(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

int upstreams_timeout(const struct upstreams *upstreams, uint64_t now_ms)
{
    uint64_t next = UINT64_MAX;

    if (!list_empty(&upstreams->ended))
        return 0;
    if (!list_empty(&upstreams->deadlines))
        next = LIST_ENTRY(upstreams->deadlines.next, struct question, deadline_node)->deadline_ms;
    if (!list_empty(&upstreams->attempts))
        next = earlier(
            next, LIST_ENTRY(upstreams->attempts.next, struct question, attempt_node)->attempt_ms);
    for (unsigned i = 0; i < UPSTREAMS_MAX; i++)
        if (upstreams->upstreams[i].is_used)
            next = earlier(next, upstream_next_ms(&upstreams->upstreams[i]));
    if (next == UINT64_MAX)
        return -1;
    if (next <= now_ms)
        return 0;
    return next - now_ms > 3600000 ? 3600000 : (int)(next - now_ms);
}

/* ---- life ---- */

static struct upstream *find_upstream(struct upstreams *upstreams, const struct upstream_spec *spec,
                                      unsigned taken)
{
    for (unsigned i = 0; i < UPSTREAMS_MAX; i++)
        if (upstreams->upstreams[i].is_used && !(taken & 1u << i) &&
            upstream_equal(&upstreams->upstreams[i].spec, spec))
            return &upstreams->upstreams[i];
    return NULL;
}

static struct upstream *free_upstream(struct upstreams *upstreams)
{
    unsigned i = 0;

    while (upstreams->upstreams[i].is_used)
        i++;
    return &upstreams->upstreams[i];
}

/* What was asked of those that go is lost before their place is given away. */
static void retire_others(struct upstreams *upstreams, unsigned kept)
{
    for (unsigned i = 0; i < UPSTREAMS_MAX; i++)
        if (upstreams->upstreams[i].is_used && !(kept & 1u << i))
            upstream_retire(&upstreams->upstreams[i]);
}

/* Questions start their round anew: what they tried were indexes, and those change hands. */
static void restart_rounds(struct upstreams *upstreams)
{
    struct list_node *node;

    for (node = upstreams->deadlines.next; node != &upstreams->deadlines; node = node->next) {
        struct question *question = LIST_ENTRY(node, struct question, deadline_node);
        question->tried = question->rounds = 0;
    }
}

/* Those that prove who they are in front; the order is kept otherwise. */
static void sort_specs(const struct upstream_spec *specs, unsigned count,
                       const struct upstream_spec *out[UPSTREAMS_MAX])
{
    unsigned have = 0;

    for (int wanted = 1; wanted >= 0; wanted--)
        for (unsigned i = 0; i < count; i++)
            if (upstream_is_authenticated(&specs[i]) == (bool)wanted)
                out[have++] = &specs[i];
}

void upstreams_replace(struct upstreams *upstreams, const struct upstream_spec *specs,
                       unsigned count)
{
    struct upstream *order[UPSTREAMS_MAX] = {NULL};
    const struct upstream_spec *sorted[UPSTREAMS_MAX];
    unsigned kept = 0;

    if (count > UPSTREAMS_MAX)
        count = UPSTREAMS_MAX;
    sort_specs(specs, count, sorted);
    for (unsigned i = 0; i < count; i++) {
        order[i] = find_upstream(upstreams, sorted[i], kept);
        if (order[i] != NULL)
            kept |= 1u << order[i]->index;
    }
    retire_others(upstreams, kept);
    restart_rounds(upstreams);
    upstreams->count = 0;
    for (unsigned i = 0; i < count; i++) {
        if (order[i] == NULL) {
            order[i] = free_upstream(upstreams);
            upstream_assign(order[i], sorted[i]);
        }
        upstreams->order[upstreams->count++] = order[i];
    }
    settle(upstreams, upstreams->config.clock_us());
}

static bool init_tls(struct upstreams *upstreams, struct failure *failure)
{
    bool wanted = false;

    for (unsigned i = 0; i < upstreams->config.count; i++)
        wanted |= upstreams->config.specs[i].kind == UPSTREAM_TLS;
    if (!wanted)
        return true;
    upstreams->setup.tls = tls_context_create(upstreams->config.tls_ca, failure);
    return upstreams->setup.tls != NULL;
}

static void init_setup(struct upstreams *upstreams, struct event_loop *loop)
{
    upstreams->setup = (struct upstream_setup){
        .loop = loop,
        .ready = pipeline_ready,
        .owner = upstreams,
        .in_flight_max = upstreams->config.in_flight_max,
        .idle_ms = upstreams->config.idle_ms,
        .attempt_ms = upstreams->config.attempt_ms,
        .hedge_ms = upstreams->config.hedge_ms,
    };
    if (upstreams->config.clock_us == NULL)
        upstreams->config.clock_us = clock_us;
}

struct upstreams *upstreams_create(struct event_loop *loop, const struct upstreams_config *config,
                                   struct failure *failure)
{
    struct upstreams *upstreams = calloc(1, sizeof(*upstreams));

    failure_set(failure, "no memory for %u questions", config->in_flight_max);
    if (upstreams == NULL)
        return NULL;
    upstreams->config = *config;
    init_setup(upstreams, loop);
    bool good = questions_init(upstreams);
    for (unsigned i = 0; i < UPSTREAMS_MAX; i++)
        good = upstream_init(&upstreams->upstreams[i], &upstreams->setup, i) && good;
    if (!good || !init_tls(upstreams, failure)) {
        upstreams_free(upstreams);
        return NULL;
    }
    upstreams_replace(upstreams, config->specs, config->count);
    return upstreams;
}

void upstreams_free(struct upstreams *upstreams)
{
    if (upstreams == NULL)
        return;
    for (unsigned i = 0; i < UPSTREAMS_MAX; i++)
        upstream_free(&upstreams->upstreams[i]);
    tls_context_free(upstreams->setup.tls);
    free(upstreams->questions);
    free(upstreams);
}

unsigned upstreams_count(const struct upstreams *upstreams)
{
    return upstreams->count;
}

const struct upstream_stats *upstreams_stats(const struct upstreams *upstreams, unsigned index)
{
    return &upstreams->order[index]->stats;
}
