/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What question.c (the life of one question), choice.c (whom it is put to next) and upstreams.c
 * (events, time, and the list of upstreams) share; each knows only those before it.
 *
 * A question is asked of the first healthy upstream in the order of preference. When that one loses
 * it, says SERVFAIL, REFUSED, NOTIMP or FORMERR, or takes longer than attempt_ms, the next one is
 * asked; the late answer of an earlier one still counts. An upstream that is down is passed over;
 * once its back-off is over, one question is put to it beside the one that works, and its answer
 * brings it back. One that is doubted (health.h) is asked together with the next. When all have
 * failed the round begins again, until the deadline or ROUNDS_MAX; if every one is known to refuse
 * connections, the question fails at once.
 *
 * Upstreams that prove who they are come first. The others are asked only while none of those is
 * up: what a validating resolver refuses must not be had from one that anybody can speak for.
 *
 *   upstreams_ask -> question_next -> upstream_ask ... question_answered -> done()
 *                        ^-- question_failed, attempt over --'          '-> ended -> done()
 *
 * Memory is taken at creation. Failures go through the list `ended`, so that done() is never called
 * from within upstreams_ask().
 */
#ifndef CAUSEWAY_DNS_UPSTREAM_QUESTION_H
#define CAUSEWAY_DNS_UPSTREAM_QUESTION_H

#include "dns/upstream/upstream.h"
#include "dns/upstream/upstreams.h"

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
    const struct upstream *refuser;
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

/* ---- question.c ---- */

/* False: no memory. */
bool questions_init(struct upstreams *upstreams);

/* NULL: the table is full. */
struct question *question_take(struct upstreams *upstreams);
/* Puts it in its place among the deadlines. */
void question_set_deadline(struct upstreams *upstreams, struct question *question);
/* Is an attempt of it under way? */
bool question_has_attempts(const struct question *question);
/* It ends with questions_deliver(). failure: unless an earlier one is known. */
void question_end(struct upstreams *upstreams, struct question *question,
                  enum upstream_failure failure);
/* It ends now. answer: of `upstream`. */
void question_give(struct upstreams *upstreams, struct question *question,
                   const struct upstream *upstream, const struct dns_answer *answer);
void questions_deliver(struct upstreams *upstreams);

/* ---- choice.c ---- */

/* Puts it to the upstream, unless that has it already. False: its table is full. */
bool question_ask(struct question *question, struct upstream *upstream, uint64_t now_ms);
/* Asks the next upstream, waits for those that were asked, or ends it. */
void question_next(struct upstreams *upstreams, struct question *question, uint64_t now_ms);
/* The upstream lost the attempt, which is gone already. */
void question_failed(struct upstreams *upstreams, struct question *question,
                     const struct upstream *upstream, enum upstream_failure failure,
                     uint64_t now_ms);
void question_answered(struct upstreams *upstreams, struct question *question,
                       const struct upstream *upstream, const struct dns_answer *answer,
                       uint64_t now_ms);
/* What came was no answer: the next upstream is asked now; without one, it has not long to wait. */
void question_spoiled(struct upstreams *upstreams, struct question *question,
                      const struct upstream *upstream, uint64_t now_ms);

#endif
