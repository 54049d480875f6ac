/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The enclave's session with its parent: dials every lane, shakes hands, keeps the device as the
 * parent's CONFIG says, and dials again whatever breaks.
 *
 * A dial per lane goes round through these states; lane 0 first, the others once its CONFIG is
 * there:
 *
 *   WAITING --time is up--> CONNECTING --connected, HELLO sent--> HANDSHAKE --CONFIG--> RUNNING
 *      ^--------------------- failure, REJECT, silence, end of the lane ------------------'
 *
 * All of it runs on the control thread. While a lane runs its thread owns the stream; a
 * CONFIG that arrives then is left in a small mailbox for the control thread.
 */
#ifndef CAUSEWAY_ENCLAVE_SESSION_H
#define CAUSEWAY_ENCLAVE_SESSION_H

#include <pthread.h>
#include <stdio.h>

#include "runtime/base/failure.h"
#include "enclave/capture.h"
#include "enclave/config.h"
#include "enclave/device.h"
#include "runtime/base/event.h"
#include "runtime/lane/frame_reader.h"
#include "runtime/base/json.h"
#include "runtime/lane/lane.h"
#include "runtime/lane/tap_table.h"
#include "runtime/base/notify.h"

enum dial_state { DIAL_WAITING, DIAL_CONNECTING, DIAL_HANDSHAKE, DIAL_RUNNING };

struct session;

struct dial {
    struct session *session;
    unsigned number; /* of the lane */
    enum dial_state state;
    int fd;
    uint64_t deadline_ms; /* WAITING: when to dial; CONNECTING, HANDSHAKE: when to give up */
    unsigned failures;    /* since it last ran for a while */
    uint64_t running_since_ms;
    struct frame_reader reader;
    struct event_source source;
    struct lane *lane;
    int inject_fd;
};

struct session {
    const struct enclave_config *config;
    struct event_loop *loop;
    struct device *device;
    struct capture *capture;
    struct tap_table *taps;
    const struct notify *notify; /* learns when the tunnel is up and down; may be NULL */
    bool inject_udp_gso;

    uint64_t id;
    uint32_t attempt;
    struct dial dials[WIRE_MAX_LANES];
    bool configured; /* `current` is in force on the device */
    bool announced;  /* "ready" was logged since the tunnel was last down */
    struct wire_config current;
    /* The parent's resolvers are there or have changed; may be NULL. */
    void (*resolvers_changed)(void *context, const struct wire_config *config);
    void *resolvers_context;
    bool resolvers_known;
    struct policy_enclave policy; /* changed only while no lane runs */
    struct reassembly_budget fragments;
    uint32_t mtu; /* read atomically by the lanes */
    struct log_limit dial_log;

    struct event_source lane_exit; /* eventfd: a lane thread has ended */
    struct event_source offer;     /* eventfd: a CONFIG is in the mailbox */
    pthread_mutex_t offer_lock;
    struct wire_config offered;
};

/* Opens what the lanes need (injecting sockets, buffers), before the sandbox. 0, or -1 with a
 * sentence. */
int session_open(struct session *session, struct failure *failure);

/* Runs what is due; returns for how many milliseconds nothing will be. */
int session_poll(struct session *session);

/* dead_seconds has changed. */
void session_settings_changed(struct session *session);

/* Ends all lanes and joins their threads. */
void session_stop(struct session *session);

/* Members of a status answer: what was agreed with the parent, and every lane. */
void session_report(struct session *session, struct json *json);

void session_print_stats(struct session *session, FILE *out);

#endif
