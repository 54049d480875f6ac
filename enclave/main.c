/* SPDX-License-Identifier: Apache-2.0 */
/*
 * causeway-enclave: the enclave's end of the tunnel.
 *
 * Start-up in order: options, --check and --dry-run, one instance, helper, device, capture, lanes,
 * sandbox; then the control loop. Whatever fails before the loop ends the program with one
 * sentence; whatever fails in the loop is counted, logged and tried again.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "enclave/capture.h"
#include "enclave/check.h"
#include "enclave/commands.h"
#include "enclave/config.h"
#include "enclave/device.h"
#include "enclave/live.h"
#include "enclave/resolvers.h"
#include "enclave/session.h"
#include "runtime/base/event.h"
#include "runtime/base/instance.h"
#include "runtime/base/helper.h"
#include "runtime/base/notify.h"
#include "runtime/host/packet_socket.h"
#include "runtime/base/sandbox.h"
#include "runtime/base/signals.h"

#define PROGRAM "causeway-enclave"

struct daemon {
    struct enclave_config config;
    struct event_loop loop;
    struct signals signals;
    struct notify notify;
    struct device device;
    struct capture capture;
    struct session session;
    struct helper helper;
    struct live live;
    struct control control;
    struct commands commands;
    struct tap_table taps;
};

/* In the helper, with the privileges of the start. */
static void clean_up(void *context)
{
    const struct enclave_config *config = context;
    struct failure failure;

    control_remove(&config->control);
    device_remove();
    if (config->resolvers_file != NULL)
        resolvers_remove(config->resolvers_file);
    if (config->capture != CAPTURE_PACKET &&
        rules_remove(&capture_rules, config->firewall, &failure) < 0)
        log_warning("%s", failure.text);
}

static bool probe_udp_gso(const struct device *device)
{
    int fd = packet_socket_inject(device->peer_index);
    bool known = fd >= 0 && packet_socket_knows_udp_gso(fd);

    if (fd >= 0)
        close(fd);
    return known;
}

static void print_stats(void *context)
{
    session_print_stats(&((struct daemon *)context)->session, stderr);
}

static void resolvers_changed(void *context, const struct wire_config *config)
{
    resolvers_publish(context, config);
}

static void reload(void *context)
{
    live_reload(&((struct daemon *)context)->live);
}

static void run(struct daemon *daemon)
{
    while (!daemon->signals.stop) {
        int timeout_ms =
            event_sooner(session_poll(&daemon->session), control_poll(&daemon->control));
        timeout_ms = event_sooner(timeout_ms, tap_poll(&daemon->taps));
        int error = event_wait(&daemon->loop, timeout_ms);
        if (error < 0) {
            log_error("the control loop failed: %s", strerror(-error));
            return;
        }
    }
}

static int open_control(struct daemon *daemon, struct failure *failure)
{
    int result = event_loop_init(&daemon->loop);

    if (result == 0)
        result = signals_open(&daemon->signals, &daemon->loop, print_stats, daemon);
    if (result == 0)
        result = signals_on_hangup(&daemon->signals, reload);
    if (result == 0)
        return 0;
    failure_set(failure, "cannot open epoll or signalfd: %s", strerror(-result));
    return -1;
}

static int start(struct daemon *daemon, struct failure *failure)
{
    const struct enclave_config *config = &daemon->config;

    if (open_control(daemon, failure) < 0 ||
        notify_open(&daemon->notify, &daemon->loop, failure) < 0)
        return -1;
    int result = device_create(&daemon->device);
    if (result < 0) {
        failure_set(failure, "cannot make %s: %s", DEVICE_NAME,
                    result == -EEXIST ? "a device of that name exists that is not ours"
                                      : strerror(-result));
        return -1;
    }
    daemon->session = (struct session){
        .config = config,
        .loop = &daemon->loop,
        .device = &daemon->device,
        .capture = &daemon->capture,
        .taps = &daemon->taps,
        .notify = &daemon->notify,
        .resolvers_changed = config->resolvers_file != NULL ? resolvers_changed : NULL,
        .resolvers_context = &daemon->helper,
    };
    if (capture_open(&daemon->capture, config, &daemon->device, probe_udp_gso(&daemon->device),
                     failure) < 0 ||
        session_open(&daemon->session, failure) < 0)
        return -1;
    daemon->commands = (struct commands){
        .control = &daemon->control, .session = &daemon->session, .taps = &daemon->taps};
    if (control_open(&daemon->control, &daemon->loop, &config->control, ENCLAVE_CONTROL_PATH,
                     enclave_commands, &daemon->commands, failure) < 0)
        return -1;
    return config->no_sandbox ? 0 : sandbox_enter(&sandbox_datapath, config->user, failure);
}

static int dry_run(const struct enclave_config *config)
{
    struct rules_values *values = capture_rules_values(config, true);
    int printed = rules_print(&capture_rules, config->firewall, values);

    rules_values_free(values);
    return printed < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}

static void prepare_live(struct daemon *daemon, int argc, char **argv)
{
    daemon->live = (struct live){
        .config = &daemon->config,
        .given = daemon->config,
        .session = &daemon->session,
        .helper = &daemon->helper,
        .argc = argc,
        .argv = argv,
    };
}

int main(int argc, char **argv)
{
    static struct daemon daemon;
    struct enclave_config *config = &daemon.config;
    struct failure failure;
    enum options_result result = enclave_config_read(config, argc, argv, &failure);

    log_init(PROGRAM, config->log_level);
    if (result == OPTIONS_HELP)
        return EXIT_SUCCESS;
    if (result == OPTIONS_INVALID) {
        log_error("%s", failure.text);
        return 2;
    }
    if (config->print_config) {
        options_print(enclave_options, config, stdout);
        return EXIT_SUCCESS;
    }
    if (config->check)
        return check_enclave(config);
    if (config->dry_run)
        return dry_run(config);
    if (sandbox_check_capabilities(&failure) < 0 || lane_probe(&failure) < 0)
        die("%s", failure.text);
    prepare_live(&daemon, argc, argv);
    int started = helper_start_serving(&daemon.helper, &(struct helper_duties){
                                                           .cleanup = clean_up,
                                                           .serve = live_serve,
                                                           .context = config,
                                                       });
    if (started < 0)
        die("cannot fork: %s", strerror(-started));
    /* Behind the fork: the helper must not hold the lock when the daemon is killed. */
    if (instance_lock(PROGRAM, &failure) < 0)
        die("%s", failure.text);
    if (start(&daemon, &failure) < 0) {
        helper_finish(&daemon.helper);
        die("%s", failure.text);
    }
    notify_status(&daemon.notify, "waiting for the parent");
    run(&daemon);
    notify_stopping(&daemon.notify);
    print_stats(&daemon);
    control_close(&daemon.control);
    session_stop(&daemon.session);
    helper_finish(&daemon.helper);
    log_info("stopped");
    return EXIT_SUCCESS;
}
