/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/dns_scenarios/network.h"

#include <assert.h>
#include <fnmatch.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "dns/upstream/connection.h"
#include "dns/upstream/random.h"

#define MESSAGES_MAX 8192
#define MESSAGE_MAX  512

struct server servers[SERVERS_MAX];
unsigned server_count;
uint64_t network_now_us;
bool network_verbose;

enum message_state { NONE, TO_SERVER, AT_WORK, TO_CLIENT, READABLE, CLOSING };

struct message {
    enum message_state state;
    uint64_t due_us, arrived_us;
    uint64_t number; /* in the order in which they were sent */
    struct connection *connection;
    unsigned life; /* of the connection: one that was closed meanwhile takes nothing */
    bool is_last, resets;
    size_t length;
    uint8_t bytes[MESSAGE_MAX];
};

struct connection {
    connection_ready *ready;
    void *context;
    enum connection_state state;
    struct server *server;
    unsigned number, life;
    bool frozen, is_tls, was_accepted, server_closed;
    unsigned answered;
    uint64_t up_us, busy_until_us; /* strict: the query at work ends then */
    enum upstream_failure failure;
    const char *reason;
    struct connection *next;
};

static struct message messages[MESSAGES_MAX];
static unsigned message_end; /* behind the last that was ever used */
static uint64_t message_number;
static struct connection *connections;
static uint32_t noise = 12345;

static void tell(const struct connection *connection, const char *what, const char *name)
{
    if (network_verbose)
        printf("# %8.1f %s connection %u.%u: %s %s\n", (double)(network_now_us - 1000000000) / 1000,
               connection->server->name, connection->number, connection->life, what, name);
}

uint64_t network_clock_us(void)
{
    return network_now_us;
}

/* The same numbers each time, instead of the kernel's. */
uint16_t random_pool_16(struct random_pool *pool)
{
    (void)pool;
    noise = noise * 1664525u + 1013904223u;
    return (uint16_t)(noise >> 16);
}

/* ---- names and rules ---- */

static void name_of(const uint8_t *query, char *out)
{
    struct dns_name name;

    assert(dns_name_read(query, MESSAGE_MAX, DNS_HEADER_BYTES, &name) != 0);
    dns_name_to_text(&name, out);
}

const struct rule *server_rule(const struct server *server, const char *name)
{
    static const struct rule answer = {.kind = RULE_ANSWER};

    for (unsigned i = server->rule_count; i-- > 0;) /* the latest first */
        if (fnmatch(server->rules[i].pattern, name, 0) == 0)
            return &server->rules[i];
    return &answer;
}

unsigned server_ideal_ms(const struct server *server, const char *name)
{
    return server->trip_ms + server_rule(server, name)->work_ms;
}

/* ---- messages ---- */

static struct message *message_take(struct connection *connection, enum message_state state,
                                    uint64_t due_us)
{
    for (unsigned i = 0; i < MESSAGES_MAX; i++)
        if (messages[i].state == NONE) {
            if (i >= message_end)
                message_end = i + 1;
            messages[i] = (struct message){.state = state,
                                           .due_us = due_us,
                                           .arrived_us = due_us,
                                           .number = message_number++,
                                           .connection = connection,
                                           .life = connection->life};
            return &messages[i];
        }
    fprintf(stderr, "too many messages\n");
    abort();
}

static bool is_alive(const struct message *message)
{
    const struct connection *connection = message->connection;

    return message->life == connection->life && !connection->frozen && !connection->server->gone;
}

/* The first of a state on a connection, in the order in which they were sent. */
static struct message *first_of(const struct connection *connection, enum message_state state)
{
    struct message *found = NULL;

    for (unsigned i = 0; i < message_end; i++)
        if (messages[i].state == state && messages[i].connection == connection &&
            messages[i].life == connection->life &&
            (found == NULL || messages[i].number < found->number))
            found = &messages[i];
    return found;
}

static size_t question_end(const uint8_t *query)
{
    size_t at = DNS_HEADER_BYTES;

    while (query[at] != 0)
        at += 1u + query[at];
    return at + 5;
}

/* Makes the query in the message its answer. */
static void make_answer(struct message *message, const struct server *server,
                        const struct rule *rule)
{
    uint8_t record[] = {0xc0, 12, 0, 1, 0, 1, 0, 0, 1, 44, 0, 4, 192, 0, 2, 0};
    uint8_t *bytes = message->bytes;
    bool has_edns = bytes[11] != 0, good = rule->kind != RULE_RCODE && rule->kind != RULE_BARE;
    uint8_t rcode = good ? 0 : rule->rcode;
    size_t length = question_end(bytes);

    if (server->plain && has_edns) {
        rcode = DNS_FORMERR;
        good = false;
    }
    record[15] = (uint8_t)(server - servers + 1);
    bytes[2] |= 0x80;
    bytes[3] = 0x80 | rcode;
    memset(bytes + 4, 0, 8);
    bytes[5] = 1;
    if (good) {
        bytes[7] = 1;
        memcpy(bytes + length, record, sizeof(record));
        length += sizeof(record);
    }
    if (rule->kind == RULE_BARE) {
        bytes[5] = 0;
        length = DNS_HEADER_BYTES;
    }
    if (rule->kind == RULE_JUNK)
        bytes[7] = 9;
    if (rule->kind == RULE_FOREIGN)
        bytes[0] ^= 0x55;
    if (rule->kind == RULE_CASE)
        bytes[DNS_HEADER_BYTES + 1] ^= 0x20;
    if (rule->kind == RULE_TRAILER) {
        memset(bytes + length, 0, 3);
        length += 3;
    }
    message->length = length;
}

/* ---- the server's side ---- */

static uint64_t half_trip_us(const struct server *server)
{
    return (uint64_t)server->trip_ms * 500;
}

static void close_from_server(struct connection *connection, uint64_t at_us, bool resets)
{
    struct message *closing =
        message_take(connection, CLOSING, at_us + half_trip_us(connection->server));

    closing->resets = resets;
    connection->server_closed = true;
}

static void forget(struct message *message)
{
    message->state = NONE;
    while (message_end > 0 && messages[message_end - 1].state == NONE)
        message_end--;
}

/* A strict server goes on with the next query of the connection when it has answered one. */
static void start_next(struct connection *connection)
{
    struct message *next = first_of(connection, AT_WORK);

    if (next == NULL || next->due_us != UINT64_MAX || connection->busy_until_us > network_now_us)
        return;
    char name[DNS_NAME_TEXT_BYTES];
    name_of(next->bytes, name);
    const struct rule *rule = server_rule(connection->server, name);
    next->due_us = rule->kind == RULE_SILENT ? UINT64_MAX - 1
                                             : network_now_us + (uint64_t)rule->work_ms * 1000;
    connection->busy_until_us = next->due_us;
}

static void arrive(struct message *message)
{
    struct connection *connection = message->connection;
    struct server *server = connection->server;
    char name[DNS_NAME_TEXT_BYTES];

    name_of(message->bytes, name);
    server->queries++;
    server->probes += strcmp(name, "localhost") == 0;
    const struct rule *rule = server_rule(server, name);
    if (server->stalled || connection->server_closed) {
        forget(message);
    } else if (rule->kind == RULE_CLOSE || rule->kind == RULE_RESET) {
        forget(message);
        close_from_server(connection, network_now_us, rule->kind == RULE_RESET);
    } else if (server->strict) {
        message->state = AT_WORK;
        message->due_us = UINT64_MAX;
        start_next(connection);
    } else {
        message->state = AT_WORK;
        message->due_us = rule->kind == RULE_SILENT
                              ? UINT64_MAX - 1
                              : network_now_us + (uint64_t)rule->work_ms * 1000;
    }
}

static void finish_work(struct message *message)
{
    struct connection *connection = message->connection;
    struct server *server = connection->server;
    char name[DNS_NAME_TEXT_BYTES];

    if (server->ordered && first_of(connection, AT_WORK) != message) {
        message->due_us = network_now_us + 1000; /* waits for its turn */
        return;
    }
    if (connection->server_closed) {
        forget(message);
        return;
    }
    name_of(message->bytes, name);
    make_answer(message, server, server_rule(server, name));
    message->state = server->stalled ? NONE : TO_CLIENT;
    message->due_us = network_now_us + half_trip_us(server);
    connection->answered++;
    if (server->closes_after != 0 && connection->answered >= server->closes_after)
        close_from_server(connection, network_now_us + 1, false);
    if (server->strict)
        start_next(connection);
}

/* ---- the clock ---- */

static bool is_due(const struct message *message)
{
    return message->state != NONE && message->state != READABLE &&
           message->due_us <= network_now_us;
}

uint64_t network_next_us(void)
{
    uint64_t next = UINT64_MAX;

    for (unsigned i = 0; i < message_end; i++)
        if (messages[i].state != NONE && messages[i].state != READABLE &&
            messages[i].due_us < UINT64_MAX - 1 && messages[i].due_us < next)
            next = messages[i].due_us;
    for (struct connection *c = connections; c != NULL; c = c->next)
        if (c->state == CONNECTION_CONNECTING && c->up_us < next)
            next = c->up_us;
    return next;
}

static void end(struct connection *connection, enum upstream_failure failure, const char *reason)
{
    connection->state = CONNECTION_ENDED;
    connection->failure = failure;
    connection->reason = reason;
}

static void happen(struct message *message)
{
    struct connection *connection = message->connection;
    char name[DNS_NAME_TEXT_BYTES];

    if (!is_alive(message)) {
        forget(message);
        return;
    }
    switch (message->state) {
    case TO_SERVER:
        arrive(message);
        break;
    case AT_WORK:
        finish_work(message);
        break;
    case TO_CLIENT:
        message->state = READABLE;
        if (message->bytes[5] != 0)
            name_of(message->bytes, name);
        tell(connection, "answers", message->bytes[5] != 0 ? name : "without question");
        connection->ready(connection->context);
        break;
    case CLOSING:
        end(connection, message->resets ? UPSTREAM_CONNECT : UPSTREAM_ANSWERED,
            message->resets ? "reset" : "hung up");
        forget(message);
        connection->ready(connection->context);
        break;
    case NONE:
    case READABLE:
        break;
    }
}

static struct message *earliest_due(void)
{
    struct message *found = NULL;

    for (unsigned i = 0; i < message_end; i++)
        if (is_due(&messages[i]) &&
            (found == NULL || messages[i].due_us < found->due_us ||
             (messages[i].due_us == found->due_us && messages[i].number < found->number)))
            found = &messages[i];
    return found;
}

void network_run(void)
{
    struct message *message;

    for (struct connection *c = connections; c != NULL; c = c->next)
        if (c->state == CONNECTION_CONNECTING && c->up_us <= network_now_us)
            c->ready(c->context);
    while ((message = earliest_due()) != NULL)
        happen(message);
}

void network_reset(void)
{
    memset(messages, 0, sizeof(messages));
    memset(servers, 0, sizeof(servers));
    server_count = message_end = 0;
    network_now_us = 1000000000;
    message_number = 0;
    noise = 12345;
}

void server_close_all(const struct server *server, bool reset)
{
    for (struct connection *c = connections; c != NULL; c = c->next)
        if (c->server == server && c->state == CONNECTION_READY)
            close_from_server(c, network_now_us, reset);
}

void server_freeze(const struct server *server)
{
    for (struct connection *c = connections; c != NULL; c = c->next)
        if (c->server == server && c->state == CONNECTION_READY)
            c->frozen = true;
}

/* ---- in the place of dns/upstream/connection.c ---- */

struct connection *connection_create(struct event_loop *loop, connection_ready *ready,
                                     void *context)
{
    struct connection *connection = calloc(1, sizeof(*connection));

    (void)loop;
    assert(connection != NULL);
    connection->ready = ready;
    connection->context = context;
    connection->number = connections != NULL ? connections->number + 1 : 0;
    connection->next = connections;
    connections = connection;
    return connection;
}

void connection_free(struct connection *connection)
{
    struct connection **link = &connections;

    while (*link != connection)
        link = &(*link)->next;
    *link = connection->next;
    free(connection);
}

void connection_open(struct connection *connection, const struct upstream_spec *spec,
                     struct tls_peer *tls)
{
    (void)tls;
    connection->server = &servers[spec->port - 1];
    connection->life++;
    connection->frozen = connection->was_accepted = connection->server_closed = false;
    connection->is_tls = spec->kind == UPSTREAM_TLS;
    connection->answered = 0;
    connection->busy_until_us = 0;
    connection->state = CONNECTION_CONNECTING;
    connection->failure = UPSTREAM_ANSWERED;
    connection->reason = "";
    tell(connection, "is opened", "");
    connection->up_us = connection->server->gone
                            ? UINT64_MAX
                            : network_now_us + 2 * half_trip_us(connection->server);
}

void connection_close(struct connection *connection)
{
    if (connection->was_accepted && connection->state != CONNECTION_CLOSED)
        connection->server->open--;
    if (connection->state != CONNECTION_CLOSED)
        tell(connection, "is closed, it was",
             connection->state == CONNECTION_ENDED ? connection->reason : "good");
    connection->was_accepted = false;
    connection->life++;
    connection->state = CONNECTION_CLOSED;
}

enum connection_state connection_state(const struct connection *connection)
{
    return connection->state;
}

enum upstream_failure connection_failure(const struct connection *connection)
{
    return connection->failure;
}

const char *connection_reason(const struct connection *connection)
{
    return connection->reason;
}

bool connection_is_resumed(const struct connection *connection)
{
    (void)connection;
    return false;
}

static void accept_one(struct connection *connection)
{
    struct server *server = connection->server;

    if (server->refuses) {
        end(connection, UPSTREAM_CONNECT, "refused");
        return;
    }
    if (server->bad_certificate && connection->is_tls) {
        end(connection, UPSTREAM_TLS_FAILED, "certificate refused");
        return;
    }
    connection->state = CONNECTION_READY;
    connection->was_accepted = true;
    server->accepted++;
    server->open++;
    if (server->most != 0 && server->open > server->most)
        close_from_server(connection, network_now_us, false);
    else if (server->open > server->open_most)
        server->open_most = server->open;
}

void connection_advance(struct connection *connection)
{
    if (connection->state == CONNECTION_CONNECTING && connection->up_us <= network_now_us)
        accept_one(connection);
}

void connection_fill(struct connection *connection)
{
    (void)connection;
}

const uint8_t *connection_message(const struct connection *connection, size_t *length)
{
    struct message *message = first_of(connection, READABLE);

    if (message == NULL)
        return NULL;
    *length = message->length;
    return message->bytes;
}

void connection_drop_message(struct connection *connection)
{
    struct message *message = first_of(connection, READABLE);

    if (message != NULL)
        forget(message);
}

bool connection_put(struct connection *connection, const uint8_t *bytes, size_t length)
{
    struct message *message =
        message_take(connection, TO_SERVER, network_now_us + half_trip_us(connection->server));

    char name[DNS_NAME_TEXT_BYTES];

    assert(connection->state == CONNECTION_READY && length - 2 <= MESSAGE_MAX);
    message->length = length - 2;
    memcpy(message->bytes, bytes + 2, length - 2);
    name_of(message->bytes, name);
    tell(connection, "is asked", name);
    return true;
}

void connection_take_counts(struct connection *connection, uint64_t *sent, uint64_t *received)
{
    (void)connection;
    *sent = *received = 0;
}

void connection_watch(struct connection *connection)
{
    (void)connection;
}
