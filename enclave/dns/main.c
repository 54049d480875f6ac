/* SPDX-License-Identifier: Apache-2.0 */
/*
 * causeway-dns: names resolve in the enclave, over TCP.
 *
 * Start-up in order: options, --check, janitor, everything that is opened, the files of the host
 * that are to point here, sandbox; then the loop. Whatever fails before the loop ends the program
 * with one sentence, and the host's files are as they were.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "enclave/dns/check.h"
#include "enclave/dns/config.h"
#include "enclave/dns/server.h"
#include "enclave/dns/takeover.h"
#include "runtime/janitor.h"
#include "runtime/signals.h"

#define PROGRAM "causeway-dns"

static void give_back(const char *path)
{
    char error[1024];

    if (path == NULL)
        return;
    switch (takeover_finish(path, error, sizeof error)) {
    case TAKEOVER_RESTORED:
        log_info("%s is as it was", path);
        break;
    case TAKEOVER_NOTHING:
        break;
    case TAKEOVER_CHANGED:
    case TAKEOVER_FAILED:
        log_warning("%s", error);
        break;
    }
}

/* In the janitor, with the privileges of the start. */
static void clean_up(void *context)
{
    const struct dns_config *config = context;

    give_back(config->resolv_conf);
    give_back(config->daemon_json);
    for (unsigned i = 0; i < config->listen_count; i++)
        if (config->listen[i].is_link && config->listen[i].link.kind == LINK_UNIX)
            unlink(config->listen[i].link.path);
}

static int take_over(const struct dns_config *config, char *error, size_t error_size)
{
    struct ip_addr address;

    if (config->resolv_conf != NULL && dns_config_local_address(config, &address) &&
        takeover_begin(config->resolv_conf, resolv_conf_edit, &address, error, error_size) < 0)
        return -1;
    if (config->daemon_json != NULL && dns_config_container_address(config, &address) &&
        takeover_begin(config->daemon_json, daemon_json_edit, &address, error, error_size) < 0)
        return -1;
    return 0;
}

static void print_stats(void *context)
{
    dns_server_print_stats(context, stderr);
}

static void reload(void *context)
{
    dns_server_flush(context);
}

static void run(struct dns_server *server, struct signals *signals)
{
    while (!signals->stop) {
        int error = dns_server_turn(server);
        if (error < 0) {
            log_error("the loop failed: %s", strerror(-error));
            return;
        }
    }
}

static int start(struct dns_server *server, struct event_loop *loop, struct signals *signals,
                 const struct dns_config *config, char *error, size_t error_size)
{
    int result = event_loop_init(loop);

    if (result == 0)
        result = signals_open(signals, loop, print_stats, server);
    if (result == 0)
        result = signals_on_hangup(signals, reload);
    if (result < 0) {
        snprintf(error, error_size, "cannot start: %s", strerror(-result));
        return -1;
    }
    if (dns_server_open(server, config, loop, error, error_size) < 0 ||
        take_over(config, error, error_size) < 0)
        return -1;
    return config->no_sandbox ? 0
                              : sandbox_enter(&dns_server_sandbox, config->user, error, error_size);
}

static int serve(struct dns_config *config)
{
    static struct event_loop loop;
    static struct signals signals;
    static struct dns_server server;
    struct janitor janitor;
    char error[1024];
    int started = janitor_start(&janitor, clean_up, config);

    if (started < 0)
        die("cannot fork: %s", strerror(-started));
    if (start(&server, &loop, &signals, config, error, sizeof error) < 0) {
        janitor_finish(&janitor);
        die("%s", error);
    }
    log_info("ready");
    run(&server, &signals);
    dns_server_print_stats(&server, stderr);
    /* First the files, then the server: nobody is sent to a place where nobody answers. */
    janitor_finish(&janitor);
    dns_server_close(&server);
    log_info("stopped");
    return EXIT_SUCCESS;
}

int main(int argc, char **argv)
{
    static struct dns_config config;
    char error[1024];
    enum options_result result = dns_config_read(&config, argc, argv, error, sizeof error);

    log_init(PROGRAM, config.log_level);
    if (result == OPTIONS_HELP)
        return EXIT_SUCCESS;
    if (result == OPTIONS_INVALID) {
        log_error("%s", error);
        return 2;
    }
    if (config.print_config) {
        options_print(dns_options, &config, stdout);
        return EXIT_SUCCESS;
    }
    return config.check ? check_dns(&config) : serve(&config);
}
