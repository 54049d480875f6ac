/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Request/response over TCP, with latency percentiles.
 *
 *   rr serve PORT                         echoes every byte; one epoll loop, until it is ended
 *   rr request HOST PORT [options]        a connection stays open: send, await the same size back
 *   rr connect HOST PORT [options]        each request on a connection of its own
 *     --seconds S (2)  --warmup S (0.1)  --size BYTES (64)  --connections N (1, a thread each)
 *
 * The client prints one JSON object: transactions, seconds, rate per second, and min, p50, p90,
 * p99, p99_9, max, mean in microseconds. A request without an answer for 5 s is an error and ends
 * the run with a non-zero exit, since a closed loop says nothing after it.
 *
 * `connect` closes with a reset (SO_LINGER 0), so that TIME_WAIT and the client's range of ports
 * do not decide the result; its time runs from before socket() to the last byte of the answer.
 *
 * Times go into a log-linear histogram (256 steps per power of two: 0.4 % resolution), one per
 * thread, in nanoseconds; nothing is allocated or printed while it measures.
 */
#include <errno.h>
#include <netdb.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include <getopt.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#define SIZE_MAX_BYTES  65536
#define CONNECTIONS_MAX 1024
#define ANSWER_LIMIT_S  5
#define STEP_BITS       8 /* 2^8 histogram steps per power of two */
#define STEPS           (1u << STEP_BITS)
#define BUCKETS         ((64 - STEP_BITS + 1) * STEPS)
#define NS_PER_S        1000000000ull

struct options {
    const char *host, *port;
    bool connect_each;
    double seconds, warmup;
    size_t size;
    unsigned connections;
};

struct worker {
    const struct options *options;
    pthread_t thread;
    uint64_t start, end; /* ns, CLOCK_MONOTONIC: transactions that begin between them count */
    uint64_t count, sum, min, max;
    uint64_t histogram[BUCKETS];
    const char *error; /* what failed, NULL when all went well */
    int error_number;
};

static uint64_t now_ns(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * NS_PER_S + (uint64_t)ts.tv_nsec;
}

static unsigned bucket_of(uint64_t ns)
{
    if (ns < STEPS)
        return (unsigned)ns;
    unsigned shift = 63u - (unsigned)__builtin_clzll(ns) - STEP_BITS;
    return (shift + 1) * STEPS + (unsigned)((ns >> shift) - STEPS);
}

/* The middle of a bucket. */
static uint64_t bucket_ns(unsigned bucket)
{
    if (bucket < STEPS)
        return bucket;
    unsigned shift = bucket / STEPS - 1;
    uint64_t low = (uint64_t)(STEPS + bucket % STEPS) << shift;
    return low + ((1ull << shift) >> 1);
}

static void record(struct worker *worker, uint64_t ns)
{
    worker->histogram[bucket_of(ns)]++;
    worker->count++;
    worker->sum += ns;
    if (ns > worker->max)
        worker->max = ns;
    if (ns < worker->min || worker->count == 1)
        worker->min = ns;
}

static void merge(struct worker *into, const struct worker *from)
{
    for (unsigned i = 0; i < BUCKETS; i++)
        into->histogram[i] += from->histogram[i];
    if (from->count && (from->min < into->min || into->count == 0))
        into->min = from->min;
    if (from->max > into->max)
        into->max = from->max;
    into->count += from->count;
    into->sum += from->sum;
}

static double quantile_us(const struct worker *worker, double quantile)
{
    uint64_t wanted = (uint64_t)(quantile * (double)worker->count), seen = 0;

    for (unsigned i = 0; i < BUCKETS; i++) {
        seen += worker->histogram[i];
        if (seen > wanted)
            return (double)bucket_ns(i) / 1e3;
    }
    return (double)worker->max / 1e3;
}

static int dial(const struct addrinfo *to)
{
    int fd = socket(to->ai_family, SOCK_STREAM, 0), on = 1;
    struct timeval limit = {.tv_sec = ANSWER_LIMIT_S};

    if (fd < 0)
        return -1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit)); /* bounds connect() too */
    if (connect(fd, to->ai_addr, to->ai_addrlen) < 0) {
        int saved = errno;
        close(fd);
        errno = saved;
        return -1;
    }
    return fd;
}

static void close_at_once(int fd)
{
    struct linger reset = {.l_onoff = 1, .l_linger = 0};

    setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
    close(fd);
}

/* NULL, or what failed, with errno set. */
static const char *transact(int fd, char *buffer, size_t size)
{
    for (size_t done = 0; done < size;) {
        ssize_t n = send(fd, buffer + done, size - done, MSG_NOSIGNAL);
        if (n < 0)
            return "send";
        done += (size_t)n;
    }
    for (size_t done = 0; done < size;) {
        ssize_t n = recv(fd, buffer + done, size - done, 0);
        if (n == 0)
            errno = ECONNRESET;
        if (n <= 0)
            return "answer";
        done += (size_t)n;
    }
    return NULL;
}

static void run_requests(struct worker *worker, const struct addrinfo *to, char *buffer)
{
    const struct options *options = worker->options;
    int fd = -1;

    for (;;) {
        uint64_t begin = now_ns();
        if (begin >= worker->end)
            break;
        if (fd < 0 && (fd = dial(to)) < 0) {
            worker->error = "connect";
            break;
        }
        worker->error = transact(fd, buffer, options->size);
        if (worker->error)
            break;
        if (begin >= worker->start)
            record(worker, now_ns() - begin);
        if (options->connect_each) {
            close_at_once(fd);
            fd = -1;
        }
    }
    worker->error_number = errno;
    if (fd >= 0)
        close(fd);
}

static void *work(void *arg)
{
    struct worker *worker = arg;
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *to;
    static _Thread_local char buffer[SIZE_MAX_BYTES];

    memset(buffer, 'x', sizeof(buffer));
    if (getaddrinfo(worker->options->host, worker->options->port, &hints, &to)) {
        worker->error = "address";
        worker->error_number = EINVAL;
        return NULL;
    }
    run_requests(worker, to, buffer);
    freeaddrinfo(to);
    return NULL;
}

static void print_result(const struct worker *all, double seconds)
{
    double mean = all->count ? (double)all->sum / (double)all->count / 1e3 : 0;

    printf("{\"transactions\": %lu, \"seconds\": %.3f, \"rate\": %.1f, \"min_us\": %.2f, "
           "\"p50_us\": %.2f, \"p90_us\": %.2f, \"p99_us\": %.2f, \"p99_9_us\": %.2f, "
           "\"max_us\": %.2f, \"mean_us\": %.2f}\n",
           all->count, seconds, (double)all->count / seconds, (double)all->min / 1e3,
           quantile_us(all, 0.5), quantile_us(all, 0.9), quantile_us(all, 0.99),
           quantile_us(all, 0.999), (double)all->max / 1e3, mean);
}

static int client(const struct options *options)
{
    struct worker *workers = calloc(options->connections + 1, sizeof(*workers));
    struct worker *all = &workers[options->connections];
    uint64_t start = now_ns() + (uint64_t)(options->warmup * 1e9);
    int status = 0;

    for (unsigned i = 0; i < options->connections; i++) {
        workers[i].options = options;
        workers[i].start = start;
        workers[i].end = start + (uint64_t)(options->seconds * 1e9);
        if (pthread_create(&workers[i].thread, NULL, work, &workers[i])) {
            perror("rr: thread");
            exit(1);
        }
    }
    for (unsigned i = 0; i < options->connections; i++) {
        pthread_join(workers[i].thread, NULL);
        if (workers[i].error) {
            fprintf(stderr, "rr: %s: %s\n", workers[i].error, strerror(workers[i].error_number));
            status = 1;
        }
        merge(all, &workers[i]);
    }
    if (status == 0 && all->count == 0) {
        fprintf(stderr, "rr: no transaction in %.1f s\n", options->seconds);
        status = 1;
    }
    print_result(all, options->seconds);
    free(workers);
    return status;
}

static int listen_on(const char *port)
{
    int fd = socket(AF_INET6, SOCK_STREAM | SOCK_NONBLOCK, 0), on = 1, off = 0;
    struct sockaddr_in6 any = {.sin6_family = AF_INET6, .sin6_port = htons((uint16_t)atoi(port))};

    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof(off));
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)); /* the accepted ones inherit it */
    if (fd < 0 || bind(fd, (struct sockaddr *)&any, sizeof(any)) < 0 || listen(fd, 1024) < 0) {
        perror("rr: listen");
        exit(1);
    }
    return fd;
}

static void echo(int fd)
{
    static char buffer[SIZE_MAX_BYTES];
    ssize_t n = recv(fd, buffer, sizeof(buffer), 0);

    if (n <= 0 || send(fd, buffer, (size_t)n, MSG_NOSIGNAL) != n)
        close(fd);
}

static void serve(const char *port)
{
    int listener = listen_on(port), poller = epoll_create1(0);
    struct epoll_event event = {.events = EPOLLIN, .data.fd = listener}, events[64];

    epoll_ctl(poller, EPOLL_CTL_ADD, listener, &event);
    for (;;) {
        int n = epoll_wait(poller, events, 64, -1);
        for (int i = 0; i < n; i++) {
            if (events[i].data.fd != listener) {
                echo(events[i].data.fd);
                continue;
            }
            event.data.fd = accept(listener, NULL, NULL);
            if (event.data.fd >= 0)
                epoll_ctl(poller, EPOLL_CTL_ADD, event.data.fd, &event);
        }
    }
}

static int usage(void)
{
    fprintf(stderr, "usage: rr serve PORT\n"
                    "       rr request|connect HOST PORT [--seconds S] [--warmup S] "
                    "[--size BYTES] [--connections N]\n");
    return 2;
}

int main(int argc, char **argv)
{
    static const struct option long_options[] = {{"seconds", required_argument, NULL, 's'},
                                                 {"warmup", required_argument, NULL, 'w'},
                                                 {"size", required_argument, NULL, 'b'},
                                                 {"connections", required_argument, NULL, 'c'},
                                                 {NULL, 0, NULL, 0}};
    struct options options = {.seconds = 2, .warmup = 0.1, .size = 64, .connections = 1};

    for (int c; (c = getopt_long(argc, argv, "", long_options, NULL)) != -1;) {
        if (c == 's')
            options.seconds = atof(optarg);
        else if (c == 'w')
            options.warmup = atof(optarg);
        else if (c == 'b')
            options.size = strtoul(optarg, NULL, 10);
        else if (c == 'c')
            options.connections = (unsigned)strtoul(optarg, NULL, 10);
        else
            return usage();
    }
    char **rest = argv + optind;
    int count = argc - optind;
    if (count == 2 && !strcmp(rest[0], "serve"))
        serve(rest[1]); /* does not return */
    if (count != 3 || (strcmp(rest[0], "request") && strcmp(rest[0], "connect")))
        return usage();
    if (options.seconds <= 0 || options.warmup < 0 || options.size < 1 ||
        options.size > SIZE_MAX_BYTES || options.connections < 1 ||
        options.connections > CONNECTIONS_MAX)
        return usage();
    options.connect_each = !strcmp(rest[0], "connect");
    options.host = rest[1];
    options.port = rest[2];
    return client(&options);
}
