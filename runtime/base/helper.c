/* SPDX-License-Identifier: Apache-2.0 */
/* A message is a kind (request) or a verdict (answer) and a text without its NUL. */
#include "runtime/base/helper.h"

#include <errno.h>
#include <fcntl.h>
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

#define ANSWER_DONE    '+'
#define ANSWER_FAILED  '-'
#define ANSWER_SECONDS 60 /* iptables may wait for its lock */
#define MESSAGE_BYTES  (1 + HELPER_TEXT_MAX)
#define SOCKET_BYTES   (4 * MESSAGE_BYTES)

/* Signals for the whole group (^C, a supervisor's stop) are the daemon's to act on. */
static const int group_signals[] = {SIGINT, SIGTERM, SIGHUP, SIGUSR1};
#define GROUP_SIGNALS (sizeof(group_signals) / sizeof(group_signals[0]))

static ssize_t send_message(int fd, char head, const char *text)
{
    struct iovec parts[] = {{&head, 1}, {(void *)text, strlen(text)}};
    struct msghdr message = {.msg_iov = parts, .msg_iovlen = 2};
    ssize_t sent;

    do
        sent = sendmsg(fd, &message, MSG_NOSIGNAL);
    while (sent < 0 && errno == EINTR);
    return sent;
}

/* The next message into out[MESSAGE_BYTES], its text NUL-terminated. False at the end. */
static bool receive_message(int fd, char *out)
{
    ssize_t got;

    do
        got = recv(fd, out, MESSAGE_BYTES - 1, 0);
    while (got < 0 && errno == EINTR);
    if (got <= 0)
        return false;
    out[got] = '\0';
    return true;
}

static _Noreturn void helper_main(int fd, const sigset_t *mask, const struct helper_duties *duties)
{
    static char request[MESSAGE_BYTES], answer[HELPER_TEXT_MAX];

    for (size_t i = 0; i < GROUP_SIGNALS; i++)
        signal(group_signals[i], SIG_IGN);
    sigprocmask(SIG_SETMASK, mask, NULL);
    prctl(PR_SET_NAME, "causeway-clean");
    while (receive_message(fd, request)) {
        if (request[0] == HELPER_KIND_CLEANUP) {
            duties->cleanup(duties->context);
            break;
        }
        struct failure failure = {"this request is not known"};
        answer[0] = '\0';
        bool done = duties->serve != NULL &&
                    duties->serve(duties->context, request[0], request + 1, answer, &failure);
        if (send_message(fd, done ? ANSWER_DONE : ANSWER_FAILED, done ? answer : failure.text) < 0)
            break;
    }
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

bool helper_request(struct helper *helper, char kind, const char *text, char *answer,
                    struct failure *failure)
{
    static char message[MESSAGE_BYTES]; /* one thread asks */

    if (strlen(text) >= HELPER_TEXT_MAX)
        return failure_set(failure, "the request is longer than %d bytes", HELPER_TEXT_MAX);
    /* An answer that comes late would be taken for that to the next request. */
    if (helper->broken || send_message(helper->fd, kind, text) < 0 ||
        !receive_message(helper->fd, message)) {
        helper->broken = true;
        return failure_set(failure, "the privileged helper process does not answer: restart");
    }
    if (message[0] != ANSWER_DONE)
        return failure_set(failure, "%s", message + 1);
    if (answer != NULL)
        snprintf(answer, HELPER_TEXT_MAX, "%s", message + 1);
    return true;
}

void helper_finish(struct helper *helper)
{
    send_message(helper->fd, HELPER_KIND_CLEANUP, "");
    close(helper->fd);
    while (waitpid(helper->pid, NULL, 0) < 0 && errno == EINTR)
        ;
}
