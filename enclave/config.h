/* SPDX-License-Identifier: Apache-2.0 */
/* The enclave daemon's own configuration. It wins over whatever the parent says. */
#ifndef CAUSEWAY_ENCLAVE_CONFIG_H
#define CAUSEWAY_ENCLAVE_CONFIG_H

#include <stdbool.h>
#include <stddef.h>

#include "packet/frame.h"
#include "packet/policy.h"
#include "runtime/base/daemon.h"
#include "runtime/base/link.h"
#include "runtime/host/rules.h"

#define ENCLAVE_CONTROL_PATH CONTROL_DIRECTORY "/enclave.sock"

enum capture_choice { CAPTURE_AUTO, CAPTURE_NFQUEUE, CAPTURE_PACKET };

struct enclave_config {
    struct daemon_options common; /* values point into its file */
    bool has_link;
    struct link_addr link;
    unsigned lanes; /* wanted: 1..WIRE_MAX_LANES */
    enum capture_choice capture;
    struct ip_prefix pinned4, pinned6; /* addr "none": a local address that the parent grants */
    unsigned mtu_max;
    struct prefix_table inside; /* container subnets: never a source of packets from the parent */
    unsigned queue_base;
    unsigned queue_length;
    unsigned dead_seconds;
    unsigned write_max; /* LINK_WRITE_AUTOMATIC: by the kind of link */
    enum rules_backend firewall;
    const char *resolvers_file; /* where offered resolvers are written down; NULL: nowhere */
};

/* Reads the command line into *config, a struct enclave_config, defaults first. text is NULL, or
 * the configuration file's present text, from malloc(), for a daemon that can no longer open it.
 * The text is config's afterwards, whatever the result. */
enum options_result enclave_config_read(void *config, int argc, char **argv, char *text,
                                        struct failure *failure);

/* The table behind it, for options_print() and options_compare(). */
extern const struct option_spec enclave_options[];

/* Which parts of the kernel it uses: enum kernel_use bits. */
unsigned enclave_config_uses(const struct enclave_config *config);

/*
 * Is the parent's CONFIG acceptable? The parent is not trusted: addresses must be ordinary unicast
 * ones, must lie where they are pinned or else be local ones, and must not fall into a container
 * subnet nor into a network that this machine is in already (connected). Limits config->mtu to
 * ours and leaves out resolvers that are no ordinary hosts. False with a reason.
 */
bool enclave_config_accept(const struct enclave_config *own, const struct prefix_table *connected,
                           struct wire_config *offered, struct failure *failure);

#endif
