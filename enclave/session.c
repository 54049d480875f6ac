/* SPDX-License-Identifier: Apache-2.0 */
#include "enclave/session.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "runtime/base/clock.h"
#include "runtime/host/connected.h"
#include "runtime/host/kernel_features.h"
#include "runtime/host/kernel_share.h"
#include "runtime/host/packet_socket.h"
#include "runtime/lane/report.h"

/* A change seldom comes alone (down, up): they are looked at, and reported, together. */
#define LOOK_DELAY_MS   100
#define LOOK_AGAIN_MS   1000 /* what could not be put back */
#define STEADY_MS       5000 /* a lane that ran so long counts as having worked */
#define POLICY_RETRY_MS 50

static struct session *session_of(const struct dial *dial)
{
    return dial->dialling->context;
}

static const char *parent_name(const struct session *session, char *text)
{
    return link_format(&session->config->link, text);
}

/* ---- lanes ---- */

static enum policy_verdict check_packet(const void *policy, const uint8_t *packet,
                                        const struct parsed_packet *view)
{
    return policy_judge_enclave(policy, packet, view);
}

/* On a lane's thread. */
static void config_arrived(void *context, const struct wire_config *config)
{
    struct session *session = context;
    uint64_t one = 1;

    pthread_mutex_lock(&session->offer_lock);
    session->offered = *config;
    pthread_mutex_unlock(&session->offer_lock);
    if (write(session->offer.fd, &one, sizeof(one)) < 0)
        log_error("cannot pass a new configuration on: %s", strerror(errno));
}

static void run_lane(struct dial *dial)
{
    struct session *session = session_of(dial);
    char name[LINK_TEXT_BYTES];
    struct lane_options options = {
        .stream_fd = dial->fd,
        .inject_fd = dial->inject_fd,
        .inject_udp_gso = features_udp_gso(),
        .inject_source = device_peer_mac,
        .inject_destination = device_mac,
        .capture_mtu = &session->mtu,
        .dead_ms = session->config->dead_seconds * 1000,
        .write_max = link_write_max(session->config->link.kind, session->config->write_max),
        .check = check_packet,
        .policy = &session->policies[session->policy],
        .fragments = &session->fragments,
        .number = (uint8_t)dial->number,
        .config = dial->number == 0 ? config_arrived : NULL,
        .config_context = session,
    };

    snprintf(options.name, sizeof(options.name), "%s lane %u", parent_name(session, name),
             dial->number);
    capture_assign(session->capture, dial->number, session->current.lanes, &options);
    event_remove(session->loop, &dial->source);
    int error = lane_start(dial->lane, &options, session->lane_exit.fd);
    if (error < 0) {
        log_error("%s: cannot start: %s", options.name, strerror(-error));
        close(dial->fd);
        dial->fd = -1;
        dial_later(dial);
        return;
    }
    dial->state = DIAL_RUNNING;
    dial->running_since_ms = clock_ms();
}

static void lane_ended(struct dial *dial)
{
    struct session *session = session_of(dial);
    char name[LINK_TEXT_BYTES];
    enum lane_end end = lane_join(dial->lane);
    int error = lane_error(dial->lane);

    close(dial->fd);
    dial->fd = -1;
    if (session->announced)
        notify_status(session->notify, "lane %u is down, dialling again", dial->number);
    session->announced = false;
    /* A parent that accepts and hangs up at once is no reason to dial any faster. */
    if (clock_ms() - dial->running_since_ms >= STEADY_MS)
        dial->failures = 0;
    log_limited(&session->dialling.log, LOG_LEVEL_WARNING, "%s lane %u: %s%s%s",
                parent_name(session, name), dial->number, lane_end_name(end), error ? ": " : "",
                error ? strerror(error) : "");
    dial_later(dial);
}

static void stop_lane(struct dial *dial)
{
    if (dial->state == DIAL_RUNNING) {
        lane_stop(dial->lane);
        lane_join(dial->lane);
        close(dial->fd);
        dial->fd = -1;
    }
    dial_later(dial);
    dial->failures = 0;
    dial->deadline_ms = 0;
}

static void lane_exit_ready(void *context, uint32_t events)
{
    struct session *session = context;
    uint64_t count;

    (void)events;
    if (read(session->lane_exit.fd, &count, sizeof(count)) < 0)
        return;
    for (unsigned i = 0; i < WIRE_MAX_LANES; i++)
        if (session->dials[i].state == DIAL_RUNNING && lane_finished(session->dials[i].lane))
            lane_ended(&session->dials[i]);
}

static void announce(struct session *session)
{
    char name[LINK_TEXT_BYTES], address4[ADDR_TEXT_BYTES], address6[ADDR_TEXT_BYTES];

    if (session->announced)
        return;
    for (unsigned i = 0; i < session->current.lanes; i++)
        if (session->dials[i].state != DIAL_RUNNING)
            return;
    session->announced = true;
    log_info("ready: %s, %u lanes, addresses %s and %s, MTU %u, capture by %s",
             parent_name(session, name), session->current.lanes,
             addr_format(&session->current.address4, address4),
             addr_format(&session->current.address6, address6), session->mtu,
             capture_name(session->capture));
    notify_ready(session->notify, "%u lanes up, address %s, MTU %u", session->current.lanes,
                 address4, session->mtu);
}

/* ---- CONFIG ---- */

static void apply_mtu(struct session *session, uint16_t mtu)
{
    int error = device_set_mtu(session->device, mtu);

    if (error < 0) {
        log_error("cannot set the MTU of %s to %u: %s", DEVICE_NAME, mtu, strerror(-error));
        return;
    }
    session->current.mtu = mtu;
    __atomic_store_n(&session->mtu, mtu, __ATOMIC_RELAXED);
    log_limited(&session->dialling.log, LOG_LEVEL_INFO, "MTU is now %u", mtu);
}

static bool same_but_mtu(const struct wire_config *a, const struct wire_config *b)
{
    return a->lanes == b->lanes && addr_equal(&a->address4, &b->address4) &&
           addr_equal(&a->gateway4, &b->gateway4) && addr_equal(&a->address6, &b->address6) &&
           addr_equal(&a->gateway6, &b->gateway6);
}

/* ---- networks of this machine ---- */

/* What is given with --inside, and what the other devices are connected to. */
static struct prefix_table networks_inside(const struct session *session)
{
    struct prefix_table inside = session->config->inside;

    for (size_t i = 0; i < session->connected.count; i++)
        if (!prefix_table_add(&inside, &session->connected.entries[i])) {
            log_warning("more than %d networks inside: packets that claim to come from the others "
                        "are not dropped",
                        PREFIX_TABLE_MAX);
            break;
        }
    return inside;
}

static bool policy_is_free(const struct session *session, unsigned policy)
{
    if (policy == session->policy)
        return false;
    for (unsigned i = 0; i < session->config->lanes; i++)
        if (session->dials[i].state == DIAL_RUNNING &&
            lane_uses_policy(session->dials[i].lane, &session->policies[policy]))
            return false;
    return true;
}

/* Lanes take the new policy over without a pause; as long as they may use all old ones it waits. */
static void exchange_policy(struct session *session)
{
    unsigned next = 0;

    while (next < SESSION_POLICIES && !policy_is_free(session, next))
        next++;
    session->networks_changed = next == SESSION_POLICIES;
    if (session->networks_changed)
        return;
    session->policies[next] = session->policies[session->policy];
    session->policies[next].inside = networks_inside(session);
    session->policy = next;
    for (unsigned i = 0; i < session->config->lanes; i++)
        if (session->dials[i].state == DIAL_RUNNING)
            lane_set_policy(session->dials[i].lane, &session->policies[next]);
}

void session_networks_changed(struct session *session)
{
    struct prefix_table found = {0};
    int error = connected_networks(&session->device->netdev, DEVICE_NAME, &found);

    if (error < 0 && error != -ENOSPC) {
        log_warning("cannot list the networks of this machine: %s", strerror(-error));
        return;
    }
    if (memcmp(&found, &session->connected, sizeof(found)) == 0)
        return;
    session->connected = found;
    exchange_policy(session);
}

/* ---- CONFIG, applied ---- */

static const struct mac *gateway_mac(const struct session *session)
{
    return session->capture->used == CAPTURE_NFQUEUE ? &device_peer_mac : &device_tap_mac;
}

/* All lanes but `except` are ended first: they hold the policy and their share of the sources. */
static bool apply_config(struct session *session, const struct wire_config *config,
                         const struct dial *except)
{
    for (unsigned i = 0; i < WIRE_MAX_LANES; i++)
        if (&session->dials[i] != except)
            stop_lane(&session->dials[i]);
    int error = device_apply(session->device, config, gateway_mac(session));
    if (error < 0) {
        log_error("cannot configure %s: %s", DEVICE_NAME, strerror(-error));
        return false;
    }
    session->current = *config;
    session->policies[session->policy] = (struct policy_enclave){
        .own4 = config->address4,
        .own6 = config->address6,
        .inside = networks_inside(session),
    };
    __atomic_store_n(&session->mtu, config->mtu, __ATOMIC_RELAXED);
    session->configured = true;
    return true;
}

/* Takes the resolvers of an accepted CONFIG, whatever else it changes. */
static void take_resolvers(struct session *session, const struct wire_config *config)
{
    struct wire_config *current = &session->current;
    bool same = session->resolvers_known && current->dns_count == config->dns_count;

    for (unsigned i = 0; same && i < config->dns_count; i++)
        same = addr_equal(&current->dns[i], &config->dns[i]);
    if (same)
        return;
    session->resolvers_known = true;
    current->dns_count = config->dns_count;
    memcpy(current->dns, config->dns, sizeof(current->dns));
    if (session->resolvers_changed != NULL)
        session->resolvers_changed(session->resolvers_context, config);
}

/* What the parent said in answer to lane 0's HELLO. */
static bool take_config(struct session *session, struct wire_config *config, struct dial *dial)
{
    struct failure why;

    if (!enclave_config_accept(session->config, &session->connected, config, &why)) {
        failure_set(&why, "the parent's configuration is refused: %s", why.text);
        dial_failed(dial, why.text);
        return false;
    }
    take_resolvers(session, config);
    if (!session->configured || !same_but_mtu(&session->current, config)) {
        if (!apply_config(session, config, dial)) {
            dial_failed(dial, "configuration not applied");
            return false;
        }
    } else if (session->current.mtu != config->mtu) {
        apply_mtu(session, config->mtu);
    }
    return true;
}

/* The parent has answered a HELLO with a CONFIG. */
static void answered(struct dial *dial, struct wire_config *config)
{
    struct session *session = session_of(dial);

    if (dial->number == 0 && !take_config(session, config, dial))
        return;
    if (dial->number >= session->current.lanes) {
        stop_lane(dial);
        return;
    }
    run_lane(dial);
    announce(session);
}

/* A CONFIG that came over a running lane 0. */
static void offer_ready(void *context, uint32_t events)
{
    struct session *session = context;
    struct wire_config config;
    struct failure why;
    uint64_t count;

    (void)events;
    if (read(session->offer.fd, &count, sizeof(count)) < 0)
        return;
    pthread_mutex_lock(&session->offer_lock);
    config = session->offered;
    pthread_mutex_unlock(&session->offer_lock);
    if (!enclave_config_accept(session->config, &session->connected, &config, &why)) {
        log_limited(&session->dialling.log, LOG_LEVEL_WARNING,
                    "a new configuration of the parent is refused: %s", why.text);
        return;
    }
    take_resolvers(session, &config);
    if (!same_but_mtu(&session->current, &config))
        apply_config(session, &config, NULL); /* every lane dials again */
    else if (session->current.mtu != config.mtu)
        apply_mtu(session, config.mtu);
}

/* ---- session ---- */

static int open_event(struct session *session, struct event_source *source,
                      void (*ready)(void *context, uint32_t events))
{
    int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);

    if (fd < 0)
        return -errno;
    *source = (struct event_source){.fd = fd, .ready = ready, .context = session};
    return event_add(session->loop, source, EPOLLIN);
}

static int open_injection(struct session *session)
{
    for (unsigned i = 0; i < session->config->lanes; i++) {
        struct dial *dial = &session->dials[i];
        if (dial->inject_fd >= 0)
            close(dial->inject_fd);
        dial->inject_fd = packet_socket_inject(session->device->peer_index);
        if (dial->inject_fd < 0)
            return dial->inject_fd;
    }
    return 0;
}

bool session_open(struct session *session, struct failure *failure)
{
    int result = open_event(session, &session->lane_exit, lane_exit_ready);

    if (result == 0)
        result = open_event(session, &session->offer, offer_ready);
    pthread_mutex_init(&session->offer_lock, NULL);
    session->fragments.limit = kernel_share_fragments(1); /* the parent is the only peer */
    session->dialling.config = session->config;
    session->dialling.loop = session->loop;
    session->dialling.answered = answered;
    session->dialling.context = session;
    dialling_begin(&session->dialling);
    for (unsigned i = 0; i < WIRE_MAX_LANES; i++)
        session->dials[i] =
            (struct dial){.dialling = &session->dialling, .number = i, .fd = -1, .inject_fd = -1};
    for (unsigned i = 0; result == 0 && i < session->config->lanes; i++) {
        struct dial *dial = &session->dials[i];
        dial->lane = lane_new();
        if (dial->lane != NULL)
            tap_add_lane(session->taps, dial->lane, "", i);
        if (dial->lane == NULL)
            result = -ENOMEM;
    }
    if (result == 0)
        result = open_injection(session);
    if (result == 0)
        result = features_try_udp_gso(session->device->peer_index);
    if (result < 0)
        return failure_set(failure, "cannot set up the lanes: %s", strerror(-result));
    return true;
}

static bool is_wanted(const struct session *session, const struct dial *dial)
{
    if (dial->number == 0)
        return true;
    /* The parent must know the session before it takes the other lanes. */
    return session->configured && dial->number < session->current.lanes &&
           session->dials[0].state == DIAL_RUNNING;
}

/* ---- what others do to the device ---- */

void session_device_changed(struct session *session, int ifindex)
{
    const struct device *device = session->device;

    if ((ifindex == 0 || ifindex == device->index || ifindex == device->peer_index) &&
        session->look_ms == 0)
        session->look_ms = clock_ms() + LOOK_DELAY_MS;
}

/* The sockets of the lanes and the tc program went with the pair. The parent's CONFIG is applied
 * anew when lane 0 has dialled again. */
static int make_device_again(struct session *session)
{
    for (unsigned i = 0; i < session->config->lanes; i++)
        stop_lane(&session->dials[i]);
    session->configured = session->announced = false;
    int error = device_make(session->device);
    if (error == 0)
        error = open_injection(session);
    if (error == 0)
        error = capture_reopen(session->capture, session->config, session->device);
    if (error == 0 && session->capture->tagged)
        error = capture_put_filter_back(session->capture, session->device);
    if (error < 0)
        log_limited(&session->device->log, LOG_LEVEL_ERROR,
                    DEVICE_NAME " was removed, and cannot be made: %s", strerror(-error));
    else
        log_limited(&session->device->log, LOG_LEVEL_WARNING,
                    "somebody removed " DEVICE_NAME "; put back: the device");
    return error;
}

static int look_at_device(struct session *session)
{
    const struct wire_config *config = session->configured ? &session->current : NULL;
    int error = device_mend(session->device, config, gateway_mac(session));

    if (error == -ENODEV)
        return make_device_again(session);
    if (error == 0 && capture_lacks_filter(session->capture, session->device)) {
        log_limited(&session->device->log, LOG_LEVEL_WARNING,
                    "somebody removed the tc program of " DEVICE_PEER "; put back: the program");
        error = capture_put_filter_back(session->capture, session->device);
    }
    return error;
}

static void poll_device(struct session *session, uint64_t now_ms, uint64_t *next_ms)
{
    if (session->look_ms != 0 && now_ms >= session->look_ms)
        session->look_ms = look_at_device(session) < 0 ? now_ms + LOOK_AGAIN_MS : 0;
    if (session->look_ms != 0 && session->look_ms < *next_ms)
        *next_ms = session->look_ms;
}

int session_poll(struct session *session)
{
    uint64_t now_ms = clock_ms(), next_ms = UINT64_MAX;

    if (session->networks_changed)
        exchange_policy(session);
    if (session->networks_changed)
        next_ms = now_ms + POLICY_RETRY_MS;
    poll_device(session, now_ms, &next_ms);
    for (unsigned i = 0; i < session->config->lanes; i++) {
        struct dial *dial = &session->dials[i];
        if (dial->state == DIAL_RUNNING ||
            (dial->state == DIAL_WAITING && !is_wanted(session, dial)))
            continue;
        dial_poll(dial, now_ms);
        if (dial->deadline_ms < next_ms)
            next_ms = dial->deadline_ms;
    }
    if (next_ms == UINT64_MAX)
        return -1;
    return next_ms > now_ms ? (int)(next_ms - now_ms) : 0;
}

void session_settings_changed(struct session *session)
{
    for (unsigned i = 0; i < session->config->lanes; i++)
        if (session->dials[i].state == DIAL_RUNNING)
            lane_set_dead_ms(session->dials[i].lane, session->config->dead_seconds * 1000);
}

void session_stop(struct session *session)
{
    for (unsigned i = 0; i < session->config->lanes; i++)
        if (session->dials[i].state != DIAL_WAITING)
            stop_lane(&session->dials[i]);
}

static void report_agreed(const struct session *session, struct json *json)
{
    const struct wire_config *config = &session->current;
    char text[ADDR_TEXT_BYTES];

    report_address(json, "address4", &config->address4);
    report_address(json, "address6", &config->address6);
    report_address(json, "gateway4", &config->gateway4);
    report_address(json, "gateway6", &config->gateway6);
    json_number(json, "mtu", session->mtu);
    json_list(json, "dns");
    for (unsigned i = 0; i < config->dns_count; i++)
        json_text(json, NULL, addr_format(&config->dns[i], text));
    json_list_end(json);
}

void session_report(struct session *session, struct json *json)
{
    char name[LINK_TEXT_BYTES];
    unsigned lanes = session->configured ? session->current.lanes : session->config->lanes;

    json_text(json, "peer", parent_name(session, name));
    json_flag(json, "configured", session->configured);
    if (session->configured)
        report_agreed(session, json);
    json_list(json, "lanes");
    for (unsigned i = 0; i < lanes; i++) {
        struct capture_depth depth = capture_depth(session->capture, i, lanes);
        struct lane_report report = {
            .number = i,
            .state = dial_state_name(session->dials[i].state),
            .queue_dropped = capture_lost(session->capture, i, lanes),
            .queue_packets = depth.packets,
            .queue_bytes = depth.bytes,
            .lane = session->dials[i].lane,
        };
        report_lane(json, &report);
    }
    json_list_end(json);
}

void session_print_stats(struct session *session, FILE *out)
{
    char name[LINK_TEXT_BYTES];
    unsigned lanes = session->configured ? session->current.lanes : session->config->lanes;

    for (unsigned i = 0; i < lanes; i++) {
        const struct dial *dial = &session->dials[i];
        fprintf(out, "stats peer=%s lane=%u up=%d queue_dropped=%" PRIu64,
                parent_name(session, name), i, dial->state == DIAL_RUNNING,
                capture_lost(session->capture, i, lanes));
        stats_print(out, lane_stats(dial->lane));
        fputc('\n', out);
    }
}
