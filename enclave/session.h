/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The enclave's session with its parent: one lane for each dial that is answered (enclave/dial.h);
 * lane 0 first, the others once its CONFIG is there. Keeps the device as the parent's CONFIG says.
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
#include "enclave/dial.h"
#include "runtime/base/event.h"
#include "runtime/base/json.h"
#include "runtime/lane/lane.h"
#include "runtime/lane/tap_table.h"
#include "runtime/base/notify.h"

/* The one in force, the one before, which a lane may still use, and one to write. */
#define SESSION_POLICIES 3

struct session {
    const struct enclave_config *config;
    struct event_loop *loop;
    struct device *device;
    struct capture *capture;
    struct tap_table *taps;
    const struct notify *notify; /* learns when the tunnel is up and down; may be NULL */

    struct dialling dialling;
    struct dial dials[WIRE_MAX_LANES];
    bool configured; /* `current` is in force on the device */
    bool announced;  /* "ready" was logged since the tunnel was last down */
    struct wire_config current;
    /* The parent's resolvers are there or have changed; may be NULL. */
    void (*resolvers_changed)(void *context, const struct wire_config *config);
    void *resolvers_context;
    bool resolvers_known;
    struct policy_enclave policies[SESSION_POLICIES]; /* only one that no lane uses is changed */
    unsigned policy;                                  /* the one in force */
    struct prefix_table connected;                    /* networks of this machine's other devices */
    bool networks_changed;                            /* and no policy was free to be changed yet */
    uint64_t look_ms; /* when the device is looked at, because it changed; 0: not due */
    struct reassembly_budget fragments;
    uint32_t mtu; /* read atomically by the lanes */

    struct event_source lane_exit; /* eventfd: a lane thread has ended */
    struct event_source offer;     /* eventfd: a CONFIG is in the mailbox */
    pthread_mutex_t offer_lock;
    struct wire_config offered;
};

/* Opens what the lanes need (injecting sockets, buffers), before the sandbox. */
bool session_open(struct session *session, struct failure *failure);

/* Something of a device has changed, or of any if 0: ours is looked at soon. */
void session_device_changed(struct session *session, int ifindex);

/* Runs what is due; returns for how many milliseconds nothing will be. */
int session_poll(struct session *session);

/* Addresses or routes of this machine may have changed. */
void session_networks_changed(struct session *session);

/* dead_seconds has changed. */
void session_settings_changed(struct session *session);

/* Ends all lanes and joins their threads. */
void session_stop(struct session *session);

/* Members of a status answer: what was agreed with the parent, and every lane. */
void session_report(struct session *session, struct json *json);

void session_print_stats(struct session *session, FILE *out);

#endif
