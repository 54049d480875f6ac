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
 *   upstreams_ask -> question_next -> server_ask ... question_answered -> done()
 *                        ^-- question_failed, attempt over --'        '-> ended -> done()
 *
 * Memory is taken at creation. Failures go through the list `ended`, so that done() is never called
 * from within upstreams_ask().
 */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "dns/upstream/private.h"
#include "runtime/base/clock.h"

#define ROUNDS_MAX 4

uint16_t upstreams_random16(struct upstreams *upstreams)
{
    uint16_t value;

    if (upstreams->random_used + sizeof(value) > sizeof(upstreams->random)) {
        size_t have = 0;
        while (have < sizeof(upstreams->random)) {
            ssize_t got = getrandom(upstreams->random + have, sizeof(upstreams->random) - have, 0);
            if (got > 0)
                have += (size_t)got;
        }
        upstreams->random_used = 0;
    }
    memcpy(&value, upstreams->random + upstreams->random_used, sizeof(value));
    upstreams->random_used += sizeof(value);
    return value;
}

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

static bool has_asks(const struct question *question)
{
    for (unsigned i = 0; i < UPSTREAMS_MAX; i++)
        if (question->asks[i] != NULL)
            return true;
    return false;
}

/* Nothing will be asked for it any more. */
static void question_rest(struct question *question)
{
    for (unsigned i = 0; i < UPSTREAMS_MAX; i++)
        if (question->asks[i] != NULL)
            server_forget(question->asks[i]);
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
    list_append(&upstreams->ended, &question->ended_node);
}

static struct server *choose(const struct upstreams *upstreams, const struct question *question,
                             uint64_t now_ms)
{
    struct server *due = NULL, *waits = NULL;

    for (unsigned i = 0; i < upstreams->count; i++) {
        struct server *server = upstreams->order[i];
        if (question->tried & 1u << server->slot)
            continue;
        if (!server->down)
            return server;
        if (due == NULL && server_is_due(server, now_ms))
            due = server;
        if (waits == NULL && !server_is_known_dead(server, now_ms))
            waits = server;
    }
    return due != NULL ? due : waits;
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
    struct server *server;

    question->current = NULL;
    list_remove(&question->attempt_node);
    for (;;) {
        while ((server = choose(upstreams, question, now_ms)) != NULL) {
            question->tried |= (uint8_t)(1u << server->slot);
            if (question->asks[server->slot] != NULL || server_ask(server, question, now_ms)) {
                question->current = server;
                arm_attempt(upstreams, question, now_ms);
                return;
            }
            question->failure = UPSTREAM_FULL;
        }
        if (has_asks(question))
            return;
        question->tried = 0;
        if (question->is_refused || question->rounds++ >= ROUNDS_MAX ||
            choose(upstreams, question, now_ms) == NULL)
            break;
    }
    question_end(upstreams, question, upstreams->count == 0 ? UPSTREAM_NONE : UPSTREAM_CONNECT);
}

/* Is another upstream being asked, so that what this one did changes nothing? */
static bool is_asked_elsewhere(const struct question *question, const struct server *server)
{
    return question->current != NULL && question->current != server &&
           question->asks[question->current->slot] != NULL;
}

void question_failed(struct upstreams *upstreams, struct question *question,
                     const struct server *server, enum upstream_failure failure, uint64_t now_ms)
{
    if (is_asked_elsewhere(question, server))
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
                       const struct server *server, const struct dns_answer *answer,
                       uint64_t now_ms)
{
    uint64_t token = question->token;

    if (is_refusal(answer->rcode)) {
        question->is_refused = true;
        question->rcode = answer->rcode;
        if (is_asked_elsewhere(question, server))
            return;
        if (choose(upstreams, question, now_ms) != NULL) {
            question_next(upstreams, question, now_ms);
            return;
        }
    }
    question_free(upstreams, question);
    upstreams->config.done(upstreams->config.context, token, UPSTREAM_ANSWERED, answer);
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

void upstreams_settle(struct upstreams *upstreams, uint64_t now_ms)
{
    bool again = true;

    /* Comes to an end: every ask that is lost uses up a resend, a server or a round. */
    while (again) {
        again = false;
        for (unsigned i = 0; i < UPSTREAMS_MAX; i++)
            again |= server_settle(&upstreams->servers[i], now_ms);
        for (unsigned i = 0; i < UPSTREAMS_MAX; i++)
            again |= server_flush(&upstreams->servers[i], now_ms);
    }
    deliver(upstreams);
}

/* ---- asking ---- */

/* An upstream that we would rather ask, and whose back-off is over, gets the question, too. */
static void probe(struct upstreams *upstreams, struct question *question, uint64_t now_ms)
{
    for (unsigned i = 0; i < upstreams->count; i++) {
        struct server *server = upstreams->order[i];
        if (server == question->current)
            return;
        if (server->down && server_is_due(server, now_ms) && server_is_unasked(server) &&
            question->asks[server->slot] == NULL)
            server_ask(server, question, now_ms); /* a full table needs no probe */
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
    question->tried = question->rounds = question->resends = 0;
    question->is_refused = false;
    question->failure = UPSTREAM_ANSWERED;
    question->query = *query;
    set_deadline(upstreams, question);
    question_next(upstreams, question, now_ms);
    if (question->current != NULL)
        probe(upstreams, question, now_ms);
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
        struct server *server = question->current;
        assert(server != NULL); /* its turn is what the attempt measures */
        if (question->asks[server->slot] != NULL)
            server_note_silence(server, question->asks[server->slot], now_ms);
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
        if (upstreams->servers[i].used)
            server_tick(&upstreams->servers[i], now_ms);
    upstreams_settle(upstreams, now_ms);
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
        if (upstreams->servers[i].used)
            next = earlier(next, server_next_ms(&upstreams->servers[i]));
    if (next == UINT64_MAX)
        return -1;
    if (next <= now_ms)
        return 0;
    return next - now_ms > 3600000 ? 3600000 : (int)(next - now_ms);
}

/* ---- life ---- */

static struct server *find_server(struct upstreams *upstreams, const struct upstream_spec *spec,
                                  unsigned taken)
{
    for (unsigned i = 0; i < UPSTREAMS_MAX; i++)
        if (upstreams->servers[i].used && !(taken & 1u << i) &&
            upstream_equal(&upstreams->servers[i].spec, spec))
            return &upstreams->servers[i];
    return NULL;
}

static struct server *free_server(struct upstreams *upstreams)
{
    unsigned i = 0;

    while (upstreams->servers[i].used)
        i++;
    return &upstreams->servers[i];
}

static void retire_others(struct upstreams *upstreams, unsigned kept)
{
    for (unsigned i = 0; i < UPSTREAMS_MAX; i++)
        if (upstreams->servers[i].used && !(kept & 1u << i))
            server_retire(&upstreams->servers[i]);
}

/* Questions start their round anew: what they tried were slots, and those change hands. */
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
    struct server *order[UPSTREAMS_MAX] = {NULL};
    uint64_t now_ms = clock_ms();
    unsigned kept = 0;

    if (count > UPSTREAMS_MAX)
        count = UPSTREAMS_MAX;
    for (unsigned i = 0; i < count; i++) {
        order[i] = find_server(upstreams, &specs[i], kept);
        if (order[i] != NULL)
            kept |= 1u << order[i]->slot;
    }
    retire_others(upstreams, kept);
    restart_rounds(upstreams);
    upstreams->count = 0;
    for (unsigned i = 0; i < count; i++) {
        if (order[i] == NULL) {
            order[i] = free_server(upstreams);
            server_assign(order[i], &specs[i]);
        }
        upstreams->order[upstreams->count++] = order[i];
    }
    upstreams_settle(upstreams, now_ms);
}

static bool init_questions(struct upstreams *upstreams)
{
    unsigned count = upstreams->config.in_flight_max;

    list_init(&upstreams->free);
    list_init(&upstreams->deadlines);
    list_init(&upstreams->attempts);
    list_init(&upstreams->ended);
    upstreams->random_used = sizeof(upstreams->random);
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
    upstreams->tls = tls_context_create(upstreams->config.tls_ca, failure);
    return upstreams->tls != NULL;
}

struct upstreams *upstreams_create(struct event_loop *loop, const struct upstreams_config *config,
                                   struct failure *failure)
{
    struct upstreams *upstreams = calloc(1, sizeof(*upstreams));
    bool good = upstreams != NULL && ares_library_init(ARES_LIB_INIT_ALL) == ARES_SUCCESS;

    failure_set(failure, "no memory for %u questions", config->in_flight_max);
    if (!good) {
        free(upstreams);
        return NULL;
    }
    upstreams->loop = loop;
    upstreams->config = *config;
    good = init_questions(upstreams);
    for (unsigned i = 0; i < UPSTREAMS_MAX; i++)
        good = server_init(&upstreams->servers[i], upstreams, i) && good;
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
        server_free(&upstreams->servers[i]);
    tls_context_free(upstreams->tls);
    free(upstreams->questions);
    free(upstreams);
    ares_library_cleanup();
}

unsigned upstreams_count(const struct upstreams *upstreams)
{
    return upstreams->count;
}

const struct upstream_stats *upstreams_stats(const struct upstreams *upstreams, unsigned index)
{
    return &upstreams->order[index]->stats;
}
