/* SPDX-License-Identifier: Apache-2.0 */
#include "enclave/capture.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "rule_templates.h"
#include "runtime/base/clock.h"
#include "runtime/host/kernel_features.h"
#include "runtime/host/nfqueue.h"
#include "runtime/host/packet_socket.h"
#include "runtime/lane/report.h"
#include "runtime/host/tc_mark.h"

#define FILTER_NAME       "causeway_mark" /* as `tc filter` shows it */
#define QUEUE_PATIENCE_MS 5000
#define QUEUE_RETRY_MS    20

const struct rules_set capture_rules = {
    .name = "enclave capture",
    .nft = rule_enclave_nft,
    .nft_table = "inet causeway_enclave",
    .ipv4 = rule_enclave_ipv4_rules,
    .ipv6 = rule_enclave_ipv6_rules,
    .hooks = rule_enclave_hooks,
};

struct rules_values *capture_rules_values(const struct enclave_config *config, bool tagged)
{
    struct rules_values *values = rules_values_new();

    rules_set(values, "device", "%s", DEVICE_PEER);
    rules_set(values, "queue_base", "%u", config->queue_base);
    rules_set(values, "queue_last", "%u", config->queue_base + config->lanes - 1);
    rules_set(values, "tagged", "%s", tagged ? "yes" : "");
    rules_set(values, "balanced", "%s", config->lanes > 1 ? "yes" : "");
    for (unsigned lane = 0; lane < config->lanes; lane++) {
        rules_group(values, "lanes");
        rules_group_set(values, "number", "%u", lane);
        rules_group_set(values, "mark", "0x%x", TC_MARK_SEEN | lane << TC_MARK_LANE_SHIFT);
        rules_group_set(values, "mask", "0x%x", TC_MARK_SEEN | TC_MARK_LANE_MASK);
        rules_group_set(values, "queue", "%u", config->queue_base + lane);
    }
    return values;
}

static void close_filter(struct capture *capture)
{
    if (capture->filter >= 0)
        close(capture->filter);
    capture->filter = -1;
}

static void close_sources(struct capture *capture)
{
    close_filter(capture);
    for (unsigned i = 0; i < capture->source_count; i++)
        close(capture->sources[i].fd);
    capture->source_count = 0;
}

static int add_source(struct capture *capture, enum lane_source_kind kind, int fd, uint16_t queue)
{
    if (fd < 0)
        return fd;
    capture->sources[capture->source_count++] =
        (struct lane_source){.kind = kind, .fd = fd, .queue = queue};
    return 0;
}

int capture_put_filter_back(const struct capture *capture, struct device *device)
{
    return netdev_attach_ingress(&device->netdev, device->peer_index, capture->filter, FILTER_NAME);
}

bool capture_lacks_filter(const struct capture *capture, struct device *device)
{
    return capture->tagged &&
           netdev_has_ingress(&device->netdev, device->peer_index, FILTER_NAME) == 0;
}

/* The tc program needs clsact and cls_bpf; without it the queues work, one packet at a time. It
 * stays open: the sandbox loads none, and may have to put it back. */
static bool attach_tc_mark(struct capture *capture, const struct enclave_config *config,
                           const struct device *device)
{
    struct device here = *device;

    capture->filter = tc_mark_load(config->lanes);
    int error = capture->filter < 0 ? capture->filter : capture_put_filter_back(capture, &here);
    if (error >= 0)
        return true;
    log_warning("no tc program at %s (%s): NFQUEUE works without GSO, slower", DEVICE_PEER,
                strerror(-error));
    close_filter(capture);
    return false;
}

/*
 * A queue of a predecessor that was killed stays bound for some milliseconds more: the kernel
 * releases a ring's sockets after the process has ended.
 */
static int open_queue(const struct enclave_config *config, uint16_t queue, bool gso)
{
    uint64_t deadline_ms = clock_ms() + QUEUE_PATIENCE_MS;
    int fd = nfqueue_open(queue, gso, config->queue_length);

    while ((fd == -EBUSY || fd == -EPERM) && clock_ms() < deadline_ms) {
        usleep(QUEUE_RETRY_MS * 1000);
        fd = nfqueue_open(queue, gso, config->queue_length);
    }
    return fd;
}

/* With the tc program: what it drops ahead of conntrack is captured here. */
static int open_fragments(struct capture *capture, const struct device *device)
{
    return add_source(capture, LANE_SOURCE_PACKET,
                      packet_socket_capture_fragments(device->peer_index), 0);
}

static bool open_nfqueue(struct capture *capture, const struct enclave_config *config,
                         const struct device *device, struct failure *failure)
{
    capture->used = CAPTURE_NFQUEUE;
    capture->tagged = attach_tc_mark(capture, config, device);
    for (unsigned i = 0; i < config->lanes; i++) {
        uint16_t queue = (uint16_t)(config->queue_base + i);
        int result = add_source(capture, LANE_SOURCE_NFQUEUE,
                                open_queue(config, queue, capture->tagged), queue);
        if (result < 0)
            return failure_set(failure, "cannot open NFQUEUE %u: %s", queue,
                               result == -EBUSY || result == -EPERM
                                   ? "another program has it, or permission is missing"
                                   : strerror(-result));
    }
    if (capture->tagged) {
        int result = open_fragments(capture, device);
        if (result < 0)
            return failure_set(failure, "cannot capture fragments: %s", strerror(-result));
    }
    struct rules_values *values = capture_rules_values(config, capture->tagged);
    bool applied =
        rules_apply(&capture_rules, config->firewall, values, &capture->firewall, failure);
    rules_values_free(values);
    return applied;
}

static int open_packets(struct capture *capture, const struct enclave_config *config,
                        const struct device *device)
{
    int result = packet_socket_free_group(device->peer_index);
    uint16_t group = (uint16_t)result;

    for (unsigned i = 0; result >= 0 && i < config->lanes; i++)
        result = add_source(capture, LANE_SOURCE_PACKET,
                            packet_socket_capture(device->peer_index, config->lanes, group), 0);
    return result < 0 ? result : 0;
}

int capture_reopen(struct capture *capture, const struct enclave_config *config,
                   const struct device *device)
{
    int result = device_limit_offloads(capture->used == CAPTURE_NFQUEUE || features_udp_gso());
    unsigned kept = 0;

    for (unsigned i = 0; i < capture->source_count; i++) {
        if (capture->sources[i].kind == LANE_SOURCE_NFQUEUE)
            capture->sources[kept++] = capture->sources[i];
        else
            close(capture->sources[i].fd);
    }
    capture->source_count = kept;
    if (result < 0)
        return result;
    if (capture->used == CAPTURE_PACKET)
        return open_packets(capture, config, device);
    return capture->tagged ? open_fragments(capture, device) : 0;
}

static bool open_packet(struct capture *capture, const struct enclave_config *config,
                        const struct device *device, struct failure *failure)
{
    capture->used = CAPTURE_PACKET;
    int result = open_packets(capture, config, device);
    if (result < 0)
        return failure_set(failure, "cannot capture with AF_PACKET: %s", strerror(-result));
    return true;
}

bool capture_open(struct capture *capture, const struct enclave_config *config,
                  const struct device *device, struct failure *failure)
{
    *capture = (struct capture){.firewall = RULES_NONE, .filter = -1};
    if (config->capture != CAPTURE_PACKET) {
        /* NFQUEUE describes UDP super-packets on every kernel: the tc program gives their size. */
        if (device_limit_offloads(true) == 0 && open_nfqueue(capture, config, device, failure))
            return true;
        close_sources(capture);
        if (config->capture == CAPTURE_NFQUEUE)
            return false;
        log_warning("NFQUEUE cannot be used, taking AF_PACKET: %s", failure->text);
        *capture = (struct capture){.firewall = RULES_NONE, .filter = -1};
    }
    int limited = features_try_udp_gso(device->peer_index);
    if (limited == 0)
        limited = device_limit_offloads(features_udp_gso());
    if (limited < 0)
        return failure_set(failure, "cannot set the offloads of %s: %s", DEVICE_NAME,
                           strerror(-limited));
    return open_packet(capture, config, device, failure);
}

void capture_assign(const struct capture *capture, unsigned lane, unsigned lanes,
                    struct lane_options *options)
{
    options->source_count = 0;
    for (unsigned i = 0; i < capture->source_count; i++)
        if (i % lanes == lane)
            options->sources[options->source_count++] = capture->sources[i];
}

uint64_t capture_lost(struct capture *capture, unsigned lane, unsigned lanes)
{
    uint64_t lost = 0;

    for (unsigned i = lane; i < capture->source_count; i += lanes) {
        const struct lane_source *source = &capture->sources[i];
        if (source->kind == LANE_SOURCE_NFQUEUE)
            lost += nfqueue_lost(source->queue);
        else
            lost += capture->lost[i] += packet_socket_lost(source->fd);
    }
    return lost;
}

struct capture_depth capture_depth(const struct capture *capture, unsigned lane, unsigned lanes)
{
    struct capture_depth depth = {0};

    for (unsigned i = lane; i < capture->source_count; i += lanes) {
        const struct lane_source *source = &capture->sources[i];
        depth.bytes += report_queue_bytes(source->fd);
        if (source->kind == LANE_SOURCE_NFQUEUE)
            depth.packets += nfqueue_waiting(source->queue);
    }
    return depth;
}

const char *capture_name(const struct capture *capture)
{
    if (capture->used == CAPTURE_PACKET)
        return "AF_PACKET";
    return capture->tagged ? "NFQUEUE with GSO" : "NFQUEUE without GSO";
}
