/* SPDX-License-Identifier: Apache-2.0 */
#include "parent/session.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <linux/vm_sockets.h>

#include "runtime/base/clock.h"
#include "runtime/lane/report.h"

#define HANDSHAKE_TIMEOUT_MS 5000
#define ACCEPT_PAUSE_MS      1000 /* after EMFILE and the like */

/* ---- answers ---- */

static bool send_frame(int fd, const uint8_t *frame, size_t length)
{
    /* A fresh stream takes these few bytes at once, or its peer is up to something. */
    return send(fd, frame, length, MSG_NOSIGNAL | MSG_DONTWAIT) == (ssize_t)length;
}

static void send_reject(struct server *server, int fd, enum wire_reject_reason reason)
{
    uint8_t frame[FRAME_HEADER_BYTES + FRAME_CONTROL_MAX];

    server->rejected++;
    send_frame(fd, frame, wire_put_reject(frame, reason));
}

/* Takes the stream out of the pending table; it is the caller's then. */
static int pending_release(struct pending *pending)
{
    event_remove(pending->server->loop, &pending->source);
    pending->entry = NULL;
    return pending->source.fd;
}

static void pending_reject(struct pending *pending, enum wire_reject_reason reason)
{
    struct server *server = pending->server;
    int fd = pending_release(pending);

    log_limited(&server->handshake_log, LOG_LEVEL_WARNING, "%s: rejected: %s", pending->label,
                wire_reject_name(reason));
    send_reject(server, fd, reason);
    close(fd);
}

static void pending_fail(struct pending *pending, const char *why)
{
    struct server *server = pending->server;

    server->bad_handshakes++;
    log_limited(&server->handshake_log, LOG_LEVEL_WARNING, "%s: handshake failed: %s",
                pending->label, why);
    close(pending_release(pending));
}

/* ---- which enclave ---- */

static struct enclave *find_enclave(struct server *server, const char *peer)
{
    for (unsigned i = 0; i < PARENT_ENCLAVES_MAX; i++)
        if (server->enclaves[i].used && strcmp(server->enclaves[i].peer, peer) == 0)
            return &server->enclaves[i];
    return NULL;
}

static bool index_free(const struct server *server, uint32_t index)
{
    if (parent_config_index_taken(server->context.config, index))
        return false;
    for (unsigned i = 0; i < PARENT_ENCLAVES_MAX; i++)
        if (server->enclaves[i].used && server->enclaves[i].index == index)
            return false;
    return true;
}

/* For vsock:any: the CID as index if that is free, else the first free one. */
static uint32_t dynamic_index(const struct server *server, uint32_t cid)
{
    uint32_t end = parent_config_index_end(server->context.config);

    if (cid >= INDEX_FIRST && cid < end && index_free(server, cid))
        return cid;
    for (uint32_t index = INDEX_FIRST; index < end; index++)
        if (index_free(server, index))
            return index;
    return 0;
}

/*
 * A record that was never used, else one of an enclave that came under vsock:any and is gone: a
 * parent that sees many short-lived CIDs must not run out. Configured enclaves keep theirs.
 */
static struct enclave *free_enclave(struct server *server)
{
    for (unsigned i = 0; i < PARENT_ENCLAVES_MAX; i++)
        if (!server->enclaves[i].used)
            return &server->enclaves[i];
    for (unsigned i = 0; i < PARENT_ENCLAVES_MAX; i++) {
        struct enclave *enclave = &server->enclaves[i];
        if (parent_config_index_taken(server->context.config, enclave->index) ||
            enclave_has_lanes(enclave))
            continue;
        log_info("%s: gone, its addresses are free again", enclave->label);
        enclave_discard(enclave, &server->context);
        return enclave;
    }
    return NULL;
}

/* The peer's record, made if it is the first time that it comes. NULL: no address or record left.
 */
static struct enclave *get_enclave(struct server *server, const struct pending *pending)
{
    struct enclave *enclave = find_enclave(server, pending->peer);

    if (enclave != NULL)
        return enclave;
    enclave = free_enclave(server);
    uint32_t index =
        pending->entry->index ? pending->entry->index : dynamic_index(server, pending->cid);
    if (enclave == NULL || index == 0)
        return NULL;
    enclave_init(enclave, &server->context, pending->entry, pending->peer, index);
    return enclave;
}

/* ---- HELLO ---- */

/* Grants a fresh session, ending the peer's former one. False: rejected. */
static bool begin_session(struct pending *pending, struct enclave *enclave,
                          const struct wire_hello *hello)
{
    struct server *server = pending->server;
    unsigned lanes = hello->lanes < server->context.config->lanes_max
                         ? hello->lanes
                         : server->context.config->lanes_max;

    if (enclave->session != hello->session || enclave->config.lanes != lanes)
        enclave_stop_lanes(enclave);
    enclave->mtu_max = hello->mtu != 0 ? hello->mtu : PACKET_MAX_BYTES;
    int error = enclave_device_ready(enclave, &server->context);
    if (error < 0) {
        log_error("%s: cannot set up %s: %s", enclave->label, enclave->device, strerror(-error));
        pending_reject(pending, WIRE_REJECT_INTERNAL);
        return false;
    }
    enclave->session = hello->session;
    enclave_configure(enclave, &server->context, lanes);
    return true;
}

static bool lane_acceptable(struct pending *pending, struct enclave *enclave,
                            const struct wire_hello *hello)
{
    const struct parent_lane *lane = &enclave->lanes[hello->lane];

    if (hello->lane != 0 && (enclave->session != hello->session || enclave->device_index == 0)) {
        pending_reject(pending, WIRE_REJECT_SESSION);
        return false;
    }
    if ((hello->lane != 0 && hello->lane >= enclave->config.lanes) ||
        (lane->running && enclave->session == hello->session && hello->attempt <= lane->attempt)) {
        pending_reject(pending, WIRE_REJECT_LANE);
        return false;
    }
    return true;
}

static void accept_lane(struct pending *pending, struct enclave *enclave,
                        const struct wire_hello *hello)
{
    struct server *server = pending->server;
    uint8_t frame[FRAME_HEADER_BYTES + FRAME_CONTROL_MAX];
    char address4[ADDR_TEXT_BYTES], address6[ADDR_TEXT_BYTES];

    enclave_lane_stop(enclave, hello->lane); /* an earlier attempt at the same lane */
    if (!send_frame(pending->source.fd, frame, wire_put_config(frame, &enclave->config))) {
        pending_fail(pending, "the stream takes no answer");
        return;
    }
    int fd = pending_release(pending);
    int error = enclave_lane_start(enclave, &server->context, hello->lane, fd, hello->attempt);
    if (error < 0) {
        log_error("%s lane %u: cannot start: %s", enclave->label, hello->lane, strerror(-error));
        return;
    }
    log_limited(&enclave->log, LOG_LEVEL_INFO, "%s lane %u of %u: up, addresses %s and %s on %s",
                enclave->label, hello->lane, enclave->config.lanes,
                addr_format(&enclave->policy.own4, address4),
                addr_format(&enclave->policy.own6, address6), enclave->device);
}

static void handle_hello(struct pending *pending)
{
    const struct frame_reader *reader = &pending->reader;
    struct wire_hello hello;

    if (reader->header.type != FRAME_HELLO) {
        pending_fail(pending, "no HELLO");
        return;
    }
    enum wire_error error =
        wire_get_hello(frame_reader_payload(reader), reader->header.length, &hello);
    if (error == WIRE_VERSION_BAD) {
        pending_reject(pending, WIRE_REJECT_VERSION);
        return;
    }
    if (error != WIRE_OK) {
        pending_fail(pending, wire_error_name(error));
        return;
    }
    struct enclave *enclave = get_enclave(pending->server, pending);
    if (enclave == NULL) {
        pending_reject(pending, WIRE_REJECT_FULL);
        return;
    }
    if (!lane_acceptable(pending, enclave, &hello))
        return;
    if (hello.lane == 0 && !begin_session(pending, enclave, &hello))
        return;
    accept_lane(pending, enclave, &hello);
}

static void pending_ready(void *context, uint32_t events)
{
    struct pending *pending = context;
    int result = frame_reader_read(&pending->reader, pending->source.fd);

    (void)events;
    if (result == 1)
        handle_hello(pending);
    else if (result < 0)
        pending_fail(pending, result == -EPROTO ? "not this protocol" : strerror(-result));
}

/* ---- accept ---- */

static const struct enclave_entry *entry_for_cid(const struct server *server, uint32_t port,
                                                 uint32_t cid)
{
    const struct parent_config *config = server->context.config;
    const struct enclave_entry *any = NULL;

    for (unsigned i = 0; i < config->enclave_count; i++) {
        const struct enclave_entry *entry = &config->enclaves[i];
        if (entry->link.kind != LINK_VSOCK || entry->link.port != port)
            continue;
        if (entry->link.cid == cid)
            return entry;
        if (entry->link.cid == VMADDR_CID_ANY)
            any = entry;
    }
    /* The hypervisor, this machine itself, the host: no enclaves, unless they are named. */
    return cid > VMADDR_CID_HOST ? any : NULL;
}

static struct pending *free_pending(struct server *server, const char *peer)
{
    struct pending *found = NULL;
    unsigned of_peer = 0;

    for (unsigned i = 0; i < PENDING_MAX; i++) {
        struct pending *pending = &server->pending[i];
        if (pending->entry == NULL)
            found = pending;
        else if (strcmp(pending->peer, peer) == 0)
            of_peer++;
    }
    return of_peer < PENDING_PER_PEER ? found : NULL;
}

static void take_connection(struct listener *listener, int fd, uint32_t cid)
{
    struct server *server = listener->server;
    struct link_addr from = listener->link;
    char peer[LINK_TEXT_BYTES];

    from.cid = cid;
    link_format(&from, peer);
    const struct enclave_entry *entry =
        listener->entry ? listener->entry : entry_for_cid(server, from.port, cid);
    struct pending *pending = entry != NULL ? free_pending(server, peer) : NULL;
    if (pending == NULL) {
        server->refused_peers++;
        log_limited(&server->accept_log, LOG_LEVEL_WARNING, "%s: refused: %s", peer,
                    entry == NULL ? "no --enclave with this CID and port"
                                  : "too many unfinished handshakes");
        send_reject(server, fd, entry == NULL ? WIRE_REJECT_UNKNOWN : WIRE_REJECT_FULL);
        close(fd);
        return;
    }
    server->accepted++;
    pending->server = server;
    pending->entry = entry;
    pending->cid = cid;
    memcpy(pending->peer, peer, sizeof(peer));
    parent_config_label(entry, peer, pending->label);
    pending->deadline_ms = clock_ms() + HANDSHAKE_TIMEOUT_MS;
    pending->reader.have = 0;
    pending->source = (struct event_source){.fd = fd, .ready = pending_ready, .context = pending};
    if (event_add(server->loop, &pending->source, EPOLLIN) < 0) {
        pending->entry = NULL;
        close(fd);
    }
}

static void listener_ready(void *context, uint32_t events)
{
    struct listener *listener = context;
    uint32_t cid;
    int fd = link_accept(listener->source.fd, &listener->link, &cid);

    (void)events;
    if (fd >= 0) {
        take_connection(listener, fd, cid);
    } else if (fd != -EAGAIN && fd != -EINTR && fd != -ECONNABORTED) {
        log_limited(&listener->server->accept_log, LOG_LEVEL_ERROR, "cannot accept: %s",
                    strerror(-fd));
        event_remove(listener->server->loop, &listener->source);
        listener->paused_until_ms = clock_ms() + ACCEPT_PAUSE_MS;
    }
}

/* ---- server ---- */

static bool already_listening(const struct server *server, const struct link_addr *link)
{
    for (unsigned i = 0; i < server->listener_count; i++) {
        const struct link_addr *other = &server->listeners[i].link;
        if (link->kind == LINK_VSOCK && other->kind == LINK_VSOCK && other->port == link->port)
            return true;
    }
    return false;
}

/* Listens for an enclave. What a Unix socket's file belongs to is who may connect. */
static int listen_for(const struct enclave_entry *entry)
{
    int fd = link_listen(&entry->link);

    if (fd < 0 || !entry->owned || chown(entry->link.path, entry->owner, (gid_t)-1) == 0)
        return fd;
    int error = -errno;
    unlink(entry->link.path);
    close(fd);
    return error;
}

static int open_listener(struct server *server, const struct enclave_entry *entry,
                         struct failure *failure)
{
    struct listener *listener = &server->listeners[server->listener_count];
    char text[LINK_TEXT_BYTES];
    int fd = listen_for(entry);

    if (fd >= 0) {
        *listener = (struct listener){
            .server = server,
            .link = entry->link,
            .entry = entry->link.kind == LINK_UNIX ? entry : NULL,
            .source = {.fd = fd, .ready = listener_ready, .context = listener},
        };
        int added = event_add(server->loop, &listener->source, EPOLLIN);
        if (added == 0) {
            server->listener_count++;
            return 0;
        }
        close(fd);
        fd = added;
    }
    failure_set(failure, "cannot listen on %s: %s", link_format(&entry->link, text), strerror(-fd));
    return -1;
}

static void lane_exit_ready(void *context, uint32_t events)
{
    struct server *server = context;
    uint64_t count;

    (void)events;
    if (read(server->lane_exit.fd, &count, sizeof(count)) < 0)
        return;
    for (unsigned i = 0; i < PARENT_ENCLAVES_MAX; i++)
        if (server->enclaves[i].used)
            enclave_reap_lanes(&server->enclaves[i]);
}

int server_open(struct server *server, struct failure *failure)
{
    const struct parent_config *config = server->context.config;
    int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);

    server->lane_exit =
        (struct event_source){.fd = fd, .ready = lane_exit_ready, .context = server};
    server->context.lane_exit_fd = fd;
    if (fd < 0 || event_add(server->loop, &server->lane_exit, EPOLLIN) < 0) {
        failure_set(failure, "cannot make an eventfd: %s", strerror(errno));
        return -1;
    }
    for (unsigned i = 0; i < config->enclave_count; i++) {
        const struct enclave_entry *entry = &config->enclaves[i];
        if (!already_listening(server, &entry->link) && open_listener(server, entry, failure) < 0)
            return -1;
    }
    return 0;
}

static void earliest(uint64_t *next_ms, uint64_t deadline_ms)
{
    if (deadline_ms < *next_ms)
        *next_ms = deadline_ms;
}

static void poll_listener(struct listener *listener, uint64_t now_ms, uint64_t *next_ms)
{
    if (listener->paused_until_ms == 0)
        return;
    if (now_ms >= listener->paused_until_ms &&
        event_add(listener->server->loop, &listener->source, EPOLLIN) == 0)
        listener->paused_until_ms = 0;
    else
        earliest(next_ms, listener->paused_until_ms);
}

int server_poll(struct server *server)
{
    uint64_t now_ms = clock_ms(), next_ms = UINT64_MAX;

    for (unsigned i = 0; i < PENDING_MAX; i++) {
        struct pending *pending = &server->pending[i];
        if (pending->entry != NULL && now_ms >= pending->deadline_ms)
            pending_fail(pending, "no HELLO in time");
        if (pending->entry != NULL)
            earliest(&next_ms, pending->deadline_ms);
    }
    for (unsigned i = 0; i < server->listener_count; i++)
        poll_listener(&server->listeners[i], now_ms, &next_ms);
    if (next_ms == UINT64_MAX)
        return -1;
    return next_ms > now_ms ? (int)(next_ms - now_ms) : 0;
}

void server_settings_changed(struct server *server, uint32_t mtu)
{
    server->context.mtu = mtu;
    for (unsigned i = 0; i < PARENT_ENCLAVES_MAX; i++)
        if (server->enclaves[i].used)
            enclave_settings_changed(&server->enclaves[i], &server->context);
}

void server_policy_changed(struct server *server)
{
    for (unsigned i = 0; i < PARENT_ENCLAVES_MAX; i++)
        if (server->enclaves[i].used)
            enclave_policy_changed(&server->enclaves[i], &server->context);
}

void server_stop(struct server *server)
{
    for (unsigned i = 0; i < server->listener_count; i++) {
        struct listener *listener = &server->listeners[i];
        if (listener->link.kind == LINK_UNIX)
            unlink(listener->link.path);
        close(listener->source.fd);
    }
    for (unsigned i = 0; i < PARENT_ENCLAVES_MAX; i++)
        if (server->enclaves[i].used)
            enclave_stop_lanes(&server->enclaves[i]);
}

static bool has_come(const struct server *server, const struct enclave_entry *entry)
{
    for (unsigned i = 0; i < PARENT_ENCLAVES_MAX; i++)
        if (server->enclaves[i].used && strcmp(server->enclaves[i].name, entry->name) == 0)
            return true;
    return false;
}

/* A configured enclave that has not connected yet: everything but its lanes is known. */
static void report_expected(const struct server *server, const struct enclave_entry *entry,
                            struct json *json)
{
    struct ip_addr address4 = parent_config_address(server->context.config, 4, entry->index);
    struct ip_addr address6 = parent_config_address(server->context.config, 6, entry->index);
    char peer[LINK_TEXT_BYTES];

    json_begin(json, NULL);
    json_text(json, "name", entry->name);
    json_text(json, "peer", link_format(&entry->link, peer));
    if (entry->index != 0) {
        report_address(json, "address4", &address4);
        report_address(json, "address6", &address6);
    }
    json_list(json, "lanes");
    json_list_end(json);
    json_end(json);
}

void server_report(struct server *server, struct json *json)
{
    const struct parent_config *config = server->context.config;

    json_number(json, "uplink_mtu", server->context.mtu);
    json_begin(json, "handshakes");
    json_number(json, "accepted", server->accepted);
    json_number(json, "refused_peers", server->refused_peers);
    json_number(json, "bad_handshakes", server->bad_handshakes);
    json_number(json, "rejected", server->rejected);
    json_end(json);
    json_list(json, "enclaves");
    for (unsigned i = 0; i < PARENT_ENCLAVES_MAX; i++)
        if (server->enclaves[i].used)
            enclave_report(&server->enclaves[i], json);
    for (unsigned i = 0; i < config->enclave_count; i++)
        if (!has_come(server, &config->enclaves[i]))
            report_expected(server, &config->enclaves[i], json);
    json_list_end(json);
}

void server_print_stats(struct server *server, FILE *out)
{
    fprintf(out,
            "stats parent accepted=%" PRIu64 " refused_peers=%" PRIu64 " bad_handshakes=%" PRIu64
            " rejected=%" PRIu64 "\n",
            server->accepted, server->refused_peers, server->bad_handshakes, server->rejected);
    for (unsigned i = 0; i < PARENT_ENCLAVES_MAX; i++)
        if (server->enclaves[i].used)
            enclave_print_stats(&server->enclaves[i], out);
}
