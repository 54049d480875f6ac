/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the transport alone carries: one process writes, another reads, over AF_UNIX streams.
 *
 *   streamcopy [--seconds S (2)] [--streams N (1)] [--write BYTES (65536)]
 *
 * Prints one JSON object: bytes read, seconds, processor seconds of both processes together.
 * No packet is captured or injected: a tunnel over such a stream does this and more.
 */
#include <getopt.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>

#define STREAMS_MAX 64
#define WRITE_MAX   (1 << 20)

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

static int measure(double seconds, unsigned streams, size_t chunk)
{
    struct end writers[STREAMS_MAX] = {0}, readers[STREAMS_MAX] = {0};

    for (unsigned i = 0; i < streams; i++) {
        int pair[2];
        if (socketpair(AF_UNIX, SOCK_STREAM, 0, pair) < 0) {
            perror("streamcopy");
            return 1;
        }
        writers[i] = (struct end){.fd = pair[0], .chunk = chunk};
        readers[i] = (struct end){.fd = pair[1], .chunk = chunk};
    }
    double start = now_s();
    until = start + seconds;
    pid_t child = fork();
    if (child == 0) {
        run(writers, streams, write_loop);
        _exit(0);
    }
    for (unsigned i = 0; i < streams; i++)
        close(writers[i].fd);
    uint64_t bytes = run(readers, streams, read_loop);
    double elapsed = now_s() - start;
    struct rusage writer, reader;
    wait4(child, NULL, 0, &writer);
    getrusage(RUSAGE_SELF, &reader);
    printf("{\"bytes\": %lu, \"seconds\": %.3f, \"writer_cpu_s\": %.3f, \"reader_cpu_s\": %.3f}\n",
           bytes, elapsed, cpu_s(&writer), cpu_s(&reader));
    return bytes == 0;
}

int main(int argc, char **argv)
{
    static const struct option options[] = {{"seconds", required_argument, NULL, 's'},
                                            {"streams", required_argument, NULL, 'n'},
                                            {"write", required_argument, NULL, 'w'},
                                            {NULL, 0, NULL, 0}};
    double seconds = 2;
    unsigned long streams = 1, chunk = 65536;

    for (int c; (c = getopt_long(argc, argv, "", options, NULL)) != -1;) {
        if (c == 's')
            seconds = atof(optarg);
        else if (c == 'n')
            streams = strtoul(optarg, NULL, 10);
        else if (c == 'w')
            chunk = strtoul(optarg, NULL, 10);
        else
            return 2;
    }
    if (seconds <= 0 || streams < 1 || streams > STREAMS_MAX || chunk < 1 || chunk > WRITE_MAX) {
        fprintf(stderr, "usage: streamcopy [--seconds S] [--streams N] [--write BYTES]\n");
        return 2;
    }
    return measure(seconds, (unsigned)streams, chunk);
}
