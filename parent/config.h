/* SPDX-License-Identifier: Apache-2.0 */
/* The parent daemon's configuration: which enclaves, which addresses, what is open. */
#ifndef CAUSEWAY_PARENT_CONFIG_H
#define CAUSEWAY_PARENT_CONFIG_H

#include <net/if.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>
#include <stdint.h>

#include "packet/frame.h"
#include "packet/policy.h"
#include "runtime/base/daemon.h"
#include "runtime/base/link.h"
#include "runtime/host/rules.h"

#define PARENT_ENCLAVES_MAX 64
#define PARENT_PUBLISH_MAX  256
#define PARENT_NAME_BYTES   64

#define PARENT_CONTROL_PATH CONTROL_DIRECTORY "/parent.sock"

/* One --enclave: who may connect, and where. */
struct enclave_entry {
    struct link_addr link; /* vsock: the enclave's CID (or any) and the port it dials */
    char name[PARENT_NAME_BYTES];
    bool named;             /* by name=; else the name was made up here */
    struct ip_addr address; /* "none": chosen from the pool */
    bool owned;             /* unix: by owner=; else the file stays ours */
    uid_t owner;            /* who may connect */
    uint32_t index;         /* 0 for vsock:any, which gives indexes out as enclaves come */
};

struct publish_entry {
    char enclave[PARENT_NAME_BYTES]; /* empty: the only one */
    struct ip_addr listen;           /* "none": every local address of the enclave's families */
    const char *protocol;            /* "tcp" or "udp" */
    uint16_t first, last, to_first;
    bool force; /* also what a program of this host listens on */
};

struct parent_config {
    struct daemon_options common; /* values point into its file */
    unsigned enclave_count;
    struct enclave_entry enclaves[PARENT_ENCLAVES_MAX];
    unsigned publish_count;
    struct publish_entry publish[PARENT_PUBLISH_MAX];
    struct ip_prefix pool4, pool6; /* addr "none": the family is off */
    bool routed4, routed6;         /* pool is routed to this host: no masquerade */
    struct prefix_table allow;
    uint16_t nat_first, nat_last; /* source ports of what is masqueraded */
    unsigned connections;         /* of each enclave; 0: a share of the kernel's table */
    unsigned dns_count;
    struct ip_addr dns[WIRE_MAX_DNS];
    const char *uplink; /* NULL: follow the default routes */
    unsigned lanes_max;
    unsigned dead_seconds;
    unsigned write_max; /* LINK_WRITE_AUTOMATIC: by the kind of link */
    enum rules_backend firewall;

    /* Found on the host, not configured. */
    struct prefix_table connected;       /* networks of the host's own devices */
    bool forwards_only4, forwards_only6; /* forwarding was off: it is for enclaves alone */
};

/* Reads and cross-checks the command line into *config, a struct parent_config: every enclave has
 * its index, every published port its enclave. text is NULL, or the configuration file's present
 * text, from malloc(), for a daemon that can no longer open it. The text is config's afterwards,
 * whatever the result. */
enum options_result parent_config_read(void *config, int argc, char **argv, char *text,
                                       struct failure *failure);

/* Which parts of the kernel it uses: enum kernel_use bits. */
unsigned parent_config_uses(const struct parent_config *config);

/* The table behind it, for options_print() and options_compare(). */
extern const struct option_spec parent_options[];

/* How messages call a peer: "web (vsock:16:5005)", or without a name= the peer alone. Into
 * out[PARENT_LABEL_BYTES]; returns out. */
#define PARENT_LABEL_BYTES (PARENT_NAME_BYTES + LINK_TEXT_BYTES + 4)
const char *parent_config_label(const struct enclave_entry *entry, const char *peer, char *out);

/* Finds an enclave by name; NULL if there is none. An empty name is the only enclave. */
const struct enclave_entry *parent_config_find(const struct parent_config *config,
                                               const char *name);

#endif
