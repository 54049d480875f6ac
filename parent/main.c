/* SPDX-License-Identifier: Apache-2.0 */
/*
 * causeway-parent: the parent's end of the tunnel.
 *
 * Start-up in order: options, --check and --dry-run, one instance, helper, sysctls, rules,
 * listening sockets, sandbox; then the control loop. Whatever fails before the loop ends the
 * program with one sentence; whatever fails in the loop is counted, logged and tried again.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "parent/check.h"
#include "parent/commands.h"
#include "parent/config.h"
#include "parent/enclave.h"
#include "parent/firewall.h"
#include "parent/live.h"
#include "parent/overlap.h"
#include "parent/session.h"
#include "parent/uplink.h"
#include "runtime/base/event.h"
#include "runtime/base/instance.h"
#include "runtime/base/helper.h"
#include "runtime/base/notify.h"
#include "runtime/base/sandbox.h"
#include "runtime/base/signals.h"
#include "runtime/host/sysctl.h"

#define PROGRAM       "causeway-parent"
#define RUN_DIRECTORY "/run/causeway"

struct parent {
    struct parent_config config;
    struct event_loop loop;
    struct signals signals;
    struct notify notify;
    struct netdev netdev;
    struct event_source monitor;
    struct server server;
    struct helper helper;
    struct live live;
    struct control control;
    struct commands commands;
    struct tap_table taps;
};

/* One journal for each network namespace: that is what the sysctls belong to. */
static int open_journal(void)
{
    struct stat namespace;
    char path[64];

    if (stat("/proc/self/ns/net", &namespace) < 0)
        return -errno;
    if (mkdir(RUN_DIRECTORY, 0755) < 0 && errno != EEXIST)
        return -errno;
    snprintf(path, sizeof(path), RUN_DIRECTORY "/parent-%ju.sysctl", (uintmax_t) namespace.st_ino);
    return sysctl_journal_open(path);
}

/* In the helper, with the privileges of the start. */
static void clean_up(void *context)
{
    const struct parent_config *config = context;
    struct failure failure;
    int result;

    control_remove(&config->control);
    enclave_remove_devices();
    if (rules_remove(&firewall_rules, config->firewall, &failure) < 0)
        log_warning("%s", failure.text);
    result = open_journal();
    if (result == 0)
        result = sysctl_restore_all();
    if (result < 0)
        log_warning("cannot put the sysctls back: %s", strerror(-result));
}

static int set_sysctls(const struct parent_config *config, struct failure *failure)
{
    int result = open_journal();

    if (result < 0) {
        failure_set(failure, "cannot keep a journal of sysctls in %s: %s", RUN_DIRECTORY,
                    strerror(-result));
        return -1;
    }
    if (config->pool4.addr.version != 0)
        result = sysctl_set("net/ipv4/ip_forward", "1");
    if (result == 0 && config->pool6.addr.version != 0)
        result = sysctl_set("net/ipv6/conf/all/forwarding", "1");
    if (result == 0)
        return 0;
    failure_set(failure, "cannot switch forwarding on in /proc/sys: %s", strerror(-result));
    return -1;
}

/* A host without IPv6, or without its firewall, gives its enclaves none. */
static void drop_unusable_ipv6(struct parent_config *config)
{
    if (config->pool6.addr.version == 0)
        return;
    if (access("/proc/sys/net/ipv6", F_OK) == 0 && rules_family_usable(config->firewall, 6))
        return;
    log_warning("this host has no IPv6 or no firewall for it: enclaves get IPv4 only");
    config->pool6 = (struct ip_prefix){0};
}

static void print_stats(void *context)
{
    server_print_stats(&((struct parent *)context)->server, stderr);
}

static void reload(void *context)
{
    live_reload(&((struct parent *)context)->live);
}

static void monitor_ready(void *context, uint32_t events)
{
    struct parent *parent = context;

    (void)events;
    if (!netdev_monitor_drain(parent->monitor.fd))
        return;
    uint32_t mtu = uplink_mtu(&parent->netdev, parent->config.uplink);
    if (mtu != parent->server.context.mtu) {
        log_info("the uplink's MTU is now %u", mtu);
        server_settings_changed(&parent->server, mtu);
    }
}

static int open_monitor(struct parent *parent)
{
    int fd = netdev_monitor_open();

    if (fd < 0)
        return fd;
    parent->monitor = (struct event_source){.fd = fd, .ready = monitor_ready, .context = parent};
    return event_add(&parent->loop, &parent->monitor, EPOLLIN);
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

static int open_control(struct parent *parent, struct failure *failure)
{
    int result = event_loop_init(&parent->loop);

    if (result == 0)
        result = signals_open(&parent->signals, &parent->loop, print_stats, parent);
    if (result == 0)
        result = signals_on_hangup(&parent->signals, reload);
    if (result == 0)
        result = netdev_open(&parent->netdev);
    if (result == 0)
        result = open_monitor(parent);
    if (result == 0)
        return 0;
    failure_set(failure, "cannot open epoll, signalfd or rtnetlink: %s", strerror(-result));
    return -1;
}

static int apply_rules(const struct parent_config *config, enum rules_backend *used,
                       struct failure *failure)
{
    struct rules_values *values = firewall_values(config);
    int result = rules_apply(&firewall_rules, config->firewall, values, used, failure);

    rules_values_free(values);
    if (result == 0)
        log_info("rules applied with %s", rules_backend_name(*used));
    return result;
}

static int start(struct parent *parent, struct failure *failure)
{
    const struct parent_config *config = &parent->config;

    raise_descriptor_limit();
    if (open_control(parent, failure) < 0 ||
        notify_open(&parent->notify, &parent->loop, failure) < 0 ||
        set_sysctls(config, failure) < 0 ||
        apply_rules(config, &parent->commands.firewall, failure) < 0)
        return -1;
    parent->server.loop = &parent->loop;
    parent->server.context.config = config;
    parent->server.context.netdev = &parent->netdev;
    parent->server.context.mtu = uplink_mtu(&parent->netdev, config->uplink);
    parent->commands.control = &parent->control;
    parent->commands.live = &parent->live;
    parent->commands.taps = parent->server.context.taps = &parent->taps;
    if (server_open(&parent->server, failure) < 0 ||
        control_open(&parent->control, &parent->loop, &config->control, PARENT_CONTROL_PATH,
                     parent_commands, &parent->commands, failure) < 0)
        return -1;
    return config->no_sandbox ? 0 : sandbox_enter(&sandbox_datapath, config->user, failure);
}

static void run(struct parent *parent)
{
    log_info("ready: %u enclaves may connect, uplink MTU %u", parent->config.enclave_count,
             parent->server.context.mtu);
    notify_ready(&parent->notify, "%u enclaves may connect", parent->config.enclave_count);
    while (!parent->signals.stop) {
        int timeout_ms = event_sooner(server_poll(&parent->server), control_poll(&parent->control));
        timeout_ms = event_sooner(timeout_ms, tap_poll(&parent->taps));
        int error = event_wait(&parent->loop, timeout_ms);
        if (error < 0) {
            log_error("the control loop failed: %s", strerror(-error));
            return;
        }
    }
}

static int dry_run(const struct parent_config *config)
{
    struct rules_values *values = firewall_values(config);
    int printed = rules_print(&firewall_rules, config->firewall, values);

    rules_values_free(values);
    return printed < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}

static void prepare_live(struct parent *parent, int argc, char **argv)
{
    parent->live.config = &parent->config;
    parent->live.given = parent->config;
    parent->live.server = &parent->server;
    parent->live.helper = &parent->helper;
    parent->live.argc = argc;
    parent->live.argv = argv;
}

int main(int argc, char **argv)
{
    static struct parent parent;
    struct failure failure;
    enum options_result result = parent_config_read(&parent.config, argc, argv, &failure);

    log_init(PROGRAM, parent.config.log_level);
    if (result == OPTIONS_HELP)
        return EXIT_SUCCESS;
    if (result == OPTIONS_INVALID) {
        log_error("%s", failure.text);
        return 2;
    }
    if (parent.config.print_config) {
        options_print(parent_options, &parent.config, stdout);
        return EXIT_SUCCESS;
    }
    if (parent.config.check)
        return check_parent(&parent.config);
    if (parent.config.dry_run)
        return dry_run(&parent.config);
    if (sandbox_check_capabilities(&failure) < 0 || lane_probe(&failure) < 0 ||
        overlap_check(&parent.config, &failure) < 0)
        die("%s", failure.text);
    prepare_live(&parent, argc, argv);
    drop_unusable_ipv6(&parent.config);
    int started = helper_start_serving(&parent.helper, &(struct helper_duties){
                                                           .cleanup = clean_up,
                                                           .serve = live_serve,
                                                           .context = &parent.config,
                                                       });
    if (started < 0)
        die("cannot fork: %s", strerror(-started));
    /* Behind the fork: the helper must not hold the lock when the daemon is killed. */
    if (instance_lock(PROGRAM, &failure) < 0)
        die("%s", failure.text);
    if (start(&parent, &failure) < 0) {
        helper_finish(&parent.helper);
        die("%s", failure.text);
    }
    run(&parent);
    notify_stopping(&parent.notify);
    print_stats(&parent);
    control_close(&parent.control);
    server_stop(&parent.server);
    helper_finish(&parent.helper);
    log_info("stopped");
    return EXIT_SUCCESS;
}
