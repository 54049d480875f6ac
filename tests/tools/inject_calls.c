/* SPDX-License-Identifier: Apache-2.0 */
/*
 * inject_calls TID PID: makes a thread of another process do system calls, as somebody who has
 * taken it over could. Each line of standard input is a call: its number and up to six arguments,
 * numbers or 'text. Each line of standard output is what it returned: a number, negative for an
 * errno. "ring" is a call of its own: io_uring_setup(), and what the ring that comes of it can
 * open: the errno as a negative number, or 0 if it opened a file for writing.
 *
 * The thread is stopped by ptrace(2), and sees its own system call interrupted (EINTR) afterwards.
 * Exit status 77: this machine's registers are not known here.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

#include <liburing.h>

#ifdef __x86_64__

#define TEXT_ROOM      4096
#define SYSCALL_OPCODE 0x050fUL /* syscall */

struct thread {
    pid_t tid;
    struct user_regs_struct saved;
    long code; /* what stands where the thread was */
};

static _Noreturn void fail(const char *what)
{
    perror(what);
    exit(1);
}

static void attach(struct thread *thread)
{
    if (ptrace(PTRACE_ATTACH, thread->tid, NULL, NULL) < 0 ||
        waitpid(thread->tid, NULL, __WALL) < 0 ||
        ptrace(PTRACE_GETREGS, thread->tid, NULL, &thread->saved) < 0)
        fail("attach");
    thread->code = ptrace(PTRACE_PEEKTEXT, thread->tid, (void *)thread->saved.rip, NULL);
    if (ptrace(PTRACE_POKETEXT, thread->tid, (void *)thread->saved.rip,
               (void *)((thread->code & ~0xffffL) | (long)SYSCALL_OPCODE)) < 0)
        fail("poke");
}

static void detach(struct thread *thread)
{
    struct user_regs_struct registers = thread->saved;

    if ((long)registers.orig_rax >= 0)
        registers.rax = (unsigned long)-EINTR;
    registers.orig_rax = (unsigned long)-1;
    if (ptrace(PTRACE_POKETEXT, thread->tid, (void *)thread->saved.rip, (void *)thread->code) < 0 ||
        ptrace(PTRACE_SETREGS, thread->tid, NULL, &registers) < 0 ||
        ptrace(PTRACE_DETACH, thread->tid, NULL, NULL) < 0)
        fail("detach");
}

/* Signals that arrive on the way are kept from it. */
static long call(struct thread *thread, long number, const unsigned long arguments[6])
{
    struct user_regs_struct registers = thread->saved;
    int status;

    registers.orig_rax = (unsigned long)-1;
    registers.rax = (unsigned long)number;
    registers.rdi = arguments[0];
    registers.rsi = arguments[1];
    registers.rdx = arguments[2];
    registers.r10 = arguments[3];
    registers.r8 = arguments[4];
    registers.r9 = arguments[5];
    if (ptrace(PTRACE_SETREGS, thread->tid, NULL, &registers) < 0 ||
        ptrace(PTRACE_SINGLESTEP, thread->tid, NULL, NULL) < 0 ||
        waitpid(thread->tid, &status, __WALL) < 0 || !WIFSTOPPED(status) ||
        ptrace(PTRACE_GETREGS, thread->tid, NULL, &registers) < 0)
        fail("step");
    return (long)registers.rax;
}

/* Into the thread's stack, below what it uses. */
static unsigned long put(const struct thread *thread, unsigned *used, const char *text)
{
    size_t bytes = strlen(text) + 1;
    unsigned long at = (thread->saved.rsp - 2 * TEXT_ROOM + *used) & ~7UL;

    for (size_t i = 0; i < bytes; i += sizeof(long)) {
        long word = 0;
        memcpy(&word, text + i, bytes - i < sizeof(word) ? bytes - i : sizeof(word));
        if (ptrace(PTRACE_POKEDATA, thread->tid, (void *)(at + i), (void *)word) < 0)
            fail("text");
    }
    *used += (unsigned)bytes + 16;
    return at;
}

/* ---- a ring that the thread got ---- */

static long open_by(int ring_fd, const struct io_uring_params *params)
{
    struct io_uring_params copy = *params;
    struct io_uring ring;
    struct io_uring_cqe *cqe;

    if (io_uring_queue_mmap(ring_fd, &copy, &ring) < 0)
        fail("mmap of the ring");
    for (unsigned i = 0; i < copy.sq_entries; i++)
        ring.sq.array[i] = i;
    if (syscall(SYS_io_uring_register, ring_fd, IORING_REGISTER_ENABLE_RINGS, NULL, 0) < 0)
        fail("enabling the ring");
    struct io_uring_sqe *sqe = io_uring_get_sqe(&ring);
    io_uring_prep_openat(sqe, AT_FDCWD, "/dev/null", O_WRONLY, 0);
    if (io_uring_submit_and_wait(&ring, 1) < 0 || io_uring_peek_cqe(&ring, &cqe) < 0)
        fail("submitting");
    return cqe->res < 0 ? cqe->res : 0;
}

/* The owner's memory says nothing about the ring, as it is made by somebody else: a ring of the
 * same kind does. */
static long try_ring(struct thread *thread, pid_t pid)
{
    unsigned used = 0;
    struct io_uring_params params = {.flags = IORING_SETUP_CQSIZE | IORING_SETUP_R_DISABLED |
                                              IORING_SETUP_SINGLE_ISSUER |
                                              IORING_SETUP_DEFER_TASKRUN,
                                     .cq_entries = 1024};
    unsigned long at = put(thread, &used, "");

    for (size_t i = 0; i < sizeof(params); i += sizeof(long)) {
        long word;
        memcpy(&word, (const char *)&params + i, sizeof(word));
        ptrace(PTRACE_POKEDATA, thread->tid, (void *)(at + i), (void *)word);
    }
    long fd = call(thread, SYS_io_uring_setup, (unsigned long[6]){256, at});
    if (fd < 0)
        return fd;
    int pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
    int own = (int)syscall(SYS_pidfd_getfd, pidfd, (int)fd, 0);
    call(thread, SYS_close, (unsigned long[6]){(unsigned long)fd});
    if (own < 0 || syscall(SYS_io_uring_setup, 256, &params) < 0)
        fail("ring");
    return open_by(own, &params);
}

/* ---- lines ---- */

static long run_line(struct thread *thread, char *line)
{
    unsigned long arguments[6] = {0};
    unsigned used = 0;
    char *word = strtok(line, " \n");
    long number = strtol(word, NULL, 0);

    for (unsigned i = 0; i < 6 && (word = strtok(NULL, " \n")) != NULL; i++)
        arguments[i] =
            word[0] == '\'' ? put(thread, &used, word + 1) : (unsigned long)strtoll(word, NULL, 0);
    return call(thread, number, arguments);
}

int main(int argc, char **argv)
{
    struct thread thread = {.tid = argc > 1 ? atoi(argv[1]) : 0};
    char line[TEXT_ROOM / 2];

    attach(&thread);
    while (fgets(line, sizeof(line), stdin) != NULL)
        printf("%ld\n", strncmp(line, "ring", 4) == 0 ? try_ring(&thread, atoi(argv[argc - 1]))
                                                      : run_line(&thread, line));
    detach(&thread);
    return EXIT_SUCCESS;
}

#else

int main(void)
{
    return 77;
}

#endif
