/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/lane/taps.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "runtime/lane/lane.h"
#include "runtime/base/options.h"

#define SETTLE_MS 20 /* between looks whether lanes have let go */

/* ---- the lane's end ---- */

static bool is_wanted(const struct tap_port *port, const uint8_t *packet, uint32_t length,
                      enum tap_direction direction, uint16_t reason)
{
    if (!(port->directions & 1u << direction) || (port->only_dropped && reason == TAP_PASSED))
        return false;
    return port->filter_count == 0 || bpf_run(port->filter, packet, length) != 0;
}

/* Makes head the place of a record of this size, behind a skip if it would cross the end. False: no
 * room. */
static bool make_room(struct tap_port *port, uint32_t size)
{
    struct tap_ring *ring = port->ring;
    uint64_t used = port->head - __atomic_load_n(&ring->tail, __ATOMIC_ACQUIRE);
    uint32_t at = port->head % TAP_RING_BYTES, to_end = TAP_RING_BYTES - at;
    uint32_t skip = size > to_end ? to_end : 0;

    /* A reader that claims more than was written has no room to give. */
    if (used > TAP_RING_BYTES || TAP_RING_BYTES - used < (uint64_t)size + skip)
        return false;
    /* A record's header is as long as three steps: the end may be too near for one. */
    if (skip >= sizeof(struct tap_record))
        *(struct tap_record *)(ring->records + at) =
            (struct tap_record){.size = skip, .direction = TAP_SKIP};
    port->head += skip;
    return true;
}

void tap_packet(struct tap_port *port, const uint8_t *packet, uint32_t length,
                enum tap_direction direction, uint16_t reason, uint64_t time_ns)
{
    uint32_t captured = length < port->snap ? length : port->snap;
    uint32_t size = (uint32_t)(sizeof(struct tap_record) + captured + 7) & ~7u;

    if (!is_wanted(port, packet, length, direction, reason))
        return;
    if (!make_room(port, size)) {
        __atomic_store_n(&port->ring->lost, port->ring->lost + 1, __ATOMIC_RELAXED);
        return;
    }
    struct tap_record *record =
        (struct tap_record *)(port->ring->records + port->head % TAP_RING_BYTES);
    *record = (struct tap_record){
        .size = size,
        .captured = captured,
        .length = length,
        .reason = reason,
        .direction = (uint8_t)direction,
        .time_ns = time_ns,
    };
    memcpy(record + 1, packet, captured);
    port->head += size;
    __atomic_store_n(&port->ring->head, port->head, __ATOMIC_RELEASE);
}

/* ---- lanes ---- */

static void attach(struct tap_table *table, struct tap_capture *capture,
                   const struct tap_lane *lane)
{
    unsigned index = (unsigned)(capture - table->captures), place = capture->ring_count;

    if (capture->wish.enclave[0] != '\0' && strcmp(capture->wish.enclave, lane->enclave) != 0)
        return;
    if (place == TAP_RINGS_MAX) {
        capture->left_out++;
        return;
    }
    struct tap_ring *ring = &capture->rings[place];
    snprintf(ring->name, sizeof(ring->name), "%s%slane %u", lane->enclave,
             lane->enclave[0] ? " " : "", lane->number);
    __atomic_store_n(&ring->in_use, 1, __ATOMIC_RELEASE);
    capture->ports[place] = (struct tap_port){
        .ring = ring,
        .filter = capture->wish.filter,
        .filter_count = capture->wish.filter_count,
        .snap = capture->wish.snap,
        .directions = capture->wish.directions,
        .only_dropped = capture->wish.only_dropped,
    };
    capture->lanes[place] = lane->lane;
    capture->ring_count++;
    lane_set_tap(lane->lane, index, &capture->ports[place]);
}

void tap_add_lane(struct tap_table *table, struct lane *lane, const char *enclave, unsigned number)
{
    if (table->lane_count == TAP_LANES_MAX)
        return;
    struct tap_lane *added = &table->lanes[table->lane_count++];
    *added = (struct tap_lane){.lane = lane, .number = number};
    snprintf(added->enclave, sizeof(added->enclave), "%s", enclave);
    for (unsigned i = 0; i < TAP_CAPTURES_MAX; i++)
        if (table->captures[i].used && !table->captures[i].closing)
            attach(table, &table->captures[i], added);
}

void tap_remove_lane(struct tap_table *table, struct lane *lane)
{
    for (unsigned i = 0; i < table->lane_count; i++)
        if (table->lanes[i].lane == lane)
            table->lanes[i--] = table->lanes[--table->lane_count];
    for (unsigned i = 0; i < TAP_CAPTURES_MAX; i++)
        for (unsigned k = 0; k < table->captures[i].ring_count; k++)
            if (table->captures[i].lanes[k] == lane)
                table->captures[i].lanes[k] = NULL;
}

/* ---- captures ---- */

/* Sealed, so that a reader cannot cut the memory off under the lanes. */
static int make_memory(struct tap_capture *capture)
{
    int fd = memfd_create("causeway-tap", MFD_CLOEXEC | MFD_ALLOW_SEALING);

    if (fd < 0)
        return -errno;
    void *memory = MAP_FAILED;
    if (ftruncate(fd, TAP_MEMORY_BYTES) == 0 &&
        fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) == 0)
        memory = mmap(NULL, TAP_MEMORY_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (memory == MAP_FAILED) {
        int error = errno;
        close(fd);
        return -error;
    }
    capture->rings = memory;
    return fd;
}

struct tap_capture *tap_begin(struct tap_table *table, const struct tap_wish *wish, int *fd,
                              struct failure *failure)
{
    struct tap_capture *capture = NULL;

    for (unsigned i = 0; i < TAP_CAPTURES_MAX && capture == NULL; i++)
        if (!table->captures[i].used)
            capture = &table->captures[i];
    if (capture == NULL) {
        failure_set(failure, "%d captures run already", TAP_CAPTURES_MAX);
        return NULL;
    }
    *capture = (struct tap_capture){.wish = *wish};
    *fd = make_memory(capture);
    if (*fd < 0) {
        failure_set(failure, "no memory for a capture: %s", strerror(-*fd));
        return NULL;
    }
    capture->used = true;
    for (unsigned i = 0; i < table->lane_count; i++)
        attach(table, capture, &table->lanes[i]);
    return capture;
}

void tap_end(void *context)
{
    struct tap_capture *capture = context;

    capture->closing = true;
}

/* Have all lanes let go of the capture? Asks them to. */
static bool let_go(struct tap_capture *capture, unsigned index)
{
    bool all = true;

    for (unsigned i = 0; i < capture->ring_count; i++) {
        if (capture->lanes[i] == NULL)
            continue;
        lane_set_tap(capture->lanes[i], index, NULL);
        all &= lane_tap_gone(capture->lanes[i], index);
    }
    return all;
}

int tap_poll(struct tap_table *table)
{
    int due_ms = -1;

    for (unsigned i = 0; i < TAP_CAPTURES_MAX; i++) {
        struct tap_capture *capture = &table->captures[i];
        if (!capture->used || !capture->closing)
            continue;
        if (let_go(capture, i)) {
            munmap(capture->rings, TAP_MEMORY_BYTES);
            capture->used = false;
        } else {
            due_ms = SETTLE_MS;
        }
    }
    return due_ms;
}

/* ---- requests ---- */

#define HEX_PER_STEP 16 /* code 4, jt 2, jf 2, k 8 digits */

static bool parse_hex(const char *text, unsigned digits, uint32_t *out)
{
    *out = 0;
    for (unsigned i = 0; i < digits; i++) {
        static const char hex[] = "0123456789abcdef";
        const char *digit = text[i] != '\0' ? strchr(hex, text[i]) : NULL;
        if (digit == NULL)
            return false;
        *out = *out << 4 | (uint32_t)(digit - hex);
    }
    return true;
}

static bool parse_filter(const char *text, struct tap_wish *wish)
{
    size_t length = strlen(text);

    if (length == 0 || length % HEX_PER_STEP != 0 || length / HEX_PER_STEP > BPF_PROGRAM_MAX)
        return false;
    wish->filter_count = (unsigned)(length / HEX_PER_STEP);
    for (unsigned i = 0; i < wish->filter_count; i++, text += HEX_PER_STEP) {
        uint32_t code, jt, jf, k;
        if (!parse_hex(text, 4, &code) || !parse_hex(text + 4, 2, &jt) ||
            !parse_hex(text + 6, 2, &jf) || !parse_hex(text + 8, 8, &k))
            return false;
        wish->filter[i] = (struct sock_filter){(uint16_t)code, (uint8_t)jt, (uint8_t)jf, k};
    }
    return bpf_check(wish->filter, wish->filter_count);
}

static bool parse_which(const char *text, struct tap_wish *wish)
{
    static const struct {
        const char *name;
        uint8_t directions;
        bool only_dropped;
    } kinds[] = {
        {"all", 1 << TAP_TO_LINK | 1 << TAP_FROM_LINK, false},
        {"out", 1 << TAP_TO_LINK, false},
        {"in", 1 << TAP_FROM_LINK, false},
        {"dropped", 1 << TAP_TO_LINK | 1 << TAP_FROM_LINK, true},
    };

    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
        if (strcmp(text, kinds[i].name) == 0) {
            wish->directions = kinds[i].directions;
            wish->only_dropped = kinds[i].only_dropped;
            return true;
        }
    }
    return false;
}

static bool parse_word(const char *word, struct tap_wish *wish)
{
    unsigned long snap;

    if (strncmp(word, "filter=", 7) == 0)
        return parse_filter(word + 7, wish);
    if (strncmp(word, "which=", 6) == 0)
        return parse_which(word + 6, wish);
    if (strncmp(word, "enclave=", 8) == 0)
        return (size_t)snprintf(wish->enclave, sizeof(wish->enclave), "%s", word + 8) <
               sizeof(wish->enclave);
    if (strncmp(word, "snap=", 5) != 0 || !option_number(word + 5, 1, PACKET_MAX_BYTES, &snap))
        return false;
    wish->snap = (uint32_t)snap;
    return true;
}

bool tap_parse_wish(unsigned count, const char *const *words, struct tap_wish *out,
                    struct failure *failure)
{
    *out = (struct tap_wish){.snap = PACKET_MAX_BYTES};
    parse_which("all", out);
    for (unsigned i = 0; i < count; i++) {
        if (!parse_word(words[i], out))
            return failure_set(failure, "capture: '%.60s' is not acceptable", words[i]);
    }
    return true;
}
