/* SPDX-License-Identifier: Apache-2.0 */
/*
 * capture: packets from a daemon's taps (runtime/lane/taps.h), written as pcapng.
 *
 * The rings are looked at every few milliseconds; what is in them is merged by time. The daemon
 * notices the end of this program by the end of its connection.
 */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <pcap/pcap.h>

#include "ctl/client.h"
#include "ctl/commands.h"
#include "ctl/pcapng.h"
#include "ctl/program.h"
#include "ctl/rings.h"
#include "ctl/targets.h"
#include "packet/bpf.h"
#include "packet/drop.h"
#include "packet/parse.h"
#include "runtime/base/control_request.h"

#define LOOK_MS      2
#define BUFFER_BYTES (1 << 20)

struct settings {
    struct ctl_targets targets;
    const char *filter, *file, *enclave, *which;
    unsigned snap, count;
};

static bool set_which(void *context, const char *value, struct failure *failure)
{
    static const char *const names[] = {"all", "out", "in", "dropped"};

    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        if (strcmp(value, names[i]) == 0) {
            ((struct settings *)context)->which = value;
            return true;
        }
    }
    return failure_set(failure, "is not all, out, in or dropped");
}

static void print_which(const void *context, struct option_writer *writer)
{
    option_value(writer, "%s", ((const struct settings *)context)->which);
}

static const struct option_spec table[] = {
    {"filter", "EXPRESSION", "-f: only these packets, in tcpdump's language",
     OPTION_IS_TEXT(struct settings, filter)},
    {"write", "FILE", "-w: where to, - is standard output (default: -)",
     OPTION_IS_TEXT(struct settings, file)},
    {"snap", "BYTES", "-s: of each packet at most this much (default: all)",
     OPTION_IS_UNSIGNED(struct settings, snap, 1, PACKET_MAX_BYTES)},
    {"count", "NUMBER", "-c: end after so many packets",
     OPTION_IS_UNSIGNED(struct settings, count, 1, 4000000000u)},
    {"which", "WHICH", "all, out (to the link), in (from the link) or\ndropped (default: all)",
     OPTION_IS_CALL(set_which, print_which)},
    {"enclave", "NAME", "at the parent: only this enclave's packets",
     OPTION_IS_TEXT(struct settings, enclave)},
    CTL_CONTROL_ROW,
    {.name = NULL},
};

static volatile sig_atomic_t stopped;

static void stop(int number)
{
    (void)number;
    stopped = 1;
}

/* ---- request ---- */

/* Appends " filter=..." with the compiled program. False with the sentence printed. */
static bool append_filter(const struct settings *settings, char *line, size_t size)
{
    struct bpf_program program;
    size_t length = strlen(line);

    if (settings->filter == NULL)
        return true;
    pcap_t *compiler = pcap_open_dead(DLT_RAW, PACKET_MAX_BYTES);
    if (compiler == NULL ||
        pcap_compile(compiler, &program, settings->filter, 1, PCAP_NETMASK_UNKNOWN) < 0) {
        ctl_error("capture: --filter: '%.200s': %s", settings->filter,
                  compiler ? pcap_geterr(compiler) : "out of memory");
        return false;
    }
    bool fits = program.bf_len <= BPF_PROGRAM_MAX &&
                length + sizeof(" filter=") + 16 * program.bf_len < size;
    if (fits) {
        length += (size_t)snprintf(line + length, size - length, " filter=");
        for (unsigned i = 0; i < program.bf_len; i++) {
            const struct bpf_insn *step = &program.bf_insns[i];
            length += (size_t)snprintf(line + length, size - length, "%04x%02x%02x%08x", step->code,
                                       step->jt, step->jf, step->k);
        }
    } else {
        ctl_error("capture: --filter: '%.200s' is too long a filter (%u instructions, at most %d)",
                  settings->filter, program.bf_len, BPF_PROGRAM_MAX);
    }
    pcap_freecode(&program);
    pcap_close(compiler);
    return fits;
}

static bool make_request(const struct settings *settings, char *line, size_t size)
{
    int length = snprintf(line, size, "capture snap=%u which=%s", settings->snap, settings->which);

    if (settings->enclave != NULL) {
        if (strpbrk(settings->enclave, " \t") != NULL || strlen(settings->enclave) > 60) {
            ctl_error("capture: --enclave: '%.200s' is no name of an enclave", settings->enclave);
            return false;
        }
        snprintf(line + length, size - (size_t)length, " enclave=%s", settings->enclave);
    }
    return append_filter(settings, line, size);
}

/* ---- reading ---- */

struct reader {
    const struct settings *settings;
    FILE *out;
    struct rings rings;
    int interface[TAP_RINGS_MAX]; /* -1: not described yet */
    uint32_t interfaces;
    uint64_t packets;
    int problem; /* errno of the output */
};

static uint32_t interface_of(struct reader *reader, unsigned ring)
{
    char name[TAP_NAME_BYTES + 1];

    if (reader->interface[ring] < 0) {
        rings_name(&reader->rings, ring, name);
        reader->interface[ring] = (int)reader->interfaces++;
        pcapng_interface(reader->out, name, reader->settings->snap);
    }
    return (uint32_t)reader->interface[ring];
}

static void write_packet(struct reader *reader, const struct rings_packet *from)
{
    const struct tap_record *record = &from->record;
    char reason[64], comment[96];
    struct pcapng_packet packet = {
        .interface = interface_of(reader, from->ring),
        .time_ns = record->time_ns,
        .captured = record->captured,
        .length = record->length,
        .outbound = record->direction == TAP_TO_LINK,
        .bytes = from->bytes,
    };

    if (record->reason < DROP_REASON_COUNT &&
        drop_reason_name(record->reason, reason, sizeof(reason)) != NULL) {
        snprintf(comment, sizeof(comment), "dropped: %s", reason);
        packet.comment = comment;
    }
    pcapng_packet(reader->out, &packet);
    reader->packets++;
}

static bool wants_more(const struct reader *reader)
{
    return !stopped && !ferror(reader->out) &&
           (reader->settings->count == 0 || reader->packets < reader->settings->count);
}

/* Writes what the rings hold, oldest first. True if there was anything. */
static bool drain(struct reader *reader)
{
    struct rings_packet packet;
    bool any = false;

    for (unsigned i = 0; i < rings_count(&reader->rings); i++)
        interface_of(reader, i); /* a lane without packets is named, too */
    while (wants_more(reader) && rings_oldest(&reader->rings, &packet)) {
        write_packet(reader, &packet);
        rings_release(&reader->rings, &packet);
        any = true;
    }
    return any;
}

/* Until a signal, the count that was asked for, an error of the output, or the daemon's end. */
static void read_all(struct reader *reader, int connection)
{
    struct pollfd wait[] = {{.fd = connection, .events = POLLIN},
                            {.fd = fileno(reader->out), .events = 0}};
    bool ended = false;

    while (wants_more(reader)) {
        bool any = drain(reader);
        if (fflush(reader->out) != 0) {
            reader->problem = errno;
            break;
        }
        if (!any && ended)
            break;
        if (any)
            continue;
        /* The daemon never speaks first: this is its end. What is in the rings is still read. */
        poll(wait, 2, LOOK_MS);
        ended = wait[0].revents != 0;
        if (wait[1].revents & (POLLERR | POLLHUP))
            break;
    }
}

static uint64_t finish(struct reader *reader)
{
    struct timespec now;
    uint64_t lost = 0;

    clock_gettime(CLOCK_REALTIME, &now);
    for (unsigned i = 0; i < TAP_RINGS_MAX; i++) {
        if (reader->interface[i] < 0)
            continue;
        uint64_t of_ring = rings_lost(&reader->rings, i);
        pcapng_statistics(reader->out, (uint32_t)reader->interface[i],
                          (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec, of_ring);
        lost += of_ring;
    }
    return lost;
}

/* ---- command ---- */

static int run(const struct settings *settings, FILE *out, const char *name, const char *line)
{
    struct reader reader = {.settings = settings, .out = out};
    int connection = -1, memory = -1;
    struct stat status;
    struct failure failure;

    struct json_object *answer =
        client_request(settings->targets.path[0], line, &connection, &memory, &failure);
    if (answer == NULL) {
        ctl_error("%s", failure.text);
        return EXIT_FAILURE;
    }
    json_object_put(answer);
    void *rings = MAP_FAILED;
    if (memory >= 0 && fstat(memory, &status) == 0 && status.st_size == (off_t)TAP_MEMORY_BYTES)
        rings = mmap(NULL, TAP_MEMORY_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, memory, 0);
    if (rings == MAP_FAILED) {
        ctl_error("capture: the daemon is of another version: no shared memory came");
        return EXIT_FAILURE;
    }
    reader.rings.memory = rings;
    memset(reader.interface, -1, sizeof(reader.interface));
    pcapng_begin(out, CTL_PROGRAM " " CAUSEWAY_VERSION);
    if (fflush(out) != 0) /* a reader of a pipe sees at once that it has begun */
        reader.problem = errno;
    read_all(&reader, connection);
    uint64_t lost = finish(&reader);
    if (fflush(out) != 0 && reader.problem == 0)
        reader.problem = errno;
    close(connection);
    fprintf(stderr, CTL_PROGRAM ": %llu packets, %llu lost because this reader was too slow\n",
            (unsigned long long)reader.packets, (unsigned long long)lost);
    if (reader.problem == 0 || reader.problem == EPIPE)
        return EXIT_SUCCESS;
    ctl_error("capture: cannot write to %s: %s", name, strerror(reader.problem));
    return EXIT_FAILURE;
}

/* tcpdump's letters for our words. */
static void replace_letters(int argc, char **argv)
{
    static const struct {
        const char *letter, *word;
    } names[] = {{"-f", "--filter"}, {"-w", "--write"}, {"-s", "--snap"}, {"-c", "--count"}};

    for (int i = 1; i < argc; i++) {
        for (size_t k = 0; k < sizeof(names) / sizeof(names[0]); k++)
            if (strcmp(argv[i], names[k].letter) == 0)
                argv[i] = (char *)names[k].word;
        if (strncmp(argv[i], "--", 2) == 0 && strchr(argv[i], '=') == NULL)
            i++; /* its value, whatever that looks like */
    }
}

static FILE *open_output(const char *name)
{
    FILE *out = strcmp(name, "-") == 0 ? stdout : fopen(name, "we");

    if (out == NULL)
        ctl_error("capture: cannot write to %s: %s", name, strerror(errno));
    else if (out == stdout && isatty(STDOUT_FILENO))
        ctl_error("capture: standard output is a terminal: -w FILE, or | wireshark -k -i -");
    else
        return setvbuf(out, NULL, _IOFBF, BUFFER_BYTES) == 0 ? out : NULL;
    return NULL;
}

int ctl_capture(int argc, char **argv)
{
    struct settings settings = {.file = "-", .which = "all", .snap = PACKET_MAX_BYTES};
    struct sigaction action = {.sa_handler = stop};
    char line[CONTROL_LINE_MAX];
    int result;

    replace_letters(argc, argv);
    if (!ctl_options(table, "capture", "packets at a daemon's edge as pcapng", argc, argv,
                     &settings.targets, &result))
        return result;
    if (settings.targets.count != 1) {
        ctl_error("capture: %u daemons are reachable: name one with --control",
                  settings.targets.count);
        return CTL_WRONG_USE;
    }
    if (!make_request(&settings, line, sizeof(line)))
        return CTL_WRONG_USE;
    signal(SIGPIPE, SIG_IGN);
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    FILE *out = open_output(settings.file);
    return out != NULL ? run(&settings, out, settings.file, line) : EXIT_FAILURE;
}
