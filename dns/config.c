/* SPDX-License-Identifier: Apache-2.0 */
#include "dns/config.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

static bool address_is_any(const struct ip_addr *address)
{
    static const uint8_t zero[sizeof(address->bytes)];

    return memcmp(address->bytes, zero, sizeof(zero)) == 0;
}

static bool address_is_loopback(const struct ip_addr *address)
{
    static const uint8_t loopback6[16] = {[15] = 1};

    return address->version == 4 ? address->bytes[0] == 127
                                 : memcmp(address->bytes, loopback6, sizeof(loopback6)) == 0;
}

static bool parse_listen(const char *value, struct dns_listen *out, struct failure *failure)
{
    *out = (struct dns_listen){0};
    if (strncmp(value, "vsock:", 6) == 0 || strncmp(value, "unix:", 5) == 0) {
        out->is_link = true;
        return link_parse(value, &out->link, failure);
    }
    if (endpoint_parse(value, DNS_PORT, &out->address, &out->port))
        return true;
    return failure_set(failure, "is not ADDRESS[:PORT], [ADDRESS]:PORT, vsock:CID:PORT or "
                                "unix:PATH");
}

static bool set_listen(void *context, const char *value, struct failure *failure)
{
    struct dns_config *config = context;
    struct dns_listen listen;

    if (!parse_listen(value, &listen, failure))
        return false;
    if (config->listen_count == DNS_LISTENERS_MAX)
        return failure_set(failure, "is one too many (at most %d)", DNS_LISTENERS_MAX);
    config->listen[config->listen_count++] = listen;
    return true;
}

static void print_listen(const void *context, struct option_writer *writer)
{
    const struct dns_config *config = context;
    char text[DNS_LISTEN_TEXT_BYTES];

    for (unsigned i = 0; !config->listen_default && i < config->listen_count; i++)
        option_value(writer, "%s", dns_listen_format(&config->listen[i], text));
}

static bool set_upstream(void *context, const char *value, struct failure *failure)
{
    struct dns_config *config = context;
    struct upstream_spec spec;

    if (strcmp(value, "resolv-conf") == 0 || strncmp(value, "resolv-conf:/", 13) == 0) {
        config->upstream_file = value[11] == ':' ? value + 12 : "/etc/resolv.conf";
        return true;
    }
    if (!upstream_parse(value, &spec, failure))
        return false;
    if (config->upstream_count == UPSTREAMS_MAX)
        return failure_set(failure, "is one too many (at most %d)", UPSTREAMS_MAX);
    config->upstreams[config->upstream_count++] = spec;
    return true;
}

static void print_upstream(const void *context, struct option_writer *writer)
{
    const struct dns_config *config = context;
    char text[UPSTREAM_TEXT_BYTES];

    if (config->upstream_file != NULL)
        option_value(writer, "resolv-conf:%s", config->upstream_file);
    for (unsigned i = 0; i < config->upstream_count; i++)
        option_value(writer, "%s", upstream_format(&config->upstreams[i], text));
}

static const char *const fallback_names[] = {
    [DNS_FALLBACK_NONE] = "none",
    [DNS_FALLBACK_PLAIN] = "plain",
};
static_assert(sizeof(fallback_names) / sizeof(fallback_names[0]) == DNS_FALLBACK_COUNT, "names");

static bool set_fallback(void *context, const char *value, struct failure *failure)
{
    struct dns_config *config = context;

    for (unsigned i = 0; i < DNS_FALLBACK_COUNT; i++) {
        if (strcmp(value, fallback_names[i]) != 0)
            continue;
        config->fallback = (enum dns_fallback)i;
        return true;
    }
    return failure_set(failure, "is not none or plain");
}

static void print_fallback(const void *context, struct option_writer *writer)
{
    option_value(writer, "%s", fallback_names[((const struct dns_config *)context)->fallback]);
}

static bool set_host(void *context, const char *value, struct failure *failure)
{
    struct dns_config *config = context;

    if (config->host_count == DNS_HOSTS_MAX)
        return failure_set(failure, "is one too many (at most %d; use a hosts file)",
                           DNS_HOSTS_MAX);
    config->hosts[config->host_count++] = value;
    return true;
}

static void print_host(const void *context, struct option_writer *writer)
{
    const struct dns_config *config = context;

    for (unsigned i = 0; i < config->host_count; i++)
        option_value(writer, "%s", config->hosts[i]);
}

#define CACHE_BYTES_MIN (64ul << 10)
#define CACHE_BYTES_MAX (16ul << 30)

static bool set_cache(void *context, const char *value, struct failure *failure)
{
    struct dns_config *config = context;
    char digits[24];
    size_t length = strlen(value);
    unsigned shift = 0;
    unsigned long number;

    if (strcmp(value, "off") == 0) {
        config->cache_bytes = 0;
        return true;
    }
    if (length > 0 && strchr("kMG", value[length - 1]) != NULL)
        shift = value[--length] == 'k' ? 10 : value[length] == 'M' ? 20 : 30;
    snprintf(digits, sizeof(digits), "%.*s", (int)length, value);
    if (length >= sizeof(digits) || !option_number(digits, 1, CACHE_BYTES_MAX >> shift, &number) ||
        number << shift < CACHE_BYTES_MIN)
        return failure_set(failure, "is not a size from 64k to 16G, like 32M, and not off");
    config->cache_bytes = number << shift;
    return true;
}

static void print_cache(const void *context, struct option_writer *writer)
{
    size_t bytes = ((const struct dns_config *)context)->cache_bytes;

    if (bytes == 0)
        option_value(writer, "off");
    else if (bytes % 1024 == 0)
        option_value(writer, "%zuk", bytes / 1024);
    else
        option_value(writer, "%zu", bytes);
}

static bool set_stale(void *context, const char *value, struct failure *failure)
{
    struct dns_config *config = context;
    unsigned long number = 0;

    if (strcmp(value, "off") != 0 && !option_number(value, 1, DNS_MAX_TTL_S, &number))
        return failure_set(failure, "is not a number from 1 to %d, and not off", DNS_MAX_TTL_S);
    config->stale_seconds = (unsigned)number;
    return true;
}

static void print_stale(const void *context, struct option_writer *writer)
{
    unsigned seconds = ((const struct dns_config *)context)->stale_seconds;

    if (seconds == 0)
        option_value(writer, "off");
    else
        option_value(writer, "%u", seconds);
}

static_assert(offsetof(struct dns_config, common) == 0, "as daemon.h wants it");

#define CONFIG struct dns_config

const struct option_spec dns_options[] = {
    DAEMON_CONFIG_ROW(CONFIG, common),
    {"listen", "ADDRESS",
     "where to answer: ADDRESS[:PORT] over UDP and TCP, vsock:CID:PORT\n"
     "(CID or \"any\") or unix:PATH; may be repeated\n"
     "(default: 127.0.0.1 and [::1], port 53)",
     OPTION_IS_CALL(set_listen, print_listen)},
    {"upstream", "UPSTREAM",
     "whom to ask, in order of preference: tcp://ADDRESS[:PORT],\n"
     "tls://ADDRESS[:PORT]#NAME, vsock:CID:PORT, unix:PATH; may be\n"
     "repeated; or resolv-conf[:PATH] for the servers of a file like\n"
     "/etc/resolv.conf (default: what the parent offers)",
     OPTION_IS_CALL(set_upstream, print_upstream), .reload = true},
    {"fallback", "WORD",
     "none, or plain: behind upstreams that prove who they are\n"
     "(tls://, loopback, unix:) there may be others, which are\n"
     "asked when none of the first can be reached (default: none)",
     OPTION_IS_CALL(set_fallback, print_fallback), .reload = true},
    {"tls-only", NULL, "take no upstream but those of tls://", OPTION_IS_FLAG(CONFIG, tls_only),
     .reload = true},
    {"tls-ca", "PATH",
     "certificates that tls:// upstreams are checked against\n"
     "(default: the system's)",
     OPTION_IS_TEXT(CONFIG, tls_ca)},
    {"host", "NAME=ADDRESS", "answer this name with this address; may be repeated",
     OPTION_IS_CALL(set_host, print_host), .reload = true},
    {"hosts-file", "PATH", "names to answer from a hosts file, or none\n(default: /etc/hosts)",
     OPTION_IS_TEXT(CONFIG, hosts_file), .reload = true},
    {"cache", "SIZE", "memory for answers: 64k to 16G, or off (default: 32M)",
     OPTION_IS_CALL(set_cache, print_cache)},
    {"serve-stale", "SECONDS",
     "how long an expired answer may be used when no upstream\nanswers, or off (default: 86400)",
     OPTION_IS_CALL(set_stale, print_stale), .reload = true},
    {"negative-ttl", "SECONDS",
     "the longest that \"there is no such name\" is kept (default: 3600)",
     OPTION_IS_UNSIGNED(CONFIG, negative_seconds, 0, 86400), .reload = true},
    {"timeout", "SECONDS", "answer SERVFAIL after so long (default: 4)",
     OPTION_IS_UNSIGNED(CONFIG, timeout_seconds, 1, 60), .reload = true},
    {"queries", "NUMBER", "unanswered questions in all (default: 4096)",
     OPTION_IS_UNSIGNED(CONFIG, queries, 1, UPSTREAM_IN_FLIGHT_LIMIT)},
    {"client-limit", "NUMBER", "unanswered questions of one client address (default: 1024)",
     OPTION_IS_UNSIGNED(CONFIG, client_limit, 1, UPSTREAM_IN_FLIGHT_LIMIT)},
    {"tcp-clients", "NUMBER", "connections of clients at a time (default: 256)",
     OPTION_IS_UNSIGNED(CONFIG, stream_clients, 1, DNS_CLIENTS_MAX)},
    {"resolv-conf", "PATH",
     "point this file, usually /etc/resolv.conf, at this server;\nthe original comes back at the "
     "end",
     OPTION_IS_TEXT(CONFIG, resolv_conf)},
    {"docker-daemon-json", "PATH",
     "point \"dns\" of this file, usually /etc/docker/daemon.json,\nat this server; the original "
     "comes back at the end",
     OPTION_IS_TEXT(CONFIG, daemon_json)},
    {"resolvers-file", "PATH",
     "where causeway-enclave writes what the parent offers\n(default: " DNS_RESOLVERS_FILE ")",
     OPTION_IS_TEXT(CONFIG, resolvers_file), .reload = true},
    DAEMON_CONTROL_ROWS(CONFIG, common),
    DAEMON_SANDBOX_ROWS(CONFIG, common),
    DAEMON_CHECK_ROW(CONFIG, common),
    DAEMON_PRINT_ROWS(CONFIG, common),
    {.name = NULL},
};

static void listen_on_loopback(struct dns_config *config)
{
    config->listen_default = true;
    config->listen_count = 2;
    config->listen[0] = (struct dns_listen){.port = DNS_PORT};
    config->listen[1] = (struct dns_listen){.port = DNS_PORT};
    addr_parse("127.0.0.1", &config->listen[0].address);
    addr_parse("::1", &config->listen[1].address);
}

/* The first upstream that proves who it is, or the first that does not; NULL: there is none. */
static const struct upstream_spec *first_upstream(const struct dns_config *config,
                                                  bool authenticated)
{
    for (unsigned i = 0; i < config->upstream_count; i++)
        if (upstream_is_authenticated(&config->upstreams[i]) == authenticated)
            return &config->upstreams[i];
    return NULL;
}

/* Who can block the one kind of upstream could answer every name as the other. */
static bool is_mix(const struct dns_config *config, struct failure *failure)
{
    const struct upstream_spec *proved = first_upstream(config, true);
    const struct upstream_spec *plain = first_upstream(config, false);
    char proved_text[UPSTREAM_TEXT_BYTES], plain_text[UPSTREAM_TEXT_BYTES];

    if (proved == NULL || plain == NULL || config->fallback == DNS_FALLBACK_PLAIN)
        return false;
    failure_set(failure,
                "--upstream: %.200s proves who it is and %.200s does not, so whoever blocks the "
                "first answers every name; if that is meant, add --fallback plain",
                upstream_format(proved, proved_text), upstream_format(plain, plain_text));
    return true;
}

static bool breaks_tls_only(const struct dns_config *config, struct failure *failure)
{
    char text[UPSTREAM_TEXT_BYTES];

    if (!config->tls_only)
        return false;
    if (config->upstream_count == 0) {
        failure_set(failure, "--tls-only needs an --upstream of tls://");
        return true;
    }
    for (unsigned i = 0; i < config->upstream_count; i++)
        if (config->upstreams[i].kind != UPSTREAM_TLS) {
            failure_set(failure, "--upstream: %.200s is not tls://, and --tls-only is given",
                        upstream_format(&config->upstreams[i], text));
            return true;
        }
    return false;
}

/* What is wrong with options that are right one by one. */
static bool agree(const struct dns_config *config, struct failure *failure)
{
    struct ip_addr address;

    if (is_mix(config, failure) || breaks_tls_only(config, failure))
        return false;
    if (config->upstream_file != NULL && config->upstream_count > 0)
        failure_set(failure, "--upstream: resolv-conf stands alone or not at all");
    else if (config->upstream_file != NULL && config->resolv_conf != NULL &&
             strcmp(config->upstream_file, config->resolv_conf) == 0)
        failure_set(failure, "--resolv-conf would point this server at itself, as "
                             "--upstream is resolv-conf");
    else if (config->resolv_conf != NULL && !dns_config_local_address(config, &address))
        failure_set(failure, "--resolv-conf needs an address to listen on with port 53: "
                             "resolv.conf knows no other");
    else if (config->daemon_json != NULL && !dns_config_container_address(config, &address))
        failure_set(failure,
                    "--docker-daemon-json needs --listen with an address that containers reach on "
                    "port 53 (usually 172.17.0.1): Docker ignores loopback");
    else
        return true;
    return false;
}

enum options_result dns_config_read(void *context, int argc, char **argv, char *text,
                                    struct failure *failure)
{
    struct dns_config *config = context;

    *config = (struct dns_config){
        .hosts_file = "/etc/hosts",
        .cache_bytes = DNS_CACHE_BYTES,
        .stale_seconds = DNS_STALE_S,
        .negative_seconds = DNS_MAX_NEGATIVE_TTL_S,
        .timeout_seconds = 4,
        .client_limit = 1024,
        .queries = 4096,
        .stream_clients = 256,
        .resolvers_file = DNS_RESOLVERS_FILE,
        .common.control.path = DNS_CONTROL_PATH,
        .common.log_level = LOG_LEVEL_INFO,
    };
    enum options_result result = options_parse_again(
        dns_options, "causeway-dns", "DNS for a sealed enclave: UDP and TCP in, TCP out", argc,
        argv, text, config, failure);
    if (config->listen_count == 0)
        listen_on_loopback(config);
    if (result == OPTIONS_OK && !agree(config, failure))
        return OPTIONS_INVALID;
    return result;
}

const char *dns_listen_format(const struct dns_listen *listen, char *out)
{
    return listen->is_link ? link_format(&listen->link, out)
                           : endpoint_format(&listen->address, listen->port, out);
}

static bool is_local(const struct ip_addr *address)
{
    return address_is_loopback(address) || address_is_any(address);
}

bool dns_config_local_address(const struct dns_config *config, struct ip_addr *out)
{
    const struct dns_listen *found = NULL;

    for (unsigned i = 0; i < config->listen_count; i++) {
        const struct dns_listen *listen = &config->listen[i];
        if (listen->is_link || listen->port != DNS_PORT)
            continue;
        if (found == NULL || (is_local(&listen->address) && !is_local(&found->address)))
            found = listen;
    }
    if (found == NULL)
        return false;
    *out = found->address;
    if (address_is_any(out))
        addr_parse(out->version == 4 ? "127.0.0.1" : "::1", out);
    return true;
}

bool dns_config_container_address(const struct dns_config *config, struct ip_addr *out)
{
    for (unsigned i = 0; i < config->listen_count; i++) {
        const struct dns_listen *listen = &config->listen[i];
        if (listen->is_link || listen->port != DNS_PORT || is_local(&listen->address))
            continue;
        *out = listen->address;
        return true;
    }
    return false;
}
