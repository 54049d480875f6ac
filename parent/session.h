/* SPDX-License-Identifier: Apache-2.0 */
/*
 * All enclaves' sessions: who may come in (parent/listener.h), which enclave and lane a stream is
 * (parent/handshake.h), and the enclaves themselves.
 *
 *   accept --CID or socket is configured?--> PENDING --HELLO in time--> lane of an enclave
 *      |no                                      |anything else
 *      v                                        v
 *   REJECT, closed                            REJECT or silence, closed, counted
 *
 * A peer is known by its CID or by the socket it came in through, never by what it says. A HELLO
 * for lane 0 with a new session id replaces whatever that peer had before: a restarted enclave does
 * not wait for its dead streams. No peer can hold more than PENDING_PER_PEER handshakes open.
 */
#ifndef CAUSEWAY_PARENT_SESSION_H
#define CAUSEWAY_PARENT_SESSION_H

#include <stdio.h>

#include "runtime/base/failure.h"
#include "parent/config.h"
#include "parent/enclave.h"
#include "runtime/base/counters.h"
#include "runtime/base/event.h"
#include "runtime/lane/frame_reader.h"

#define PENDING_MAX      256
#define PENDING_PER_PEER (2 * WIRE_MAX_LANES)

struct sessions;

struct listener {
    struct sessions *sessions;
    struct link_addr link;
    const struct enclave_entry
        *entry; /* unix: whose socket this is; vsock: NULL, the CID decides */
    struct event_source source;
    uint64_t paused_until_ms; /* 0: not paused */
};

struct pending {
    struct sessions *sessions;
    const struct enclave_entry *entry; /* NULL: this place is free */
    char peer[LINK_TEXT_BYTES];
    char label[PARENT_LABEL_BYTES]; /* for messages */
    uint32_t cid;
    uint64_t deadline_ms;
    struct frame_reader reader;
    struct event_source source;
};

struct sessions {
    struct event_loop *loop;
    struct enclave_context context;
    unsigned listener_count;
    struct listener listeners[PARENT_ENCLAVES_MAX];
    struct pending pending[PENDING_MAX];
    struct enclave enclaves[PARENT_ENCLAVES_MAX];
    struct event_source lane_exit;
    struct log_limit accept_log, handshake_log;
    uint64_t look_ms; /* when enclaves whose devices changed are looked at; 0: not due */
    HANDSHAKE_COUNTERS(COUNTER_MEMBER)
};

/* Moves *next_ms forward to a deadline that is sooner. */
static inline void earliest(uint64_t *next_ms, uint64_t deadline_ms)
{
    if (deadline_ms < *next_ms)
        *next_ms = deadline_ms;
}

/* Opens every listening socket. */
bool sessions_open(struct sessions *sessions, struct failure *failure);

/* Expires what is due; returns for how many milliseconds nothing will be, -1 for ever. */
int sessions_poll(struct sessions *sessions);

/* The uplink's MTU, or settings that enclaves are told or lanes go by, have changed. */
void sessions_settings_changed(struct sessions *sessions, uint32_t mtu);

/* Something of a device has changed, or of any if 0: those of ours are looked at soon. */
void sessions_device_changed(struct sessions *sessions, int ifindex);

/* The host's IPv6 has come or gone. */
void sessions_ipv6_changed(struct sessions *sessions, bool off);

/* --allow has changed. */
void sessions_policy_changed(struct sessions *sessions);

/* Closes the listeners (and removes their files) and ends all lanes. */
void sessions_stop(struct sessions *sessions);

/* Members of a status answer: handshakes, and every enclave, also those that never came. */
void sessions_report(struct sessions *sessions, struct json *json);

void sessions_print_stats(struct sessions *sessions, FILE *out);

#endif
