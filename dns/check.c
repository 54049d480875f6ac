/* SPDX-License-Identifier: Apache-2.0 */
#include "dns/check.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "dns/serve/listen_socket.h"
#include "runtime/base/check.h"

/* Binds for a moment, for one kind of socket. 0 or negative errno. */
static int try_bind(int type, const struct dns_listen *listen)
{
    bool foreign = false;
    int fd = listen_socket(type, &listen->address, listen->port, &foreign);

    if (fd < 0)
        return fd;
    close(fd);
    return 0;
}

static void check_listen(struct check_report *report, const struct dns_listen *listen,
                         bool optional)
{
    char what[DNS_LISTEN_TEXT_BYTES + 16], text[DNS_LISTEN_TEXT_BYTES];
    int result;

    snprintf(what, sizeof(what), "listening on %s", dns_listen_format(listen, text));
    if (listen->is_link) {
        if (listen->link.kind == LINK_VSOCK)
            check_required(report, access("/dev/vsock", F_OK) == 0, what,
                           "the kernel needs CONFIG_VSOCKETS and the transport of this hypervisor");
        return;
    }
    result = try_bind(SOCK_DGRAM, listen);
    if (result == 0)
        result = try_bind(SOCK_STREAM, listen);
    if (optional)
        check_optional(report, result == 0, what, strerror(-result));
    else
        check_required(report, result == 0, what, strerror(-result));
}

/* A file to take over: one that is missing will be made. */
static void check_writable(struct check_report *report, const char *path)
{
    if (path != NULL)
        check_required(report, access(path, W_OK) == 0 || errno == ENOENT, path, strerror(errno));
}

int check_dns(const struct dns_config *config)
{
    struct check_report report = {0};

    for (unsigned i = 0; i < config->listen_count; i++)
        check_listen(&report, &config->listen[i], config->listen_default && i > 0);
    if (config->tls_ca != NULL)
        check_required(&report, access(config->tls_ca, R_OK) == 0, config->tls_ca, strerror(errno));
    if (strcmp(config->hosts_file, "none") != 0)
        check_optional(&report, access(config->hosts_file, R_OK) == 0, config->hosts_file,
                       "no names from it until it is there");
    check_writable(&report, config->resolv_conf);
    check_writable(&report, config->daemon_json);
    return check_finish(&report);
}
