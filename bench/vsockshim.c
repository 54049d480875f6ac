/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A link shaped like Nitro's vsock, between two Unix streams.
 *
 *   vsockshim DIALLED LISTENING --profile NAME
 *
 * Listens on the path DIALLED, where the enclave's side connects, and connects each stream on to
 * the path LISTENING, where the parent's side listens. Profiles: vsockshim --help.
 *
 * Theory of operation. One thread, as prompt as a device (SCHED_FIFO where allowed). Each direction
 * of a stream is a flow: bytes are spliced from the one socket into a pipe, wait there, and are
 * spliced into the other socket; they are not copied. What came in is a row of writes (borders.h);
 * each gets the time at which the link has carried it, the latest of three clocks:
 *
 *   writes  all streams of the direction together: WRITE_NS for every write, whatever its size
 *   stream  its bytes at the stream's rate
 *   total   its bytes at the direction's rate for all streams
 *
 * and is passed on then. Nothing is added for latency: two more sockets and wake-ups take longer
 * than Nitro's link does (docs/performance.md). A clock that has fallen behind may catch up
 * SLACK_NS: the depth of the token bucket. A flow reads no further than WINDOW_BYTES ahead of what
 * it has passed on (the default credit of a vsock socket), then its sender meets a full socket. Two
 * more buffers are a Unix socket's and not vsock's: each side's own send buffer
 * (net.core.wmem_default).
 *
 * SIGUSR1 prints bytes and writes of each direction on standard error.
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "bench/borders.h"

#define STREAMS_MAX  256
#define WRITE_NS     7000
#define SLACK_NS     50000
#define WINDOW_BYTES (256 * 1024)
#define PIPE_BYTES   (1 << 20)
#define WAITING_MAX  1024 /* pieces in a flow: more than a pipe has places */
#define NS_PER_S     1000000000ull

enum direction { UP, DOWN }; /* UP: enclave to parent */

struct profile {
    const char *name;
    double stream_gbits[2], total_gbits[2]; /* by direction; 0: no limit */
    bool free;                              /* no costs at all */
};

/* Published measurements of vsock on Nitro, one stream and eight. */
static const struct profile profiles[] = {
    {"c6i.2xlarge", {1.9, 10.5}, {8.8, 16.8}, false},
    {"c6in.8xlarge", {1.4, 1.6}, {8.5, 9.9}, false},
    {"none", {0, 0}, {0, 0}, true},
};

struct piece {
    uint32_t bytes;
    uint64_t due; /* ns, CLOCK_MONOTONIC */
};

struct flow {
    int from, to, tube[2];
    uint32_t to_key; /* of `to` in the poller */
    bool readable, writable, ended, finished;
    bool continues;  /* the next buffer belongs to the write before it */
    uint32_t partly; /* bytes that were read of a buffer whose end was not */
    uint64_t stream_clock;
    uint32_t held; /* bytes in the tube */
    unsigned first, count;
    struct piece waiting[WAITING_MAX];
};

/* What the poller calls a socket: it is the source of this flow of this stream. */
#define KEY(stream, direction) ((uint32_t)(stream) << 1 | (direction))
#define LISTENER               UINT32_MAX

struct stream {
    bool used;
    struct flow flows[2];
};

struct side { /* one direction of the whole link */
    uint64_t writes_clock, total_clock;
    uint64_t bytes, writes;
};

static struct {
    const struct profile *profile;
    const char *listening;
    int listener, poller;
    struct borders borders;
    uint32_t lengths[BORDERS_LOG];
    struct side sides[2];
    struct stream streams[STREAMS_MAX];
} shim;

static volatile sig_atomic_t asked;

static uint64_t now_ns(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * NS_PER_S + (uint64_t)ts.tv_nsec;
}

static void die(const char *what)
{
    fprintf(stderr, "vsockshim: %s: %s\n", what, strerror(errno));
    exit(1);
}

/* ---- the model ---- */

/* Moves a clock on by the cost; it is at most SLACK_NS behind. Returns the time it shows. */
static uint64_t advance(uint64_t *clock, uint64_t now, double cost_ns)
{
    if (*clock < now - SLACK_NS)
        *clock = now - SLACK_NS;
    *clock += (uint64_t)cost_ns;
    return *clock;
}

static double carry_ns(uint32_t bytes, double gbits)
{
    return gbits > 0 ? bytes * 8 / gbits : 0;
}

static uint64_t later(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

/* When a piece of a write, which came now, has been carried and reaches the other side. */
static uint64_t due_time(struct flow *flow, enum direction d, uint32_t bytes, uint64_t now)
{
    const struct profile *profile = shim.profile;
    struct side *side = &shim.sides[d];

    if (profile->free)
        return now;
    uint64_t done = now;
    if (!flow->continues)
        done = later(done, advance(&side->writes_clock, now, WRITE_NS));
    done =
        later(done, advance(&flow->stream_clock, now, carry_ns(bytes, profile->stream_gbits[d])));
    done = later(done, advance(&side->total_clock, now, carry_ns(bytes, profile->total_gbits[d])));
    return done;
}

static void take_piece(struct flow *flow, enum direction d, uint32_t bytes, uint64_t now)
{
    struct piece *piece = &flow->waiting[(flow->first + flow->count++) % WAITING_MAX];

    *piece = (struct piece){.bytes = bytes, .due = due_time(flow, d, bytes, now)};
    flow->held += bytes;
    shim.sides[d].bytes += bytes;
    if (!flow->continues)
        shim.sides[d].writes++;
}

/* Finds the writes in `bytes` that were read now: of `count` buffers the end, and perhaps the
 * beginning of one more. */
static void take_bytes(struct flow *flow, enum direction d, uint32_t bytes, unsigned count)
{
    uint64_t now = now_ns();

    for (unsigned i = 0; i < count; i++) {
        uint32_t rest = shim.lengths[i] - flow->partly;
        flow->continues |= flow->partly > 0;
        if (rest > 0)
            take_piece(flow, d, rest, now);
        bytes -= rest;
        flow->partly = 0;
        flow->continues = shim.lengths[i] == shim.borders.piece_max;
    }
    if (bytes > 0) {
        flow->continues |= flow->partly > 0;
        take_piece(flow, d, bytes, now);
        flow->partly += bytes;
    }
}

/* ---- moving bytes ---- */

/* Room is asked for only where it was missed: else every read of the other side were an event. */
static void watch(int fd, uint32_t key, int operation, bool room)
{
    struct epoll_event event = {.events = EPOLLIN | EPOLLRDHUP | EPOLLET | (room ? EPOLLOUT : 0),
                                .data.u32 = key};

    if (epoll_ctl(shim.poller, operation, fd, &event) < 0)
        die("epoll");
}

static void flow_read(struct flow *flow, enum direction d)
{
    while (flow->readable && !flow->ended && flow->held < WINDOW_BYTES) {
        size_t room = WINDOW_BYTES - flow->held;
        borders_skip(&shim.borders); /* what accept() and close() freed */
        ssize_t n = splice(flow->from, NULL, flow->tube[1], NULL, room, SPLICE_F_NONBLOCK);
        unsigned count = borders_take(&shim.borders, shim.lengths, BORDERS_LOG);

        if (n > 0) {
            take_bytes(flow, d, (uint32_t)n, count);
        } else if (n < 0 && errno == EAGAIN) {
            if (flow->count == 0)
                flow->readable = false; /* an edge tells of more; else the pipe may be full */
            return;
        } else if (n == 0 || errno != EINTR) {
            flow->ended = true;
        }
    }
}

static void flow_passed(struct flow *flow, size_t bytes)
{
    flow->held -= (uint32_t)bytes;
    while (bytes > 0) {
        struct piece *piece = &flow->waiting[flow->first];
        uint32_t part = bytes < piece->bytes ? (uint32_t)bytes : piece->bytes;
        piece->bytes -= part;
        bytes -= part;
        if (piece->bytes > 0)
            return;
        flow->first = (flow->first + 1) % WAITING_MAX;
        flow->count--;
    }
}

static size_t due_bytes(const struct flow *flow, uint64_t now)
{
    size_t bytes = 0;

    for (unsigned i = 0; i < flow->count; i++) {
        const struct piece *piece = &flow->waiting[(flow->first + i) % WAITING_MAX];
        if (piece->due > now)
            break;
        bytes += piece->bytes;
    }
    return bytes;
}

static void flow_write(struct flow *flow, uint64_t now)
{
    for (size_t bytes; flow->writable && (bytes = due_bytes(flow, now)) > 0;) {
        ssize_t n = splice(flow->tube[0], NULL, flow->to, NULL, bytes, SPLICE_F_NONBLOCK);
        if (n > 0) {
            flow_passed(flow, (size_t)n);
        } else if (n < 0 && errno == EAGAIN) {
            flow->writable = false;
            watch(flow->to, flow->to_key, EPOLL_CTL_MOD, true);
        } else if (n == 0 || errno != EINTR) {
            flow->ended = flow->finished = true; /* the other side has gone */
            flow->count = 0;
            flow->held = 0;
        }
    }
    if (flow->ended && flow->count == 0 && !flow->finished) {
        shutdown(flow->to, SHUT_WR);
        flow->finished = true;
    }
}

/* ---- streams ---- */

static void stream_close(struct stream *stream)
{
    for (int d = UP; d <= DOWN; d++) {
        close(stream->flows[d].from);
        close(stream->flows[d].tube[0]);
        close(stream->flows[d].tube[1]);
    }
    stream->used = false;
}

/* Serves both directions; returns when it wants to be called again (ns), or UINT64_MAX. */
static uint64_t stream_serve(struct stream *stream)
{
    uint64_t next = UINT64_MAX;

    for (int d = UP; d <= DOWN; d++) {
        struct flow *flow = &stream->flows[d];
        flow_write(flow, now_ns());
        flow_read(flow, d);
        flow_write(flow, now_ns());
        if (flow->count > 0 && flow->writable && flow->waiting[flow->first].due < next)
            next = flow->waiting[flow->first].due;
    }
    if (stream->flows[UP].finished && stream->flows[DOWN].finished)
        stream_close(stream);
    return next;
}

static int connect_on(void)
{
    struct sockaddr_un to = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    snprintf(to.sun_path, sizeof(to.sun_path), "%s", shim.listening);
    if (fd >= 0 && connect(fd, (struct sockaddr *)&to, sizeof(to)) < 0) {
        close(fd);
        return -1;
    }
    return fd;
}

static bool flow_open(struct flow *flow, int from, int to, uint32_t to_key)
{
    *flow =
        (struct flow){.from = from, .to = to, .to_key = to_key, .readable = true, .writable = true};
    if (pipe2(flow->tube, O_CLOEXEC | O_NONBLOCK) < 0)
        return false;
    if (fcntl(flow->tube[1], F_SETPIPE_SZ, PIPE_BYTES) < 0)
        die("pipe size");
    return true;
}

static void stream_open(void)
{
    int dialler = accept4(shim.listener, NULL, NULL, SOCK_CLOEXEC);
    unsigned i = 0;

    while (i < STREAMS_MAX && shim.streams[i].used)
        i++;
    int listening = dialler >= 0 && i < STREAMS_MAX ? connect_on() : -1;
    struct stream *stream = &shim.streams[i];
    if (listening < 0 || !flow_open(&stream->flows[UP], dialler, listening, KEY(i, DOWN)) ||
        !flow_open(&stream->flows[DOWN], listening, dialler, KEY(i, UP))) {
        /* nobody listens yet: the dialler sees a closed stream and tries again */
        close(dialler);
        close(listening);
        return;
    }
    stream->used = true;
    fcntl(dialler, F_SETFL, O_NONBLOCK);
    fcntl(listening, F_SETFL, O_NONBLOCK);
    watch(dialler, KEY(i, UP), EPOLL_CTL_ADD, false);
    watch(listening, KEY(i, DOWN), EPOLL_CTL_ADD, false);
}

/* ---- the loop ---- */

static void take_events(uint64_t timeout_ns)
{
    struct timespec limit = {.tv_sec = (time_t)(timeout_ns / NS_PER_S),
                             .tv_nsec = (long)(timeout_ns % NS_PER_S)};
    struct epoll_event events[64];
    int n = epoll_pwait2(shim.poller, events, 64, timeout_ns == UINT64_MAX ? NULL : &limit, NULL);

    for (int i = 0; i < n; i++) {
        uint32_t which = events[i].data.u32;
        if (which == LISTENER) {
            stream_open();
            continue;
        }
        struct stream *stream = &shim.streams[which >> 1];
        if (events[i].events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR))
            stream->flows[which & 1].readable = true;
        struct flow *other = &stream->flows[!(which & 1)];
        if (stream->used && !other->writable &&
            events[i].events & (EPOLLOUT | EPOLLHUP | EPOLLERR)) {
            other->writable = true;
            watch(other->to, which, EPOLL_CTL_MOD, false);
        }
    }
}

static void report(void)
{
    for (int d = UP; d <= DOWN; d++)
        fprintf(stderr, "vsockshim: stats direction=%s lane=0 sent_bytes %lu sent_writes %lu\n",
                d == UP ? "up" : "down", shim.sides[d].bytes, shim.sides[d].writes);
    asked = 0;
}

static void run(void)
{
    for (;;) {
        uint64_t next = UINT64_MAX;
        for (unsigned i = 0; i < STREAMS_MAX; i++) {
            if (!shim.streams[i].used)
                continue;
            uint64_t due = stream_serve(&shim.streams[i]);
            if (due < next)
                next = due;
        }
        if (asked)
            report();
        uint64_t now = now_ns();
        take_events(next == UINT64_MAX ? UINT64_MAX : next > now ? next - now : 0);
    }
}

/* ---- start ---- */

static void on_signal(int number)
{
    (void)number;
    asked = 1;
}

static void open_listener(const char *path)
{
    struct sockaddr_un at = {.sun_family = AF_UNIX};
    struct epoll_event event = {.events = EPOLLIN, .data.u32 = LISTENER};

    if (strlen(path) >= sizeof(at.sun_path) || strlen(shim.listening) >= sizeof(at.sun_path)) {
        fprintf(stderr, "vsockshim: a path is too long\n");
        exit(2);
    }
    snprintf(at.sun_path, sizeof(at.sun_path), "%s", path);
    umask(0177);
    shim.listener = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    shim.poller = epoll_create1(EPOLL_CLOEXEC);
    if (shim.listener < 0 || shim.poller < 0 ||
        bind(shim.listener, (struct sockaddr *)&at, sizeof(at)) < 0 ||
        listen(shim.listener, STREAMS_MAX) < 0 ||
        epoll_ctl(shim.poller, EPOLL_CTL_ADD, shim.listener, &event) < 0)
        die(path);
}

static int usage(FILE *out, int status)
{
    fprintf(out, "usage: vsockshim DIALLED LISTENING --profile NAME\n"
                 "Gbit/s, enclave to parent / parent to enclave:\n");
    for (size_t i = 0; i < sizeof(profiles) / sizeof(profiles[0]); i++) {
        const struct profile *p = &profiles[i];
        fprintf(out,
                p->free ? "  %-14s no limits and no costs\n"
                        : "  %-14s one stream %g / %g, all streams %g / %g\n",
                p->name, p->stream_gbits[UP], p->stream_gbits[DOWN], p->total_gbits[UP],
                p->total_gbits[DOWN]);
    }
    return status;
}

static bool set_profile(const char *name)
{
    for (size_t i = 0; i < sizeof(profiles) / sizeof(profiles[0]); i++)
        if (strcmp(profiles[i].name, name) == 0)
            shim.profile = &profiles[i];
    return shim.profile != NULL;
}

int main(int argc, char **argv)
{
    static const struct option options[] = {{"profile", required_argument, NULL, 'p'},
                                            {"help", no_argument, NULL, 'h'},
                                            {NULL, 0, NULL, 0}};
    struct sched_param priority = {.sched_priority = 1};
    struct sigaction action = {.sa_handler = on_signal};
    char error[256];

    for (int c; (c = getopt_long(argc, argv, "", options, NULL)) != -1;) {
        if (c == 'h')
            return usage(stdout, 0);
        if (c != 'p' || !set_profile(optarg))
            return usage(stderr, 2);
    }
    if (argc - optind != 2 || shim.profile == NULL)
        return usage(stderr, 2);
    if (borders_open(&shim.borders, error, sizeof(error)) < 0) {
        fprintf(stderr, "vsockshim: %s\n", error);
        return 1;
    }
    shim.listening = argv[optind + 1];
    open_listener(argv[optind]);
    signal(SIGPIPE, SIG_IGN);
    sigaction(SIGUSR1, &action, NULL);
    prctl(PR_SET_TIMERSLACK, 1ul);
    sched_setscheduler(0, SCHED_FIFO, &priority); /* without it late, and no worse */
    fprintf(stderr, "vsockshim: ready\n");
    run();
}
