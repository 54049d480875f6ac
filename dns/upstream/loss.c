/* SPDX-License-Identifier: Apache-2.0 */
#include "dns/upstream/loss.h"

#define RESENDS_MAX 4
#define FRESH_MS    10000 /* an upstream that answered so lately is not dead */
#define VAIN_ENDS   3     /* in a row: it takes no more connections than it has */
#define GROW_MS     30000 /* until more connections than the server took are tried again */

void upstream_drop_hedges(struct upstream *upstream)
{
    while (!list_empty(&upstream->hedging)) {
        struct attempt *attempt = LIST_ENTRY(upstream->hedging.next, struct attempt, node);
        if (attempt->question == NULL || attempt->twin != NULL) {
            attempts_release(&upstream->attempts, attempt);
        } else { /* its twin has been lost: it is all that the question has */
            list_remove(&attempt->node);
            list_append(&upstream->waiting, &attempt->node);
        }
    }
}

static void lose(struct upstream *upstream, struct attempt *attempt, enum upstream_failure failure)
{
    attempt->state = ATTEMPT_LOST;
    attempt->failure = failure;
    list_remove(&attempt->node);
    list_insert(&upstream->lost, &attempt->node);
}

/* What waits is to look for another server, or to come back. */
static void lose_waiting(struct upstream *upstream, enum upstream_failure failure)
{
    upstream_drop_hedges(upstream);
    while (!list_empty(&upstream->waiting))
        lose(upstream, LIST_ENTRY(upstream->waiting.previous, struct attempt, node), failure);
}

void upstream_fails(struct upstream *upstream, enum upstream_failure failure, const char *reason,
                    uint64_t now_ms)
{
    bool was_down = upstream->health.is_down;

    upstream->failed_ms = now_ms;
    upstream->stats.failures[failure]++;
    health_failed(&upstream->health, failure != UPSTREAM_TIMEOUT, now_ms,
                  random_pool_16(&upstream->setup->random));
    if (!was_down || failure == UPSTREAM_TLS_FAILED)
        log_limited(&upstream->log, LOG_LEVEL_WARNING, "upstream %s fails: %s",
                    upstream->stats.text, reason);
    upstream->stats.healthy = false;
    if (failure != UPSTREAM_TIMEOUT)
        lose_waiting(upstream, failure);
}

/* ---- the questions of a connection ---- */

static void ask_again(struct upstream *upstream, struct attempt *attempt)
{
    pipeline_remove(attempt);
    attempts_drop_id(&upstream->attempts, attempt);
    attempt->state = ATTEMPT_WAITING;
    attempt->resends++;
    upstream->stats.reconnect_asks++;
    list_insert(&upstream->waiting, &attempt->node);
}

static void settle_open(struct upstream *upstream, struct attempt *attempt, bool again,
                        enum upstream_failure failure)
{
    if (attempt->question == NULL || attempt->twin != NULL) {
        attempts_release(&upstream->attempts, attempt);
    } else if (again && attempt->resends < RESENDS_MAX) {
        ask_again(upstream, attempt);
    } else {
        pipeline_remove(attempt);
        attempts_drop_id(&upstream->attempts, attempt);
        lose(upstream, attempt, failure);
    }
}

/* Keeps their order: the last one goes to the front first. */
static void settle_all(struct upstream *upstream, struct pipeline *pipeline, bool again,
                       enum upstream_failure failure)
{
    while (!list_empty(&pipeline->open))
        settle_open(upstream, LIST_ENTRY(pipeline->open.previous, struct attempt, node), again,
                    failure);
}

/* ---- ends ---- */

/* Other connections that give answers. */
static unsigned others_up(const struct upstream *upstream, const struct pipeline *pipeline)
{
    unsigned count = 0;

    for (unsigned i = 0; i < PIPELINES_MAX; i++)
        count += &upstream->pipelines[i] != pipeline &&
                 pipeline_is_ready(&upstream->pipelines[i]) && upstream->pipelines[i].answers > 0;
    return count;
}

/* It had answered lately, took questions on this connection and closed it without a word: more
 * likely it is the names. */
static bool is_for_the_names(const struct upstream *upstream, const struct pipeline *pipeline)
{
    return pipeline->was_up && pipeline->count > 0 && upstream->answer_ms != 0 &&
           upstream->answer_ms + FRESH_MS >= pipeline->opened_ms;
}

static void note_silent_names(struct upstream *upstream, const struct pipeline *pipeline,
                              uint64_t now_ms)
{
    struct list_node *node;
    bool too_many = false;

    for (node = pipeline->open.next; node != &pipeline->open && !too_many; node = node->next) {
        const struct attempt *attempt = LIST_ENTRY(node, struct attempt, node);
        if (attempt->question != NULL)
            too_many = health_name_silent(&upstream->health, &attempt->query->question.name);
    }
    if (too_many)
        upstream_fails(upstream, UPSTREAM_CONNECT, "hangs up on many names", now_ms);
}

/* The connection ended although we wanted it, or before it answered anything. */
static void ended_in_vain(struct upstream *upstream, struct pipeline *pipeline,
                          enum upstream_failure failure, const char *reason, uint64_t now_ms)
{
    unsigned others = others_up(upstream, pipeline);

    if (failure == UPSTREAM_ANSWERED)
        failure = UPSTREAM_CONNECT;
    if (others > 0) {
        upstream->stats.failures[failure]++;
        if (++upstream->vain_ends == VAIN_ENDS) {
            upstream->pipelines_max = others;
            upstream->grow_ms = now_ms + GROW_MS;
            upstream->vain_ends = 0;
        }
    } else if (upstream->health.is_down && pipeline->opened_ms <= upstream->failed_ms) {
        upstream->stats.failures[failure]++; /* one of several that were opened together */
    } else if (is_for_the_names(upstream, pipeline)) {
        note_silent_names(upstream, pipeline, now_ms);
    } else {
        upstream_fails(upstream, failure, reason, now_ms);
    }
}

static void end_pipeline(struct upstream *upstream, struct pipeline *pipeline,
                         enum upstream_failure failure, const char *reason, uint64_t now_ms)
{
    bool asked = pipeline->count > 0, answered = pipeline->answers > 0;
    bool again = answered || others_up(upstream, pipeline) > 0;

    if (asked && answered) {
        if (pipeline->answers < upstream->window)
            upstream->window = (unsigned)pipeline->answers;
    } else if (asked || failure != UPSTREAM_ANSWERED) {
        again = again || is_for_the_names(upstream, pipeline);
        ended_in_vain(upstream, pipeline, failure, reason, now_ms);
    }
    settle_all(upstream, pipeline, again && !upstream->health.is_down,
               failure == UPSTREAM_TLS_FAILED ? UPSTREAM_TLS_FAILED : UPSTREAM_CONNECT);
    pipeline_close(pipeline);
}

void pipeline_was_ended(struct upstream *upstream, struct pipeline *pipeline, uint64_t now_ms)
{
    end_pipeline(upstream, pipeline, connection_failure(pipeline->connection),
                 connection_reason(pipeline->connection), now_ms);
}

void pipeline_not_established(struct upstream *upstream, struct pipeline *pipeline, uint64_t now_ms)
{
    end_pipeline(upstream, pipeline, UPSTREAM_CONNECT, "no connection in time", now_ms);
}

/* What holds up the others; NULL: nobody waits for anything here. */
static struct attempt *oldest_question(const struct pipeline *pipeline)
{
    struct list_node *node;

    for (node = pipeline->open.next; node != &pipeline->open; node = node->next)
        if (LIST_ENTRY(node, struct attempt, node)->question != NULL)
            return LIST_ENTRY(node, struct attempt, node);
    return NULL;
}

void pipeline_give_up(struct upstream *upstream, struct pipeline *pipeline, uint64_t now_ms)
{
    struct attempt *oldest = oldest_question(pipeline);

    /* Nothing came for an attempt, nor over another connection. */
    if (upstream->heard_ms <= pipeline->quiet_since_ms &&
        now_ms >= pipeline->quiet_since_ms + upstream->setup->attempt_ms)
        upstream_fails(upstream, UPSTREAM_TIMEOUT, "no answer for a while", now_ms);
    if (oldest != NULL)
        settle_open(upstream, oldest, false, UPSTREAM_TIMEOUT);
    settle_all(upstream, pipeline, !upstream->health.is_down, UPSTREAM_TIMEOUT);
    pipeline_close(pipeline);
}

void upstream_lose_all(struct upstream *upstream)
{
    for (unsigned i = 0; i < PIPELINES_MAX; i++) {
        settle_all(upstream, &upstream->pipelines[i], false, UPSTREAM_CONNECT);
        pipeline_close(&upstream->pipelines[i]);
    }
    lose_waiting(upstream, UPSTREAM_CONNECT);
}
