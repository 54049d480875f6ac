/* SPDX-License-Identifier: Apache-2.0 */
#include "parent/enclave.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <unistd.h>

#include "parent/addresses.h"
#include "parent/policy.h"
#include "runtime/base/log.h"
#include "runtime/host/kernel_faults.h"
#include "runtime/host/kernel_features.h"
#include "runtime/host/packet_socket.h"
#include "runtime/lane/report.h"

/* Locally administered: "cw", which end, the index. */
static struct mac index_mac(uint8_t end, uint32_t index)
{
    return (struct mac){{0x02, 0x63, 0x77, end, (uint8_t)(index >> 8), (uint8_t)index}};
}
enum { MAC_KERNEL_END = 1, MAC_DAEMON_END, MAC_NOBODY };

/* None of a family that the host does not have. */
static struct ip_addr own_address(const struct enclave_context *context, int version,
                                  uint32_t index)
{
    if (version == 6 && context->ipv6_off)
        return (struct ip_addr){0};
    return parent_config_address(context->config, version, index);
}

void enclave_init(struct enclave *enclave, const struct enclave_context *context,
                  const struct enclave_entry *entry, const char *peer, uint32_t index)
{
    *enclave = (struct enclave){
        .used = true,
        .index = index,
        .device_mac = index_mac(MAC_KERNEL_END, index),
        .peer_mac = index_mac(MAC_DAEMON_END, index),
        .capture_mtu = PACKET_MAX_BYTES,
        .mtu_max = PACKET_MAX_BYTES,
    };
    snprintf(enclave->name, sizeof(enclave->name), "%s", entry->name);
    enclave->link_kind = entry->link.kind;
    snprintf(enclave->peer, sizeof(enclave->peer), "%s", peer);
    parent_config_label(entry, peer, enclave->label);
    snprintf(enclave->device, sizeof(enclave->device), ENCLAVE_DEVICE_PREFIX "%u", index);
    snprintf(enclave->peer_device, sizeof(enclave->peer_device), ENCLAVE_PEER_DEVICE_PREFIX "%u",
             index);
    enclave->policy.own4 = own_address(context, 4, index);
    enclave->policy.own6 = own_address(context, 6, index);
    enclave->policy.opened = parent_policy_opened(&context->config->allow).closed;
    enclave->fragments.limit = context->fragment_limit;
}

void enclave_policy_changed(struct enclave *enclave, const struct enclave_context *context)
{
    struct prefix_table opened = parent_policy_opened(&context->config->allow).closed;

    if (memcmp(&opened, &enclave->policy.opened, sizeof(opened)) == 0)
        return;
    enclave_stop_lanes(enclave);
    enclave->policy.opened = opened;
}

/* ---- device ---- */

/* Both sides' devices have the same MTU, or a packet would be too long for one of them. */
static uint32_t enclave_mtu(const struct enclave *enclave, const struct enclave_context *context)
{
    return context->mtu < enclave->mtu_max ? context->mtu : enclave->mtu_max;
}

static struct device_family plan_family(const struct enclave *enclave,
                                        const struct enclave_context *context,
                                        const struct ip_addr *address)
{
    struct ip_addr gateway =
        parent_config_address(context->config, address->version, INDEX_GATEWAY);

    if (address->version == 0)
        return (struct device_family){0};
    return (struct device_family){
        .own = {gateway, (uint8_t)addr_bits(&gateway)},
        .neighbour = *address,
        .neighbour_mac = index_mac(MAC_NOBODY, enclave->index),
        .route = {.destination = {*address, (uint8_t)addr_bits(address)},
                  .ifindex = enclave->device_index},
    };
}

#define ALIAS_BYTES (LINK_TEXT_BYTES + sizeof(ENCLAVE_ALIAS_PREFIX))

static const char *device_alias(const struct enclave *enclave, char *out)
{
    snprintf(out, ALIAS_BYTES, ENCLAVE_ALIAS_PREFIX "%s", enclave->peer);
    return out;
}

/* alias[ALIAS_BYTES] lives as long as the plan. */
static struct device_plan make_plan(const struct enclave *enclave,
                                    const struct enclave_context *context, char *alias)
{
    return (struct device_plan){
        .veth = {.name = enclave->device,
                 .peer = enclave->peer_device,
                 .mac = enclave->device_mac,
                 .peer_mac = enclave->peer_mac,
                 .mtu = enclave_mtu(enclave, context),
                 .alias = device_alias(enclave, alias)},
        .ifindex = enclave->device_index,
        .peer_ifindex = enclave->peer_device_index,
        .forwards4 = enclave->policy.own4.version != 0,
        .families = {plan_family(enclave, context, &enclave->policy.own4),
                     plan_family(enclave, context, &enclave->policy.own6)},
    };
}

static int make_pair(struct enclave *enclave, const struct enclave_context *context)
{
    char alias[ALIAS_BYTES];
    struct device_plan plan = make_plan(enclave, context, alias);
    int adopted = netdev_veth_ensure(context->netdev, &plan.veth);

    if (adopted < 0)
        return adopted;
    enclave->device_index = netdev_index(enclave->device);
    enclave->peer_device_index = netdev_index(enclave->peer_device);
    if (enclave->device_index < 0 || enclave->peer_device_index < 0)
        return -ENODEV;
    if (adopted)
        log_info("%s: going on with %s of an earlier run", enclave->label, enclave->device);
    return 0;
}

/* Super-packets that this kernel's virtio_net_hdr cannot describe must not reach the taps. */
static int limit_offloads(struct enclave *enclave)
{
    int error = features_try_udp_gso(enclave->peer_device_index);

    return error < 0 ? error : netdev_limit_offloads(enclave->device, features_udp_gso());
}

static int set_up_device(struct enclave *enclave, const struct enclave_context *context)
{
    char alias[ALIAS_BYTES], made[200];
    int error = make_pair(enclave, context);

    if (error < 0)
        return error;
    struct device_plan plan = make_plan(enclave, context, alias);
    /* What an earlier run with another pool has left goes. */
    for (size_t i = 0; error == 0 && i < 2; i++)
        if (plan.families[i].own.addr.version != 0)
            error = netdev_address_none(context->netdev, plan.ifindex,
                                        plan.families[i].own.addr.version);
    /* This host's own programs reach published ports at 127.0.0.1. Nothing else gets in by it: the
     * policy drops what an enclave sends to loopback, and so does the INPUT chain. */
    if (error == 0 && plan.families[0].own.addr.version != 0)
        error = netdev_route_loopback(context->netdev, plan.ifindex);
    if (error == 0)
        error = netdev_mend(context->netdev, &plan, made, sizeof(made));
    return error < 0 ? error : limit_offloads(enclave); /* the devices have to be up for it */
}

static int set_mtu(struct enclave *enclave, const struct enclave_context *context)
{
    uint32_t mtu = enclave_mtu(enclave, context);
    int error = netdev_set_mtu(context->netdev, enclave->peer_device_index, mtu);

    return error < 0 ? error : netdev_set_mtu(context->netdev, enclave->device_index, mtu);
}

int enclave_device_ready(struct enclave *enclave, const struct enclave_context *context)
{
    if (enclave->device_index > 0 && netdev_index(enclave->device) == enclave->device_index)
        return set_mtu(enclave, context);
    enclave->device_index = 0;
    int error = set_up_device(enclave, context);
    if (error < 0)
        enclave->device_index = 0;
    return error < 0 ? error : 0;
}

/* The lanes' sockets went with the device: they end, and the enclave dials again. */
static void make_device_again(struct enclave *enclave, const struct enclave_context *context)
{
    enclave_stop_lanes(enclave);
    enclave->device_index = 0;
    int error = enclave_device_ready(enclave, context);
    if (error < 0)
        log_limited(&enclave->mend_log, LOG_LEVEL_ERROR,
                    "%s: %s was removed, and cannot be made: %s", enclave->label, enclave->device,
                    strerror(-error));
    else
        log_limited(&enclave->mend_log, LOG_LEVEL_WARNING,
                    "%s: somebody removed %s; put back: the device", enclave->label,
                    enclave->device);
}

int enclave_mend(struct enclave *enclave, const struct enclave_context *context)
{
    char alias[ALIAS_BYTES], what[200];

    if (enclave->device_index == 0)
        return 0;
    struct device_plan plan = make_plan(enclave, context, alias);
    int result = netdev_mend(context->netdev, &plan, what, sizeof(what));
    if (result == -ENODEV)
        make_device_again(enclave, context);
    else if (result < 0)
        log_limited(&enclave->mend_log, LOG_LEVEL_ERROR,
                    "%s: somebody changed %s, %s is missing: %s", enclave->label, enclave->device,
                    what, strerror(-result));
    else if (result > 0)
        log_limited(&enclave->mend_log, LOG_LEVEL_WARNING, "%s: somebody changed %s; put back: %s",
                    enclave->label, enclave->device, what);
    return result < 0 && result != -ENODEV ? result : 0;
}

void enclave_ipv6_changed(struct enclave *enclave, const struct enclave_context *context)
{
    struct ip_addr own6 = own_address(context, 6, enclave->index);

    if (own6.version == enclave->policy.own6.version)
        return;
    enclave_stop_lanes(enclave);
    enclave->policy.own6 = own6;
    enclave->device_index = 0; /* set up again, and adopted, when the enclave dials */
}

static bool remove_device(const struct interface_info *interface, void *context)
{
    struct netdev *netdev = context;

    /* One end takes the other with it. */
    netdev_delete(netdev, interface->name, interface->alias);
    return true;
}

void enclave_remove_devices(void)
{
    struct netdev listing = {0}, deleting = {0};

    if (netdev_open(&listing) == 0 && netdev_open(&deleting) == 0)
        netdev_each_interface(&listing, ENCLAVE_ALIAS_PREFIX, remove_device, &deleting);
    netdev_close(&listing);
    netdev_close(&deleting);
}

/* ---- CONFIG ---- */

void enclave_configure(struct enclave *enclave, const struct enclave_context *context,
                       unsigned lanes)
{
    const struct parent_config *config = context->config;

    enclave->config = (struct wire_config){
        .lanes = (uint8_t)lanes,
        .mtu = (uint16_t)enclave_mtu(enclave, context),
        .address4 = enclave->policy.own4,
        .address6 = enclave->policy.own6,
        .dns_count = (uint8_t)config->dns_count,
    };
    if (enclave->policy.own4.version != 0)
        enclave->config.gateway4 = parent_config_address(config, 4, INDEX_GATEWAY);
    if (enclave->policy.own6.version != 0)
        enclave->config.gateway6 = parent_config_address(config, 6, INDEX_GATEWAY);
    memcpy(enclave->config.dns, config->dns, sizeof(enclave->config.dns));
}

void enclave_settings_changed(struct enclave *enclave, const struct enclave_context *context)
{
    uint8_t frame[FRAME_HEADER_BYTES + FRAME_CONTROL_MAX];
    uint8_t told[FRAME_HEADER_BYTES + FRAME_CONTROL_MAX]; /* what the enclave knows */
    uint8_t lanes = enclave->config.lanes;
    size_t told_length = wire_put_config(told, &enclave->config);

    if (enclave->device_index == 0)
        return;
    for (unsigned i = 0; i < WIRE_MAX_LANES; i++)
        if (enclave->lanes[i].running)
            lane_set_dead_ms(enclave->lanes[i].lane, context->config->dead_seconds * 1000);
    int error = set_mtu(enclave, context);
    if (error < 0)
        log_error("%s: cannot set the MTU of %s: %s", enclave->label, enclave->device,
                  strerror(-error));
    enclave_configure(enclave, context, lanes);
    size_t length = wire_put_config(frame, &enclave->config);
    if (length == told_length && memcmp(frame, told, length) == 0)
        return;
    if (enclave->lanes[0].running && !lane_post(enclave->lanes[0].lane, frame, length))
        log_warning("%s: the new configuration could not be sent yet", enclave->label);
}

/* ---- lanes ---- */

static enum policy_verdict check_packet(const void *policy, const uint8_t *packet,
                                        const struct parsed_packet *parsed)
{
    return policy_judge_parent(policy, packet, parsed);
}

static void close_sockets(struct parent_lane *lane)
{
    if (lane->capture_fd >= 0)
        lane->lost += packet_socket_lost(lane->capture_fd);
    int *sockets[] = {&lane->stream_fd, &lane->inject_fd, &lane->capture_fd};
    for (size_t i = 0; i < sizeof(sockets) / sizeof(sockets[0]); i++) {
        if (*sockets[i] >= 0)
            close(*sockets[i]);
        *sockets[i] = -1;
    }
}

bool enclave_has_lanes(const struct enclave *enclave)
{
    for (unsigned i = 0; i < WIRE_MAX_LANES; i++)
        if (enclave->lanes[i].running)
            return true;
    return false;
}

/* The first lane to run brings a fresh group, which the others join. */
static int choose_group(struct enclave *enclave)
{
    if (enclave_has_lanes(enclave))
        return 0;
    int group = packet_socket_free_group(enclave->peer_device_index);
    if (group < 0)
        return group;
    enclave->fanout_group = (uint16_t)group;
    return 0;
}

static int make_lane(struct enclave *enclave, const struct enclave_context *context,
                     unsigned number)
{
    struct parent_lane *lane = &enclave->lanes[number];

    if (lane->lane != NULL)
        return 0;
    lane->lane = lane_new();
    if (lane->lane == NULL)
        return -errno;
    tap_add_lane(context->taps, lane->lane, enclave->name, number);
    return 0;
}

static int open_sockets(struct enclave *enclave, struct parent_lane *lane)
{
    lane->inject_fd = packet_socket_inject(enclave->peer_device_index);
    if (lane->inject_fd < 0)
        return lane->inject_fd;
    lane->capture_fd = packet_socket_capture(enclave->peer_device_index, enclave->config.lanes,
                                             enclave->fanout_group);
    return lane->capture_fd < 0 ? lane->capture_fd : 0;
}

int enclave_lane_start(struct enclave *enclave, const struct enclave_context *context,
                       unsigned number, int stream_fd, uint32_t attempt)
{
    struct parent_lane *lane = &enclave->lanes[number];
    struct lane_options options = {
        .inject_udp_gso = features_udp_gso(),
        .inject_source = enclave->peer_mac,
        .inject_destination = enclave->device_mac,
        .source_count = 1,
        .capture_mtu = &enclave->capture_mtu,
        .dead_ms = context->config->dead_seconds * 1000,
        .write_max = link_write_max(enclave->link_kind, context->config->write_max),
        .check = check_packet,
        .policy = &enclave->policy,
        .fragments = &enclave->fragments,
        .number = (uint8_t)number,
    };

    lane->stream_fd = stream_fd;
    lane->inject_fd = lane->capture_fd = -1;
    lane->attempt = attempt;
    int error = make_lane(enclave, context, number);
    if (error == 0)
        error = choose_group(enclave);
    if (error == 0)
        error = open_sockets(enclave, lane);
    if (error == 0) {
        snprintf(options.name, sizeof(options.name), "%s lane %u", enclave->label, number);
        options.stream_fd = stream_fd;
        options.inject_fd = lane->inject_fd;
        options.sources[0] =
            (struct lane_source){.kind = LANE_SOURCE_PACKET, .fd = lane->capture_fd};
        error = lane_start(lane->lane, &options, context->lane_exit_fd);
    }
    if (error < 0)
        close_sockets(lane);
    lane->running = error == 0;
    return error;
}

enum lane_end enclave_lane_stop(struct enclave *enclave, unsigned number)
{
    struct parent_lane *lane = &enclave->lanes[number];

    if (!lane->running)
        return LANE_STOPPED;
    lane_stop(lane->lane);
    enum lane_end end = lane_join(lane->lane);
    close_sockets(lane);
    lane->running = false;
    return end;
}

void enclave_stop_lanes(struct enclave *enclave)
{
    for (unsigned i = 0; i < WIRE_MAX_LANES; i++)
        enclave_lane_stop(enclave, i);
}

void enclave_discard(struct enclave *enclave, const struct enclave_context *context)
{
    char alias[ALIAS_BYTES];
    int error = netdev_delete(context->netdev, enclave->device, device_alias(enclave, alias));

    if (error < 0)
        log_warning("%s: cannot remove %s: %s", enclave->label, enclave->device, strerror(-error));
    for (unsigned i = 0; i < WIRE_MAX_LANES; i++) {
        tap_remove_lane(context->taps, enclave->lanes[i].lane);
        lane_free(enclave->lanes[i].lane);
    }
    *enclave = (struct enclave){0};
}

void enclave_reap_lanes(struct enclave *enclave)
{
    for (unsigned i = 0; i < WIRE_MAX_LANES; i++) {
        struct parent_lane *lane = &enclave->lanes[i];
        if (!lane->running || !lane_finished(lane->lane))
            continue;
        enum lane_end end = enclave_lane_stop(enclave, i);
        int error = lane_error(lane->lane);
        log_limited(&enclave->log, LOG_LEVEL_WARNING, "%s lane %u: %s%s%s", enclave->label, i,
                    lane_end_name(end), error ? ": " : "", error ? strerror(error) : "");
    }
}

/* Packets that the lane's capture sockets have lost; the kernel's counter starts over when read. */
static uint64_t lane_lost(struct parent_lane *lane)
{
    if (lane->running)
        lane->lost += packet_socket_lost(lane->capture_fd);
    return lane->lost;
}

void enclave_report(struct enclave *enclave, struct json *json)
{
    json_begin(json, NULL);
    json_text(json, "name", enclave->name);
    json_text(json, "peer", enclave->peer);
    json_text(json, "device", enclave->device);
    report_address(json, "address4", &enclave->policy.own4);
    report_address(json, "address6", &enclave->policy.own6);
    json_number(json, "mtu", enclave->config.mtu);
    json_list(json, "lanes");
    for (unsigned i = 0; i < WIRE_MAX_LANES; i++) {
        struct parent_lane *lane = &enclave->lanes[i];
        if (lane->lane == NULL)
            continue;
        struct lane_report report = {
            .number = i,
            .state = lane->running ? "running" : "down",
            .queue_dropped = lane_lost(lane),
            .queue_bytes = lane->running ? report_queue_bytes(lane->capture_fd) : 0,
            .lane = lane->lane,
        };
        report_lane(json, &report);
    }
    json_list_end(json);
    json_end(json);
}

void enclave_print_stats(struct enclave *enclave, FILE *out)
{
    for (unsigned i = 0; i < WIRE_MAX_LANES; i++) {
        struct parent_lane *lane = &enclave->lanes[i];
        if (lane->lane == NULL)
            continue;
        fprintf(out, "stats peer=%s name=%s lane=%u up=%d queue_dropped=%" PRIu64, enclave->peer,
                enclave->name, i, lane->running, lane_lost(lane));
        stats_print(out, lane_stats(lane->lane));
        fputc('\n', out);
    }
}
