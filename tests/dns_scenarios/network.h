/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A network of scripted DNS servers under a clock that jumps from event to event. It takes the
 * place of dns/upstream/connection.c: the same functions, chosen when the program is linked.
 *
 * A server is a manner, a round trip and rules for names. Each query arrives after half a round
 * trip, is worked on as its rule says, and its answer needs the other half.
 */
#ifndef CAUSEWAY_TESTS_DNS_SCENARIOS_NETWORK_H
#define CAUSEWAY_TESTS_DNS_SCENARIOS_NETWORK_H

#include <stdbool.h>
#include <stdint.h>

#include "dns/message/message.h"

#define SERVERS_MAX 8
#define RULES_MAX   16

enum rule_kind {
    RULE_ANSWER,  /* after `work_ms` */
    RULE_SILENT,  /* never */
    RULE_RCODE,   /* that rcode, after `work_ms` */
    RULE_BARE,    /* that rcode without a question section */
    RULE_CLOSE,   /* the connection is closed instead */
    RULE_RESET,   /* the connection is reset instead */
    RULE_JUNK,    /* a message that is none, under the right id */
    RULE_FOREIGN, /* an answer under another id, then nothing */
    RULE_CASE,    /* the answer, its question in other case */
    RULE_TRAILER, /* the answer and bytes behind it */
};

struct rule {
    char pattern[64]; /* fnmatch() */
    enum rule_kind kind;
    unsigned work_ms;
    uint8_t rcode;
};

struct server {
    char name[32];
    unsigned trip_ms;      /* round trip */
    bool strict;           /* works on one query of a connection at a time */
    bool ordered;          /* works on all at a time, answers in the order of arrival */
    bool plain;            /* FORMERR to whatever has EDNS */
    bool stalled;          /* takes queries, answers none, not even later */
    bool refuses;          /* connections are refused */
    bool gone;             /* whatever is sent vanishes; connections are not established */
    bool bad_certificate;  /* the TLS handshake fails */
    unsigned closes_after; /* answers on a connection; 0: does not close */
    unsigned most;         /* connections at a time, more are closed at once; 0: no limit */
    struct rule rules[RULES_MAX];
    unsigned rule_count;
    /* what came of it */
    unsigned accepted, open, open_most, queries, probes;
};

extern struct server servers[SERVERS_MAX];
extern unsigned server_count;
extern uint64_t network_now_us;
extern bool network_verbose; /* says what happens on the connections */

uint64_t network_clock_us(void);
/* When the next thing happens; UINT64_MAX: nothing will. */
uint64_t network_next_us(void);
/* Lets everything happen that is due. */
void network_run(void);
void network_reset(void);

/* What the server would need for a name, without anybody else: a round trip and its work. */
unsigned server_ideal_ms(const struct server *server, const char *name);
const struct rule *server_rule(const struct server *server, const char *name);
void server_close_all(const struct server *server, bool reset);
/* Connections that there are stay open, and carry nothing any more; new ones are fine. */
void server_freeze(const struct server *server);

#endif
