/* SPDX-License-Identifier: Apache-2.0 */
/*
 * causeway-dns: names resolve in the enclave, over TCP.
 *
 * Start-up in order: options, --check, helper, everything that is opened, the files of the host
 * that are to point here, control socket, sandbox; then the loop. Whatever fails before the loop
 * ends the program with one sentence, and the host's files are as they were.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "dns/check.h"
#include "dns/commands.h"
#include "dns/config.h"
#include "dns/live.h"
#include "dns/report.h"
#include "dns/serve/server.h"
#include "dns/files/takeover.h"
#include "runtime/base/helper.h"
#include "runtime/base/notify.h"
#include "runtime/base/signals.h"

#define PROGRAM "causeway-dns"

static void give_back(const char *path)
{
    struct failure failure;

    if (path == NULL)
        return;
    switch (takeover_finish(path, &failure)) {
    case TAKEOVER_RESTORED:
        log_info("%s is as it was", path);
        break;
    case TAKEOVER_NOTHING:
        break;
    case TAKEOVER_CHANGED:
    case TAKEOVER_FAILED:
        log_warning("%s", failure.text);
        break;
    }
}

/* In the helper, with the privileges of the start. */
static void clean_up(void *context)
{
    const struct dns_config *config = context;

    control_remove(&config->control);
    give_back(config->resolv_conf);
    give_back(config->daemon_json);
    for (unsigned i = 0; i < config->listen_count; i++)
        if (config->listen[i].is_link && config->listen[i].link.kind == LINK_UNIX)
            unlink(config->listen[i].link.path);
}

static int take_over(const struct dns_config *config, struct failure *failure)
{
    struct ip_addr address;

    if (config->resolv_conf != NULL && dns_config_local_address(config, &address) &&
        takeover_begin(config->resolv_conf, resolv_conf_edit, &address, failure) < 0)
        return -1;
    if (config->daemon_json != NULL && dns_config_container_address(config, &address) &&
        takeover_begin(config->daemon_json, daemon_json_edit, &address, failure) < 0)
        return -1;
    return 0;
}

struct daemon {
    struct dns_config *config;
    struct event_loop loop;
    struct signals signals;
    struct notify notify;
    struct helper helper;
    struct dns_server server;
    struct control control;
    struct dns_commands commands;
    struct dns_live live;
};

static void print_stats(void *context)
{
    struct daemon *daemon = context;

    dns_report_print(&daemon->server, stderr);
}

static void reload(void *context)
{
    struct daemon *daemon = context;

    dns_live_reload(&daemon->live);
    dns_server_flush(&daemon->server);
}

static void prepare_live(struct daemon *daemon, int argc, char **argv)
{
    daemon->live = (struct dns_live){
        .in_force = *daemon->config,
        .given = *daemon->config,
        .server = &daemon->server,
        .helper = &daemon->helper,
        .argc = argc,
        .argv = argv,
    };
}

static int open_loop(struct daemon *daemon, struct failure *failure)
{
    int result = event_loop_init(&daemon->loop);

    if (result == 0)
        result = signals_open(&daemon->signals, &daemon->loop, print_stats, daemon);
    if (result == 0)
        result = signals_on_hangup(&daemon->signals, reload);
    if (result == 0)
        return notify_open(&daemon->notify, &daemon->loop, failure);
    failure_set(failure, "cannot start: %s", strerror(-result));
    return -1;
}

static int start(struct daemon *daemon, struct failure *failure)
{
    const struct dns_config *config = daemon->config;

    if (open_loop(daemon, failure) < 0 ||
        dns_server_open(&daemon->server, config, &daemon->loop, failure) < 0 ||
        take_over(config, failure) < 0)
        return -1;
    daemon->commands =
        (struct dns_commands){.control = &daemon->control, .server = &daemon->server};
    if (control_open(&daemon->control, &daemon->loop, &config->control, DNS_CONTROL_PATH,
                     dns_command_table, &daemon->commands, failure) < 0)
        return -1;
    return config->no_sandbox ? 0 : sandbox_enter(&dns_server_sandbox, config->user, failure);
}

static void run(struct daemon *daemon)
{
    while (!daemon->signals.stop) {
        int error = dns_server_turn(&daemon->server, control_poll(&daemon->control));
        if (error < 0) {
            log_error("the loop failed: %s", strerror(-error));
            return;
        }
    }
}

static int serve(struct dns_config *config, int argc, char **argv)
{
    static struct daemon daemon;
    struct failure failure;

    daemon.config = config;
    prepare_live(&daemon, argc, argv);
    int started = helper_start_serving(&daemon.helper, &(struct helper_duties){
                                                           .cleanup = clean_up,
                                                           .serve = dns_live_serve,
                                                           .context = config,
                                                       });
    if (started < 0)
        die("cannot fork: %s", strerror(-started));
    if (start(&daemon, &failure) < 0) {
        helper_finish(&daemon.helper);
        die("%s", failure.text);
    }
    log_info("ready");
    notify_ready(&daemon.notify, "listening on %u addresses", config->listen_count);
    run(&daemon);
    notify_stopping(&daemon.notify);
    dns_report_print(&daemon.server, stderr);
    control_close(&daemon.control);
    /* First the files, then the server: nobody is sent to a place where nobody answers. */
    helper_finish(&daemon.helper);
    dns_server_close(&daemon.server);
    notify_close(&daemon.notify);
    log_info("stopped");
    return EXIT_SUCCESS;
}

int main(int argc, char **argv)
{
    static struct dns_config config;
    struct failure failure;
    enum options_result result = dns_config_read(&config, argc, argv, &failure);

    log_init(PROGRAM, config.log_level);
    if (result == OPTIONS_HELP)
        return EXIT_SUCCESS;
    if (result == OPTIONS_INVALID) {
        log_error("%s", failure.text);
        return 2;
    }
    if (config.print_config) {
        options_print(dns_options, &config, stdout);
        return EXIT_SUCCESS;
    }
    return config.check ? check_dns(&config) : serve(&config, argc, argv);
}
