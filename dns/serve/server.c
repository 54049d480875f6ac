/* SPDX-License-Identifier: Apache-2.0 */
#include "dns/serve/server.h"

#include <errno.h>
#include <limits.h>
#include <string.h>
#include <sys/capability.h>
#include <sys/resource.h>

#include <seccomp.h>

#include "runtime/base/clock.h"

#define OTHER_FILES 64 /* open besides the clients' connections: listeners, upstreams, the loop */

/* By subject: datagrams in batches; files that are followed; what OpenSSL asks about the process.
 */
static const int sandbox_calls[] = {
    SCMP_SYS(recvmmsg),
    SCMP_SYS(sendmmsg),
    SCMP_SYS(inotify_init1),
    SCMP_SYS(inotify_add_watch),
    SCMP_SYS(inotify_rm_watch),
    SCMP_SYS(pread64),
    SCMP_SYS(readv),
    SCMP_SYS(access),
    SCMP_SYS(faccessat2),
    SCMP_SYS(stat),
    SCMP_SYS(getdents64),
    SCMP_SYS(getuid),
    SCMP_SYS(geteuid),
    SCMP_SYS(getgid),
    SCMP_SYS(getegid),
    SCMP_SYS(uname),
    SCMP_SYS(sysinfo),
};
/* Files of the host as they were: in anybody's folder, with their owner. */
static const int helper_capabilities[] = {CAP_DAC_OVERRIDE, CAP_CHOWN, CAP_FOWNER};

const struct sandbox_profile dns_server_sandbox = {
    .calls = sandbox_calls,
    .call_count = sizeof(sandbox_calls) / sizeof(sandbox_calls[0]),
    .files_read_only = true,
    .files_everywhere = true, /* those that are followed, and whatever a reload names */
    .network = true,
    .helper_capabilities = helper_capabilities,
    .helper_capability_count = sizeof(helper_capabilities) / sizeof(helper_capabilities[0]),
};

/* ---- opening ---- */

static bool allow_files(const struct dns_config *config, struct failure *failure)
{
    struct rlimit limit;
    rlim_t needed = config->stream_clients + OTHER_FILES;

    if (getrlimit(RLIMIT_NOFILE, &limit) < 0 || limit.rlim_cur >= needed)
        return true;
    limit.rlim_cur = needed;
    if (limit.rlim_max >= needed && setrlimit(RLIMIT_NOFILE, &limit) == 0)
        return true;
    return failure_set(failure,
                       "--tcp-clients %u needs %lu open files, but this process may have "
                       "only %lu",
                       config->stream_clients, (unsigned long)needed,
                       (unsigned long)limit.rlim_max);
}

static struct dns_local *make_local(const struct dns_config *config, struct failure *failure)
{
    bool has_file = strcmp(config->hosts_file, "none") != 0;
    struct dns_local *local = dns_local_create(has_file ? config->hosts_file : NULL);
    struct failure reason;

    if (local == NULL)
        failure_set(failure, "no memory for local names");
    for (unsigned i = 0; local != NULL && i < config->host_count; i++) {
        if (dns_local_add(local, config->hosts[i], &reason))
            continue;
        failure_set(failure, "--host: '%.200s' %s", config->hosts[i], reason.text);
        dns_local_free(local);
        return NULL;
    }
    return local;
}

static bool make_resolver(struct dns_server *server, struct failure *failure)
{
    const struct dns_config *config = server->config;
    struct resolver_config resolver = {
        .queries = config->queries,
        .client_limit = config->client_limit,
        .negative_s = config->negative_seconds,
        .timeout_ms = config->timeout_seconds * 1000,
        .keepalive_100ms = STREAM_IDLE_MS / 100,
        .counters = &server->counters,
    };

    if (config->cache_bytes > 0) {
        server->cache = dns_cache_create(config->cache_bytes, config->stale_seconds);
        if (server->cache == NULL)
            return failure_set(failure, "no memory for a cache of %zu bytes", config->cache_bytes);
    }
    server->local = make_local(config, failure);
    if (server->local == NULL)
        return false;
    resolver.cache = server->cache;
    resolver.local = server->local;
    server->resolver = resolver_create(&resolver);
    if (server->resolver != NULL)
        return true;
    return failure_set(failure, "no memory for %u queries", config->queries);
}

static bool has_tls(const struct dns_config *config)
{
    for (unsigned i = 0; i < config->upstream_count; i++)
        if (config->upstreams[i].kind == UPSTREAM_TLS)
            return true;
    return false;
}

static bool make_upstreams(struct dns_server *server, struct failure *failure)
{
    const struct dns_config *config = server->config;
    struct upstreams_config upstreams = {
        .count = config->upstream_count,
        .tls_ca = config->tls_ca,
        .in_flight_max = config->queries,
        .idle_ms = UPSTREAM_IDLE_MS,
        .attempt_ms = UPSTREAM_ATTEMPT_MS,
        .hedge_ms = UPSTREAM_HEDGE_MS,
        .done = resolver_done,
        .context = server->resolver,
    };

    /* For what they need of the host; they are put in place by find_upstreams(). */
    memcpy(upstreams.specs, config->upstreams, sizeof(upstreams.specs));
    server->upstreams = upstreams_create(server->loop, &upstreams, failure);
    if (server->upstreams == NULL)
        return false;
    server->has_tls = has_tls(config);
    resolver_use(server->resolver, server->upstreams);
    return true;
}

static void upstreams_changed(void *context, const struct upstream_spec *specs, unsigned count)
{
    struct dns_server *server = context;

    upstreams_replace(server->upstreams, specs, count);
}

/* The file that upstreams come from; NULL: they are pinned. */
static const char *path_to_follow(const struct dns_config *config)
{
    if (config->upstream_count > 0)
        return NULL;
    return config->upstream_file != NULL ? config->upstream_file : config->resolvers_file;
}

static struct follow *follow_file(struct dns_server *server, const char *path,
                                  struct failure *failure)
{
    const struct dns_config *config = server->config;
    struct ip_addr own[DNS_LISTENERS_MAX];
    struct follow_config follow = {
        .path = path,
        .own = own,
        .changed = upstreams_changed,
        .context = server,
    };

    for (unsigned i = 0; i < config->listen_count; i++)
        if (!config->listen[i].is_link && config->listen[i].port == DNS_PORT)
            own[follow.own_count++] = config->listen[i].address;
    return follow_open(server->loop, &follow, failure);
}

/* Without pinned upstreams they come from a file, and change with it. */
static bool find_upstreams(struct dns_server *server, const struct dns_config *config,
                           struct failure *failure)
{
    const char *path = path_to_follow(config);
    const struct upstream_spec *specs = config->upstreams;
    unsigned count = config->upstream_count;
    struct follow *follow = NULL;

    if (path != NULL) {
        follow = follow_file(server, path, failure);
        if (follow == NULL)
            return false;
        count = follow_servers(follow, &specs);
    }
    follow_close(server->follow);
    server->follow = follow;
    upstreams_replace(server->upstreams, specs, count);
    return true;
}

/* One address for both transports. 0 or negative errno. */
static int listen_at(struct dns_server *server, const struct dns_listen *where, bool *foreign)
{
    int result = streams_listen(server->streams, where, foreign);

    if (result < 0 || where->is_link)
        return result;
    struct listen_udp *made = listen_udp_open(server->loop, server->resolver, &server->counters,
                                              &where->address, where->port, foreign, &result);
    if (made != NULL)
        server->datagrams[server->datagram_count++] = made;
    return result;
}

static bool make_listeners(struct dns_server *server, struct failure *failure)
{
    const struct dns_config *config = server->config;
    struct streams_config streams = {server->loop, server->resolver, &server->counters,
                                     config->stream_clients, config->client_limit};
    char text[DNS_LISTEN_TEXT_BYTES];

    server->streams = streams_create(&streams);
    if (server->streams == NULL)
        return failure_set(failure, "no memory for %u clients", config->stream_clients);
    for (unsigned i = 0; i < config->listen_count; i++) {
        bool foreign = false, missing_is_fine = config->listen_default && i > 0;
        int result = listen_at(server, &config->listen[i], missing_is_fine ? NULL : &foreign);
        dns_listen_format(&config->listen[i], text);
        server->listening[i] = result == 0;
        if (result == -EADDRNOTAVAIL || (result == -EAFNOSUPPORT && missing_is_fine)) {
            log_info("%s is not an address of this machine: not listening there", text);
        } else if (result < 0) {
            return failure_set(failure, "cannot listen on %s: %s", text, strerror(-result));
        } else if (foreign) {
            log_info("%s is not an address of this machine yet: listening for when it is", text);
        } else {
            log_info("listening on %s", text);
        }
    }
    return true;
}

bool dns_server_open(struct dns_server *server, const struct dns_config *config,
                     struct event_loop *loop, struct failure *failure)
{
    *server = (struct dns_server){.config = config, .loop = loop};
    return allow_files(config, failure) && make_resolver(server, failure) &&
           make_upstreams(server, failure) && find_upstreams(server, config, failure) &&
           make_listeners(server, failure);
}

void dns_server_close(struct dns_server *server)
{
    for (unsigned i = 0; i < server->datagram_count; i++)
        listen_udp_close(server->datagrams[i]);
    if (server->streams != NULL)
        streams_free(server->streams);
    follow_close(server->follow);
    upstreams_free(server->upstreams);
    resolver_free(server->resolver);
    if (server->cache != NULL)
        dns_cache_free(server->cache);
    if (server->local != NULL)
        dns_local_free(server->local);
}

/* ---- changing ---- */

static bool follows_still(const struct dns_server *server, const struct dns_config *fresh)
{
    const char *path = path_to_follow(fresh);

    return path != NULL && server->follow != NULL && strcmp(path, follow_path(server->follow)) == 0;
}

bool dns_server_change(struct dns_server *server, const struct dns_config *fresh,
                       struct failure *failure)
{
    if (has_tls(fresh) && !server->has_tls)
        return failure_set(
            failure, "--upstream: the first one of tls:// needs a restart, to load certificates");
    struct dns_local *local = make_local(fresh, failure);
    if (local == NULL)
        return false;
    if (!follows_still(server, fresh) && !find_upstreams(server, fresh, failure)) {
        dns_local_free(local);
        return false;
    }
    resolver_change(server->resolver, local, fresh->timeout_seconds * 1000,
                    fresh->negative_seconds);
    dns_local_free(server->local);
    server->local = local;
    if (server->cache != NULL)
        dns_cache_set_stale(server->cache, fresh->stale_seconds);
    return true;
}

void dns_server_flush(struct dns_server *server)
{
    server->counters.flushes++;
    dns_local_refresh(server->local);
    resolver_flush(server->resolver);
    if (server->cache != NULL)
        dns_cache_flush(server->cache);
    log_info("the cache is empty now");
}

/* ---- running ---- */

static int follow_wait(const struct dns_server *server, uint64_t now_ms)
{
    return server->follow != NULL ? follow_timeout(server->follow, now_ms) : -1;
}

int dns_server_turn(struct dns_server *server, int at_most_ms)
{
    uint64_t now_ms = clock_ms();
    int timeout_ms = event_sooner(at_most_ms, follow_wait(server, now_ms));

    timeout_ms = event_sooner(timeout_ms, upstreams_timeout(server->upstreams, now_ms));
    timeout_ms = event_sooner(timeout_ms, resolver_timeout(server->resolver, now_ms));
    timeout_ms = event_sooner(timeout_ms, streams_timeout(server->streams, now_ms));
    int result = event_wait(server->loop, timeout_ms);

    now_ms = clock_ms();
    if (server->follow != NULL)
        follow_tick(server->follow, now_ms);
    if (upstreams_timeout(server->upstreams, now_ms) == 0)
        upstreams_tick(server->upstreams, now_ms);
    resolver_tick(server->resolver, now_ms);
    streams_tick(server->streams, now_ms);
    streams_flush(server->streams);
    for (unsigned i = 0; i < server->datagram_count; i++)
        listen_udp_flush(server->datagrams[i]);
    return result;
}
