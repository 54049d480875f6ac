/* SPDX-License-Identifier: Apache-2.0 */
/* The configuration of causeway-dns: what stands on its command line. */
#ifndef CAUSEWAY_DNS_CONFIG_H
#define CAUSEWAY_DNS_CONFIG_H

#include <stdbool.h>
#include <stddef.h>

#include "dns/upstream/stats.h"
#include "packet/addr.h"
#include "runtime/base/daemon.h"
#include "runtime/base/endpoint.h"
#include "runtime/base/link.h"

#define DNS_PORT               53
#define DNS_LISTENERS_MAX      16
#define DNS_HOSTS_MAX          256 /* --host */
#define DNS_CLIENTS_MAX        8192
#define DNS_CACHE_BYTES        (32u << 20)
#define DNS_STALE_S            86400 /* RFC 8767 5: "between 1 and 3 days" */
#define DNS_MAX_NEGATIVE_TTL_S 3600  /* RFC 2308 5: "one to three hours have been found to work" */
#define DNS_RESOLVERS_FILE     "/run/causeway/resolvers"
#define DNS_CONTROL_PATH       CONTROL_DIRECTORY "/dns.sock"

/* Where to listen: an address for UDP and TCP, or a link that streams come over. */
struct dns_listen {
    bool is_link;
    struct ip_addr address;
    uint16_t port;
    struct link_addr link;
};
#define DNS_LISTEN_TEXT_BYTES (LINK_TEXT_BYTES + ENDPOINT_TEXT_BYTES)

/* Whether upstreams that prove who they are may have others behind them. */
enum dns_fallback { DNS_FALLBACK_NONE, DNS_FALLBACK_PLAIN, DNS_FALLBACK_COUNT };

struct dns_config {
    struct daemon_options common; /* values point into its file */
    struct dns_listen listen[DNS_LISTENERS_MAX];
    unsigned listen_count;
    bool listen_default; /* none was given: [::1] may be missing */
    struct upstream_spec upstreams[UPSTREAMS_MAX];
    unsigned upstream_count;
    const char *upstream_file; /* --upstream resolv-conf: its path; NULL: not given */
    enum dns_fallback fallback;
    bool tls_only;
    const char *tls_ca; /* NULL: the system's */
    const char *hosts[DNS_HOSTS_MAX];
    unsigned host_count;
    const char *hosts_file;    /* "none": do not read one */
    size_t cache_bytes;        /* 0: no cache */
    unsigned stale_seconds;    /* 0: never serve what has expired */
    unsigned negative_seconds; /* longest that a denial is kept */
    unsigned timeout_seconds;
    unsigned client_limit;   /* unanswered questions of one client */
    unsigned queries;        /* unanswered questions in all */
    unsigned stream_clients; /* connections of clients */
    const char *resolv_conf; /* NULL: leave it alone */
    const char *daemon_json; /* NULL: leave it alone */
    const char *resolvers_file;
};

extern const struct option_spec dns_options[];

/* Reads the command line into *config, a struct dns_config, defaults first. text as
 * options_parse_again(): NULL, or the configuration file's, for a daemon that may no longer open
 * it. */
enum options_result dns_config_read(void *config, int argc, char **argv, char *text,
                                    struct failure *failure);

/* "127.0.0.1:53", "[::1]:53", "vsock:any:5353"; returns out[DNS_LISTEN_TEXT_BYTES]. */
const char *dns_listen_format(const struct dns_listen *listen, char *out);

/*
 * The address under which others reach us on port 53: the first that qualifies. For this machine's
 * resolv.conf any will do, loopback first, and a wildcard means loopback; for containers it must be
 * one that is theirs to reach. False if there is none.
 */
bool dns_config_local_address(const struct dns_config *config, struct ip_addr *out);
bool dns_config_container_address(const struct dns_config *config, struct ip_addr *out);

#endif
