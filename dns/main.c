/* SPDX-License-Identifier: Apache-2.0 */
/*
 * causeway-dns: names resolve in the enclave, over TCP.
 *
 * In the order of the skeleton (runtime/base/daemon.h) it opens its server, then points the files
 * of the host here. At the end the files are as they were before the server closes.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "dns/check.h"
#include "dns/commands.h"
#include "dns/config.h"
#include "dns/files/takeover.h"
#include "dns/reload.h"
#include "dns/report.h"
#include "dns/serve/server.h"
#include "runtime/base/daemon.h"

struct dns {
    struct daemon daemon;
    struct dns_config config;
    struct dns_server server;
    struct dns_commands commands;
    struct dns_reload reload;
};

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

    give_back(config->resolv_conf);
    give_back(config->daemon_json);
    for (unsigned i = 0; i < config->listen_count; i++)
        if (config->listen[i].is_link && config->listen[i].link.kind == LINK_UNIX)
            unlink(config->listen[i].link.path);
}

static void folders(const void *context, sandbox_add *add, void *add_context)
{
    const struct dns_config *config = context;

    daemon_add_folder_of(config->resolv_conf, add, add_context);
    daemon_add_folder_of(config->daemon_json, add, add_context);
    for (unsigned i = 0; i < config->listen_count; i++)
        if (config->listen[i].is_link && config->listen[i].link.kind == LINK_UNIX)
            daemon_add_folder_of(config->listen[i].link.path, add, add_context);
}

/* An upstream that is a Unix socket admits its owner alone. */
static bool keeps_user(const void *context)
{
    const struct dns_config *config = context;

    for (unsigned i = 0; i < config->upstream_count; i++)
        if (config->upstreams[i].kind == UPSTREAM_LINK &&
            config->upstreams[i].link.kind == LINK_UNIX)
            return true;
    return false;
}

static bool take_over(const struct dns_config *config, struct failure *failure)
{
    struct ip_addr address;

    if (config->resolv_conf != NULL && dns_config_local_address(config, &address) &&
        !takeover_begin(config->resolv_conf, resolv_conf_edit, &address, failure))
        return false;
    if (config->daemon_json != NULL && dns_config_container_address(config, &address) &&
        !takeover_begin(config->daemon_json, daemon_json_edit, &address, failure))
        return false;
    return true;
}

static bool open_all(void *context, struct failure *failure)
{
    struct dns *dns = context;

    dns->reload = (struct dns_reload){.in_force = dns->config, .server = &dns->server};
    dns->commands = (struct dns_commands){.control = &dns->daemon.control, .server = &dns->server};
    return dns_server_open(&dns->server, &dns->config, &dns->daemon.loop, failure) &&
           take_over(&dns->config, failure);
}

static void ready(void *context)
{
    const struct dns *dns = context;

    log_info("ready");
    notify_ready(&dns->daemon.notify, "listening on %u addresses", dns->config.listen_count);
}

static int turn(void *context, int at_most_ms)
{
    return dns_server_turn(&((struct dns *)context)->server, at_most_ms);
}

static void print_stats(void *context)
{
    dns_report_print(&((struct dns *)context)->server, stderr);
}

static bool reload(void *context, const void *given, const void *fresh, struct failure *failure)
{
    return dns_reload(&((struct dns *)context)->reload, given, fresh, failure);
}

static void forget(void *context)
{
    dns_server_flush(&((struct dns *)context)->server);
}

/* The files are given back by now: nobody is sent to a place where nobody answers. */
static void close_server(void *context)
{
    dns_server_close(&((struct dns *)context)->server);
}

static int check(const void *config)
{
    return check_dns(config);
}

static const struct daemon_program program = {
    .name = "causeway-dns",
    .config_bytes = sizeof(struct dns_config),
    .options = dns_options,
    .read = dns_config_read,
    .check = check,
    .control_path = DNS_CONTROL_PATH,
    .commands = dns_command_table,
    .sandbox = &dns_server_sandbox,
    .folders = folders,
    .keeps_user = keeps_user,
    .clean_up = clean_up,
    .open = open_all,
    .ready = ready,
    .turn = turn,
    .print_stats = print_stats,
    .reload = reload,
    .reloaded = forget,
    .close = close_server,
};

int main(int argc, char **argv)
{
    static struct dns dns = {
        .daemon =
            {
                .program = &program,
                .config = &dns.config,
                .context = &dns,
                .commands = &dns.commands,
            },
    };

    return daemon_main(&dns.daemon, argc, argv);
}
