/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What upstream.c (questions) and upstream_server.c (one upstream) share.
 *
 * A question is what upstreams_ask() was given. An ask is that question put to one upstream; a
 * question has at most one to each. An ask waits in its server's queue, or is with c-ares, or was
 * lost with its connection and is about to be put somewhere. When a question ends, its asks that
 * wait are dropped and those with c-ares become orphans, which keep their id taken until c-ares
 * lets go of them.
 *
 * c-ares calls back from within our calls. Its callbacks only move asks between lists; everything
 * that follows from it happens in server_settle() and upstreams_deliver(), outside of c-ares.
 */
#ifndef CAUSEWAY_DNS_UPSTREAM_PRIVATE_H
#define CAUSEWAY_DNS_UPSTREAM_PRIVATE_H

#include <ares.h>

#include "dns/list.h"
#include "dns/upstream/stream.h"
#include "runtime/base/log.h"

#define ID_COUNT 65536

struct server;

struct question {
    struct list_node deadline_node; /* live: ordered by deadline; free: in the free list */
    struct list_node attempt_node;  /* ordered by attempt_ms; or in no list */
    struct list_node ended_node;    /* in the list of those to be delivered; or in none */
    uint64_t token, deadline_ms, attempt_ms;
    struct ask *asks[UPSTREAMS_MAX]; /* by server slot */
    struct server *current;          /* whose turn it is */
    uint8_t tried;                   /* bit per server slot, in this round */
    uint8_t rounds, resends;
    bool is_refused; /* a server answered, but with SERVFAIL or the like: `rcode` */
    uint16_t rcode;
    enum upstream_failure failure; /* the latest; ANSWERED: none so far */
    struct dns_query query;
};

enum ask_state { ASK_FREE, ASK_WAITING, ASK_SENT, ASK_LOST };

struct ask {
    struct list_node node;
    struct server *server;
    struct question *question; /* NULL: an orphan */
    uint64_t asked_ms;         /* when this server's turn began */
    uint64_t sent_us;
    uint16_t id;
    uint8_t state; /* enum ask_state */
};

struct server {
    struct upstreams *owner;
    unsigned slot;
    bool used;
    struct upstream_spec spec;
    struct upstream_stats stats;
    ares_channel channel;
    struct stream stream;
    struct tls_peer tls;
    struct event_source source;
    bool watched;
    uint32_t interest;

    bool ares_writes;     /* c-ares has bytes for us */
    const uint8_t *serve; /* bytes that c-ares is to receive */
    size_t serve_length;
    struct ask *answered;     /* by the message that was served */
    bool is_ares_socket_open; /* stream.fd is known to c-ares */
    bool is_letting_go;       /* c-ares is to take its socket for broken */

    struct list_node waiting, lost, free;
    unsigned sent;   /* with c-ares */
    unsigned window; /* how many may be */
    struct ask *asks;
    uint16_t *by_id; /* ID_COUNT: index of the ask + 1 */

    /* the connection */
    uint64_t opened_ms, used_ms, answered_ms, ares_ms;
    uint64_t quiet_since_ms; /* the later of the last answer and the first ask behind it */
    uint64_t answers;        /* over it */
    uint32_t keepalive_ms;   /* RFC 7828; UINT32_MAX: not told */
    bool lost_after_answers; /* the connection of the asks in `lost` had given answers */

    /* health */
    bool down, refused; /* refused: the last failure was at connecting */
    unsigned failures;  /* in a row */
    uint64_t retry_ms;
    struct log_limit log;
};

struct upstreams {
    struct event_loop *loop;
    struct upstreams_config config;
    SSL_CTX *tls;
    struct server servers[UPSTREAMS_MAX];
    struct server *order[UPSTREAMS_MAX]; /* by preference */
    unsigned count;
    struct question *questions;
    struct list_node free, deadlines, attempts, ended;
    uint8_t random[512];
    size_t random_used;
};

/* ---- upstream_server.c ---- */

bool server_init(struct server *server, struct upstreams *owner, unsigned slot);
void server_free(struct server *server);
void server_assign(struct server *server, const struct upstream_spec *spec);
/* Hangs up; all its asks are lost. Its slot can be assigned anew once server_settle() has run. */
void server_retire(struct server *server);

/* Puts the question into the server's queue; false: its table is full. */
bool server_ask(struct server *server, struct question *question, uint64_t now_ms);
bool server_is_unasked(const struct server *server);
void server_forget(struct ask *ask); /* the question has ended */
/* The ask got no answer for a whole attempt. */
void server_note_silence(struct server *server, const struct ask *ask, uint64_t now_ms);

/* Refused often enough, and not to be tried just now: no question waits for it. */
bool server_is_known_dead(const struct server *server, uint64_t now_ms);
/* Up, or down and its back-off is over. */
bool server_is_due(const struct server *server, uint64_t now_ms);

/* Gives lost asks back and sends what waits; writes it out. True: asks were lost, call again. */
bool server_settle(struct server *server, uint64_t now_ms);
bool server_flush(struct server *server, uint64_t now_ms);
void server_tick(struct server *server, uint64_t now_ms);
uint64_t server_next_ms(const struct server *server); /* when it wants a tick */

/* ---- upstream.c ---- */

uint16_t upstreams_random16(struct upstreams *upstreams);
/* A checked answer to the ask's question; the ask is gone already. */
void question_answered(struct upstreams *upstreams, struct question *question,
                       const struct server *server, const struct dns_answer *answer,
                       uint64_t now_ms);
/* The server lost the ask, which is gone already. */
void question_failed(struct upstreams *upstreams, struct question *question,
                     const struct server *server, enum upstream_failure failure, uint64_t now_ms);
/* Brings everything to rest after an event: lost asks, flushes, deliveries. */
void upstreams_settle(struct upstreams *upstreams, uint64_t now_ms);

#endif
