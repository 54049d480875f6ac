/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The questions that are open on one connection (query pipelining, RFC 7766 6.2.1.1): framing, ids
 * to attempts, and since when nothing has been answered.
 *
 *   pipeline_send -> connection -> network -> connection -> pipeline_receive -> the attempt
 *
 * It knows nothing of other connections: what is put where, and what becomes of attempts that are
 * lost, is the upstream's to decide.
 */
#ifndef CAUSEWAY_DNS_UPSTREAM_PIPELINE_H
#define CAUSEWAY_DNS_UPSTREAM_PIPELINE_H

#include "dns/upstream/attempt.h"
#include "dns/upstream/connection.h"

#define KEEPALIVE_NONE UINT32_MAX

struct pipeline {
    struct upstream *upstream;
    struct connection *connection;
    struct list_node open; /* attempts, in the order in which they were sent */
    unsigned count;        /* of them */
    uint64_t answers;      /* over this connection */
    bool was_up;           /* this connection has been established */
    bool is_taken;         /* the message at the front has been handed out */
    uint64_t opened_ms, used_ms;
    uint64_t quiet_since_ms; /* the later of the last answer and the first question behind it */
    uint64_t check_ms;       /* when its quiet is to be looked at next */
    uint64_t hedged_ms, probed_ms; /* latest; 0: not since it is quiet */
    uint32_t keepalive_ms;         /* RFC 7828; KEEPALIVE_NONE: not told */
};

bool pipeline_is_closed(const struct pipeline *pipeline);
bool pipeline_is_ready(const struct pipeline *pipeline);
/* On its way, but not yet established. */
bool pipeline_is_coming(const struct pipeline *pipeline);

void pipeline_open(struct pipeline *pipeline, const struct upstream_spec *spec,
                   struct tls_peer *tls, uint64_t now_ms);
/* Every open attempt must have been taken away. */
void pipeline_close(struct pipeline *pipeline);

/* Sends it under a new id. False: the connection takes no more just now, and nothing has changed.
 */
bool pipeline_send(struct pipeline *pipeline, struct attempts *attempts, struct attempt *attempt,
                   bool is_tls, uint64_t now_us);
/* Takes an open attempt off; its id stays. */
void pipeline_remove(struct attempt *attempt);
struct attempt *pipeline_oldest(const struct pipeline *pipeline); /* NULL: nothing is open */

/*
 * The next message that came. OK: *attempt is what it answers (an orphan or a probe, too), *answer
 * borrows the message until pipeline_next(). Otherwise why it is not believed; *attempt is the one
 * whose id it has, or NULL.
 */
bool pipeline_has_message(const struct pipeline *pipeline);
enum dns_answer_error pipeline_receive(struct pipeline *pipeline, const struct attempts *attempts,
                                       struct attempt **attempt, struct dns_answer *answer);
void pipeline_next(struct pipeline *pipeline);

/* An answer came. True: it came ahead of one to an earlier question. */
bool pipeline_note_answer(struct pipeline *pipeline, const struct attempt *attempt,
                          uint64_t now_ms);

#endif
