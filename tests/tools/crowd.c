/* SPDX-License-Identifier: Apache-2.0 */
/*
 * crowd: very many TCP connections at once, for the namespace tests.
 *
 *   crowd serve ADDRESS PORT
 *       answers every byte with itself; prints "listening"
 *   crowd connect ADDRESS PORT COUNT [FIRST_PORT]
 *       opens COUNT connections, all of them before the first one speaks; then each sends a number
 *       of its own and must get it back; prints "COUNT echoed". With FIRST_PORT the n-th connection
 *       comes from the source port FIRST_PORT + n.
 *
 * One thread and one epoll at each end. The server keeps no state of a connection: an echo is
 * written as it is read, and a number of 8 bytes always fits in a send buffer. Any failure ends the
 * program with a sentence and status 1; so does a silence of SILENCE_MS.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#define SILENCE_MS 60000 /* no progress for so long is a failure, not a measurement */
#define EVENTS     256
#define IN_FLIGHT  256 /* connections being opened at a time: below the listener's backlog */
#define BACKLOG    4096

struct connection {
    int fd;
    bool open, echoed;
};

static _Noreturn void fail(const char *what)
{
    fprintf(stderr, "crowd: %s: %s\n", what, strerror(errno));
    exit(EXIT_FAILURE);
}

static socklen_t parse_address(const char *text, const char *port, struct sockaddr_storage *out)
{
    struct sockaddr_in *v4 = (struct sockaddr_in *)out;
    struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)out;

    *out = (struct sockaddr_storage){0};
    if (inet_pton(AF_INET, text, &v4->sin_addr) == 1) {
        v4->sin_family = AF_INET;
        v4->sin_port = htons((uint16_t)atoi(port));
        return sizeof(*v4);
    }
    if (inet_pton(AF_INET6, text, &v6->sin6_addr) != 1) {
        fprintf(stderr, "crowd: '%s' is not an address\n", text);
        exit(2);
    }
    v6->sin6_family = AF_INET6;
    v6->sin6_port = htons((uint16_t)atoi(port));
    return sizeof(*v6);
}

static void raise_limit(void)
{
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
        fail("getrlimit");
    limit.rlim_cur = limit.rlim_max;
    if (setrlimit(RLIMIT_NOFILE, &limit) < 0)
        fail("setrlimit");
}

static void watch(int epoll, int fd, uint32_t events, uint64_t data, int operation)
{
    struct epoll_event event = {.events = events, .data.u64 = data};

    if (epoll_ctl(epoll, operation, fd, &event) < 0)
        fail("epoll_ctl");
}

/* ---- server ---- */

static void accept_all(int epoll, int listener)
{
    for (;;) {
        int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd >= 0)
            watch(epoll, fd, EPOLLIN, (uint64_t)fd, EPOLL_CTL_ADD);
        else if (errno == EAGAIN)
            return;
        else if (errno != ECONNABORTED)
            fail("accept");
    }
}

static void echo(int fd)
{
    char bytes[4096];
    ssize_t count = recv(fd, bytes, sizeof(bytes), 0);

    if (count < 0 && errno == EAGAIN)
        return;
    if (count <= 0 || send(fd, bytes, (size_t)count, MSG_NOSIGNAL) != count)
        close(fd);
}

static _Noreturn void serve(const char *address, const char *port)
{
    struct sockaddr_storage where;
    socklen_t length = parse_address(address, port, &where);
    int epoll = epoll_create1(EPOLL_CLOEXEC), one = 1;
    int listener = socket(where.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
    if (listener < 0 || bind(listener, (struct sockaddr *)&where, length) < 0 ||
        listen(listener, BACKLOG) < 0)
        fail("listen");
    watch(epoll, listener, EPOLLIN, (uint64_t)listener, EPOLL_CTL_ADD);
    printf("listening\n");
    fflush(stdout);
    for (;;) {
        struct epoll_event events[EVENTS];
        int count = epoll_wait(epoll, events, EVENTS, -1);
        for (int i = 0; i < count; i++) {
            int fd = (int)events[i].data.u64;
            if (fd == listener)
                accept_all(epoll, listener);
            else
                echo(fd);
        }
    }
}

/* ---- client ---- */

static void bind_port(int fd, sa_family_t family, unsigned port)
{
    struct sockaddr_storage source = {.ss_family = family};
    int one = 1;

    ((struct sockaddr_in *)&source)->sin_port = htons((uint16_t)port); /* same place in both */
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
    socklen_t length = family == AF_INET ? sizeof(struct sockaddr_in) : sizeof(struct sockaddr_in6);
    if (bind(fd, (struct sockaddr *)&source, length) < 0)
        fail("bind");
}

static void dial(int epoll, struct connection *all, uint64_t index, unsigned first_port,
                 const struct sockaddr_storage *where, socklen_t length)
{
    int fd = socket(where->ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    if (fd < 0)
        fail("socket");
    if (first_port != 0)
        bind_port(fd, where->ss_family, first_port + (unsigned)index);
    if (connect(fd, (const struct sockaddr *)where, length) < 0 && errno != EINPROGRESS)
        fail("connect");
    all[index].fd = fd;
    watch(epoll, fd, EPOLLOUT, index, EPOLL_CTL_ADD);
}

static int wait_events(int epoll, struct epoll_event *events, const char *what)
{
    int count = epoll_wait(epoll, events, EVENTS, SILENCE_MS);

    if (count == 0)
        errno = ETIMEDOUT;
    if (count <= 0)
        fail(what);
    return count;
}

static void opened(int epoll, struct connection *all, uint64_t index)
{
    int error = 0;
    socklen_t size = sizeof(error);

    if (getsockopt(all[index].fd, SOL_SOCKET, SO_ERROR, &error, &size) < 0 || error != 0) {
        errno = error;
        fail("a connection was not opened");
    }
    all[index].open = true;
    watch(epoll, all[index].fd, EPOLLIN, index, EPOLL_CTL_MOD);
}

static void open_all(int epoll, struct connection *all, uint64_t count, unsigned first_port,
                     const struct sockaddr_storage *where, socklen_t length)
{
    uint64_t dialled = 0, open = 0;

    while (open < count) {
        while (dialled < count && dialled - open < IN_FLIGHT)
            dial(epoll, all, dialled++, first_port, where, length);
        struct epoll_event events[EVENTS];
        int ready = wait_events(epoll, events, "opening");
        for (int i = 0; i < ready; i++) {
            uint64_t index = events[i].data.u64;
            if (all[index].open) {
                errno = ECONNRESET;
                fail("a connection ended while others were opened");
            }
            opened(epoll, all, index);
            open++;
        }
    }
}

static void echo_all(int epoll, struct connection *all, uint64_t count)
{
    uint64_t echoed = 0;

    for (uint64_t i = 0; i < count; i++)
        if (send(all[i].fd, &i, sizeof(i), MSG_NOSIGNAL) != sizeof(i))
            fail("send");
    while (echoed < count) {
        struct epoll_event events[EVENTS];
        int ready = wait_events(epoll, events, "waiting for the echoes");
        for (int i = 0; i < ready; i++) {
            uint64_t index = events[i].data.u64, answer = UINT64_MAX;
            ssize_t got = recv(all[index].fd, &answer, sizeof(answer), 0);
            if (got != sizeof(answer) || answer != index || all[index].echoed)
                fail("a wrong echo");
            all[index].echoed = true;
            echoed++;
        }
    }
}

static void run_clients(const char *address, const char *port, uint64_t count, unsigned first_port)
{
    struct sockaddr_storage where;
    socklen_t length = parse_address(address, port, &where);
    struct connection *all = calloc(count, sizeof(*all));
    int epoll = epoll_create1(EPOLL_CLOEXEC);

    if (all == NULL || epoll < 0)
        fail("start");
    open_all(epoll, all, count, first_port, &where, length);
    echo_all(epoll, all, count);
    printf("%" PRIu64 " echoed\n", count);
    for (uint64_t i = 0; i < count; i++)
        close(all[i].fd);
    free(all);
}

int main(int argc, char **argv)
{
    raise_limit();
    signal(SIGPIPE, SIG_IGN);
    if (argc == 4 && strcmp(argv[1], "serve") == 0)
        serve(argv[2], argv[3]);
    if ((argc == 5 || argc == 6) && strcmp(argv[1], "connect") == 0) {
        run_clients(argv[2], argv[3], strtoull(argv[4], NULL, 10),
                    argc == 6 ? (unsigned)atoi(argv[5]) : 0);
        return EXIT_SUCCESS;
    }
    fprintf(stderr, "usage: crowd serve ADDRESS PORT | crowd connect ADDRESS PORT COUNT"
                    " [FIRST_PORT]\n");
    return 2;
}
