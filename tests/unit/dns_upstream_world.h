/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Upstreams under test and the servers they talk to, in one process and one event loop: scripted
 * servers on loopback, and a record of what came of every question.
 */
#ifndef CAUSEWAY_TESTS_UNIT_DNS_UPSTREAM_WORLD_H
#define CAUSEWAY_TESTS_UNIT_DNS_UPSTREAM_WORLD_H

#include <openssl/ssl.h>

#include "dns/upstream/upstreams.h"
#include "tests/unit/support.h"

/* How a scripted server treats a query. */
enum manner {
    ANSWERS,
    HOLDS,              /* keeps it for fake_release() */
    ANSWERS_AND_CLOSES, /* closes behind one answer, whatever else was asked */
    CLOSES,             /* hangs up instead of answering */
    RESETS,
    REFUSES,  /* answers with `rcode` */
    WRONG_ID, /* answers with another id, then rightly if `then_right` */
    WRONG_NAME,
    WRONG_CASE, /* the question with its first letter's case changed */
    SHORT,      /* a message of two bytes */
    JUNK,       /* header and question, then bytes that are no record */
    EMPTY,      /* a message of no bytes at all */
};

#define FAKE_CONNECTIONS 64
#define FAKE_HELD        512

struct fake;
struct fake_connection {
    struct event_source source;
    struct fake *fake;
    SSL *ssl;
    size_t length;
    uint8_t in[8192];
};
struct fake_held {
    struct fake_connection *connection;
    size_t length;
    uint8_t query[512];
};
struct fake {
    struct event_source listener;
    char address[UPSTREAM_TEXT_BYTES];
    uint16_t port;
    enum manner manner;
    uint8_t rcode;
    bool then_right;
    bool answers_keepalive; /* RFC 7828 option with keepalive_100ms */
    uint16_t keepalive_100ms;
    SSL_CTX *tls;
    unsigned accepted, open, queries, answered, held_count, resumed;
    bool saw_keepalive, saw_alpn_dot;
    size_t last_query_length;
    uint16_t ids[FAKE_HELD];
    struct fake_held held[FAKE_HELD];
    struct fake_connection connections[FAKE_CONNECTIONS];
};

void fake_open(struct fake *fake, enum manner manner);
void fake_open_unix(struct fake *fake, enum manner manner, const char *path);
/* Listens again at the address it had. */
void fake_reopen(struct fake *fake);
void fake_stop_listening(struct fake *fake);
void fake_hang_up(struct fake *fake); /* on all connections */
void fake_close(struct fake *fake);
/* Answers held query number `index`. */
void fake_release(struct fake *fake, unsigned index);

#define RESULTS_MAX 1024
struct result {
    unsigned calls;
    enum upstream_failure failure;
    uint16_t rcode;
    uint8_t address_last; /* last byte of the A record */
};

struct world {
    struct event_loop loop;
    struct upstreams *upstreams;
    struct upstreams_config config;
    struct result results[RESULTS_MAX];
    unsigned done;
    bool is_asking;      /* done() must not come meanwhile */
    uint64_t stopped_us; /* the time, if the test has stopped the clock; else 0 */
    void (*on_done)(struct world *world, uint64_t token);
};
extern struct world world;

int world_setup(void **state);
int world_teardown(void **state);
/* Upstreams by their text, in order; up to a NULL. */
void world_create(const char *first, ...);
void world_specs(struct upstream_spec *specs, unsigned *count, const char *first, ...);
/* Asks for NAME/A with token; the deadline in milliseconds from now. */
void world_ask(uint64_t token, const char *name, unsigned deadline_ms);
void world_turn(void); /* one round of the event loop */
/* Before world_create(): from here on time passes only by world_pass(), however slow the machine
 * is. */
void world_stop_clock(void);
void world_pass(unsigned ms);
#define WORLD_UNTIL(condition) WAIT_DOING(condition) world_turn()
const struct upstream_stats *world_stats(unsigned index);
void assert_answered(uint64_t token);
void assert_failed(uint64_t token, enum upstream_failure failure);

#endif
