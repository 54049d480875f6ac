/* SPDX-License-Identifier: Apache-2.0 */
#include "ctl/exporter.h"

#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include <microhttpd.h>

#include "ctl/program.h"
#include "runtime/base/endpoint.h"

struct page {
    exporter_print *print;
    const void *context;
};

#define CONNECTIONS_MAX    16
#define CONNECTION_SECONDS 10

static enum MHD_Result respond(struct MHD_Connection *connection, unsigned status, char *text,
                               size_t length, enum MHD_ResponseMemoryMode mode)
{
    struct MHD_Response *response = MHD_create_response_from_buffer(length, text, mode);

    if (response == NULL)
        return MHD_NO;
    MHD_add_response_header(response, "Content-Type", "text/plain; version=0.0.4; charset=utf-8");
    enum MHD_Result queued = MHD_queue_response(connection, status, response);
    MHD_destroy_response(response);
    return queued;
}

static enum MHD_Result refuse(struct MHD_Connection *connection, unsigned status, const char *text)
{
    return respond(connection, status, (char *)text, strlen(text), MHD_RESPMEM_PERSISTENT);
}

static enum MHD_Result answer(void *context, struct MHD_Connection *connection, const char *url,
                              const char *method, const char *version, const char *upload,
                              size_t *upload_size, void **request)
{
    const struct page *page = context;
    char *text = NULL;
    size_t length;

    (void)version, (void)upload, (void)request;
    if (strcmp(method, "GET") != 0) {
        *upload_size = 0;
        return refuse(connection, MHD_HTTP_METHOD_NOT_ALLOWED, "GET only\n");
    }
    if (strcmp(url, "/metrics") != 0)
        return refuse(connection, MHD_HTTP_NOT_FOUND, "there is only /metrics\n");
    FILE *out = open_memstream(&text, &length);
    if (out == NULL)
        return MHD_NO;
    page->print(page->context, out);
    fclose(out);
    return respond(connection, MHD_HTTP_OK, text, length, MHD_RESPMEM_MUST_FREE);
}

int exporter_serve(const char *listen, exporter_print *print, const void *context)
{
    struct page page = {print, context};
    union inet_sockaddr sockaddr;
    struct ip_addr address;
    sigset_t ends;
    uint16_t port;
    int number;

    if (!endpoint_parse(listen, 0, &address, &port)) {
        ctl_error("metrics: --listen: '%.200s' is not ADDRESS:PORT", listen);
        return CTL_WRONG_USE;
    }
    signal(SIGPIPE, SIG_IGN);
    sigemptyset(&ends);
    sigaddset(&ends, SIGTERM);
    sigaddset(&ends, SIGINT);
    sigprocmask(SIG_BLOCK, &ends, NULL);
    endpoint_inet(&address, port, &sockaddr);
    unsigned flags = MHD_USE_INTERNAL_POLLING_THREAD | MHD_USE_POLL;
    if (address.version == 6)
        flags |= MHD_USE_IPv6;
    struct MHD_Daemon *server = MHD_start_daemon(
        flags, 0, NULL, NULL, answer, &page, MHD_OPTION_SOCK_ADDR, &sockaddr.any,
        MHD_OPTION_CONNECTION_LIMIT, (unsigned)CONNECTIONS_MAX, MHD_OPTION_CONNECTION_TIMEOUT,
        (unsigned)CONNECTION_SECONDS, MHD_OPTION_END);
    if (server == NULL) {
        ctl_error("metrics: cannot listen on %s: %s", listen, strerror(errno));
        return EXIT_FAILURE;
    }
    fprintf(stderr, CTL_PROGRAM ": serving http://%s/metrics\n", listen);
    sigwait(&ends, &number);
    MHD_stop_daemon(server);
    return EXIT_SUCCESS;
}
