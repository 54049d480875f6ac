/* SPDX-License-Identifier: Apache-2.0 */
/*
 * causeway-enclave: the enclave's end of the tunnel.
 *
 * Start-up in order: options, --check and --dry-run, one instance, janitor, device, capture, lanes,
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
#include "enclave/config.h"
#include "enclave/device.h"
#include "enclave/session.h"
#include "runtime/event.h"
#include "runtime/instance.h"
#include "runtime/janitor.h"
#include "runtime/packet_socket.h"
#include "runtime/sandbox.h"
#include "runtime/signals.h"

#define PROGRAM "causeway-enclave"

/* In the janitor, with the privileges of the start. */
static void clean_up(void *context)
{
    const struct enclave_config *config = context;
    char error[512];

    device_remove();
    if (config->capture != CAPTURE_PACKET &&
        rules_remove(&capture_rules, config->firewall, error, sizeof error) < 0)
        log_warning("%s", error);
}

static _Noreturn void give_up(struct janitor *janitor, const char *sentence)
{
    janitor_finish(janitor);
    die("%s", sentence);
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
    session_print_stats(context, stderr);
}

static void run(struct session *session, struct signals *signals)
{
    while (!signals->stop) {
        int error = event_wait(session->loop, session_poll(session));
        if (error < 0) {
            log_error("the control loop failed: %s", strerror(-error));
            return;
        }
    }
}

static void start_and_run(struct enclave_config *config, struct janitor *janitor)
{
    static struct event_loop loop;
    static struct signals signals;
    static struct device device;
    static struct capture capture;
    static struct session session;
    char error[1024];
    int result = event_loop_init(&loop);

    if (result == 0)
        result = signals_open(&signals, &loop, print_stats, &session);
    if (result == 0)
        result = device_create(&device);
    if (result < 0) {
        snprintf(error, sizeof error, "cannot make %s: %s", DEVICE_NAME,
                 result == -EEXIST ? "a device of that name exists that is not ours"
                                   : strerror(-result));
        give_up(janitor, error);
    }
    session =
        (struct session){.config = config, .loop = &loop, .device = &device, .capture = &capture};
    if (capture_open(&capture, config, &device, probe_udp_gso(&device), error, sizeof error) < 0 ||
        session_open(&session, error, sizeof error) < 0 ||
        (!config->no_sandbox &&
         sandbox_enter(&sandbox_datapath, config->user, error, sizeof error) < 0))
        give_up(janitor, error);
    run(&session, &signals);
    session_print_stats(&session, stderr);
    session_stop(&session);
}

int main(int argc, char **argv)
{
    static struct enclave_config config;
    struct janitor janitor;
    char error[1024];
    enum options_result result = enclave_config_read(&config, argc, argv, error, sizeof error);

    log_init(PROGRAM, config.log_level);
    if (result == OPTIONS_HELP)
        return EXIT_SUCCESS;
    if (result == OPTIONS_INVALID) {
        log_error("%s", error);
        return 2;
    }
    if (config.print_config) {
        options_print(enclave_options, &config, stdout);
        return EXIT_SUCCESS;
    }
    if (config.check)
        return check_enclave(&config);
    if (config.dry_run) {
        struct rules_values *values = capture_rules_values(&config, true);
        int printed = rules_print(&capture_rules, config.firewall, values);
        rules_values_free(values);
        return printed < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
    }
    if (sandbox_check_capabilities(error, sizeof error) < 0 || lane_probe(error, sizeof error) < 0)
        die("%s", error);
    int started = janitor_start(&janitor, clean_up, &config);
    if (started < 0)
        die("cannot fork: %s", strerror(-started));
    /* Behind the fork: the janitor must not hold the lock when the daemon is killed. */
    if (instance_lock(PROGRAM, error, sizeof error) < 0)
        die("%s", error);
    start_and_run(&config, &janitor);
    janitor_finish(&janitor);
    log_info("stopped");
    return EXIT_SUCCESS;
}
