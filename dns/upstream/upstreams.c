/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Questions and the upstreams they are put to.
 *
 * A question is asked of the first healthy upstream in the order of preference. When that one loses
 * it, says SERVFAIL, REFUSED, NOTIMP or FORMERR, or takes longer than attempt_ms, the next one is
 * asked; the late answer of an earlier one still counts. An upstream that is down is passed over;
 * once its back-off is over, one question is put to it beside the one that works, and its answer
 * brings it back. When all have failed the round begins again, until the deadline or ROUNDS_MAX; if
 * every one is known to refuse connections, the question fails at once.
 *
 *   upstreams_ask -> question_next -> upstream_ask ... question_answered -> done()
 *                        ^-- question_failed, attempt over --'          '-> ended -> done()
 *
 * Memory is taken at creation. Failures go through the list `ended`, so that done() is never called
 * from within upstreams_ask().
 */
#include "dns/upstream/upstreams.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "dns/upstream/upstream.h"
#include "runtime/base/clock.h"

#define ROUNDS_MAX 4
#define SPOILED_MS 250 /* a question whose answer was none: how long a better one may take */

struct question {
    struct list_node deadline_node; /* live: ordered by deadline; free: in the free list */
    struct list_node attempt_node;  /* ordered by attempt_ms; or in no list */
    struct list_node ended_node;    /* in the list of those to be delivered; or in none */
    uint64_t token, deadline_ms, attempt_ms;
    struct attempt *attempts[UPSTREAMS_MAX]; /* by the upstream's index */
    struct upstream *current;                /* whose turn it is */
    uint8_t tried;                           /* bit per upstream, in this round */
    uint8_t rounds;
    bool is_refused; /* an upstream answered, but with SERVFAIL or the like: `rcode` */
    uint16_t rcode;
    enum upstream_failure failure; /* the latest; ANSWERED: none so far */
    struct dns_query query;
};

struct upstreams {
    struct upstreams_config config;
    struct upstream_setup setup;
    struct upstream upstreams[UPSTREAMS_MAX];
    struct upstream *order[UPSTREAMS_MAX]; /* by preference */
    unsigned count;
    struct question *questions;
    struct list_node free, deadlines, attempts, ended;
};

/* ---- the life of a question ---- */

static void set_deadline(struct upstreams *upstreams, struct question *question)
{
    struct list_node *place = upstreams->deadlines.previous;

    /* Callers have one patience: the place is nearly always the end. */
    while (place != &upstreams->deadlines &&
           LIST_ENTRY(place, struct question, deadline_node)->deadline_ms > question->deadline_ms)
        place = place->previous;
    list_insert(place, &question->deadline_node);
}

static struct question *question_take(struct upstreams *upstreams)
{
    if (list_empty(&upstreams->free))
        return NULL;
    struct question *question = LIST_ENTRY(upstreams->free.next, struct question, deadline_node);
    list_remove(&question->deadline_node);
    return question;
}

static bool has_attempts(const struct question *question)
{
    for (unsigned i = 0; i < UPSTREAMS_MAX; i++)
        if (question->attempts[i] != NULL)
            return true;
    return false;
}

/* Nothing will be asked for it any more. */
static void question_rest(struct question *question)
{
    for (unsigned i = 0; i < UPSTREAMS_MAX; i++)
        if (question->attempts[i] != NULL)
            upstream_forget(question->attempts[i]);
    list_remove(&question->deadline_node);
    list_remove(&question->attempt_node);
    question->current = NULL;
}

static void question_free(struct upstreams *upstreams, struct question *question)
{
    question_rest(question);
    list_remove(&question->ended_node);
    list_insert(&upstreams->free, &question->deadline_node);
}

static void question_end(struct upstreams *upstreams, struct question *question,
                         enum upstream_failure failure)
{
    question_rest(question);
    if (question->failure == UPSTREAM_ANSWERED)
        question->failure = failure;
    list_remove(&question->ended_node);
    list_append(&upstreams->ended, &question->ended_node);
}

static struct upstream *choose(const struct upstreams *upstreams, const struct question *question,
                               uint64_t now_ms)
{
    struct upstream *due = NULL, *waits = NULL;

    for (unsigned i = 0; i < upstreams->count; i++) {
        struct upstream *upstream = upstreams->order[i];
        if (question->tried & 1u << upstream->index)
            continue;
        if (!upstream->health.is_down)
            return upstream;
        if (due == NULL && health_is_due(&upstream->health, now_ms))
            due = upstream;
        if (waits == NULL && !health_is_known_dead(&upstream->health, now_ms))
            waits = upstream;
    }
    return due != NULL ? due : waits;
}

static bool ask(struct upstream *upstream, struct question *question, uint64_t now_ms)
{
    struct attempt **place = &question->attempts[upstream->index];

    return *place != NULL ||
           upstream_ask(upstream, question, &question->query, place, question->rounds > 0, now_ms);
}

static void arm_attempt(struct upstreams *upstreams, struct question *question, uint64_t now_ms)
{
    list_remove(&question->attempt_node);
    question->attempt_ms = now_ms + upstreams->config.attempt_ms;
    list_append(&upstreams->attempts, &question->attempt_node); /* all are equally long */
}

/* Asks the next upstream, waits for those that were asked, or ends it. */
static void question_next(struct upstreams *upstreams, struct question *question, uint64_t now_ms)
{
    struct upstream *upstream;

    question->current = NULL;
    list_remove(&question->attempt_node);
    for (;;) {
        while ((upstream = choose(upstreams, question, now_ms)) != NULL) {
            question->tried |= (uint8_t)(1u << upstream->index);
            if (ask(upstream, question, now_ms)) {
                question->current = upstream;
                arm_attempt(upstreams, question, now_ms);
                return;
            }
            question->failure = UPSTREAM_FULL;
        }
        if (has_attempts(question))
            return;
        question->tried = 0;
        if (question->is_refused || question->rounds++ >= ROUNDS_MAX ||
            choose(upstreams, question, now_ms) == NULL)
            break;
    }
    question_end(upstreams, question, upstreams->count == 0 ? UPSTREAM_NONE : UPSTREAM_CONNECT);
}

/* Is another upstream being asked, so that what this one did changes nothing? */
static bool is_asked_elsewhere(const struct question *question, const struct upstream *upstream)
{
    return question->current != NULL && question->current != upstream &&
           question->attempts[question->current->index] != NULL;
}

/* The upstream lost the attempt, which is gone already. */
static void question_failed(struct upstreams *upstreams, struct question *question,
                            const struct upstream *upstream, enum upstream_failure failure,
                            uint64_t now_ms)
{
    if (is_asked_elsewhere(question, upstream))
        return;
    question->failure = failure;
    question_next(upstreams, question, now_ms);
}

static bool is_refusal(uint16_t rcode)
{
    return rcode == DNS_SERVFAIL || rcode == DNS_REFUSED || rcode == DNS_NOTIMP ||
           rcode == DNS_FORMERR;
}

static void question_answered(struct upstreams *upstreams, struct question *question,
                              const struct upstream *upstream, const struct dns_answer *answer,
                              uint64_t now_ms)
{
    uint64_t token = question->token;

    if (answer->is_bare || is_refusal(answer->rcode)) {
        question->is_refused = true;
        question->rcode = answer->rcode;
        if (is_asked_elsewhere(question, upstream))
            return;
        if (choose(upstreams, question, now_ms) != NULL) {
            question_next(upstreams, question, now_ms);
            return;
        }
        if (answer->is_bare) { /* nothing that could be given to a client */
            question_end(upstreams, question, UPSTREAM_ANSWERED);
            return;
        }
    }
    question_free(upstreams, question);
    upstreams->config.done(upstreams->config.context, token, UPSTREAM_ANSWERED, answer);
}

/* What came was no answer: the next upstream is asked now; without one, it has not long to wait. */
static void question_spoiled(struct upstreams *upstreams, struct question *question,
                             const struct upstream *upstream, uint64_t now_ms)
{
    question->failure = UPSTREAM_MISMATCH;
    if (is_asked_elsewhere(question, upstream))
        return;
    if (choose(upstreams, question, now_ms) != NULL) {
        question_next(upstreams, question, now_ms);
    } else if (question->deadline_ms > now_ms + SPOILED_MS) {
        question->deadline_ms = now_ms + SPOILED_MS;
        list_remove(&question->deadline_node);
        set_deadline(upstreams, question);
    }
}

/* ---- delivery ---- */

/* The refusal that an upstream gave before others gave nothing: header and question are enough. */
static bool make_refusal(const struct question *question, uint8_t *bytes, size_t size,
                         struct dns_answer *answer)
{
    const struct dns_query *query = &question->query;
    size_t length = DNS_HEADER_BYTES + query->question.name.length + 4u, at = DNS_HEADER_BYTES;

    if (length > size)
        return false;
    memset(bytes, 0, DNS_HEADER_BYTES);
    bytes[2] = (uint8_t)(0x80 | query->recursion_desired); /* QR, RD */
    bytes[3] = (uint8_t)(0x80 | query->checking_disabled << 4 | (question->rcode & 15)); /* RA */
    bytes[5] = 1;
    memcpy(bytes + at, query->question.name.wire, query->question.name.length);
    at += query->question.name.length;
    bytes[at++] = (uint8_t)(query->question.type >> 8);
    bytes[at++] = (uint8_t)query->question.type;
    bytes[at++] = (uint8_t)(query->question.class >> 8);
    bytes[at++] = (uint8_t)query->question.class;
    return dns_answer_parse(bytes, at, 0, &query->question, answer) == DNS_ANSWER_OK;
}

static void deliver(struct upstreams *upstreams)
{
    uint8_t bytes[DNS_HEADER_BYTES + DNS_NAME_BYTES + 4];
    struct dns_answer answer;

    while (!list_empty(&upstreams->ended)) {
        struct question *question = LIST_ENTRY(upstreams->ended.next, struct question, ended_node);
        uint64_t token = question->token;
        enum upstream_failure failure = question->failure;
        bool is_refused =
            question->is_refused && make_refusal(question, bytes, sizeof(bytes), &answer);
        question_free(upstreams, question);
        upstreams->config.done(upstreams->config.context, token,
                               is_refused ? UPSTREAM_ANSWERED : failure,
                               is_refused ? &answer : NULL);
    }
}

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
    deliver(upstreams);
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
            ask(upstream, question, now_ms); /* a full table needs no probe */
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
    set_deadline(upstreams, question);
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

void upstreams_replace(struct upstreams *upstreams, const struct upstream_spec *specs,
                       unsigned count)
{
    struct upstream *order[UPSTREAMS_MAX] = {NULL};
    unsigned kept = 0;

    if (count > UPSTREAMS_MAX)
        count = UPSTREAMS_MAX;
    for (unsigned i = 0; i < count; i++) {
        order[i] = find_upstream(upstreams, &specs[i], kept);
        if (order[i] != NULL)
            kept |= 1u << order[i]->index;
    }
    retire_others(upstreams, kept);
    restart_rounds(upstreams);
    upstreams->count = 0;
    for (unsigned i = 0; i < count; i++) {
        if (order[i] == NULL) {
            order[i] = free_upstream(upstreams);
            upstream_assign(order[i], &specs[i]);
        }
        upstreams->order[upstreams->count++] = order[i];
    }
    settle(upstreams, upstreams->config.clock_us());
}

static bool init_questions(struct upstreams *upstreams)
{
    unsigned count = upstreams->config.in_flight_max;

    list_init(&upstreams->free);
    list_init(&upstreams->deadlines);
    list_init(&upstreams->attempts);
    list_init(&upstreams->ended);
    upstreams->questions = calloc(count, sizeof(*upstreams->questions));
    if (upstreams->questions == NULL)
        return false;
    for (unsigned i = 0; i < count; i++) {
        list_append(&upstreams->free, &upstreams->questions[i].deadline_node);
        list_init(&upstreams->questions[i].attempt_node);
        list_init(&upstreams->questions[i].ended_node);
    }
    return true;
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
    bool good = init_questions(upstreams);
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
