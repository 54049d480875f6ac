/* SPDX-License-Identifier: Apache-2.0 */
#include "parent/enclave.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <unistd.h>

#include "parent/addresses.h"
#include "parent/enclave_device.h"
#include "parent/policy.h"
#include "runtime/base/log.h"
#include "runtime/host/kernel_features.h"
#include "runtime/host/packet_socket.h"
#include "runtime/lane/report.h"

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
        .capture_mtu = PACKET_MAX_BYTES,
        .mtu_max = PACKET_MAX_BYTES,
    };
    snprintf(enclave->name, sizeof(enclave->name), "%s", entry->name);
    enclave->link_kind = entry->link.kind;
    snprintf(enclave->peer, sizeof(enclave->peer), "%s", peer);
    parent_config_label(entry, peer, enclave->label);
    enclave_device_name(enclave);
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
    int result = enclave_device_mend(enclave, context);

    if (result != -ENODEV)
        return result;
    make_device_again(enclave, context);
    return 0;
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

/* ---- CONFIG ---- */

void enclave_configure(struct enclave *enclave, const struct enclave_context *context,
                       unsigned lanes)
{
    const struct parent_config *config = context->config;

    enclave->config = (struct wire_config){
        .lanes = (uint8_t)lanes,
        .mtu = (uint16_t)enclave_device_mtu(enclave, context),
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
    int error = enclave_device_set_mtu(enclave, context);
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
    int error = enclave_device_delete(enclave, context);

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
