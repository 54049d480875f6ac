/* SPDX-License-Identifier: Apache-2.0 */
#include "dns/upstream/pipeline.h"

#include "dns/message/render.h"

#define PAD_BYTES   128 /* RFC 8467 4.1 */
#define QUERY_BYTES 1024

bool pipeline_is_closed(const struct pipeline *pipeline)
{
    return connection_state(pipeline->connection) == CONNECTION_CLOSED;
}

bool pipeline_is_ready(const struct pipeline *pipeline)
{
    return connection_state(pipeline->connection) == CONNECTION_READY;
}

bool pipeline_is_coming(const struct pipeline *pipeline)
{
    enum connection_state state = connection_state(pipeline->connection);

    return state == CONNECTION_CONNECTING || state == CONNECTION_HANDSHAKE;
}

void pipeline_open(struct pipeline *pipeline, const struct upstream_spec *spec,
                   struct tls_peer *tls, uint64_t now_ms)
{
    pipeline->answers = 0;
    pipeline->was_up = pipeline->is_taken = false;
    pipeline->opened_ms = pipeline->used_ms = pipeline->quiet_since_ms = now_ms;
    pipeline->check_ms = UINT64_MAX;
    pipeline->hedged_ms = pipeline->probed_ms = 0;
    pipeline->keepalive_ms = KEEPALIVE_NONE;
    connection_open(pipeline->connection, spec, tls);
}

void pipeline_close(struct pipeline *pipeline)
{
    connection_close(pipeline->connection);
}

/* ---- sending ---- */

static void begin_to_wait(struct pipeline *pipeline, uint64_t now_ms)
{
    pipeline->quiet_since_ms = now_ms;
    pipeline->hedged_ms = pipeline->probed_ms = 0;
}

bool pipeline_send(struct pipeline *pipeline, struct attempts *attempts, struct attempt *attempt,
                   bool is_tls, uint64_t now_us)
{
    uint8_t bytes[2 + QUERY_BYTES];
    struct dns_upstream_form form = {
        .udp_size = attempt->has_edns ? DNS_EDNS_UDP_BYTES : 0,
        .keepalive = attempt->has_edns && pipeline->answers == 0,
        .pad_to = is_tls ? PAD_BYTES : 0,
    };

    attempts_give_id(attempts, attempt);
    form.id = attempt->id;
    size_t length = dns_query_build(attempt->query, &form, bytes + 2, QUERY_BYTES);
    bytes[0] = (uint8_t)(length >> 8);
    bytes[1] = (uint8_t)length;
    if (!connection_put(pipeline->connection, bytes, 2 + length)) {
        attempts_drop_id(attempts, attempt);
        return false;
    }
    list_remove(&attempt->node);
    list_append(&pipeline->open, &attempt->node);
    attempt->state = ATTEMPT_OPEN;
    attempt->pipeline = pipeline;
    attempt->sent_us = now_us;
    if (pipeline->count++ == 0) {
        begin_to_wait(pipeline, now_us / 1000);
        pipeline->check_ms = now_us / 1000;
    }
    pipeline->used_ms = now_us / 1000;
    return true;
}

void pipeline_remove(struct attempt *attempt)
{
    list_remove(&attempt->node);
    attempt->pipeline->count--;
    attempt->pipeline = NULL;
}

struct attempt *pipeline_oldest(const struct pipeline *pipeline)
{
    return list_empty(&pipeline->open) ? NULL
                                       : LIST_ENTRY(pipeline->open.next, struct attempt, node);
}

/* ---- receiving ---- */

bool pipeline_has_message(const struct pipeline *pipeline)
{
    size_t length;

    return connection_message(pipeline->connection, &length) != NULL;
}

enum dns_answer_error pipeline_receive(struct pipeline *pipeline, const struct attempts *attempts,
                                       struct attempt **attempt, struct dns_answer *answer)
{
    size_t length;
    const uint8_t *message = connection_message(pipeline->connection, &length);

    *attempt = NULL;
    if (length < DNS_HEADER_BYTES)
        return DNS_ANSWER_SHORT;
    uint16_t id = (uint16_t)(message[0] << 8 | message[1]);
    struct attempt *found = attempts_by_id(attempts, id);
    if (found == NULL || found->pipeline != pipeline)
        return DNS_ANSWER_ID;
    *attempt = found;
    return dns_answer_parse(message, length, id,
                            found->query != NULL ? &found->query->question : NULL, answer);
}

void pipeline_next(struct pipeline *pipeline)
{
    connection_drop_message(pipeline->connection);
}

bool pipeline_note_answer(struct pipeline *pipeline, const struct attempt *attempt, uint64_t now_ms)
{
    if (pipeline->answers++ == 0)
        pipeline->check_ms = now_ms; /* what is known of the server has changed */
    pipeline->used_ms = now_ms;
    begin_to_wait(pipeline, now_ms);
    return pipeline_oldest(pipeline) != attempt;
}
