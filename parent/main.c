/* SPDX-License-Identifier: Apache-2.0 */
/*
 * causeway-parent: the parent's end of the tunnel.
 *
 * In the order of the skeleton (runtime/base/daemon.h) it has sysctls set, applies its rules and
 * opens the listening sockets. Whatever fails in the loop is counted, logged and tried again.
 */
#include <errno.h>
#include <linux/vm_sockets.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "parent/changes.h"
#include "parent/check.h"
#include "parent/commands.h"
#include "parent/config.h"
#include "parent/enclave_device.h"
#include "parent/firewall.h"
#include "parent/host.h"
#include "parent/overlap.h"
#include "parent/session.h"
#include "parent/settings.h"
#include "parent/stale.h"
#include "parent/taken.h"
#include "parent/uplink.h"
#include "runtime/base/clock.h"
#include "runtime/base/daemon.h"
#include "runtime/host/kernel_faults.h"
#include "runtime/host/kernel_share.h"
#include "runtime/host/sysctl.h"
#include "runtime/lane/ring.h"

#define PARENT_CID    3 /* of every Nitro parent, seen from its enclaves */
/* Changes come in bursts: they are looked at together. */
#define LOOK_DELAY_MS 100

struct parent {
    struct daemon daemon;
    struct parent_config config;
    struct netdev netdev;
    struct event_source monitor;
    uint64_t look_ms; /* when the host is looked at, because it changed; 0: not due */
    struct sessions sessions;
    struct changes changes;
    struct commands commands;
    struct tap_table taps;
};

/* The daemon removes them itself unless they are in somebody else's folder, such as a jail. */
static void remove_sockets(const struct parent_config *config)
{
    struct stat status;

    for (unsigned i = 0; i < config->enclave_count; i++) {
        const struct link_addr *link = &config->enclaves[i].link;
        if (link->kind == LINK_UNIX && lstat(link->path, &status) == 0 && S_ISSOCK(status.st_mode))
            unlink(link->path);
    }
}

/* In the helper, with the privileges of the start. */
static void clean_up(void *context)
{
    const struct parent_config *config = context;
    struct failure failure;
    int result;

    remove_sockets(config);
    enclave_devices_remove();
    if (!rules_remove(&firewall_rules, config->firewall, &failure))
        log_warning("%s", failure.text);
    result = settings_restore();
    if (result < 0)
        log_warning("cannot put the sysctls back: %s", strerror(-result));
}

static void folders(const void *context, sandbox_add *add, void *add_context)
{
    const struct parent_config *config = context;

    for (unsigned i = 0; i < config->enclave_count; i++)
        if (config->enclaves[i].link.kind == LINK_UNIX)
            daemon_add_folder_of(config->enclaves[i].link.path, add, add_context);
}

/* A host without a firewall for IPv6 gives its enclaves none. */
static void drop_unusable_ipv6(struct parent_config *config)
{
    if (config->pool6.addr.version == 0 || rules_family_usable(config->firewall, 6))
        return;
    log_warning("this host has no firewall for IPv6: enclaves get IPv4 only");
    config->pool6 = (struct ip_prefix){0};
}

/* IPv6 may be switched off, and on again, at any time: once said, each time. */
static void look_at_ipv6(struct parent *parent)
{
    const char *off = parent->config.pool6.addr.version != 0 ? sysctl_ipv6_off() : NULL;

    if ((off != NULL) == parent->sessions.context.ipv6_off)
        return;
    if (off != NULL)
        log_warning("%s: enclaves get IPv4 only, until that changes", off);
    else
        log_info("IPv6 is switched on again: enclaves get it too");
    sessions_ipv6_changed(&parent->sessions, off != NULL);
}

static void print_stats(void *context)
{
    sessions_print_stats(&((struct parent *)context)->sessions, stderr);
}

static void device_changed(int ifindex, void *context)
{
    sessions_device_changed(context, ifindex);
}

static void monitor_ready(void *context, uint32_t events)
{
    struct parent *parent = context;

    (void)events;
    if (netdev_monitor_drain(parent->monitor.fd, device_changed, &parent->sessions) &&
        parent->look_ms == 0)
        parent->look_ms = clock_ms() + LOOK_DELAY_MS;
}

/* What of the host has changed that concerns us: the way out, IPv6, forwarding. */
static void host_changed(struct parent *parent)
{
    uint32_t mtu = uplink_mtu(&parent->netdev, parent->config.uplink);
    struct failure failure;

    changes_networks(&parent->changes);
    if (mtu != parent->sessions.context.mtu) {
        log_info("the uplink's MTU is now %u", mtu);
        sessions_settings_changed(&parent->sessions, mtu);
    }
    look_at_ipv6(parent);
    if (!changes_hold_settings(&parent->changes, &failure))
        log_limited(&parent->changes.host_log, LOG_LEVEL_ERROR, "%s", failure.text);
}

static int host_poll(struct parent *parent)
{
    uint64_t now_ms = clock_ms();

    if (parent->look_ms == 0)
        return -1;
    if (now_ms < parent->look_ms)
        return (int)(parent->look_ms - now_ms);
    parent->look_ms = 0;
    host_changed(parent);
    return -1;
}

static int open_monitor(struct parent *parent)
{
    int fd = netdev_monitor_open();

    if (fd < 0)
        return fd;
    parent->monitor = (struct event_source){.fd = fd, .ready = monitor_ready, .context = parent};
    return event_add(&parent->daemon.loop, &parent->monitor, EPOLLIN);
}

/* An enclave needs up to 8 lanes of 5 descriptors each; the usual soft limit is 1,024. */
static void raise_descriptor_limit(void)
{
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
        limit.rlim_cur = limit.rlim_max;
        setrlimit(RLIMIT_NOFILE, &limit);
    }
}

static bool watch_devices(struct parent *parent, struct failure *failure)
{
    int result = netdev_open(&parent->netdev);

    if (result == 0)
        result = open_monitor(parent);
    return result == 0 || failure_set(failure, "cannot open rtnetlink: %s", strerror(-result));
}

static bool apply_rules(const struct parent_config *config, enum rules_backend *used,
                        struct failure *failure)
{
    struct rules_values *values = firewall_values(config);
    bool applied = rules_apply(&firewall_rules, config->firewall, values, used, failure);

    rules_values_free(values);
    if (applied)
        log_info("rules applied with %s", rules_backend_name(*used));
    return applied;
}

static void warn(const char *sentence, void *context)
{
    (void)context;
    log_warning("%s", sentence);
}

/* CIDs that a hypervisor gives to no guest, or to the parent itself. */
static void warn_of_cids(const struct parent_config *config)
{
    for (unsigned i = 0; i < config->enclave_count; i++) {
        const struct link_addr *link = &config->enclaves[i].link;
        if (link->kind == LINK_VSOCK && (link->cid == VMADDR_CID_HOST || link->cid == PARENT_CID))
            log_warning("enclave %s: CID %u is a host's or a parent's, not an enclave's: the "
                        "enclave's own is shown by nitro-cli describe-enclaves",
                        config->enclaves[i].name, link->cid);
    }
}

static bool open_all(void *context, struct failure *failure)
{
    struct parent *parent = context;
    const struct parent_config *config = &parent->config;
    struct sessions *sessions = &parent->sessions;

    raise_descriptor_limit();
    parent->changes = (struct changes){
        .config = &parent->config,
        .sessions = sessions,
        .helper = &parent->daemon.helper,
    };
    host_shadows(config, warn, NULL);
    warn_of_cids(config);
    if (!taken_check(config, NULL, failure) || !watch_devices(parent, failure) ||
        !changes_hold_settings(&parent->changes, failure) ||
        !apply_rules(config, &parent->commands.firewall, failure))
        return false;
    stale_forget(NULL, config);
    sessions->loop = &parent->daemon.loop;
    sessions->context.config = config;
    sessions->context.netdev = &parent->netdev;
    sessions->context.taps = &parent->taps;
    sessions->context.fragment_limit = kernel_share_fragments(config->enclave_count);
    sessions->context.mtu = uplink_mtu(&parent->netdev, config->uplink);
    look_at_ipv6(parent);
    parent->commands.control = &parent->daemon.control;
    parent->commands.changes = &parent->changes;
    parent->commands.taps = &parent->taps;
    return sessions_open(sessions, failure);
}

static void ready(void *context)
{
    const struct parent *parent = context;

    unsigned count = parent->config.enclave_count;
    const char *enclaves = count == 1 ? "enclave" : "enclaves";

    log_info("ready: %u %s may connect, uplink MTU %u", count, enclaves,
             parent->sessions.context.mtu);
    kernel_faults_log(parent_config_uses(&parent->config));
    notify_ready(&parent->daemon.notify, "%u %s may connect", count, enclaves);
}

static int turn(void *context, int at_most_ms)
{
    struct parent *parent = context;
    int timeout_ms = event_sooner(sessions_poll(&parent->sessions), at_most_ms);

    timeout_ms = event_sooner(timeout_ms, host_poll(parent));
    return event_wait(&parent->daemon.loop, event_sooner(timeout_ms, tap_poll(&parent->taps)));
}

static bool reload(void *context, const void *given, const void *fresh, struct failure *failure)
{
    return changes_reload(&((struct parent *)context)->changes, given, fresh, failure);
}

static void stop(void *context)
{
    sessions_stop(&((struct parent *)context)->sessions);
}

/* What the rules have to know of this host. */
static void look_at_host(struct parent_config *config)
{
    struct netdev netdev = {0};

    if (netdev_open(&netdev) == 0)
        host_networks(config, &netdev);
    netdev_close(&netdev);
    host_forwarding(config);
}

static bool prepare(void *context, struct failure *failure)
{
    struct parent *parent = context;

    if (!sandbox_check_capabilities(failure) || !lane_probe(failure) ||
        !overlap_check(&parent->config, failure))
        return false;
    drop_unusable_ipv6(&parent->config);
    if (settings_open_journal() < 0)
        log_debug("no journal of sysctls yet");
    look_at_host(&parent->config); /* before the fork: the helper knows it too */
    return true;
}

static int check(const void *config)
{
    return check_parent(config);
}

static int dry_run(const void *context)
{
    static struct parent_config config;

    config = *(const struct parent_config *)context;
    look_at_host(&config);
    struct rules_values *values = firewall_values(&config);
    int printed = rules_print(&firewall_rules, config.firewall, values);

    rules_values_free(values);
    return printed < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}

static const struct daemon_program program = {
    .name = "causeway-parent",
    .config_bytes = sizeof(struct parent_config),
    .options = parent_options,
    .read = parent_config_read,
    .check = check,
    .dry_run = dry_run,
    .one_instance = true,
    .control_path = PARENT_CONTROL_PATH,
    .commands = parent_commands,
    .sandbox = &sandbox_datapath,
    .make_ring = ring_make,
    .folders = folders,
    .prepare = prepare,
    .clean_up = clean_up,
    .serve = changes_serve,
    .open = open_all,
    .ready = ready,
    .turn = turn,
    .print_stats = print_stats,
    .reload = reload,
    .stop = stop,
};

int main(int argc, char **argv)
{
    static struct parent parent = {
        .daemon =
            {
                .program = &program,
                .config = &parent.config,
                .context = &parent,
                .commands = &parent.commands,
            },
    };

    return daemon_main(&parent.daemon, argc, argv);
}
