/* SPDX-License-Identifier: Apache-2.0 */
#include "dns/upstream/question.h"

#include <stdlib.h>
#include <string.h>

bool questions_init(struct upstreams *upstreams)
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

void question_set_deadline(struct upstreams *upstreams, struct question *question)
{
    struct list_node *place = upstreams->deadlines.previous;

    /* Callers have one patience: the place is nearly always the end. */
    while (place != &upstreams->deadlines &&
           LIST_ENTRY(place, struct question, deadline_node)->deadline_ms > question->deadline_ms)
        place = place->previous;
    list_insert(place, &question->deadline_node);
}

struct question *question_take(struct upstreams *upstreams)
{
    if (list_empty(&upstreams->free))
        return NULL;
    struct question *question = LIST_ENTRY(upstreams->free.next, struct question, deadline_node);
    list_remove(&question->deadline_node);
    return question;
}

bool question_has_attempts(const struct question *question)
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

void question_end(struct upstreams *upstreams, struct question *question,
                  enum upstream_failure failure)
{
    question_rest(question);
    if (question->failure == UPSTREAM_ANSWERED)
        question->failure = failure;
    list_remove(&question->ended_node);
    list_append(&upstreams->ended, &question->ended_node);
}

void question_give(struct upstreams *upstreams, struct question *question,
                   const struct upstream *upstream, const struct dns_answer *answer)
{
    uint64_t token = question->token;

    question_free(upstreams, question);
    upstreams->config.done(upstreams->config.context, token, UPSTREAM_ANSWERED, answer,
                           upstream->stats.text);
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

void questions_deliver(struct upstreams *upstreams)
{
    uint8_t bytes[DNS_HEADER_BYTES + DNS_NAME_BYTES + 4];
    struct dns_answer answer;

    while (!list_empty(&upstreams->ended)) {
        struct question *question = LIST_ENTRY(upstreams->ended.next, struct question, ended_node);
        uint64_t token = question->token;
        enum upstream_failure failure = question->failure;
        const char *refuser = question->is_refused ? question->refuser->stats.text : NULL;
        bool is_refused =
            question->is_refused && make_refusal(question, bytes, sizeof(bytes), &answer);
        question_free(upstreams, question);
        upstreams->config.done(upstreams->config.context, token,
                               is_refused ? UPSTREAM_ANSWERED : failure,
                               is_refused ? &answer : NULL, is_refused ? refuser : NULL);
    }
}
