/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One stream to the parent: dialled, greeted, and dialled again whatever breaks.
 *
 * A dial goes round through these states:
 *
 *   WAITING --time is up--> CONNECTING --connected, HELLO sent--> HANDSHAKE --CONFIG--> RUNNING
 *      ^--------------------- failure, REJECT, silence, end of the lane ------------------'
 *
 * Up to the CONFIG the dial goes by itself, on the control thread; what it means, and whether the
 * stream becomes a lane, is the session's to decide.
 */
#ifndef CAUSEWAY_ENCLAVE_DIAL_H
#define CAUSEWAY_ENCLAVE_DIAL_H

#include "enclave/config.h"
#include "runtime/base/event.h"
#include "runtime/lane/frame_reader.h"
#include "runtime/lane/lane.h"

enum dial_state { DIAL_WAITING, DIAL_CONNECTING, DIAL_HANDSHAKE, DIAL_RUNNING };

struct dial;

/* What all dials of a session share. */
struct dialling {
    const struct enclave_config *config; /* whom to dial, what to ask for */
    struct event_loop *loop;
    uint64_t session; /* drawn at the start: a restarted enclave is another one */
    uint32_t attempt;
    struct log_limit log;
    /* A CONFIG has come. Takes the stream over (RUNNING), or ends the dial. */
    void (*answered)(struct dial *dial, struct wire_config *config);
    void *context; /* the session */
};

struct dial {
    struct dialling *dialling;
    unsigned number; /* of the lane */
    enum dial_state state;
    int fd;               /* -1: none */
    uint64_t deadline_ms; /* WAITING: when to dial; CONNECTING, HANDSHAKE: when to give up */
    unsigned failures;    /* since it last ran for a while */
    struct frame_reader reader;
    struct event_source source;

    /* The session's. */
    uint64_t running_since_ms;
    struct lane *lane;
    int inject_fd;
};

/* Draws the session's number. */
void dialling_begin(struct dialling *dialling);

/* What is due by now: a dial begins, or what takes too long is given up. Not while RUNNING. */
void dial_poll(struct dial *dial, uint64_t now_ms);

/* Closes the stream, if there is one, and dials again after a pause that grows with the failures.
 * dial_failed() logs why. */
void dial_later(struct dial *dial);
void dial_failed(struct dial *dial, const char *why);

const char *dial_state_name(enum dial_state state);

#endif
