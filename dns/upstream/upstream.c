/* SPDX-License-Identifier: Apache-2.0 */
#include "dns/upstream/upstream.h"

#include "dns/upstream/loss.h"
#include "dns/upstream/place.h"
#include "dns/upstream/quiet.h"

#define ESTABLISH_MS 3000   /* connect and handshake: a SYN lost once or twice */
#define PLAIN_MS     900000 /* a server without EDNS may learn it */
#define HEDGES_WON   3      /* in a row, none overtaken: it works on one question at a time */
#define TLS_TRIPS    3      /* TCP, TLS 1.3; 1.2 takes one more */

/* ---- life ---- */

bool upstream_init(struct upstream *upstream, struct upstream_setup *setup, unsigned index)
{
    bool good;

    upstream->setup = setup;
    upstream->index = index;
    list_init(&upstream->waiting);
    list_init(&upstream->hedging);
    list_init(&upstream->lost);
    /* Twice as many: second attempts take no question's place. */
    good = attempts_init(&upstream->attempts, upstream, 2 * setup->in_flight_max, &setup->random);
    for (unsigned i = 0; i < PIPELINES_MAX; i++) {
        struct pipeline *pipeline = &upstream->pipelines[i];
        pipeline->upstream = upstream;
        list_init(&pipeline->open);
        pipeline->connection = connection_create(setup->loop, setup->ready, pipeline);
        good = good && pipeline->connection != NULL;
    }
    return good;
}

void upstream_free(struct upstream *upstream)
{
    for (unsigned i = 0; i < PIPELINES_MAX; i++)
        connection_free(upstream->pipelines[i].connection);
    tls_peer_forget(&upstream->tls);
    attempts_free(&upstream->attempts);
}

void upstream_assign(struct upstream *upstream, const struct upstream_spec *spec)
{
    upstream->is_used = true;
    upstream->spec = *spec;
    upstream->stats = (struct upstream_stats){.healthy = true};
    upstream_format(spec, upstream->stats.text);
    tls_peer_forget(&upstream->tls);
    upstream->tls =
        (struct tls_peer){.context = upstream->setup->tls, .name = upstream->spec.tls_name};
    upstream->health = (struct health){0};
    upstream->log = (struct log_limit){0};
    upstream->pipelines_max = PIPELINES_MAX;
    upstream->order = ORDER_UNKNOWN;
    upstream->window = upstream->setup->in_flight_max;
    upstream->failed_ms = upstream->heard_ms = upstream->answer_ms = upstream->grow_ms =
        upstream->plain_until_ms = 0;
    upstream->round_trip_ms = upstream->hedges_won = upstream->vain_ends = 0;
}

void upstream_retire(struct upstream *upstream)
{
    upstream->is_used = false;
    upstream_lose_all(upstream);
}

/* ---- asking ---- */

static void queue(struct upstream *upstream, struct attempt *attempt)
{
    struct list_node *place = upstream->waiting.previous;

    while (!attempt->is_again && place != &upstream->waiting &&
           LIST_ENTRY(place, struct attempt, node)->is_again)
        place = place->previous;
    list_insert(place, &attempt->node);
    upstream->is_new = true;
}

bool upstream_ask(struct upstream *upstream, struct question *question,
                  const struct dns_query *query, struct attempt **place, bool again,
                  uint64_t now_ms)
{
    struct attempt *attempt = attempts_take(&upstream->attempts);

    if (attempt == NULL) {
        upstream->stats.failures[UPSTREAM_FULL]++;
        return false;
    }
    attempt->question = question;
    attempt->query = query;
    attempt->place = place;
    attempt->turn_ms = now_ms;
    *place = attempt;
    attempt->is_again = again;
    upstream->stats.queries++;
    queue(upstream, attempt);
    return true;
}

static void forget_one(struct attempt *attempt)
{
    struct attempts *attempts = &attempt->upstream->attempts;

    if (attempt->state == ATTEMPT_OPEN)
        attempts_orphan(attempts, attempt);
    else
        attempts_release(attempts, attempt);
}

void upstream_forget(struct attempt *attempt)
{
    struct attempt *twin = attempt->twin;

    forget_one(attempt);
    if (twin != NULL)
        forget_one(twin);
}

bool upstream_is_unasked(const struct upstream *upstream)
{
    for (unsigned i = 0; i < PIPELINES_MAX; i++)
        if (upstream->pipelines[i].count > 0)
            return false;
    return list_empty(&upstream->waiting);
}

void upstream_note_silence(struct upstream *upstream, const struct attempt *attempt,
                           uint64_t now_ms)
{
    if (attempt->state != ATTEMPT_OPEN)
        return;
    if (upstream->heard_ms < attempt->turn_ms) {
        upstream_fails(upstream, UPSTREAM_TIMEOUT, "no answer", now_ms);
        return;
    }
    upstream->stats.failures[UPSTREAM_TIMEOUT]++;
    if (upstream->answer_ms >= attempt->turn_ms ||
        !health_name_silent(&upstream->health, &attempt->query->question.name))
        return;
    upstream->stats.doubted = true;
    log_limited(&upstream->log, LOG_LEVEL_WARNING,
                "upstream %s leaves many names unanswered: the next one is asked with it",
                upstream->stats.text);
}

/* ---- connections ---- */

static void came_up(struct upstream *upstream, struct pipeline *pipeline, uint64_t now_ms)
{
    uint64_t taken_ms = now_ms - pipeline->opened_ms;

    if (upstream->spec.kind == UPSTREAM_TLS)
        taken_ms /= TLS_TRIPS;
    upstream->round_trip_ms = (unsigned)taken_ms;
    pipeline->was_up = true;
    pipeline->quiet_since_ms = pipeline->used_ms = now_ms;
    upstream->stats.connects++;
    upstream->stats.tls_resumed += connection_is_resumed(pipeline->connection);
}

void upstream_advance(struct upstream *upstream, struct pipeline *pipeline, uint64_t now_us)
{
    struct connection *connection = pipeline->connection;

    connection_advance(connection);
    if (connection_state(connection) == CONNECTION_HANDSHAKE)
        connection_fill(connection);
    if (!pipeline->was_up && connection_state(connection) == CONNECTION_READY)
        came_up(upstream, pipeline, now_us / 1000);
}

void upstream_finish(struct upstream *upstream, struct pipeline *pipeline, uint64_t now_ms)
{
    if (connection_state(pipeline->connection) == CONNECTION_ENDED)
        pipeline_was_ended(upstream, pipeline, now_ms);
}

/* ---- answers ---- */

static void note_mismatch(struct upstream *upstream, enum dns_answer_error error)
{
    upstream->stats.mismatches[error]++;
    upstream->stats.failures[UPSTREAM_MISMATCH]++;
    log_limited(&upstream->log, LOG_LEVEL_WARNING, "upstream %s: answer dropped: %s",
                upstream->stats.text, dns_answer_error_name(error));
}

/* Was nothing answered behind the oldest question there since the hedge was sent? */
static bool stayed_quiet(const struct attempt *first, const struct attempt *hedge)
{
    return first->pipeline->quiet_since_ms * 1000 < hedge->sent_us &&
           pipeline_oldest(first->pipeline) != first;
}

/* What the order of answers says about the server. */
static void note_order(struct upstream *upstream, const struct attempt *attempt, bool overtook)
{
    const struct attempt *twin = attempt->twin;

    if (overtook) {
        upstream->order = ORDER_ANY;
        upstream->hedges_won = 0;
    } else if (attempt->is_hedge && twin != NULL && twin->state == ATTEMPT_OPEN) {
        upstream->hedges_won++;
        if (upstream->hedges_won < HEDGES_WON && !stayed_quiet(twin, attempt))
            return;
        upstream->order = ORDER_STRICT;
        twin->pipeline->check_ms = twin->pipeline->hedged_ms = 0; /* all the others at once */
    }
}

static void note_alive(struct upstream *upstream, uint64_t now_ms)
{
    if (upstream->health.is_down)
        log_limited(&upstream->log, LOG_LEVEL_INFO, "upstream %s answers again",
                    upstream->stats.text);
    health_answered(&upstream->health);
    upstream->stats.healthy = true;
    upstream->stats.doubted = false;
    upstream->answer_ms = now_ms;
}

static void note_answer(struct upstream *upstream, struct pipeline *pipeline,
                        const struct attempt *attempt, uint64_t now_us)
{
    uint64_t now_ms = now_us / 1000;

    note_order(upstream, attempt, pipeline_note_answer(pipeline, attempt, now_ms));
    upstream->heard_ms = now_ms;
    if (pipeline->answers == 1)
        upstream->vain_ends = 0;
    if (pipeline->answers >= 2 * (uint64_t)upstream->window &&
        upstream->window < upstream->setup->in_flight_max)
        upstream->window *= 2;
    if (attempt->is_probe)
        return;
    upstream->stats.answers++;
    upstream_note_latency(&upstream->stats, now_us - attempt->sent_us);
    note_alive(upstream, now_ms);
}

/* A server that knows no EDNS may say so, or choke on it (RFC 6891 7): asked again without. */
static bool fails_on_edns(const struct attempt *attempt, const struct dns_answer *answer)
{
    return attempt->has_edns && answer->opt_length == 0 &&
           (answer->rcode == DNS_FORMERR || answer->rcode == DNS_NOTIMP);
}

static void ask_without_edns(struct upstream *upstream, struct attempt *attempt, uint64_t now_ms)
{
    upstream->plain_until_ms = now_ms + PLAIN_MS;
    pipeline_remove(attempt);
    attempts_drop_id(&upstream->attempts, attempt);
    attempt->state = ATTEMPT_WAITING;
    list_insert(&upstream->waiting, &attempt->node);
}

/* One message. True: the owner is to know. */
static bool take_message(struct upstream *upstream, struct pipeline *pipeline, uint64_t now_us,
                         struct upstream_event *event)
{
    struct attempt *attempt;
    enum dns_answer_error error =
        pipeline_receive(pipeline, &upstream->attempts, &attempt, &event->answer);

    if (error != DNS_ANSWER_OK) {
        note_mismatch(upstream, error);
        event->is_spoiled = true;
        event->question = attempt != NULL ? attempt->question : NULL;
        return event->question != NULL;
    }
    note_answer(upstream, pipeline, attempt, now_us);
    event->is_spoiled = false;
    event->answer.authentic_data &= upstream_is_authenticated(&upstream->spec);
    event->question = attempt->question;
    if (event->answer.keepalive_100ms != UINT32_MAX)
        pipeline->keepalive_ms = event->answer.keepalive_100ms * 100;
    if (event->question != NULL && fails_on_edns(attempt, &event->answer)) {
        ask_without_edns(upstream, attempt, now_us / 1000);
        return false;
    }
    upstream->stats.late_answers += event->question == NULL && !attempt->is_probe;
    attempts_release(&upstream->attempts, attempt);
    return event->question != NULL;
}

bool upstream_receive(struct upstream *upstream, struct pipeline *pipeline, uint64_t now_us,
                      struct upstream_event *event)
{
    for (;;) {
        if (pipeline->is_taken)
            pipeline_next(pipeline);
        pipeline->is_taken = false;
        if (!pipeline_has_message(pipeline) && pipeline_is_ready(pipeline))
            connection_fill(pipeline->connection);
        if (!pipeline_has_message(pipeline))
            return false;
        pipeline->is_taken = true;
        if (take_message(upstream, pipeline, now_us, event))
            return true;
    }
}

/* ---- what follows ---- */

static void write_out(struct upstream *upstream, struct pipeline *pipeline, uint64_t now_ms)
{
    uint64_t sent, received;

    if (pipeline_is_closed(pipeline))
        return;
    if (pipeline_is_ready(pipeline))
        connection_advance(pipeline->connection);
    connection_take_counts(pipeline->connection, &sent, &received);
    upstream->stats.bytes_sent += sent;
    upstream->stats.bytes_received += received;
    if (connection_state(pipeline->connection) == CONNECTION_ENDED)
        pipeline_was_ended(upstream, pipeline, now_ms);
    else
        connection_watch(pipeline->connection);
}

void upstream_settle(struct upstream *upstream, uint64_t now_us)
{
    if (!upstream->is_used)
        return;
    upstream->is_new = false;
    upstream_watch_quiet(upstream, now_us / 1000);
    upstream_place(upstream, now_us);
    for (unsigned i = 0; i < PIPELINES_MAX; i++)
        write_out(upstream, &upstream->pipelines[i], now_us / 1000);
}

struct question *upstream_take_lost(struct upstream *upstream, enum upstream_failure *failure)
{
    if (list_empty(&upstream->lost))
        return NULL;
    struct attempt *attempt = LIST_ENTRY(upstream->lost.next, struct attempt, node);
    struct question *question = attempt->question;
    *failure = attempt->failure;
    attempts_release(&upstream->attempts, attempt);
    return question;
}

/* ---- time ---- */

static uint64_t idle_ms(const struct upstream *upstream, const struct pipeline *pipeline)
{
    uint64_t own = upstream->setup->idle_ms, theirs = pipeline->keepalive_ms;

    if (theirs == KEEPALIVE_NONE)
        return own;
    theirs -= theirs / 8; /* hang up first: less is asked in vain */
    return theirs < own ? theirs : own;
}

/* When the connection must have been established, or is closed for being idle. */
static uint64_t limit_ms(const struct upstream *upstream, const struct pipeline *pipeline)
{
    if (pipeline_is_coming(pipeline))
        return pipeline->opened_ms + ESTABLISH_MS;
    if (pipeline_is_ready(pipeline) && pipeline->count == 0)
        return pipeline->used_ms + idle_ms(upstream, pipeline);
    return UINT64_MAX;
}

void upstream_tick(struct upstream *upstream, uint64_t now_ms)
{
    for (unsigned i = 0; i < PIPELINES_MAX; i++) {
        struct pipeline *pipeline = &upstream->pipelines[i];
        if (pipeline_is_closed(pipeline) || now_ms < limit_ms(upstream, pipeline))
            continue;
        if (pipeline_is_ready(pipeline))
            pipeline_close(pipeline);
        else
            pipeline_not_established(upstream, pipeline, now_ms);
    }
}

static uint64_t earlier(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

uint64_t upstream_next_ms(const struct upstream *upstream)
{
    uint64_t next = UINT64_MAX;
    bool is_open = false;

    for (unsigned i = 0; i < PIPELINES_MAX; i++) {
        const struct pipeline *pipeline = &upstream->pipelines[i];
        if (pipeline_is_closed(pipeline))
            continue;
        is_open = true;
        next = earlier(next, limit_ms(upstream, pipeline));
        if (pipeline_is_ready(pipeline))
            next = earlier(next, pipeline->check_ms);
    }
    if (!list_empty(&upstream->lost) || upstream->is_new)
        return 0;
    if (!list_empty(&upstream->waiting) && !is_open)
        next = earlier(next, upstream->health.retry_ms);
    return next;
}
