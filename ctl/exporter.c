/* SPDX-License-Identifier: Apache-2.0 */
#include "ctl/exporter.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include <microhttpd.h>

#include "ctl/program.h"
#include "runtime/base/options.h"

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

/* "127.0.0.1:9100" or "[::1]:9100" */
static bool parse_listen(const char *text, struct sockaddr_storage *out)
{
    struct sockaddr_in *in4 = (struct sockaddr_in *)out;
    struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)out;
    char copy[128], *address = copy, *colon;
    unsigned long port;

    *out = (struct sockaddr_storage){0};
    if ((size_t)snprintf(copy, sizeof(copy), "%s", text) >= sizeof(copy) ||
        (colon = strrchr(copy, ':')) == NULL || !option_number(colon + 1, 1, 65535, &port))
        return false;
    *colon = '\0';
    if (copy[0] == '[' && colon > copy + 1 && colon[-1] == ']') {
        colon[-1] = '\0';
        in6->sin6_family = AF_INET6;
        in6->sin6_port = htons((uint16_t)port);
        return inet_pton(AF_INET6, address + 1, &in6->sin6_addr) == 1;
    }
    in4->sin_family = AF_INET;
    in4->sin_port = htons((uint16_t)port);
    return inet_pton(AF_INET, address, &in4->sin_addr) == 1;
}

int exporter_serve(const char *listen, exporter_print *print, const void *context)
{
    struct page page = {print, context};
    struct sockaddr_storage address;
    sigset_t ends;
    int number;

    if (!parse_listen(listen, &address)) {
        ctl_error("metrics: --listen: '%.200s' is not ADDRESS:PORT", listen);
        return CTL_WRONG_USE;
    }
    signal(SIGPIPE, SIG_IGN);
    sigemptyset(&ends);
    sigaddset(&ends, SIGTERM);
    sigaddset(&ends, SIGINT);
    sigprocmask(SIG_BLOCK, &ends, NULL);
    unsigned flags = MHD_USE_INTERNAL_POLLING_THREAD | MHD_USE_POLL;
    if (address.ss_family == AF_INET6)
        flags |= MHD_USE_IPv6;
    struct MHD_Daemon *server = MHD_start_daemon(
        flags, 0, NULL, NULL, answer, &page, MHD_OPTION_SOCK_ADDR, &address,
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
