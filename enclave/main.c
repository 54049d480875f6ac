/* SPDX-License-Identifier: Apache-2.0 */
/*
 * causeway-enclave: the enclave's end of the tunnel.
 *
 * In the order of the skeleton (runtime/base/daemon.h) it opens its device, what captures packets
 * there, and a lane for each stream to the parent.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "enclave/capture.h"
#include "enclave/check.h"
#include "enclave/commands.h"
#include "enclave/config.h"
#include "enclave/device.h"
#include "enclave/resolvers.h"
#include "enclave/session.h"
#include "runtime/base/daemon.h"
#include "runtime/host/kernel_faults.h"
#include "runtime/lane/ring.h"

struct enclave {
    struct daemon daemon;
    struct enclave_config config;
    struct device device;
    struct event_source monitor;
    struct capture capture;
    struct session session;
    struct commands commands;
    struct tap_table taps;
};

/* ---- in the helper ---- */

static void clean_up(void *context)
{
    const struct enclave_config *config = context;
    struct failure failure;

    device_remove();
    if (config->resolvers_file != NULL)
        resolvers_remove(config->resolvers_file);
    if (config->capture != CAPTURE_PACKET &&
        !rules_remove(&capture_rules, config->firewall, &failure))
        log_warning("%s", failure.text);
}

static bool serve(void *context, char kind, char *text, char *answer, struct failure *failure)
{
    const struct enclave_config *config = context;

    (void)answer;
    return kind == RESOLVERS_HELPER_KIND && config->resolvers_file != NULL &&
           resolvers_serve(config->resolvers_file, text, failure);
}

static void folders(const void *context, sandbox_add *add, void *add_context)
{
    daemon_add_folder_of(((const struct enclave_config *)context)->resolvers_file, add,
                         add_context);
}

/* ---- in the daemon ---- */

/* A link that is a Unix socket admits its owner alone. */
static bool keeps_user(const void *context)
{
    return ((const struct enclave_config *)context)->link.kind == LINK_UNIX;
}

static bool prepare(void *context, struct failure *failure)
{
    (void)context;
    return sandbox_check_capabilities(failure) && lane_probe(failure);
}

static void resolvers_changed(void *context, const struct wire_config *config)
{
    resolvers_publish(context, config);
}

static void device_changed(int ifindex, void *context)
{
    session_device_changed(context, ifindex);
}

static void monitor_ready(void *context, uint32_t events)
{
    struct enclave *enclave = context;

    (void)events;
    if (netdev_monitor_drain(enclave->monitor.fd, device_changed, &enclave->session))
        session_networks_changed(&enclave->session); /* those of containers come and go */
}

static bool open_monitor(struct enclave *enclave, struct failure *failure)
{
    int result = netdev_monitor_open();

    if (result >= 0) {
        enclave->monitor =
            (struct event_source){.fd = result, .ready = monitor_ready, .context = enclave};
        result = event_add(&enclave->daemon.loop, &enclave->monitor, EPOLLIN);
    }
    return result == 0 || failure_set(failure, "cannot open rtnetlink: %s", strerror(-result));
}

static bool make_device(struct device *device, struct failure *failure)
{
    int result = device_create(device);

    if (result == 0)
        return true;
    return failure_set(failure, "cannot make %s: %s", DEVICE_NAME,
                       result == -EEXIST ? "a device of that name exists that is not ours"
                                         : strerror(-result));
}

static bool open_all(void *context, struct failure *failure)
{
    struct enclave *enclave = context;
    const struct enclave_config *config = &enclave->config;

    if (!open_monitor(enclave, failure) || !make_device(&enclave->device, failure))
        return false;
    enclave->session = (struct session){
        .config = config,
        .loop = &enclave->daemon.loop,
        .device = &enclave->device,
        .capture = &enclave->capture,
        .taps = &enclave->taps,
        .notify = &enclave->daemon.notify,
        .resolvers_changed = config->resolvers_file != NULL ? resolvers_changed : NULL,
        .resolvers_context = &enclave->daemon.helper,
    };
    enclave->commands = (struct commands){
        .control = &enclave->daemon.control,
        .session = &enclave->session,
        .taps = &enclave->taps,
    };
    session_networks_changed(&enclave->session);
    return capture_open(&enclave->capture, config, &enclave->device, failure) &&
           session_open(&enclave->session, failure);
}

static void ready(void *context)
{
    struct enclave *enclave = context;

    kernel_faults_log(enclave_config_uses(&enclave->config));
    notify_status(&enclave->daemon.notify, "waiting for the parent");
}

static int turn(void *context, int at_most_ms)
{
    struct enclave *enclave = context;
    int timeout_ms = event_sooner(session_poll(&enclave->session), at_most_ms);

    return event_wait(&enclave->daemon.loop, event_sooner(timeout_ms, tap_poll(&enclave->taps)));
}

static void print_stats(void *context)
{
    session_print_stats(&((struct enclave *)context)->session, stderr);
}

/* What can change in a running enclave daemon is little: the rest is part of what was agreed with
 * the parent or set up before the privileges were dropped. */
static bool reload(void *context, const void *given, const void *fresh, struct failure *failure)
{
    struct enclave *enclave = context;
    const struct enclave_config *next = fresh;

    (void)failure;
    reload_report(enclave_options, &enclave->config, given, next);
    enclave->config.common.log_level = next->common.log_level;
    enclave->config.dead_seconds = next->dead_seconds;
    log_set_level(next->common.log_level);
    session_settings_changed(&enclave->session);
    return true;
}

static void stop(void *context)
{
    session_stop(&((struct enclave *)context)->session);
}

static int check(const void *config)
{
    return check_enclave(config);
}

static int dry_run(const void *context)
{
    const struct enclave_config *config = context;
    struct rules_values *values = capture_rules_values(config, true);
    int printed = rules_print(&capture_rules, config->firewall, values);

    rules_values_free(values);
    return printed < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}

static const struct daemon_program program = {
    .name = "causeway-enclave",
    .config_bytes = sizeof(struct enclave_config),
    .options = enclave_options,
    .read = enclave_config_read,
    .check = check,
    .dry_run = dry_run,
    .one_instance = true,
    .control_path = ENCLAVE_CONTROL_PATH,
    .commands = enclave_commands,
    .sandbox = &sandbox_datapath,
    .make_ring = ring_make,
    .folders = folders,
    .keeps_user = keeps_user,
    .prepare = prepare,
    .clean_up = clean_up,
    .serve = serve,
    .open = open_all,
    .ready = ready,
    .turn = turn,
    .print_stats = print_stats,
    .reload = reload,
    .stop = stop,
};

int main(int argc, char **argv)
{
    static struct enclave enclave = {
        .daemon =
            {
                .program = &program,
                .config = &enclave.config,
                .context = &enclave,
                .commands = &enclave.commands,
            },
    };

    return daemon_main(&enclave.daemon, argc, argv);
}
