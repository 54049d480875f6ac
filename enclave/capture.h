/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How packets get from cw1 to the lanes: NFQUEUE (with the tc program for segment sizes and lanes)
 * or AF_PACKET. Everything privileged is opened here once, for as many sources as lanes were asked
 * for; when the parent grants fewer lanes, a lane serves several sources.
 */
#ifndef CAUSEWAY_ENCLAVE_CAPTURE_H
#define CAUSEWAY_ENCLAVE_CAPTURE_H

#include "runtime/base/failure.h"
#include "enclave/config.h"
#include "enclave/device.h"
#include "runtime/lane/lane.h"

struct capture {
    enum capture_choice used; /* never CAPTURE_AUTO */
    bool tagged;              /* the tc program is in place: GSO, lanes by flow, fragments apart */
    int filter;               /* the tc program, -1 without one */
    enum rules_backend firewall; /* NFQUEUE: the tool that holds the rules */
    unsigned source_count;
    struct lane_source sources[LANE_SOURCES_MAX];
    uint64_t lost[LANE_SOURCES_MAX]; /* AF_PACKET: packets lost so far */
};

/* The rule set that brings packets to the queues. */
extern const struct rules_set capture_rules;
struct rules_values *capture_rules_values(const struct enclave_config *config, bool tagged);

/* Chooses and opens. */
bool capture_open(struct capture *capture, const struct enclave_config *config,
                  const struct device *device, struct failure *failure);

/* The pair was made anew: opens the packet sockets on it; the lanes are stopped. The tc program is
 * for capture_put_filter_back(). 0 or negative errno. */
int capture_reopen(struct capture *capture, const struct enclave_config *config,
                   const struct device *device);

/* Is the tc program gone that belongs at cw1? */
bool capture_lacks_filter(const struct capture *capture, struct device *device);
/* Puts it there again: CAP_NET_ADMIN is enough. >= 0 or negative errno. */
int capture_put_filter_back(const struct capture *capture, struct device *device);

/* Gives lane number `lane` of `lanes` its sources. */
void capture_assign(const struct capture *capture, unsigned lane, unsigned lanes,
                    struct lane_options *options);

/* Packets the kernel dropped before the lane read them. */
uint64_t capture_lost(struct capture *capture, unsigned lane, unsigned lanes);

/* Packets (NFQUEUE) and bytes that wait in the kernel for the lane. */
struct capture_depth {
    uint64_t packets, bytes;
};
struct capture_depth capture_depth(const struct capture *capture, unsigned lane, unsigned lanes);

/* Text for logs: "nfqueue with GSO", ... */
const char *capture_name(const struct capture *capture);

#endif
