/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/counts/ring.h"

#include <errno.h>
#include <liburing.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <valgrind/callgrind.h>

#include "runtime/lane/ring.h"

#define NO_DESCRIPTOR 1000 /* the ring's: nothing is done with it */

static struct {
    struct ring_script script;
    struct ring_result result;
    unsigned next_message, slots_taken;
    size_t stream_at;
    struct io_uring_buf_ring *slots;
    unsigned slots_mask;
    bool capture_armed, receive_armed;
    uint64_t capture_data, receive_data; /* user_data of what is armed */
    uint8_t *receive_to;
    size_t receive_room;
    bool counting;
} fake;

void ring_script(const struct ring_script *script)
{
    memset(&fake, 0, sizeof(fake));
    fake.script = *script;
}

struct ring_result ring_result(void)
{
    return fake.result;
}

static void give_up(const char *what)
{
    fprintf(stderr, "counts: the lane does what tests/counts/ring.c does not know: %s\n", what);
    abort();
}

/* ---- the kernel's side ---- */

static void complete(struct io_uring *ring, uint64_t data, int result, uint32_t flags)
{
    unsigned tail = *ring->cq.ktail;

    if (tail - *ring->cq.khead >= ring->cq.ring_entries)
        give_up("more completions than its ring holds");
    ring->cq.cqes[tail & ring->cq.ring_mask] =
        (struct io_uring_cqe){.user_data = data, .res = result, .flags = flags};
    *ring->cq.ktail = tail + 1;
}

static void take_write(struct io_uring *ring, const struct io_uring_sqe *sqe)
{
    const struct msghdr *message = (const struct msghdr *)(uintptr_t)sqe->addr;
    size_t all = 0;

    for (size_t i = 0; i < message->msg_iovlen; i++) {
        const struct iovec *iov = &message->msg_iov[i];
        if (fake.script.sent != NULL) {
            if (fake.result.sent_bytes + iov->iov_len > fake.script.sent_room)
                give_up("it writes more than there is room for");
            memcpy(fake.script.sent + fake.result.sent_bytes, iov->iov_base, iov->iov_len);
        }
        fake.result.sent_bytes += iov->iov_len;
        all += iov->iov_len;
    }
    fake.result.writes++;
    complete(ring, sqe->user_data, (int)all, 0);
}

static void take_entry(struct io_uring *ring, const struct io_uring_sqe *sqe)
{
    switch ((enum ring_op)(sqe->user_data >> 8)) {
    case RING_CAPTURE:
        fake.capture_armed = true;
        fake.capture_data = sqe->user_data;
        break;
    case RING_RECEIVE:
        fake.receive_armed = true;
        fake.receive_data = sqe->user_data;
        fake.receive_to = (uint8_t *)(uintptr_t)sqe->addr;
        fake.receive_room = sqe->len;
        break;
    case RING_WRITE:
        if (sqe->opcode != IORING_OP_SENDMSG)
            give_up("another way to write");
        take_write(ring, sqe);
        break;
    case RING_INJECT:
        fake.result.injected++;
        break;
    case RING_VERDICT:
        fake.result.verdicts++;
        break;
    case RING_TICK: /* time stands still, and nobody calls */
    case RING_WAKE:
        break;
    default:
        give_up("an operation");
    }
}

static void take_entries(struct io_uring *ring)
{
    fake.result.submissions++;
    while (ring->sq.sqe_head != ring->sq.sqe_tail)
        take_entry(ring, &ring->sq.sqes[ring->sq.sqe_head++ & ring->sq.ring_mask]);
    *ring->sq.khead = *ring->sq.ktail = ring->sq.sqe_tail;
}

/* A burst into the slots that are published, as a multishot receive does it. */
static void deliver_messages(struct io_uring *ring)
{
    for (unsigned i = 0; i < fake.script.burst && fake.capture_armed &&
                         fake.next_message < fake.script.message_count;
         i++) {
        const struct message *message = &fake.script.messages[fake.next_message];
        if (fake.slots_taken == fake.slots->tail) { /* both wrap at 16 bits */
            fake.capture_armed = false;
            complete(ring, fake.capture_data, -ENOBUFS, 0);
            return;
        }
        const struct io_uring_buf *slot = &fake.slots->bufs[fake.slots_taken & fake.slots_mask];
        fake.slots_taken = (fake.slots_taken + 1) & 0xffff;
        memcpy((void *)(uintptr_t)slot->addr, message->bytes, message->length);
        complete(ring, fake.capture_data, (int)message->length,
                 IORING_CQE_F_MORE | IORING_CQE_F_BUFFER |
                     (uint32_t)slot->bid << IORING_CQE_BUFFER_SHIFT);
        fake.next_message++;
    }
}

static void deliver_stream(struct io_uring *ring)
{
    size_t bytes = fake.script.stream_bytes - fake.stream_at;

    if (!fake.receive_armed)
        return;
    if (bytes > fake.script.chunk)
        bytes = fake.script.chunk;
    if (bytes > fake.receive_room)
        bytes = fake.receive_room;
    memcpy(fake.receive_to, fake.script.stream + fake.stream_at, bytes);
    fake.stream_at += bytes;
    fake.receive_armed = false;
    complete(ring, fake.receive_data, (int)bytes, 0);
}

static bool is_idle(const struct io_uring *ring)
{
    return *ring->cq.ktail == *ring->cq.khead;
}

/* ---- in place of liburing and the system call ---- */

static void stop_counting(void)
{
    if (fake.counting)
        CALLGRIND_TOGGLE_COLLECT;
    fake.counting = false;
}

static void start_counting(void)
{
    fake.counting = true;
    CALLGRIND_TOGGLE_COLLECT;
}

int io_uring_submit(struct io_uring *ring)
{
    stop_counting();
    take_entries(ring);
    start_counting();
    return 0;
}

int io_uring_submit_and_wait(struct io_uring *ring, unsigned count)
{
    (void)count;
    stop_counting();
    take_entries(ring);
    if (is_idle(ring))
        deliver_messages(ring);
    if (is_idle(ring)) /* what was captured has been written */
        deliver_stream(ring);
    if (is_idle(ring))
        give_up("it waits for nothing");
    start_counting();
    return 0;
}

int io_uring_queue_mmap(int fd, struct io_uring_params *params, struct io_uring *ring)
{
    static unsigned numbers[8], array[1024];
    unsigned entries = params->sq_entries, completions = params->cq_entries;

    (void)fd;
    if (entries > sizeof(array) / sizeof(array[0]))
        give_up("that many entries");
    memset(ring, 0, sizeof(*ring));
    ring->sq.array = array;
    memset(numbers, 0, sizeof(numbers));
    ring->sq.sqes = calloc(entries, sizeof(*ring->sq.sqes));
    ring->cq.cqes = calloc(completions, sizeof(*ring->cq.cqes));
    if (ring->sq.sqes == NULL || ring->cq.cqes == NULL)
        return -ENOMEM;
    ring->sq.khead = &numbers[0];
    ring->sq.ktail = &numbers[1];
    ring->sq.kflags = &numbers[2];
    ring->sq.ring_mask = entries - 1;
    ring->sq.ring_entries = entries;
    ring->cq.khead = &numbers[3];
    ring->cq.ktail = &numbers[4];
    ring->cq.kflags = &numbers[5];
    ring->cq.ring_mask = completions - 1;
    ring->cq.ring_entries = completions;
    return 0;
}

void io_uring_queue_exit(struct io_uring *ring)
{
    stop_counting();
    free(ring->sq.sqes);
    free(ring->cq.cqes);
}

int io_uring_register_files(struct io_uring *ring, const int *files, unsigned count)
{
    (void)ring, (void)files, (void)count;
    return 0;
}

int io_uring_register_buf_ring(struct io_uring *ring, struct io_uring_buf_reg *registration,
                               unsigned flags)
{
    (void)ring, (void)flags;
    fake.slots = (struct io_uring_buf_ring *)(uintptr_t)registration->ring_addr;
    fake.slots_mask = registration->ring_entries - 1;
    return 0;
}

int io_uring_get_events(struct io_uring *ring)
{
    (void)ring;
    return 0;
}

static long set_up(unsigned entries, struct io_uring_params *params)
{
    params->sq_entries = entries;
    params->features = IORING_FEAT_EXT_ARG;
    return NO_DESCRIPTOR;
}

long syscall(long number, ...)
{
    va_list arguments;
    long result = 0;

    va_start(arguments, number);
    if (number == SYS_io_uring_setup) {
        unsigned entries = va_arg(arguments, unsigned);
        result = set_up(entries, va_arg(arguments, struct io_uring_params *));
    } else if (number != SYS_io_uring_register) {
        give_up("a system call");
    }
    va_end(arguments);
    return result;
}
