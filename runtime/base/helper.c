/* SPDX-License-Identifier: Apache-2.0 */
/* A message is a kind (request) or a verdict (answer) and a text without its NUL. */
#include "runtime/base/helper.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "runtime/base/log.h"

#define ANSWER_DONE    '+'
#define ANSWER_FAILED  '-'
#define ANSWER_SECONDS 60 /* iptables may wait for its lock */
#define MESSAGE_BYTES  (1 + HELPER_TEXT_MAX)
#define SOCKET_BYTES   (4 * MESSAGE_BYTES)

/* Signals for the whole group (^C, a supervisor's stop) are the daemon's to act on. */
static const int group_signals[] = {SIGINT, SIGTERM, SIGHUP, SIGUSR1};
#define GROUP_SIGNALS (sizeof(group_signals) / sizeof(group_signals[0]))

/* Room for one descriptor beside a message. */
union descriptor {
    struct cmsghdr header;
    char bytes[CMSG_SPACE(sizeof(int))];
};

/* passed: a descriptor that goes with it, or -1. */
static ssize_t send_message(int fd, char head, const char *text, int passed)
{
    struct iovec parts[] = {{&head, 1}, {(void *)text, strlen(text)}};
    struct msghdr message = {.msg_iov = parts, .msg_iovlen = 2};
    union descriptor control = {.header = {.cmsg_len = CMSG_LEN(sizeof(passed)),
                                           .cmsg_level = SOL_SOCKET,
                                           .cmsg_type = SCM_RIGHTS}};
    ssize_t sent;

    if (passed >= 0) {
        memcpy(CMSG_DATA(&control.header), &passed, sizeof(passed));
        message.msg_control = control.bytes;
        message.msg_controllen = sizeof(control.bytes);
    }
    do
        sent = sendmsg(fd, &message, MSG_NOSIGNAL);
    while (sent < 0 && errno == EINTR);
    return sent;
}

/* The descriptor that came with a message, or -1: one at most, there is no room for more. */
static int descriptor_of(struct msghdr *message)
{
    struct cmsghdr *header = CMSG_FIRSTHDR(message);
    int passed = -1;

    if (header != NULL && header->cmsg_level == SOL_SOCKET && header->cmsg_type == SCM_RIGHTS &&
        header->cmsg_len == CMSG_LEN(sizeof(passed)))
        memcpy(&passed, CMSG_DATA(header), sizeof(passed));
    return passed;
}

/* The next message into out[MESSAGE_BYTES], its text NUL-terminated. False at the end. passed:
 * the descriptor that came with it, the caller's to close, or -1. */
static bool receive_message(int fd, char *out, int *passed)
{
    struct iovec part = {out, MESSAGE_BYTES - 1};
    union descriptor control;
    struct msghdr message = {.msg_iov = &part,
                             .msg_iovlen = 1,
                             .msg_control = control.bytes,
                             .msg_controllen = sizeof(control.bytes)};
    ssize_t got;

    do
        got = recvmsg(fd, &message, MSG_CMSG_CLOEXEC);
    while (got < 0 && errno == EINTR);
    if (got <= 0)
        return false;
    out[got] = '\0';
    *passed = descriptor_of(&message);
    return true;
}

static void close_if_open(int *fd)
{
    if (*fd >= 0)
        close(*fd);
    *fd = -1;
}

/* ---- in the helper ---- */

struct service {
    const struct helper_duties *duties;
    int fd, listener; /* the daemon's requests; the kernel's, or -1 */
};

static bool serve(const struct service *service, char *request, struct failure *failure,
                  char *answer)
{
    const struct helper_duties *duties = service->duties;

    failure_set(failure, "this request is not known");
    answer[0] = '\0';
    if (request[0] == HELPER_KIND_LISTEN)
        return service->listener >= 0;
    return duties->serve != NULL &&
           duties->serve(duties->context, request[0], request + 1, answer, failure);
}

/* One request of the daemon. False: that was the last. */
static bool take_request(struct service *service)
{
    static char request[MESSAGE_BYTES], answer[HELPER_TEXT_MAX];
    struct failure failure;
    int passed;

    if (!receive_message(service->fd, request, &passed))
        return false;
    if (request[0] == HELPER_KIND_LISTEN && service->listener < 0 &&
        service->duties->make != NULL) {
        service->listener = passed;
        passed = -1;
    }
    close_if_open(&passed);
    if (request[0] == HELPER_KIND_CLEANUP) {
        service->duties->cleanup(service->duties->context);
        return false;
    }
    bool done = serve(service, request, &failure, answer);
    return send_message(service->fd, done ? ANSWER_DONE : ANSWER_FAILED,
                        done ? answer : failure.text, -1) >= 0;
}

/* Waits for either of the two, and handles it. */
static bool turn(struct service *service)
{
    struct pollfd fds[] = {{.fd = service->fd, .events = POLLIN},
                           {.fd = service->listener, .events = POLLIN}};

    if (poll(fds, 2, -1) < 0)
        return errno == EINTR;
    if (fds[1].revents & POLLIN) {
        if (!broker_answer(service->listener, service->duties->make))
            close_if_open(&service->listener);
    } else if (fds[1].revents != 0) {
        close_if_open(&service->listener); /* nobody is left that could ask */
    }
    return fds[0].revents == 0 || take_request(service);
}

static _Noreturn void helper_main(int fd, const sigset_t *mask, const struct helper_duties *duties)
{
    struct service service = {.duties = duties, .fd = fd, .listener = -1};
    struct failure failure;

    for (size_t i = 0; i < GROUP_SIGNALS; i++)
        signal(group_signals[i], SIG_IGN);
    sigprocmask(SIG_SETMASK, mask, NULL);
    prctl(PR_SET_NAME, "causeway-clean");
    if (duties->confine != NULL && !duties->confine(duties->context, &failure))
        die("the helper process: %s", failure.text);
    while (turn(&service))
        ;
    _exit(EXIT_SUCCESS);
}

static int open_pair(int ends[2])
{
    struct timeval patience = {.tv_sec = ANSWER_SECONDS};
    int bytes = SOCKET_BYTES;

    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) < 0)
        return -errno;
    setsockopt(ends[1], SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
    for (int i = 0; i < 2; i++)
        if (setsockopt(ends[i], SOL_SOCKET, SO_SNDBUFFORCE, &bytes, sizeof(bytes)) < 0)
            setsockopt(ends[i], SOL_SOCKET, SO_SNDBUF, &bytes, sizeof(bytes));
    return 0;
}

int helper_start(struct helper *helper, const struct helper_duties *duties)
{
    int ends[2], error = open_pair(ends);
    sigset_t blocked, mask;

    if (error < 0)
        return error;
    /* Blocked over the fork: the helper has no moment in which such a signal would end it. */
    sigemptyset(&blocked);
    for (size_t i = 0; i < GROUP_SIGNALS; i++)
        sigaddset(&blocked, group_signals[i]);
    sigprocmask(SIG_BLOCK, &blocked, &mask);
    pid_t pid = fork();
    error = errno;
    if (pid == 0) {
        close(ends[1]);
        helper_main(ends[0], &mask, duties);
    }
    sigprocmask(SIG_SETMASK, &mask, NULL);
    close(ends[0]);
    if (pid < 0) {
        close(ends[1]);
        return -error;
    }
    *helper = (struct helper){.pid = pid, .fd = ends[1]};
    return 0;
}

static bool request(struct helper *helper, char kind, const char *text, int passed, char *answer,
                    struct failure *failure)
{
    static char message[MESSAGE_BYTES]; /* one thread asks */
    int unexpected = -1;

    if (strlen(text) >= HELPER_TEXT_MAX)
        return failure_set(failure, "the request is longer than %d bytes", HELPER_TEXT_MAX);
    /* An answer that comes late would be taken for that to the next request. */
    if (helper->broken || send_message(helper->fd, kind, text, passed) < 0 ||
        !receive_message(helper->fd, message, &unexpected)) {
        helper->broken = true;
        return failure_set(failure, "the privileged helper process does not answer: restart");
    }
    close_if_open(&unexpected);
    if (message[0] != ANSWER_DONE)
        return failure_set(failure, "%s", message + 1);
    if (answer != NULL)
        snprintf(answer, HELPER_TEXT_MAX, "%s", message + 1);
    return true;
}

bool helper_request(struct helper *helper, char kind, const char *text, char *answer,
                    struct failure *failure)
{
    return request(helper, kind, text, -1, answer, failure);
}

bool helper_listen(struct helper *helper, int listener, struct failure *failure)
{
    bool done = request(helper, HELPER_KIND_LISTEN, "", listener, NULL, failure);

    close(listener);
    return done;
}

void helper_finish(struct helper *helper)
{
    send_message(helper->fd, HELPER_KIND_CLEANUP, "", -1);
    close(helper->fd);
    while (waitpid(helper->pid, NULL, 0) < 0 && errno == EINTR)
        ;
}
