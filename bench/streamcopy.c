/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the transport alone carries: one process writes, another reads, over AF_UNIX streams.
 *
 *   streamcopy [--seconds S (2)] [--streams N (1)] [--write BYTES (65536)]
 *              [--listen PATH --connect PATH [--down]] [--round-trips]
 *
 * The streams are socket pairs, or lead from one path to the other, with a shim between the two:
 * then the side that connects writes, or with --down the side that listens.
 *
 * Prints one JSON object: bytes read, seconds, processor seconds of writer and reader. No packet
 * is captured or injected: a tunnel over such a stream does this and more. With --round-trips one
 * write is answered by another of its size, on one stream, and the median time of that is printed.
 */
#include <errno.h>
#include <getopt.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>

#define STREAMS_MAX 64
#define WRITE_MAX   (1 << 20)
#define TRIPS_MAX   1000000

struct options {
    double seconds;
    unsigned streams;
    size_t chunk;
    const char *listen, *connect; /* both or neither */
    bool down, round_trips;
};

struct end {
    int fd;
    size_t chunk;
    uint64_t bytes;
    pthread_t thread;
};

static double now_s(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

static double cpu_s(const struct rusage *usage)
{
    return (double)(usage->ru_utime.tv_sec + usage->ru_stime.tv_sec) +
           (double)(usage->ru_utime.tv_usec + usage->ru_stime.tv_usec) / 1e6;
}

static double until; /* now_s() at which writers stop */

static void *write_loop(void *arg)
{
    struct end *end = arg;
    char *buffer = malloc(end->chunk);

    if (buffer)
        memset(buffer, 'x', end->chunk); /* untouched, it would be one shared page of zeros */
    while (buffer && now_s() < until && send(end->fd, buffer, end->chunk, MSG_NOSIGNAL) > 0)
        ;
    shutdown(end->fd, SHUT_WR);
    free(buffer);
    return NULL;
}

static void *read_loop(void *arg)
{
    struct end *end = arg;
    char *buffer = calloc(1, WRITE_MAX);

    for (ssize_t n; buffer && (n = recv(end->fd, buffer, WRITE_MAX, 0)) > 0;)
        end->bytes += (uint64_t)n;
    free(buffer);
    return NULL;
}

static uint64_t run(struct end *ends, unsigned streams, void *(*loop)(void *))
{
    uint64_t bytes = 0;

    for (unsigned i = 0; i < streams; i++)
        if (pthread_create(&ends[i].thread, NULL, loop, &ends[i]))
            exit(1);
    for (unsigned i = 0; i < streams; i++) {
        pthread_join(ends[i].thread, NULL);
        bytes += ends[i].bytes;
    }
    return bytes;
}

/* ---- streams ---- */

static int fail(const char *what)
{
    fprintf(stderr, "streamcopy: %s: %s\n", what, strerror(errno));
    return -1;
}

static struct sockaddr_un path_address(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};

    snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
    return address;
}

static int open_listener(const char *path)
{
    struct sockaddr_un address = path_address(path);
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);

    unlink(path);
    if (fd < 0 || bind(fd, (struct sockaddr *)&address, sizeof(address)) < 0 ||
        listen(fd, STREAMS_MAX) < 0)
        return fail(path);
    return fd;
}

/* One stream from path to path, or a socket pair: ends[0] is the dialler's. */
static int open_stream(const struct options *options, int listener, int ends[2])
{
    if (listener < 0)
        return socketpair(AF_UNIX, SOCK_STREAM, 0, ends) < 0 ? fail("socketpair") : 0;
    struct sockaddr_un address = path_address(options->connect);
    ends[0] = socket(AF_UNIX, SOCK_STREAM, 0);
    if (ends[0] < 0 || connect(ends[0], (struct sockaddr *)&address, sizeof(address)) < 0)
        return fail(options->connect);
    ends[1] = accept(listener, NULL, NULL);
    return ends[1] < 0 ? fail("accept") : 0;
}

/* ---- what is measured ---- */

static int measure_copy(const struct options *options, struct end *writers, struct end *readers)
{
    double start = now_s();

    until = start + options->seconds;
    pid_t child = fork();
    if (child == 0) {
        run(writers, options->streams, write_loop);
        _exit(0);
    }
    for (unsigned i = 0; i < options->streams; i++)
        close(writers[i].fd);
    uint64_t bytes = run(readers, options->streams, read_loop);
    double elapsed = now_s() - start;
    struct rusage writer, reader;
    wait4(child, NULL, 0, &writer);
    getrusage(RUSAGE_SELF, &reader);
    printf("{\"bytes\": %lu, \"seconds\": %.3f, \"writer_cpu_s\": %.3f, \"reader_cpu_s\": %.3f}\n",
           bytes, elapsed, cpu_s(&writer), cpu_s(&reader));
    return bytes == 0;
}

static void *echo_loop(void *arg)
{
    struct end *end = arg;
    char *buffer = calloc(1, end->chunk);

    while (buffer && recv(end->fd, buffer, end->chunk, MSG_WAITALL) == (ssize_t)end->chunk)
        if (send(end->fd, buffer, end->chunk, MSG_NOSIGNAL) < 0)
            break;
    free(buffer);
    return NULL;
}

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

static int measure_round_trips(const struct options *options, struct end *near, struct end *far)
{
    double *times = calloc(TRIPS_MAX, sizeof(*times)), start = now_s(), begin = start;
    char *buffer = calloc(1, options->chunk);
    unsigned count = 0;

    if (times == NULL || buffer == NULL || pthread_create(&far->thread, NULL, echo_loop, far))
        return 1;
    while (begin < start + options->seconds && count < TRIPS_MAX) {
        if (send(near->fd, buffer, options->chunk, MSG_NOSIGNAL) < 0 ||
            recv(near->fd, buffer, options->chunk, MSG_WAITALL) != (ssize_t)options->chunk)
            break;
        double end = now_s();
        times[count++] = end - begin;
        begin = end;
    }
    shutdown(near->fd, SHUT_RDWR);
    pthread_join(far->thread, NULL);
    qsort(times, count, sizeof(*times), compare);
    printf("{\"round_trips\": %u, \"p50_us\": %.2f, \"p99_us\": %.2f}\n", count,
           times[count / 2] * 1e6, times[count * 99ull / 100] * 1e6);
    free(buffer);
    free(times);
    return count == 0;
}

static int measure(const struct options *options)
{
    struct end writers[STREAMS_MAX] = {0}, readers[STREAMS_MAX] = {0};
    int listener = options->listen ? open_listener(options->listen) : -1;

    if (options->listen && listener < 0)
        return 1;
    for (unsigned i = 0; i < options->streams; i++) {
        int ends[2];
        if (open_stream(options, listener, ends) < 0)
            return 1;
        writers[i] = (struct end){.fd = ends[options->down], .chunk = options->chunk};
        readers[i] = (struct end){.fd = ends[!options->down], .chunk = options->chunk};
    }
    return options->round_trips ? measure_round_trips(options, writers, readers)
                                : measure_copy(options, writers, readers);
}

static int usage(void)
{
    fprintf(stderr, "usage: streamcopy [--seconds S] [--streams N] [--write BYTES]\n"
                    "                  [--listen PATH --connect PATH [--down]] [--round-trips]\n");
    return 2;
}

int main(int argc, char **argv)
{
    static const struct option names[] = {
        {"seconds", required_argument, NULL, 's'}, {"streams", required_argument, NULL, 'n'},
        {"write", required_argument, NULL, 'w'},   {"listen", required_argument, NULL, 'l'},
        {"connect", required_argument, NULL, 'c'}, {"down", no_argument, NULL, 'd'},
        {"round-trips", no_argument, NULL, 'r'},   {NULL, 0, NULL, 0}};
    struct options options = {.seconds = 2, .streams = 1, .chunk = 65536};

    for (int c; (c = getopt_long(argc, argv, "", names, NULL)) != -1;) {
        if (c == 's')
            options.seconds = atof(optarg);
        else if (c == 'n')
            options.streams = (unsigned)strtoul(optarg, NULL, 10);
        else if (c == 'w')
            options.chunk = strtoul(optarg, NULL, 10);
        else if (c == 'l')
            options.listen = optarg;
        else if (c == 'c')
            options.connect = optarg;
        else if (c == 'd')
            options.down = true;
        else if (c == 'r')
            options.round_trips = true;
        else
            return usage();
    }
    if (options.seconds <= 0 || options.streams < 1 || options.streams > STREAMS_MAX ||
        options.chunk < 1 || options.chunk > WRITE_MAX || !options.listen != !options.connect ||
        (options.down && !options.listen) || (options.round_trips && options.streams != 1))
        return usage();
    return measure(&options);
}
