/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An enclave as the parent knows it: its index, addresses and policy, its lanes, its veth pair
 * (parent/enclave_device.h).
 *
 * A record is made when an enclave first connects and stays until the daemon ends, so a
 * returning enclave finds the same addresses and device.
 *
 * Everything here is called on the control thread.
 */
#ifndef CAUSEWAY_PARENT_ENCLAVE_H
#define CAUSEWAY_PARENT_ENCLAVE_H

#include <stdio.h>

#include "parent/config.h"
#include "runtime/base/json.h"
#include "runtime/lane/lane.h"
#include "runtime/lane/tap_table.h"
#include "runtime/base/log.h"
#include "runtime/host/netdev.h"

struct parent_lane {
    struct lane *lane; /* NULL until first used; kept from stream to stream */
    bool running;
    int stream_fd, inject_fd, capture_fd;
    uint32_t attempt; /* of the HELLO that it serves */
    uint64_t lost;    /* packets that the capture socket lost in earlier streams and this */
};

struct enclave {
    bool used;
    char name[PARENT_NAME_BYTES];   /* of its --enclave; several share it under vsock:any */
    char peer[LINK_TEXT_BYTES];     /* what it is known by; also the devices' alias */
    char label[PARENT_LABEL_BYTES]; /* for messages */
    enum link_kind link_kind;       /* what its streams are */
    uint32_t index;
    struct policy_parent policy;
    struct reassembly_budget fragments;
    char device[IFNAMSIZ], peer_device[IFNAMSIZ];
    int device_index, peer_device_index; /* 0: not made yet */
    uint16_t fanout_group;               /* of the capture sockets */
    struct mac device_mac, peer_mac;

    struct log_limit log; /* of what the enclave can provoke: coming and going */
    bool look;            /* something of its pair has changed: enclave_mend() is due */
    struct log_limit mend_log;
    uint64_t session;
    uint32_t mtu_max;          /* what the enclave takes at most */
    struct wire_config config; /* as last sent */
    uint32_t capture_mtu;      /* never fragments: capture sees packets as they are */
    struct parent_lane lanes[WIRE_MAX_LANES];
};

/* What all enclaves share. */
struct enclave_context {
    const struct parent_config *config;
    struct netdev *netdev;
    struct tap_table *taps;
    uint32_t mtu;            /* of the uplink */
    uint32_t fragment_limit; /* of what each enclave may have this kernel keep: bytes */
    bool ipv6_off;           /* this host has no IPv6 now, whatever the pool says */
    int lane_exit_fd;
};

/* Fills a fresh record: addresses, names, policy. */
void enclave_init(struct enclave *enclave, const struct enclave_context *context,
                  const struct enclave_entry *entry, const char *peer, uint32_t index);

/* --allow has changed: where that concerns the stateless policy, which the lanes read, they end,
 * and the enclave dials them again. */
void enclave_policy_changed(struct enclave *enclave, const struct enclave_context *context);

/* The MTU or other settings have changed: sets the pair's MTU, tells the lanes, pushes the new
 * CONFIG over lane 0, if that runs. */
void enclave_settings_changed(struct enclave *enclave, const struct enclave_context *context);

/* Looks whether its pair is as it was set up, puts back what is not and says so; makes it anew if
 * it is gone. 0, or the negative errno of what could not be put back. */
int enclave_mend(struct enclave *enclave, const struct enclave_context *context);

/* context->ipv6_off has changed: the enclave gets other addresses when it dials again. */
void enclave_ipv6_changed(struct enclave *enclave, const struct enclave_context *context);

/* The CONFIG that this enclave gets, with so many lanes granted. */
void enclave_configure(struct enclave *enclave, const struct enclave_context *context,
                       unsigned lanes);

/* Starts a lane on a connected stream, which it owns from now on, also on failure. 0 or negative
 * errno. */
int enclave_lane_start(struct enclave *enclave, const struct enclave_context *context,
                       unsigned number, int stream_fd, uint32_t attempt);

/* Ends a running lane and releases its sockets. Returns why it ended (LANE_STOPPED if by us). */
enum lane_end enclave_lane_stop(struct enclave *enclave, unsigned number);
void enclave_stop_lanes(struct enclave *enclave);
bool enclave_has_lanes(const struct enclave *enclave); /* running ones */

/* Removes the pair and frees the record of an enclave without running lanes. */
void enclave_discard(struct enclave *enclave, const struct enclave_context *context);

/* Joins and logs the lanes that ended by themselves. */
void enclave_reap_lanes(struct enclave *enclave);

/* An object of a status answer. */
void enclave_report(struct enclave *enclave, struct json *json);

void enclave_print_stats(struct enclave *enclave, FILE *out);

#endif
