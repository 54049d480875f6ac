/* SPDX-License-Identifier: Apache-2.0 */
#include "dns/upstream/question.h"

#define ROUNDS_MAX 4
#define SPOILED_MS 250 /* a question whose answer was none: how long a better one may take */

/* Is one up that proves who it is? */
static bool has_authenticated(const struct upstreams *upstreams)
{
    for (unsigned i = 0; i < upstreams->count; i++)
        if (upstream_is_authenticated(&upstreams->order[i]->spec) &&
            !upstreams->order[i]->health.is_down)
            return true;
    return false;
}

/* NULL: nobody is left, or those that are left must not be asked now. */
static struct upstream *choose(const struct upstreams *upstreams, const struct question *question,
                               uint64_t now_ms)
{
    struct upstream *due = NULL, *waits = NULL;
    bool is_strict = has_authenticated(upstreams);

    for (unsigned i = 0; i < upstreams->count; i++) {
        struct upstream *upstream = upstreams->order[i];
        if (question->tried & 1u << upstream->index ||
            (is_strict && !upstream_is_authenticated(&upstream->spec)))
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

bool question_ask(struct question *question, struct upstream *upstream, uint64_t now_ms)
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
void question_next(struct upstreams *upstreams, struct question *question, uint64_t now_ms)
{
    struct upstream *upstream;

    question->current = NULL;
    list_remove(&question->attempt_node);
    for (;;) {
        while ((upstream = choose(upstreams, question, now_ms)) != NULL) {
            question->tried |= (uint8_t)(1u << upstream->index);
            if (question_ask(question, upstream, now_ms)) {
                question->current = upstream;
                arm_attempt(upstreams, question, now_ms);
                if (!upstream->health.is_doubted)
                    return;
            } else {
                question->failure = UPSTREAM_FULL;
            }
        }
        if (question_has_attempts(question))
            return; /* the last one that was asked may be doubted: its turn goes on */
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
void question_failed(struct upstreams *upstreams, struct question *question,
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

void question_answered(struct upstreams *upstreams, struct question *question,
                       const struct upstream *upstream, const struct dns_answer *answer,
                       uint64_t now_ms)
{
    if (answer->is_bare || is_refusal(answer->rcode)) {
        question->is_refused = true;
        question->rcode = answer->rcode;
        question->refuser = upstream;
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
    question_give(upstreams, question, upstream, answer);
}

/* What came was no answer: the next upstream is asked now; without one, it has not long to wait. */
void question_spoiled(struct upstreams *upstreams, struct question *question,
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
        question_set_deadline(upstreams, question);
    }
}
