/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One upstream: a stream, a c-ares channel that speaks over it, and its health.
 *
 *   server_ask -> waiting -> ares_send -> c-ares' queue -> on_send -> stream.out -> network
 *   network -> stream.in -> checked against the question -> on_receive -> c-ares -> on_answer
 *
 * c-ares matches answers to queries and watches over their time; it never gets a second try of its
 * own (ARES_OPT_TRIES 1), because it would reconnect at once and without end in sight. Lost asks
 * come back to us and are asked again under our rules:
 *
 *   - a connection that had given answers may be closed by its server at any time (RFC 7766 6.2.4):
 *     what was open is asked again at once on a new one, at most RESENDS_MAX times a question;
 *     the next connection carries no more at a time than the lost one answered, and twice as many
 *     whenever that went well: a server that closes after each answer is asked one by one;
 *   - one that gave none counts against the server: it is down, and is tried again after a
 * back-off.
 *
 * A server that is down is asked when nothing better is left, and as a probe beside another one
 * when its back-off is over; its first answer brings it back.
 */
#include "dns/upstream/private.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>

#include "dns/message/render.h"
#include "runtime/base/clock.h"

#define ESTABLISH_MS   3000  /* connect and handshake: a SYN lost once or twice */
#define QUIET_MS       4000  /* asked, and not one answer for so long: the connection is dead */
#define ARES_ASK_MS    10000 /* an id stays taken at most so long */
#define ARES_TICK_MS   1000
#define RESENDS_MAX    4
#define KNOWN_DEAD     3   /* refusals in a row: no question waits for the next try */
#define PAD_BYTES      128 /* RFC 8467 4.1 */
#define QUERY_BYTES    1024
#define KEEPALIVE_NONE UINT32_MAX

static const char *text_of(const struct server *server)
{
    return server->stats.text;
}

/* ---- asks ---- */

static struct ask *ask_take(struct server *server)
{
    if (list_empty(&server->free))
        return NULL;
    struct ask *ask = LIST_ENTRY(server->free.next, struct ask, node);
    list_remove(&ask->node);
    return ask;
}

static void ask_release(struct ask *ask)
{
    list_remove(&ask->node);
    if (ask->question != NULL)
        ask->question->asks[ask->server->slot] = NULL;
    ask->question = NULL;
    ask->state = ASK_FREE;
    list_insert(&ask->server->free, &ask->node);
}

bool server_ask(struct server *server, struct question *question, uint64_t now_ms)
{
    struct ask *ask = ask_take(server);

    if (ask == NULL) {
        server->stats.failures[UPSTREAM_FULL]++;
        return false;
    }
    ask->question = question;
    ask->state = ASK_WAITING;
    ask->asked_ms = now_ms;
    question->asks[server->slot] = ask;
    list_append(&server->waiting, &ask->node);
    return true;
}

void server_forget(struct ask *ask)
{
    if (ask->state != ASK_SENT) {
        ask_release(ask);
        return;
    }
    ask->question->asks[ask->server->slot] = NULL;
    ask->question = NULL;
}

bool server_is_unasked(const struct server *server)
{
    return server->sent == 0 && list_empty(&server->waiting);
}

/* What waits is to look for another server, or to come back. */
static void give_up_waiting(struct server *server)
{
    while (!list_empty(&server->waiting)) {
        struct ask *ask = LIST_ENTRY(server->waiting.next, struct ask, node);
        list_remove(&ask->node);
        ask->state = ASK_LOST;
        list_append(&server->lost, &ask->node);
    }
}

/* ---- health ---- */

static void note_failure(struct server *server, enum upstream_failure failure, const char *reason,
                         uint64_t now_ms)
{
    server->stats.failures[failure]++;
    server->refused = failure != UPSTREAM_TIMEOUT;
    server->retry_ms =
        now_ms + link_backoff_ms(server->failures, upstreams_random16(server->owner));
    server->failures++;
    if (!server->down || failure == UPSTREAM_TLS_FAILED)
        log_limited(&server->log, LOG_LEVEL_WARNING, "upstream %s fails: %s", text_of(server),
                    reason);
    server->down = true;
    server->stats.healthy = false;
    if (failure != UPSTREAM_TIMEOUT)
        give_up_waiting(server);
}

static void note_answer(struct server *server)
{
    if (server->down)
        log_limited(&server->log, LOG_LEVEL_INFO, "upstream %s answers again", text_of(server));
    server->down = server->refused = false;
    server->failures = 0;
    server->stats.healthy = true;
}

void server_note_silence(struct server *server, const struct ask *ask, uint64_t now_ms)
{
    /* Its failures are counted one a question, its health by whether it says anything at all. */
    if (ask->state != ASK_SENT)
        return;
    if (server->answered_ms >= ask->asked_ms)
        server->stats.failures[UPSTREAM_TIMEOUT]++;
    else
        note_failure(server, UPSTREAM_TIMEOUT, "no answer", now_ms);
}

bool server_is_due(const struct server *server, uint64_t now_ms)
{
    return !server->down || now_ms >= server->retry_ms;
}

bool server_is_known_dead(const struct server *server, uint64_t now_ms)
{
    return server->down && server->refused && server->failures >= KNOWN_DEAD &&
           now_ms < server->retry_ms;
}

/* ---- the connection ---- */

static void watch(struct server *server)
{
    uint32_t interest = stream_interest(&server->stream);

    if (server->stream.fd < 0 || (server->watched && interest == server->interest))
        return;
    server->source.fd = server->stream.fd;
    if (server->watched)
        event_change(server->owner->loop, &server->source, interest);
    else if (event_add(server->owner->loop, &server->source, interest) < 0)
        return;
    server->watched = true;
    server->interest = interest;
}

static void count_bytes(struct server *server)
{
    server->stats.bytes_sent = server->stream.bytes_sent;
    server->stats.bytes_received = server->stream.bytes_received;
}

/* c-ares is made to notice: its read fails, it closes the socket and gives all queries back. */
static void let_go(struct server *server)
{
    server->serve_length = 0;
    server->is_letting_go = true;
    if (server->is_ares_socket_open)
        ares_process_fd(server->channel, server->stream.fd, ARES_SOCKET_BAD);
    server->is_letting_go = false;
}

static void connection_ended(struct server *server, uint64_t now_ms)
{
    const struct stream *stream = &server->stream;
    bool was_asked = server->sent > 0;

    server->lost_after_answers = server->answers > 0;
    if (was_asked && server->answers > 0)
        server->window =
            (unsigned)(server->answers < server->window ? server->answers : server->window);
    else if (was_asked || stream->failure != UPSTREAM_ANSWERED)
        note_failure(server,
                     stream->failure == UPSTREAM_ANSWERED ? UPSTREAM_CONNECT : stream->failure,
                     stream->reason, now_ms);
    let_go(server);
}

static void hang_up(struct server *server, enum upstream_failure failure, const char *reason,
                    uint64_t now_ms)
{
    stream_end(&server->stream, failure, reason);
    connection_ended(server, now_ms);
}

static void came_up(struct server *server, uint64_t now_ms)
{
    server->stats.connects++;
    server->quiet_since_ms = server->used_ms = now_ms;
    if (server->stream.is_tls && tls_resumed(&server->stream.tls))
        server->stats.tls_resumed++;
}

/* ---- c-ares' socket functions ---- */

static ares_socket_t on_socket(int family, int type, int protocol, void *context)
{
    struct server *server = context;

    (void)family;
    (void)type;
    (void)protocol;
    stream_open(&server->stream, &server->spec, &server->tls);
    server->opened_ms = server->quiet_since_ms = server->used_ms = clock_ms();
    server->answers = 0;
    server->keepalive_ms = KEEPALIVE_NONE;
    if (server->stream.state == STREAM_ENDED) {
        note_failure(server, server->stream.failure, server->stream.reason, server->opened_ms);
        server->lost_after_answers = false;
        stream_close(&server->stream);
        errno = ECONNREFUSED;
        return ARES_SOCKET_BAD;
    }
    server->is_ares_socket_open = true;
    watch(server);
    return server->stream.fd;
}

static int on_connect(ares_socket_t fd, const struct sockaddr *address, ares_socklen_t length,
                      void *context)
{
    (void)fd;
    (void)address; /* a placeholder: the stream is on its way to where it should go */
    (void)length;
    (void)context;
    return 0;
}

static int on_close(ares_socket_t fd, void *context)
{
    struct server *server = context;

    (void)fd;
    if (server->watched)
        event_remove(server->owner->loop, &server->source);
    server->watched = server->is_ares_socket_open = server->ares_writes = false;
    stream_close(&server->stream);
    count_bytes(server);
    return 0;
}

static ares_ssize_t on_receive(ares_socket_t fd, void *out, size_t size, int flags,
                               struct sockaddr *from, ares_socklen_t *from_length, void *context)
{
    struct server *server = context;

    (void)fd;
    (void)flags;
    (void)from;
    (void)from_length;
    if (server->serve_length == 0) {
        errno = server->is_letting_go ? ECONNRESET : EAGAIN;
        return -1;
    }
    if (size > server->serve_length)
        size = server->serve_length;
    memcpy(out, server->serve, size);
    server->serve += size;
    server->serve_length -= size;
    return (ares_ssize_t)size;
}

static ares_ssize_t on_send(ares_socket_t fd, const struct iovec *vector, int count, void *context)
{
    struct server *server = context;
    size_t total = 0;

    (void)fd;
    for (int i = 0; i < count; i++) {
        size_t put = stream_put(&server->stream, vector[i].iov_base, vector[i].iov_len);
        total += put;
        if (put < vector[i].iov_len)
            break;
    }
    if (total > 0)
        return (ares_ssize_t)total;
    errno = EAGAIN;
    return -1;
}

static const struct ares_socket_functions socket_functions = {
    .asocket = on_socket,
    .aclose = on_close,
    .aconnect = on_connect,
    .arecvfrom = on_receive,
    .asendv = on_send,
};

static void on_state(void *context, ares_socket_t fd, int readable, int writable)
{
    struct server *server = context;

    (void)fd;
    (void)readable; /* always */
    server->ares_writes = writable != 0;
}

/* ---- asking ---- */

static void on_answer(void *context, int status, int timeouts, unsigned char *bytes, int length)
{
    struct ask *ask = context;
    struct server *server = ask->server;

    (void)timeouts;
    (void)bytes; /* what was served, which is still in stream.in */
    (void)length;
    server->sent--;
    server->by_id[ask->id] = 0;
    list_remove(&ask->node);
    if (status == ARES_SUCCESS) {
        server->answered = ask;
        return;
    }
    ask->state = ASK_LOST;
    list_append(&server->lost, &ask->node);
}

/* Random, and not in use: c-ares 1.18 would give the answer of one query to the other. */
static uint16_t pick_id(struct server *server)
{
    uint16_t id;

    do
        id = upstreams_random16(server->owner);
    while (server->by_id[id] != 0);
    return id;
}

static void send_ask(struct server *server, struct ask *ask)
{
    bool is_tls = server->spec.kind == UPSTREAM_TLS;
    uint8_t bytes[QUERY_BYTES];
    struct dns_upstream_form form = {
        .id = pick_id(server),
        .udp_size = DNS_EDNS_UDP_BYTES,
        .keepalive = server->stream.state == STREAM_CLOSED || server->answers == 0,
        .pad_to = is_tls ? PAD_BYTES : 0,
    };
    size_t length = dns_query_build(&ask->question->query, &form, bytes, sizeof(bytes));

    list_remove(&ask->node);
    ask->id = form.id;
    ask->state = ASK_SENT;
    ask->sent_us = clock_us();
    server->by_id[form.id] = (uint16_t)(ask - server->asks + 1);
    if (server->sent++ == 0)
        server->quiet_since_ms = ask->sent_us / 1000;
    server->used_ms = ask->sent_us / 1000;
    server->stats.queries++;
    ares_send(server->channel, bytes, (int)length, on_answer, ask);
}

static void pump(struct server *server, uint64_t now_ms)
{
    while (!list_empty(&server->waiting) && server->sent < server->window) {
        if (server->stream.state == STREAM_CLOSED && !server_is_due(server, now_ms))
            return;
        send_ask(server, LIST_ENTRY(server->waiting.next, struct ask, node));
    }
}

/* ---- answers ---- */

static void note_latency(struct server *server, const struct ask *ask, uint64_t now_us)
{
    uint64_t limit_us = UPSTREAM_LATENCY_UNIT_US, taken_us = now_us - ask->sent_us;
    unsigned bucket = 0;

    while (bucket < UPSTREAM_LATENCY_BUCKETS - 1 && taken_us >= limit_us) {
        limit_us *= 2;
        bucket++;
    }
    server->stats.latency[bucket]++;
    server->stats.latency_sum_us += taken_us;
}

static void mismatch(struct server *server, struct question *question, enum dns_answer_error error)
{
    server->stats.mismatches[error]++;
    server->stats.failures[UPSTREAM_MISMATCH]++;
    log_limited(&server->log, LOG_LEVEL_WARNING, "upstream %s: answer dropped: %s", text_of(server),
                dns_answer_error_name(error));
    if (question != NULL)
        question->failure = UPSTREAM_MISMATCH;
}

/* c-ares reads the length and the message in two steps of its own. */
static void serve(struct server *server, const uint8_t *message, size_t length)
{
    server->answered = NULL;
    server->serve = message - 2;
    server->serve_length = 2 + length;
    for (int i = 0; i < 2 && server->is_ares_socket_open; i++)
        ares_process_fd(server->channel, server->stream.fd, ARES_SOCKET_BAD);
    server->serve_length = 0;
}

static void take_message(struct server *server, const uint8_t *message, size_t length,
                         uint64_t now_us)
{
    struct dns_answer answer;
    unsigned index = length >= 2 ? server->by_id[message[0] << 8 | message[1]] : 0;
    struct ask *ask = index > 0 ? &server->asks[index - 1] : NULL;
    struct question *question = ask != NULL ? ask->question : NULL;
    enum dns_answer_error error = DNS_ANSWER_OK;

    if (length < DNS_HEADER_BYTES)
        error = DNS_ANSWER_SHORT;
    else if (ask == NULL)
        error = DNS_ANSWER_ID;
    else if (question != NULL)
        error = dns_answer_parse(message, length, ask->id, &question->query.question, &answer);
    if (error == DNS_ANSWER_OK) {
        serve(server, message, length);
        if (server->answered != ask)
            error = DNS_ANSWER_QUESTION; /* of an orphan, whose question only c-ares still has */
    }
    if (error != DNS_ANSWER_OK) {
        mismatch(server, question, error);
        return;
    }
    server->answers++;
    server->stats.answers++;
    server->answered_ms = server->quiet_since_ms = server->used_ms = now_us / 1000;
    note_answer(server);
    note_latency(server, ask, now_us);
    if (server->answers >= 2 * (uint64_t)server->window &&
        server->window < UPSTREAM_IN_FLIGHT_LIMIT)
        server->window *= 2;
    ask_release(ask);
    if (question == NULL) {
        server->stats.late_answers++;
        return;
    }
    if (answer.keepalive_100ms != UINT32_MAX)
        server->keepalive_ms = answer.keepalive_100ms * 100;
    question_answered(server->owner, question, server, &answer, now_us / 1000);
}

static void receive(struct server *server, uint64_t now_us)
{
    const uint8_t *message;
    size_t length;
    bool more = true;

    while (more) {
        more = false;
        stream_fill(&server->stream);
        while ((message = stream_message(&server->stream, &length)) != NULL) {
            more = server->stream.state == STREAM_READY;
            take_message(server, message, length, now_us);
            stream_drop_message(&server->stream);
            if (!server->is_ares_socket_open)
                return;
        }
    }
}

static void on_ready(void *context, uint32_t events)
{
    struct server *server = context;
    uint64_t now_us = clock_us();
    bool was_ready = server->stream.state == STREAM_READY;

    (void)events;
    stream_advance(&server->stream);
    if (server->stream.state == STREAM_HANDSHAKE)
        stream_fill(&server->stream);
    if (!was_ready && server->stream.state == STREAM_READY)
        came_up(server, now_us / 1000);
    if (server->stream.state == STREAM_READY)
        receive(server, now_us);
    if (server->stream.state == STREAM_ENDED)
        connection_ended(server, now_us / 1000);
    upstreams_settle(server->owner, now_us / 1000);
}

/* ---- what follows ---- */

/* Keeps the order: the last of the lost goes to the front of the queue first. */
static void settle_lost(struct server *server, uint64_t now_ms)
{
    while (!list_empty(&server->lost)) {
        struct ask *ask = LIST_ENTRY(server->lost.previous, struct ask, node);
        struct question *question = ask->question;

        if (question == NULL) {
            ask_release(ask);
        } else if (server->used && server->lost_after_answers && question->resends < RESENDS_MAX) {
            question->resends++;
            server->stats.reconnect_asks++;
            list_remove(&ask->node);
            ask->state = ASK_WAITING;
            list_insert(&server->waiting, &ask->node);
        } else {
            ask_release(ask);
            question_failed(server->owner, question, server,
                            server->stream.failure == UPSTREAM_TLS_FAILED ? UPSTREAM_TLS_FAILED
                                                                          : UPSTREAM_CONNECT,
                            now_ms);
        }
    }
    server->lost_after_answers = false;
}

bool server_settle(struct server *server, uint64_t now_ms)
{
    settle_lost(server, now_ms);
    if (server->used)
        pump(server, now_ms);
    return !list_empty(&server->lost);
}

bool server_flush(struct server *server, uint64_t now_ms)
{
    if (!server->is_ares_socket_open)
        return false;
    if (server->ares_writes && server->stream.state == STREAM_READY)
        ares_process_fd(server->channel, ARES_SOCKET_BAD, server->stream.fd);
    if (server->is_ares_socket_open && server->stream.state == STREAM_READY)
        stream_advance(&server->stream);
    if (server->stream.state == STREAM_ENDED)
        connection_ended(server, now_ms);
    count_bytes(server);
    if (server->is_ares_socket_open)
        watch(server);
    return !list_empty(&server->lost);
}

/* ---- time ---- */

static uint64_t idle_ms(const struct server *server)
{
    uint64_t own = server->owner->config.idle_ms, theirs = server->keepalive_ms;

    if (theirs == KEEPALIVE_NONE)
        return own;
    theirs -= theirs / 8; /* hang up first: less is asked in vain */
    return theirs < own ? theirs : own;
}

/* When the connection must have made progress, or may be closed. */
static uint64_t connection_limit_ms(const struct server *server)
{
    switch (server->stream.state) {
    case STREAM_CONNECTING:
    case STREAM_HANDSHAKE:
        return server->opened_ms + ESTABLISH_MS;
    case STREAM_READY:
        return server->sent > 0 ? server->quiet_since_ms + QUIET_MS
                                : server->used_ms + idle_ms(server);
    case STREAM_CLOSED:
    case STREAM_ENDED:
        break;
    }
    return UINT64_MAX;
}

void server_tick(struct server *server, uint64_t now_ms)
{
    if (server->is_ares_socket_open && now_ms >= connection_limit_ms(server)) {
        if (server->stream.state != STREAM_READY)
            hang_up(server, UPSTREAM_CONNECT, "no connection in time", now_ms);
        else if (server->sent > 0)
            hang_up(server, UPSTREAM_TIMEOUT, "no answer for a while", now_ms);
        else
            let_go(server);
    }
    if (server->sent > 0 && now_ms >= server->ares_ms + ARES_TICK_MS) {
        server->ares_ms = now_ms;
        ares_process_fd(server->channel, ARES_SOCKET_BAD, ARES_SOCKET_BAD);
    }
}

uint64_t server_next_ms(const struct server *server)
{
    uint64_t next = connection_limit_ms(server);

    if (!list_empty(&server->lost) || (server->ares_writes && server->stream.state == STREAM_READY))
        return 0;
    if (!list_empty(&server->waiting) && server->sent < server->window) {
        uint64_t retry =
            server->stream.state == STREAM_CLOSED && server->down ? server->retry_ms : 0;
        if (retry < next)
            next = retry;
    }
    if (server->sent > 0 && server->ares_ms + ARES_TICK_MS < next)
        next = server->ares_ms + ARES_TICK_MS;
    return next;
}

/* ---- life ---- */

/*
 * Everything is given, so that nothing comes from /etc/resolv.conf, RES_OPTIONS or LOCALDOMAIN; the
 * one name server is a placeholder (RFC 5737), as our socket functions decide where to.
 */
static int open_channel(struct server *server)
{
    struct in_addr placeholder = {.s_addr = htonl(0xc0000201)};
    struct ares_options options = {
        .flags = ARES_FLAG_USEVC | ARES_FLAG_STAYOPEN | ARES_FLAG_NOCHECKRESP | ARES_FLAG_IGNTC |
                 ARES_FLAG_NOSEARCH | ARES_FLAG_NOALIASES,
        .timeout = ARES_ASK_MS,
        .tries = 1,
        .ndots = 1,
        .servers = &placeholder,
        .nservers = 1,
        .lookups = (char[]){"b"},
        .sock_state_cb = on_state,
        .sock_state_cb_data = server,
    };
    int result = ares_init_options(
        &server->channel, &options,
        ARES_OPT_FLAGS | ARES_OPT_TIMEOUTMS | ARES_OPT_TRIES | ARES_OPT_NDOTS | ARES_OPT_SERVERS |
            ARES_OPT_LOOKUPS | ARES_OPT_DOMAINS | ARES_OPT_SORTLIST | ARES_OPT_NOROTATE |
            ARES_OPT_UDP_PORT | ARES_OPT_TCP_PORT | ARES_OPT_SOCK_STATE_CB);

    if (result == ARES_SUCCESS)
        ares_set_socket_functions(server->channel, &socket_functions, server);
    return result;
}

bool server_init(struct server *server, struct upstreams *owner, unsigned slot)
{
    unsigned count = owner->config.in_flight_max;

    server->owner = owner;
    server->slot = slot;
    server->source = (struct event_source){.fd = -1, .ready = on_ready, .context = server};
    stream_init(&server->stream);
    list_init(&server->waiting);
    list_init(&server->lost);
    list_init(&server->free);
    server->asks = calloc(count, sizeof(*server->asks));
    server->by_id = calloc(ID_COUNT, sizeof(*server->by_id));
    if (server->asks == NULL || server->by_id == NULL)
        return false;
    for (unsigned i = 0; i < count; i++) {
        server->asks[i].server = server;
        list_append(&server->free, &server->asks[i].node);
    }
    return open_channel(server) == ARES_SUCCESS;
}

void server_free(struct server *server)
{
    if (server->channel != NULL)
        ares_destroy(server->channel); /* on_answer and on_close run once more */
    tls_peer_forget(&server->tls);
    free(server->asks);
    free(server->by_id);
}

void server_assign(struct server *server, const struct upstream_spec *spec)
{
    server->used = true;
    server->spec = *spec;
    server->stats = (struct upstream_stats){.healthy = true};
    upstream_format(spec, server->stats.text);
    tls_peer_forget(&server->tls);
    server->tls = (struct tls_peer){.context = server->owner->tls, .name = server->spec.tls_name};
    stream_init(&server->stream);
    server->window = server->owner->config.in_flight_max;
    server->down = server->refused = server->lost_after_answers = false;
    server->failures = 0;
    server->answers = server->answered_ms = server->retry_ms = 0;
    server->log = (struct log_limit){0};
}

void server_retire(struct server *server)
{
    server->used = false;
    server->lost_after_answers = false;
    let_go(server);
    give_up_waiting(server);
}
