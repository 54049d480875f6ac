/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A UDP generator that knows how many datagrams arrived, at a given rate and size.
 *
 *   udpgen serve PORT
 *   udpgen up|down HOST PORT --size BYTES (64..) --rate PPS (0: as fast as it goes) --seconds S
 *
 * One flow, opened by the client, so that it passes any NAT. The client announces a run (START,
 * repeated until START_ACK); then one side sends DATA with sendmmsg, the other counts them with
 * recvmmsg; at the end the client asks (END, repeated) until the server tells its number
 * (REPORT), which arrives behind the last DATA of the same flow. The client prints one JSON object:
 * sent, received, seconds, the rates and the loss.
 *
 * Pacing: every 50 us, what is due by the clock, at most 64 a system call; a sender that is held
 * back by the socket's send buffer sends less than asked, which the figures show. Each datagram
 * passes the kernel on its own (no UDP_SEGMENT). The receive buffer is 8 MB on both sides.
 */
#include <assert.h>
#include <errno.h>
#include <getopt.h>
#include <netdb.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include <netinet/in.h>
#include <sys/prctl.h>
#include <sys/socket.h>

#define MAGIC        0x43575547u /* "CWUG" */
#define BATCH        64
#define DATAGRAM_MAX 9000
#define TICK_NS      50000
#define BUFFER_BYTES (8 << 20)
#define ASK_MS       50  /* repeat a question after this long */
#define ASK_TRIES    100 /* then give up */
#define NS_PER_S     1000000000ull

enum kind { KIND_START = 1, KIND_START_ACK, KIND_DATA, KIND_END, KIND_REPORT };
enum direction { DIRECTION_UP, DIRECTION_DOWN };

/* Host byte order: both ends run on one machine architecture. */
struct message {
    uint32_t magic, kind;
    uint64_t run;
    uint64_t value; /* REPORT: datagrams sent (down) or received (up) by the server */
    uint64_t rate;  /* START: per second, 0 unpaced */
    uint32_t size, direction;
    uint32_t milliseconds, pad;
};
static_assert(sizeof(struct message) <= 64, "the smallest datagram of the tests is 64 bytes");

struct batch {
    struct mmsghdr headers[BATCH];
    struct iovec vectors[BATCH];
    uint8_t data[BATCH][DATAGRAM_MAX];
};
static struct batch batch;

static uint64_t now_ns(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * NS_PER_S + (uint64_t)ts.tv_nsec;
}

static void die(const char *what)
{
    fprintf(stderr, "udpgen: %s: %s\n", what, strerror(errno));
    exit(1);
}

static void batch_prepare(size_t len)
{
    for (int i = 0; i < BATCH; i++) {
        batch.vectors[i] = (struct iovec){.iov_base = batch.data[i], .iov_len = len};
        batch.headers[i].msg_hdr = (struct msghdr){.msg_iov = &batch.vectors[i], .msg_iovlen = 1};
    }
}

static uint64_t due_by(const struct message *run, uint64_t elapsed, uint64_t sent)
{
    if (run->rate == 0)
        return BATCH;
    uint64_t due = (uint64_t)((double)run->rate * (double)elapsed / 1e9);
    if (due <= sent)
        return 0;
    return due - sent < BATCH ? due - sent : BATCH;
}

/* Sends DATA for the run's time; `fd` is connected. Returns how many the kernel took. */
static uint64_t send_run(int fd, const struct message *run)
{
    struct message data = *run;
    uint64_t start = now_ns(), length = (uint64_t)run->milliseconds * 1000000, sent = 0;

    data.kind = KIND_DATA;
    batch_prepare(run->size);
    for (int i = 0; i < BATCH; i++)
        memcpy(batch.data[i], &data, sizeof(data));
    for (uint64_t elapsed; (elapsed = now_ns() - start) < length;) {
        uint64_t due = due_by(run, elapsed, sent);
        if (due == 0) {
            nanosleep(&(struct timespec){.tv_nsec = TICK_NS}, NULL);
            continue;
        }
        int n = sendmmsg(fd, batch.headers, (unsigned)due, 0);
        if (n > 0)
            sent += (uint64_t)n;
        else if (errno != ENOBUFS && errno != EAGAIN && errno != ECONNREFUSED && errno != EPERM)
            die("send");
    }
    return sent;
}

static void set_buffers(int fd)
{
    int size = BUFFER_BYTES;

    if (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size)) < 0)
        setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof(size));
}

static void set_receive_limit(int fd, int milliseconds)
{
    struct timeval tv = {.tv_sec = milliseconds / 1000, .tv_usec = milliseconds % 1000 * 1000};

    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof(tv));
}

/*
 * Counts the DATA of `run` until another kind of message arrives, which is put in `*other`
 * (true), or the receive limit passes without any datagram, or `stop` (ns, 0: none) passes.
 */
static bool count_data(int fd, uint64_t run, uint64_t stop, uint64_t *received,
                       struct message *other)
{
    batch_prepare(DATAGRAM_MAX);
    for (;;) {
        int n = recvmmsg(fd, batch.headers, BATCH, MSG_WAITFORONE, NULL);
        for (int i = 0; i < n; i++) {
            struct message m;
            memcpy(&m, batch.data[i], sizeof(m));
            if (batch.headers[i].msg_len < sizeof(m) || m.magic != MAGIC || m.run != run)
                continue;
            if (m.kind == KIND_DATA) {
                ++*received;
            } else {
                *other = m; /* the last one of a batch: nothing follows it that matters */
                return true;
            }
        }
        if (n < 0 && errno != ECONNREFUSED)
            return false;
        if (stop && now_ns() >= stop)
            return false;
    }
}

/* Asks `question` until an answer of the wanted kind comes; DATA in between is counted. */
static struct message ask(int fd, struct message question, enum kind wanted, uint64_t *received)
{
    struct message answer;

    set_receive_limit(fd, ASK_MS);
    for (int i = 0; i < ASK_TRIES; i++) {
        send(fd, &question, sizeof(question), 0);
        uint64_t stop = now_ns() + (uint64_t)ASK_MS * 1000000;
        while (count_data(fd, question.run, stop, received, &answer))
            if (answer.kind == wanted)
                return answer;
    }
    errno = ETIMEDOUT;
    die(wanted == KIND_START_ACK ? "no answer from the server" : "no report from the server");
    return answer;
}

static void print_result(const struct message *run, uint64_t sent, uint64_t received)
{
    double seconds = run->milliseconds / 1e3;
    double loss = sent ? 1 - (double)received / (double)sent : 1;

    printf("{\"sent\": %lu, \"received\": %lu, \"seconds\": %.3f, \"sent_pps\": %.1f, "
           "\"received_pps\": %.1f, \"loss\": %.6f}\n",
           sent, received, seconds, (double)sent / seconds, (double)received / seconds,
           loss < 0 ? 0 : loss);
}

static int client(const char *host, const char *port, struct message run)
{
    struct addrinfo hints = {.ai_socktype = SOCK_DGRAM}, *to;
    uint64_t sent, received = 0;
    struct message answer;

    if (getaddrinfo(host, port, &hints, &to)) {
        fprintf(stderr, "udpgen: %s port %s is no address\n", host, port);
        return 1;
    }
    int fd = socket(to->ai_family, SOCK_DGRAM, 0);
    if (fd < 0 || connect(fd, to->ai_addr, to->ai_addrlen) < 0)
        die(host);
    freeaddrinfo(to);
    set_buffers(fd);
    run.magic = MAGIC;
    run.run = now_ns() ^ (uint64_t)getpid() << 48;
    run.kind = KIND_START;
    ask(fd, run, KIND_START_ACK, &received);

    struct message end = run;
    end.kind = KIND_END;
    if (run.direction == DIRECTION_UP) {
        sent = send_run(fd, &run);
        answer = ask(fd, end, KIND_REPORT, &received);
        received = answer.value;
    } else {
        uint64_t stop = now_ns() + (uint64_t)run.milliseconds * 1000000;
        while (now_ns() < stop) /* the limit of ask() still holds, so this ends by the clock */
            count_data(fd, run.run, stop, &received, &answer);
        sent = ask(fd, end, KIND_REPORT, &received).value;
    }
    print_result(&run, sent, received);
    return 0;
}

/* One run of the server, from its START to the first END; later ENDs are answered by serve(). */
static void serve_run(int fd, struct message *run, const struct sockaddr_storage *peer,
                      socklen_t peer_len)
{
    struct message ack = *run;

    if (connect(fd, (const struct sockaddr *)peer, peer_len) < 0)
        die("connect");
    ack.kind = KIND_START_ACK;
    send(fd, &ack, sizeof(ack), 0);
    run->value = 0;
    if (run->direction == DIRECTION_DOWN) {
        run->value = send_run(fd, run);
    } else {
        struct message other;
        /* ends with END, or by itself when the client has gone */
        set_receive_limit(fd, (int)run->milliseconds + 1000);
        while (count_data(fd, run->run, 0, &run->value, &other) && other.kind != KIND_END)
            if (other.kind == KIND_START) /* the acknowledgement was lost */
                send(fd, &ack, sizeof(ack), 0);
    }
    run->kind = KIND_REPORT;
    send(fd, run, sizeof(*run), 0);
}

static bool run_is_valid(const struct message *m, ssize_t len)
{
    return len >= (ssize_t)sizeof(*m) && m->magic == MAGIC && m->size >= sizeof(*m) &&
           m->size <= DATAGRAM_MAX && m->milliseconds <= 600000 && m->direction <= DIRECTION_DOWN;
}

static int open_server(uint16_t port)
{
    struct sockaddr_in6 any = {.sin6_family = AF_INET6, .sin6_port = htons(port)};
    int fd = socket(AF_INET6, SOCK_DGRAM, 0), off = 0;

    setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof(off));
    if (fd < 0 || bind(fd, (struct sockaddr *)&any, sizeof(any)) < 0)
        die("listen");
    set_buffers(fd);
    return fd;
}

static void serve(uint16_t port)
{
    struct message last = {0};
    int fd = open_server(port);

    for (;;) {
        struct sockaddr_storage peer;
        socklen_t peer_len = sizeof(peer);
        struct message m;
        ssize_t n = recvfrom(fd, &m, sizeof(m), 0, (struct sockaddr *)&peer, &peer_len);

        if (!run_is_valid(&m, n))
            continue;
        if (m.kind == KIND_START && m.run != last.run) {
            last = m;
            serve_run(fd, &last, &peer, peer_len);
            /* a fresh socket: not connected, without a limit */
            close(fd);
            fd = open_server(port);
        } else if (m.run == last.run && (m.kind == KIND_START || m.kind == KIND_END)) {
            struct message again = last; /* the client missed it */
            again.kind = m.kind == KIND_START ? KIND_START_ACK : KIND_REPORT;
            sendto(fd, &again, sizeof(again), 0, (struct sockaddr *)&peer, peer_len);
        }
    }
}

static int usage(void)
{
    fprintf(stderr, "usage: udpgen serve PORT\n"
                    "       udpgen up|down HOST PORT [--size BYTES] [--rate PPS] [--seconds S]\n");
    return 2;
}

int main(int argc, char **argv)
{
    static const struct option options[] = {{"size", required_argument, NULL, 'b'},
                                            {"rate", required_argument, NULL, 'r'},
                                            {"seconds", required_argument, NULL, 's'},
                                            {NULL, 0, NULL, 0}};
    struct message run = {.size = 1400, .milliseconds = 1000};

    for (int c; (c = getopt_long(argc, argv, "", options, NULL)) != -1;) {
        if (c == 'b')
            run.size = (uint32_t)strtoul(optarg, NULL, 10);
        else if (c == 'r')
            run.rate = strtoull(optarg, NULL, 10);
        else if (c == 's')
            run.milliseconds = (uint32_t)(atof(optarg) * 1000);
        else
            return usage();
    }
    char **rest = argv + optind;
    int count = argc - optind;
    prctl(PR_SET_TIMERSLACK, 1ul);
    if (count == 2 && !strcmp(rest[0], "serve"))
        serve((uint16_t)atoi(rest[1])); /* does not return */
    if (count != 3 || (strcmp(rest[0], "up") && strcmp(rest[0], "down")))
        return usage();
    run.magic = MAGIC;
    run.direction = strcmp(rest[0], "up") ? DIRECTION_DOWN : DIRECTION_UP;
    if (!run_is_valid(&run, sizeof(run)) || run.milliseconds == 0)
        return usage();
    return client(rest[1], rest[2], run);
}
